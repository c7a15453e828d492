from __future__ import annotations

import re
import sys
import textwrap
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

from kcontroller.cli.commands import cli
from kcontroller.cli.run import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-7f3b1c"

WIDGETS = """
from kcontroller.controller import Reconciler

class Widgets(Reconciler):
    name = "widgets"
    def setup(self, builder): ...
    def reconcile(self, ctx, request): ...
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a controller in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "controller.py").write_text(WIDGETS)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("kcontroller_plugin_"):
            del sys.modules[name]


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["run", *arguments], env=environ)


def error_of(result: Result) -> str:
    """The last line, which is the error; nothing but usage and log lines may be before it."""
    assert "Traceback" not in result.output
    return result.output.rstrip("\n").rpartition("\n")[2]


def test_without_a_source_an_example_is_shown() -> None:
    result = run()
    assert result.exit_code == 2
    assert error_of(result) == (
        "Error: nothing to run; name a file or a module, for example: kcontroller run controller.py"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--graceful-shutdown-timeout", "10 sec"], "'10 sec' is not a duration; write 300ms, 10s, 2m or 1h30m"),
        (["--reconcile-timeout", "5"], "'5' is not a duration; write 300ms, 10s, 2m or 1h30m"),
        (["--reconcile-timeout", "-1s"], "'-1s' is below 0"),
        (["--max-concurrent-reconciles", "0"], "0 is not in the range x>=1."),
        (["--max-concurrent-reconciles", "two"], "'two' is not a valid integer range."),
        (
            ["--concurrency", "ConfigMap"],
            "'ConfigMap' is not KIND.GROUP=N; write for example Deployment.apps=8, or ConfigMap=2",
        ),
        (
            ["--concurrency", "ConfigMap=0"],
            "'ConfigMap=0' is not KIND.GROUP=N; write for example Deployment.apps=8, or ConfigMap=2",
        ),
        (
            ["--concurrency", "ConfigMap=2", "--concurrency", "ConfigMap=3"],
            "'ConfigMap' is given twice; give it once",
        ),
        (["--log-format", "xml"], "'xml' is not one of 'text', 'json'."),
        (["--log-level", "loud"], "'loud' is not one of 'debug', 'info', 'warning', 'error'."),
        (["--leader-election-lease-duration", "15"], "'15' is not a duration; write 300ms, 10s, 2m or 1h30m"),
        (["--leader-election-namespace", "a/b"], "'a/b' is not a namespace; write at most 63 of a-z, 0-9 and '-'"),
        (["--provider-option", "selector"], "'selector' is not KEY=VALUE; write for example selector=team=a"),
        (["--delete-budget", "100"], "'100' is no budget; write it like '100/10m' (s, m or h), or '0' for no limit"),
        (["--paused", "@eu"], "'@eu' cannot be paused; write it like 'widget', 'widget@my-cluster' or '*@my-cluster'"),
        (["-n", "Prod"], "'Prod' is not a namespace; write at most 63 of a-z, 0-9 and '-'"),
    ],
)
def test_a_bad_value_names_its_option(arguments: list[str], message: str) -> None:
    result = run("controller.py", *arguments)
    assert result.exit_code == 2
    assert error_of(result).startswith("Error: Invalid value for ")
    assert arguments[0] in error_of(result)
    assert error_of(result).endswith(f": {message}")


def test_a_bad_value_from_the_environment_names_the_variable() -> None:
    result = run("controller.py", KCONTROLLER_RECONCILE_TIMEOUT="soon")
    assert result.exit_code == 2
    assert "env var: 'KCONTROLLER_RECONCILE_TIMEOUT'" in error_of(result)


def test_an_unknown_option_is_refused() -> None:
    result = run("controller.py", "--metrics-addr=:8080")
    assert result.exit_code == 2
    assert error_of(result).startswith("Error: No such option")
    assert "--metrics-addr" in error_of(result)


def test_one_and_all_namespaces_exclude_each_other() -> None:
    result = run("controller.py", "-n", "a", "-A")
    assert result.exit_code == 2
    assert error_of(result) == "Error: -n/--namespace and -A/--all-namespaces exclude each other; use one"


def test_a_file_that_is_not_there_is_one_line(directory: Path) -> None:
    result = run("gone.py")
    assert (result.exit_code, result.output) == (
        2,
        f"Error: gone.py: no such file (looked for {directory / 'gone.py'})\n",
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:\n", r"Error: .*broken\.py:1: invalid syntax.*"),
        ("x = 1\n", r"Error: broken\.py: .*[Rr]econciler.*"),
        ("import no_such_module\n", r"Error: broken\.py:1: .*no_such_module.*"),
    ],
)
def test_a_file_that_is_no_plugin_is_one_line(directory: Path, source: str, said: str) -> None:
    (directory / "broken.py").write_text(source)
    result = run("broken.py")
    assert result.exit_code == 2
    assert re.fullmatch(said + "\n", result.output), result.output


def test_an_unknown_plugin_is_one_line() -> None:
    result = run("--plugin", "nothing")
    assert (result.exit_code, error_of(result)) == (
        2,
        "Error: no plugin named 'nothing' is installed; installed: none is",
    )


def test_a_module_is_looked_for_by_option() -> None:
    result = run("-m", "no_such_module")
    assert (result.exit_code, error_of(result).startswith("Error: no_such_module: no module named")) == (2, True)


def test_a_plugin_error_has_its_traceback_with_verbose_only(directory: Path) -> None:
    (directory / "broken.py").write_text("1 / 0\n")
    assert run("broken.py").output == "Error: broken.py:1: it cannot be imported: ZeroDivisionError: division by zero\n"
    result = run("broken.py", "-v")
    assert result.exit_code == 2
    assert "Traceback (most recent call last):" in result.output
    assert result.output.endswith("\nError: broken.py:1: it cannot be imported: ZeroDivisionError: division by zero\n")


def test_a_kubeconfig_that_is_not_there_is_named(directory: Path) -> None:
    result = run("controller.py", "--kubeconfig", str(directory / "gone"))
    assert result.exit_code == 2
    assert error_of(result).startswith("Error: ")
    assert str(directory / "gone") in error_of(result)


def test_without_any_configuration_the_remedy_is_told() -> None:
    result = run("controller.py")
    assert result.exit_code == 2
    assert "--kubeconfig" in error_of(result)


def test_a_context_that_is_not_there_is_named(directory: Path) -> None:
    (directory / "config").write_text(kubeconfig())
    result = run("controller.py", "--kubeconfig", "config", "--context", "prod-eu")
    assert result.exit_code == 2
    assert "prod-eu" in error_of(result)


def kubeconfig(*, token: str = CANARY, server: str = "https://127.0.0.1:6443") -> str:
    return textwrap.dedent(f"""
        apiVersion: v1
        kind: Config
        current-context: dev
        contexts: [{{name: dev, context: {{cluster: dev, user: dev}}}}]
        clusters: [{{name: dev, cluster: {{server: "{server}"}}}}]
        users: [{{name: dev, user: {{token: "{token}"}}}}]
    """)


@pytest.mark.parametrize(
    "text",
    [
        kubeconfig() + "  broken: [",
        kubeconfig(server=f"https://user:{CANARY}@127.0.0.1:bad"),
        kubeconfig(server="ftp://127.0.0.1"),
        kubeconfig().replace("token:", "token: {a: 1},  password:"),
        kubeconfig().replace(f'"{CANARY}"', f"[{CANARY}]"),
        kubeconfig().replace("clusters:", "cluster:"),
        f"{CANARY}\n",
        f"token: {CANARY}\n\tx",
    ],
)
@pytest.mark.parametrize("more", [[], ["-v"]])
def test_no_error_of_a_kubeconfig_shows_its_token(directory: Path, text: str, more: list[str]) -> None:
    (directory / "config").write_text(text)
    result = run("controller.py", "--kubeconfig", "config", *more)
    assert (result.exit_code, CANARY in result.output) == (2, False)
    assert "config" in result.output.rstrip("\n").rpartition("\n")[2]


def test_every_option_has_a_variable_without_the_name_of_the_command() -> None:
    variables = {param.opts[-1]: param.envvar for param in command.params if isinstance(param, click.Option)}
    assert variables == {name: f"KCONTROLLER_{name[2:].upper().replace('-', '_')}" for name in variables}
    text = run("--help").output
    assert [variable for variable in variables.values() if str(variable) not in text] == []

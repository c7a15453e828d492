from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner, Result

from kcontroller.cli import cluster_options, namespaces
from kcontroller.cli.run_options import all_options

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = "apiVersion: kcontroller.dev/v1alpha1\nkind: Configuration\n"


@click.command
@all_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Say what `run` would get."""
    options["namespaces"] = namespaces.chosen(ctx)
    options["provider_option"] = cluster_options.provider_options(ctx)
    ctx.meta["told"] = None
    ctx.obj.update(options)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(text: str, *arguments: str, **environ: str) -> dict[str, Any]:
        told: dict[str, Any] = {}
        result = call(tmp_path, text, *arguments, obj=told, env=environ)
        assert result.exit_code == 0, result.output
        return told

    return run


def call(folder: Path, text: str, *arguments: str, **more: Any) -> Result:
    file = folder / "config.yaml"
    file.write_text(text)
    return CliRunner().invoke(command, ["--config", str(file), *arguments], **{"obj": {}, **more})


def test_fields_are_the_long_names_of_options(ask: Callable[..., dict[str, Any]]) -> None:
    told = ask(
        HEAD + "maxConcurrentReconciles: 8\nleaderElect: true\nreconcileTimeout: 1m\nmetricsBindAddress: 0\n"
        "namespace: [a, b]\nconcurrency: {Deployment.apps: 4}\ndeleteBudget: null\n"
    )
    assert (told["max_concurrent_reconciles"], told["leader_elect"], told["reconcile_timeout"]) == (8, True, 60.0)
    assert (told["metrics_bind_address"], told["namespaces"]) == ("0", ("a", "b"))
    assert told["concurrency"] == {"Deployment.apps": 4}
    assert told["delete_budget"] != "None"


def test_the_example_of_the_guide_can_be_used(ask: Callable[..., dict[str, Any]]) -> None:
    guide = Path(__file__).parents[3] / "docs" / "configuration.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    told = ask(example)

    assert (told["leader_elect"], told["namespaces"], told["provider"]) == (True, ("team-a", "team-b"), "file")
    assert [key for key, _ in told["provider_option"]] == ["path", "path", "contexts"]


def test_a_provider_has_its_options_in_the_file(ask: Callable[..., dict[str, Any]]) -> None:
    told = ask(HEAD + "provider: {name: file, options: {path: [/a, /b c], contexts: 'x=*'}}\n")
    assert told["provider"] == "file"
    assert told["provider_option"] == (("path", "/a"), ("path", "/b c"), ("contexts", "x=*"))


def test_the_command_line_and_variables_go_before_the_file(ask: Callable[..., dict[str, Any]]) -> None:
    text = HEAD + "maxConcurrentReconciles: 8\ntraceKeys: 64\nlogLevel: error\nleaderElect: true\n"
    told = ask(text, "--max-concurrent-reconciles", "2", "--no-leader-elect", KCONTROLLER_TRACE_KEYS="32")

    assert (told["max_concurrent_reconciles"], told["trace_keys"], told["log_level"]) == (2, 32, "error")
    assert told["leader_elect"] is False


def test_another_provider_does_not_get_the_options_of_the_files(ask: Callable[..., dict[str, Any]]) -> None:
    text = HEAD + "provider: {name: file, options: {path: /a}}\n"
    assert ask(text, "--provider", "milo")["provider_option"] == ()
    assert ask(text, "--provider-option", "path=/b")["provider_option"] == (("path", "/b"),)
    told = ask(text, "--provider", "milo", "--provider-option", "selector=a")
    assert (told["provider"], told["provider_option"]) == ("milo", (("selector", "a"),))


def test_the_variable_names_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(HEAD + "traceKeys: 64\n")
    told: dict[str, Any] = {}
    CliRunner().invoke(command, [], obj=told, env={"KCONTROLLER_CONFIG": str(tmp_path / "config")})
    assert told["trace_keys"] == 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD + "maxConcurrentReconcile: 8", "unknown field 'maxConcurrentReconcile', did you mean 'maxConcurrentRe"),
        (HEAD + "max-concurrent-reconciles: 8", "unknown field 'max-concurrent-reconciles', did you mean 'maxConcurr"),
        (HEAD + "once: true", "unknown field 'once'"),
        (HEAD + "5: true", "unknown field 5"),
        (HEAD + "provider: milo", "provider must be a mapping with name and options"),
        (HEAD + "provider: {name: milo, option: {}}", "unknown field 'provider.option', it has name and options"),
        (HEAD + "provider: {name: milo, options: {selector: {a: b}}}", "provider.options.selector must be a string or"),
        (HEAD + "leaderElect: 'yes'", "leaderElect must be true or false, got 'yes'"),
        (HEAD + "kubeconfig: yes", "kubeconfig must be a string or a number, got True; quote it"),
        (HEAD + "namespace: a", "namespace must be a list, got 'a'"),
        (HEAD + "reconcileTimeout: soon", "reconcileTimeout: 'soon' is not a duration"),
        (HEAD + "maxConcurrentReconciles: eight", "maxConcurrentReconciles: 'eight' is not a valid integer range."),
        (HEAD + "concurrency: {ConfigMap: many}", "concurrency: 'ConfigMap=many'"),
        (HEAD + "readyWhen: most", "readyWhen: 'most' is not one of 'first-list', 'any', 'quorum', 'all', 'none'."),
        (HEAD + "provider: {name: milo, options: {'': a}}", "provider: '=a' is not KEY=VALUE"),
        ("kind: Configuration", "apiVersion must be kcontroller.dev/v1alpha1, got None"),
        (HEAD.replace("v1alpha1", "v1"), "apiVersion must be kcontroller.dev/v1alpha1, got 'kcontroller.dev/v1'"),
        (HEAD.replace("Configuration", "Config"), "kind must be Configuration, got 'Config'"),
        ("", "must be a mapping with apiVersion: kcontroller.dev/v1alpha1 and kind: Configuration"),
        ("a: [\n", "not YAML, see line 2"),
        (
            HEAD + "leaderElect: true\ntraceKeys: 64\nleaderElect: false",
            "'leaderElect' is in line 3 and again in line 5; keep one",
        ),
        (HEAD + "concurrency: {Secret: 1, Secret: 2}", "'Secret' is in line 3 and again in line 3; keep one"),
        (
            HEAD + "provider:\n  name: milo\n  options: {\n a: b,\n a: c}",
            "'a' is in line 6 and again in line 7; keep one",
        ),
        ("kind: Configuration\n" + HEAD, "'kind' is in line 1 and again in line 3; keep one"),
    ],
)
def test_what_cannot_be_used_is_one_line_with_the_file_and_the_field(tmp_path: Path, text: str, complaint: str) -> None:
    result = call(tmp_path, text)
    assert result.exit_code == 2
    last = result.output.splitlines()[-1]
    assert last.startswith(f"Error: --config {tmp_path / 'config.yaml'}: {complaint}")


def test_what_is_merged_may_be_said_anew(ask: Callable[..., dict[str, Any]]) -> None:
    merged = "concurrency:\n  <<: &usual {ConfigMap: 1, Secret: 1}\n  Secret: 2"
    assert ask(HEAD + merged)["concurrency"] == {"ConfigMap": 1, "Secret": 2}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--config", str(tmp_path / "gone")])
    assert result.exit_code == 2
    assert result.output.endswith(f"{tmp_path / 'gone'}: No such file or directory\n")

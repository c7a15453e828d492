from __future__ import annotations

import builtins
import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from click.testing import CliRunner

import kcontroller
from kcontroller.cli import dev
from kcontroller.cli.commands import cli
from kcontroller.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(kcontroller.__file__).parents[1]
OURS = "# Written by `kcontroller dev`; removed when it ends.\n"


class Signals:
    """Stands for the signals: ``Ctrl-C`` comes when the server has started and been looked at."""

    look: Callable[[], None] = staticmethod(lambda: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self) -> str:
        type(self).look()
        return "SIGINT"


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("kcontroller.process.signals.SignalWait", Signals)
    monkeypatch.setattr(Signals, "look", staticmethod(lambda: None))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "kcontroller-dev.kubeconfig"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["dev", *arguments])


def test_it_writes_a_kubeconfig_serves_and_removes_it(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(Signals, "look", staticmethod(lambda: seen.append(yaml.safe_load(out.read_text()))))
    result = run()
    assert (result.exit_code, out.exists()) == (0, False)
    url = seen[0]["clusters"][0]["cluster"]["server"]
    assert result.stdout.startswith(f"The API server listens on {url}. Ctrl-C ends it, and removes {out.name}.\n")
    assert f"\n  export KUBECONFIG={out}\n  kubectl get namespaces\n" in result.stdout
    assert "project" not in result.stdout


def test_each_project_has_a_context(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        seen.append([context["name"] for context in yaml.safe_load(out.read_text())["contexts"]])

    monkeypatch.setattr(Signals, "look", staticmethod(look))
    result = run("--projects", "2")
    assert result.exit_code == 0, result.output
    assert seen == [["embedded", "project-1", "project-2"]]
    assert "with a context: project-1 to project-2." in result.stdout
    assert "\n  kubectl --context project-1 get namespaces\n" in result.stdout
    assert "\n  kcontroller run --provider milo controller.py " in result.stdout


def test_the_kubeconfig_goes_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, out: Path, tmp_path: Path) -> None:
    modes: list[int] = []
    path = tmp_path / "other file"
    monkeypatch.setattr(Signals, "look", staticmethod(lambda: modes.append(path.stat().st_mode & 0o777)))
    result = run("--kubeconfig-out", str(path))
    assert (result.exit_code, modes, path.exists(), out.exists()) == (0, [0o600], False, False)
    assert f"export KUBECONFIG='{path}'" in result.stdout


@pytest.mark.parametrize("content", [b"apiVersion: v1\nkind: Config\n", b"\xff", b""])
def test_a_file_of_somebody_else_is_left_alone(out: Path, content: bytes) -> None:
    out.write_bytes(content)
    result = run()
    assert (result.exit_code, out.read_bytes()) == (2, content)
    assert "is there, and kcontroller dev did not write it; choose another, or use --force" in result.stderr


def test_an_own_file_of_a_run_that_was_killed_is_replaced(out: Path) -> None:
    out.write_text(f"{OURS}old")
    assert (run().exit_code, out.exists()) == (0, False)


def test_a_file_that_another_dev_serves_is_left_alone(out: Path) -> None:
    with EmbeddedServer() as other:
        text = OURS + other.kubeconfig()
        out.write_text(text)
        result = run()
    assert (result.exit_code, out.read_text()) == (2, text)
    assert f"{out.name} belongs to a kcontroller dev that runs at {other.url}; choose another file" in result.stderr


def test_a_file_whose_port_somebody_else_has_now_is_replaced(out: Path) -> None:
    with EmbeddedServer() as killed:
        out.write_text(OURS + killed.kubeconfig())
    with EmbeddedServer(port=killed.port):
        assert (run().exit_code, out.exists()) == (0, False)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device\n"),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, out: Path, error: OSError, told: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(dev, "_welcome", refuse)
    result = run()
    assert (result.exit_code, result.stderr, out.exists()) == (1, told, False)


def test_force_replaces_any_file(out: Path) -> None:
    out.write_text("mine")
    assert (run("--force").exit_code, out.exists()) == (0, False)


def test_a_file_that_changed_meanwhile_stays(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(Signals, "look", staticmethod(lambda: out.write_text("changed") and None))
    assert (run().exit_code, out.read_text()) == (0, "changed")


def test_a_file_that_cannot_be_written_is_named(out: Path) -> None:
    result = run("--kubeconfig-out", str(out / "deep"))
    assert result.exit_code == 2
    assert "--kubeconfig-out: cannot write" in result.stderr


def test_a_port_that_is_taken_is_named_and_no_file_is_written(out: Path) -> None:
    with EmbeddedServer() as other:
        result = run("--port", str(other.port))
    assert (result.exit_code, out.exists()) == (2, False)
    assert f"cannot listen on 127.0.0.1:{other.port}: the port is in use" in result.stderr


def test_what_is_not_installed_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "kcontroller.embedded.server":
            msg = "No module named 'aiohttp'"
            raise ModuleNotFoundError(msg, name="aiohttp")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(
        dev.Unusable, match=r"needs aiohttp, which is not installed; pip install 'kcontroller\[embedded\]'"
    ):
        dev._server(0, [])


def test_help_and_usage_errors_do_not_pay_for_the_server() -> None:
    code = "import sys; from kcontroller.cli import dev; sys.exit(not {'aiohttp', 'yaml'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=30).returncode == 0


def test_ctrl_c_ends_the_process_in_order(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "kcontroller", "dev", "--kubeconfig-out", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("The API server listens on https://127.0.0.1:")
        assert path.exists()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors, path.exists()) == (0, "", False)

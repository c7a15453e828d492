"""What only a process shows: exit codes and signals. The API server of these runs cannot be reached."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

import kcontroller
from kcontroller.serving.address import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROLLER = """
from kcontroller.controller import Reconciler

class Widgets(Reconciler):
    name = "widgets"
    def setup(self, builder):
        builder.for_("v1 ConfigMap")
    def reconcile(self, ctx, request): ...
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dev
contexts: [{name: dev, context: {cluster: dev, user: dev}}]
clusters: [{name: dev, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: dev, user: {}}]
"""

ROOT = Path(kcontroller.__file__).parents[1]  # So that the process finds the package also where it is not installed.

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``kcontroller run`` on free ports."""
    (tmp_path / "controller.py").write_text(CONTROLLER)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    started: list[subprocess.Popen[str]] = []

    def run(*, metrics: str = "0", health: str = "127.0.0.1:0") -> subprocess.Popen[str]:
        command = [
            *(sys.executable, "-m", "kcontroller", "run", str(tmp_path / "controller.py")),
            *("--kubeconfig", str(tmp_path / "kubeconfig")),
            *("--metrics-bind-address", metrics, "--health-probe-bind-address", health, "--log-format", "json"),
        ]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def port_of(server: str, stream: IO[str]) -> int:
    """Read the log until that server says on which port it answers."""
    for line in stream:
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("msg") == "serving" and record.get("name") == server:
            return int(record["port"])
    pytest.fail(f"{server} does not answer")


def ask(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_although_the_api_server_is_away(start: Start, number: signal.Signals) -> None:
    process = start()
    assert process.stderr is not None
    port = port_of("health", process.stderr)
    assert (ask(port, "/healthz"), ask(port, "/readyz")) == (200, 500)
    process.send_signal(number)
    assert process.wait(20) == 0


HANGS = """
import sys, time
{what}
"""
PLACES = {
    "import": 'print("here", flush=True); time.sleep(60)',
    "import that catches all": """
while True:
    try:
        print("here", flush=True); time.sleep(60)
    except BaseException:
        pass
""",
    "finalizer": """
class Late:
    def __del__(self):
        print("here", flush=True); time.sleep(60)
Late()
""",
    "setup": CONTROLLER.replace('builder.for_("v1 ConfigMap")', 'print("here", flush=True); time.sleep(60)'),
    "exit": CONTROLLER
    + """
import atexit
atexit.register(lambda: (print("here", flush=True), time.sleep(60)))
class Widgets(Widgets):
    def setup(self, builder):
        raise RuntimeError("no")
""",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("place", "code"), [*((each, 0) for each in PLACES if each != "exit"), ("exit", 2)])
def test_a_signal_before_it_runs_ends_it_at_once_and_in_order(
    tmp_path: Path, number: signal.Signals, place: str, code: int
) -> None:
    assert code_of_an_early_end(tmp_path, number, place) == code


def test_a_round_that_is_ended_before_it_begins_is_not_done(tmp_path: Path) -> None:
    """A Job would count as completed otherwise."""
    assert code_of_an_early_end(tmp_path, signal.SIGTERM, "import", "--once") == 1


@pytest.mark.parametrize(("text", "code"), [("", 0), ("0", 0), (" False ", 0), ("off", 0), ("1", 1), ("true", 1)])
def test_an_early_end_reads_the_environment_as_the_option_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int
) -> None:
    monkeypatch.setenv("KCONTROLLER_ONCE", text)
    assert code_of_an_early_end(tmp_path, signal.SIGTERM, "import") == code


def code_of_an_early_end(tmp_path: Path, number: signal.Signals, place: str, *options: str) -> int:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "controller.py").write_text(HANGS.format(what=PLACES[place]))
    command = [
        *(sys.executable, "-m", "kcontroller", "run", str(tmp_path / "controller.py")),
        *("--kubeconfig", str(tmp_path / "kubeconfig"), *options),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors
    assert "ignored" not in errors
    return process.returncode


@pytest.mark.parametrize(
    ("server", "option"), [("metrics", "--metrics-bind-address"), ("health", "--health-probe-bind-address")]
)
def test_an_occupied_port_is_one_line_and_2(start: Start, server: str, option: str) -> None:
    with closing(listen("127.0.0.1:0", option=option)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        process = start(**{server: address})
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.rstrip("\n").rpartition("\n")[2] == (
        f"Error: {option}: cannot listen on {address}: the port is in use; stop what uses it, or choose another port "
        "(0 switches this server off)"
    )

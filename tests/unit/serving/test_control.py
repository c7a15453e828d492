from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cli.failures import Failure
from kcontroller.cli.reach import Daemon, Refused, find
from kcontroller.controller import Controller
from kcontroller.controller.commands import Commands
from kcontroller.controller.names import NotKnown
from kcontroller.errors import ConfigError
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving import control_socket
from kcontroller.serving.control import About, Control, ControlServer
from kcontroller.serving.dispatch import Answer
from tests.unit.controller.fakes import FakeHost, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller.api.keys import Key

    Serve = Callable[..., Daemon]


class Names:
    def target(self, word: str) -> str:
        if word == "e*":
            raise ConfigError("'e*' is a pattern")
        return "" if word == "local" else word

    def doubt(self, word: str) -> str:
        return "" if word in {"local", "eu"} else f"no cluster {word!r} is here, did you mean 'eu'?"


class Explains:
    """Stands in for an `Explainer`: it says what it was asked."""

    names = Names()

    def explain(self, cluster: str, kind: str, key: Key) -> tuple[dict[str, str], ...]:
        if kind == "Unknown":
            raise NotKnown("no controller here has to do with Unknown")
        return ({"asked": f"{cluster}|{kind}|{key}"},)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def host() -> Iterator[FakeHost]:
    made = FakeHost()
    made.run(Controller(Scripted(), made))
    yield made
    made.end()


@pytest.fixture
def serve(host: FakeHost) -> Iterator[Serve]:
    """Serve the control socket of a process at a path."""
    failures: list[Any] = []
    threads = ThreadGroup(on_failure=lambda *failure: failures.append(failure))
    servers: list[ControlServer] = []

    def start(path: str | Path = control_socket.AUTOMATIC, *, number: int = 42) -> Daemon:
        control = Control(
            explainer=Explains(),  # type: ignore[arg-type]
            commands=Commands(host.controllers, host.pauses, clock=host.clock),
            about=lambda: About(number, f"kcontroller run {number}", ("scripted",), True, ""),
            clusters=lambda: {"clusters": ["p1"]},
            debug=lambda question: Answer(http.HTTPStatus.OK, f'"{question.rest}"'.encode()),
        )
        server = ControlServer(str(path), control)
        server.bind()
        server.start(threads)
        servers.append(server)
        assert server.place is not None
        return Daemon(server.place)

    before = set(threading.enumerate())
    yield start
    for server in servers:
        place = server.place
        server.stop(timeout=5)
        assert place is not None
        assert not place.exists()
    assert failures == []
    assert {each.name for each in set(threading.enumerate()) - before} == set()


def test_questions_and_their_parameters_arrive(serve: Serve, tmp_path: Path) -> None:
    daemon = serve(tmp_path / "s")

    assert daemon.get("/explain", cluster="eu", kind="a.io/v1 Web", key="x/ü") == [{"asked": "eu|a.io/v1 Web|x/ü"}]
    assert daemon.get("/debug/threads") == "threads"
    assert daemon.get("/about")["pid"] == 42


def test_commands_are_acted_on_and_told(serve: Serve, host: FakeHost, tmp_path: Path) -> None:
    daemon = serve(tmp_path / "s")
    (controller,) = host.controllers

    paused = daemon.post("/pause", controller="scripted", cluster="local", why="because")
    assert [each["text"] for each in paused["paused"]] == ["scripted is paused in cluster local (because)"]
    assert controller.queue.holders("") >= {"command"}
    assert [each["by"] for each in daemon.get("/pauses")] == ["command"]

    resumed = daemon.post("/resume", controller="*", cluster="*")
    assert resumed["ended"] == ["scripted is paused in cluster local (because)"]
    assert resumed["paused"] == []
    assert "command" not in controller.queue.holders("")


def test_a_cluster_that_is_not_here_may_be_named_and_is_doubted(serve: Serve, tmp_path: Path) -> None:
    daemon = serve(tmp_path / "s")

    answer = daemon.post("/pause", controller="scripted", cluster="ue")

    assert [each["text"] for each in answer["paused"]] == ["scripted is paused in cluster ue"]
    assert answer["doubt"] == "no cluster 'ue' is here, did you mean 'eu'?"
    for cluster in ("eu", "local", "*"):
        assert daemon.post("/pause", controller="scripted", cluster=cluster)["doubt"] == ""


@pytest.mark.parametrize(
    ("method", "path", "query", "text"),
    [
        ("GET", "/explain", {"kind": "Unknown", "key": "a/b"}, "no controller here has to do with Unknown"),
        ("GET", "/explain", {"kind": "Web", "key": "a/b/c"}, "write it like 'namespace/name'"),
        ("POST", "/pause", {"controller": "wbe"}, "there is no controller 'wbe' to pause; there are: scripted"),
        ("POST", "/pause", {"cluster": "e*"}, r"'e\*' is a pattern"),
        ("POST", "/explain", {}, "404 page not found"),
        ("GET", "/pause", {}, "404 page not found"),
        ("POST", "/nothing", {}, "404 page not found"),
    ],
)
def test_what_is_wrong_with_a_question_comes_back_as_one_line(
    serve: Serve, tmp_path: Path, method: str, path: str, query: dict[str, str], text: str
) -> None:
    daemon = serve(tmp_path / "s")

    with pytest.raises(Refused, match=text):
        (daemon.get if method == "GET" else daemon.post)(path, **query)


def test_looking_is_not_acting(serve: Serve, host: FakeHost, tmp_path: Path) -> None:
    daemon = serve(tmp_path / "s")
    with closing(http.client.HTTPConnection("localhost", timeout=5)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(daemon.path))
        connection.request("GET", "/pause?controller=scripted")
        assert connection.getresponse().status == http.HTTPStatus.NOT_FOUND

    assert host.pauses.all() == ()


def test_who_is_not_admitted_gets_no_byte(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "admits", lambda _connection: False)
    daemon = serve(tmp_path / "s")

    with pytest.raises(Failure, match=r"no daemon answers at .*: "):
        daemon.get("/about")


def test_a_socket_that_somebody_named_and_that_cannot_be_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--control-socket: cannot listen on"):
        ControlServer(str(tmp_path / "no" / "such" / "folder"), None).bind()


def test_without_the_usual_socket_the_process_works_and_says_so(
    runtime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (runtime / "kcontroller").mkdir(mode=0o755)
    (runtime / "kcontroller").chmod(0o755)
    server = ControlServer(control_socket.AUTOMATIC, None)

    with caplog.at_level(logging.WARNING):
        server.bind()
    server.start(ThreadGroup(on_failure=lambda *_: None))
    server.stop()

    assert "kcontroller explain, clusters, pause and resume cannot reach this process: " in caplog.text


# ---- finding it ------------------------------------------------------------------------------------------------------


def test_the_only_daemon_is_found(serve: Serve, runtime: Path) -> None:
    serve()

    assert find(None).path == runtime / "kcontroller" / f"{os.getpid()}.sock"


def test_of_several_one_must_be_named_and_they_are_told_apart(serve: Serve, runtime: Path) -> None:
    first = serve()
    second = serve(first.path.with_name("2.sock"), number=43)

    with pytest.raises(Failure, match="several daemons run here, name one: ") as raised:
        find(None)
    assert f"--socket {first.path} (kcontroller run 42)" in raised.value.message
    assert f"--socket {second.path} (kcontroller run 43)" in raised.value.message
    assert find(str(second.path)).get("/about")["pid"] == 43


def test_where_none_runs_it_is_said_how_to_reach_one(runtime: Path) -> None:
    with pytest.raises(Failure, match=r"no daemon of this user runs here .* kubectl exec deploy/NAME"):
        find(None)


def test_a_socket_that_a_killed_process_left_is_no_daemon(runtime: Path) -> None:
    (runtime / "kcontroller").mkdir(mode=0o700)
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(runtime / "kcontroller" / "1.sock"))

    with pytest.raises(Failure, match="no daemon of this user runs here"):
        find(None)

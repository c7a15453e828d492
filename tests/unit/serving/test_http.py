from __future__ import annotations

import gc
import logging
import os
import resource
import socket
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConfigError
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving.connection import Connection, Progress, Settings
from kcontroller.serving.health import Checks, application
from kcontroller.serving.http import WORKERS, HttpServer
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conftest import Serve, Served


@pytest.fixture
def readyz() -> Checks:
    return Checks("readyz")


@pytest.fixture
def health(serve: Serve, readyz: Checks) -> Served:
    return serve(application(healthz=Checks("healthz"), readyz=readyz))


def connect(served: Served, *, send: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.server.port), timeout=5)
    connection.sendall(send)
    return connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@contextmanager
def no_new_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_probe_is_answered(health: Served) -> None:
    reply = health.ask("/readyz")
    assert (reply.status, reply.body, reply.headers["Connection"]) == (200, "ok", "close")


def test_the_server_does_not_tell_its_library_and_version(health: Served) -> None:
    assert health.ask("/readyz").headers["Server"] == "kcontroller"


def test_a_failed_check_is_told_on_the_wire(health: Served, readyz: Checks) -> None:
    readyz.add("informers", lambda: "waiting for v1 Pod in ü")
    reply = health.ask("/readyz")
    assert (reply.status, "[-]informers failed: waiting for v1 Pod in ü\n" in reply.body) == (500, True)


def test_post_is_refused_and_its_body_not_read(health: Served) -> None:
    with closing(
        connect(health, send=b"POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    ) as client:
        assert read_all(client).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


def test_head_has_no_body(health: Served) -> None:
    with closing(connect(health, send=b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n")) as client:
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_head_in_pieces_is_put_together(health: Served) -> None:
    with closing(connect(health)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"GET /rea", b"dyz HTTP/1.1\r\nHo", b"st: x\r\n\r", b"\n"):
            client.sendall(piece)
        assert read_all(client).endswith(b"\r\n\r\nok")


def test_what_is_not_http_is_refused(health: Served) -> None:
    with closing(connect(health, send=b"\x16\x03\x01 hello\r\n\r\n")) as client:
        assert read_all(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 9000, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 9000])
def test_a_head_above_the_limit_is_refused_at_once(health: Served, head: bytes) -> None:
    with closing(connect(health, send=head)) as client:
        assert read_all(client)[:12] in {b"HTTP/1.1 413", b"HTTP/1.1 414"}


@pytest.mark.parametrize("size", [8191, 8192])
def test_a_head_without_an_end_holds_no_worker_until_it_is_too_long(health: Served, size: int) -> None:
    loop = health.server._loop
    assert loop is not None
    with ExitStack() as open_connections:
        clients = [open_connections.enter_context(closing(connect(health))) for _ in range(WORKERS)]
        for client in clients:
            client.sendall(b"GET /" + b"x" * (size - 5))
        assert health.ask("/readyz").status == 200
        assert len(loop._waiting) == WORKERS
        for client in clients:
            client.sendall(b"xx")
            assert read_all(client).startswith(b"HTTP/1.1 414 ")


def test_a_worker_reads_nothing_from_the_peer(serve: Serve) -> None:
    def reads(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        environ["wsgi.input"].read()
        return [b"ok"]

    with closing(connect(serve(reads), send=b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")) as client:
        client.settimeout(2)
        assert read_all(client).endswith(b"\r\n\r\nok")


def test_an_answer_that_is_read_too_slowly_is_cut_off(serve: Serve) -> None:
    clock, size = VirtualClock(), 64 << 20  # More than any buffer takes.

    def long(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return [bytes(size)]

    with closing(connect(serve(long, clock=clock), send=b"GET / HTTP/1.0\r\n\r\n")) as client:
        assert client.recv(1) == b"H"
        clock.advance(10)
        received = 0
        with suppress(ConnectionResetError):
            while more := len(client.recv(1 << 20)):
                received += more
        assert 0 < received < size


def test_a_head_of_ten_mebibytes_is_not_read(health: Served) -> None:
    with closing(connect(health)) as client, pytest.raises((ConnectionError, TimeoutError)):
        client.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * (10 << 20))
    assert health.ask("/readyz").status == 200


def test_silent_and_slow_connections_do_not_stop_a_probe(health: Served) -> None:
    with ExitStack() as open_connections:
        for number in range(200):
            send = b"GET /readyz HTTP/1.1\r\nX-Slow: " if number % 2 else b""
            open_connections.enter_context(closing(connect(health, send=send)))
        assert health.ask("/readyz").status == 200


def test_the_oldest_waiting_connections_give_way(health: Served) -> None:
    with ExitStack() as open_connections:
        clients = [open_connections.enter_context(closing(connect(health))) for _ in range(65)]
        assert clients[0].recv(1) == b""
        clients[64].sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert read_all(clients[64]).endswith(b"ok")


def test_one_that_gives_way_at_the_moment_it_sends_is_not_read(serve: Serve, readyz: Checks) -> None:
    entered, go_on = threading.Event(), threading.Event()
    accepted: list[socket.socket] = []

    def admits(connection: socket.socket) -> bool:
        accepted.append(connection)
        if len(accepted) == 65:  # The loop is held here until what comes next is one batch of events.
            entered.set()
            go_on.wait(5)
        return True

    health = serve(application(healthz=Checks("healthz"), readyz=readyz), admits=admits)
    with ExitStack() as open_connections:
        clients = [open_connections.enter_context(closing(connect(health))) for _ in range(65)]
        assert entered.wait(5)
        open_connections.enter_context(closing(connect(health)))
        clients[1].sendall(b"G")
        go_on.set()
        assert health.ask("/readyz").status == 200
        with suppress(ConnectionResetError):
            assert clients[1].recv(1) == b""


def test_a_head_that_takes_too_long_is_closed(serve: Serve, readyz: Checks) -> None:
    clock = VirtualClock()
    health = serve(application(healthz=Checks("healthz"), readyz=readyz), clock=clock)
    with closing(connect(health, send=b"GET /")) as slow:
        assert health.ask("/readyz").status == 200  # The loop has accepted the one before.
        clock.advance(10)
        assert health.ask("/readyz").status == 200
        assert slow.recv(1) == b""


def test_that_no_descriptor_is_left_is_said_once_each_time(
    health: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = health.server._loop
    assert loop is not None
    tries: list[float] = []
    monkeypatch.setattr(loop._stopping, "wait", tries.append)  # Without a pause.
    at_rest = open_descriptors()
    for times in (1, 2):
        # The last connection is closed after its peer has read all; a place that is free later would be taken.
        eventually(lambda: open_descriptors() == at_rest)
        with closing(socket.socket()) as client:
            client.settimeout(5)
            with no_new_descriptors():
                client.connect(("127.0.0.1", health.server.port))
                tries.clear()
                eventually(lambda: len(tries) > 2)
            client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert read_all(client).endswith(b"ok")
        assert [record.getMessage() for record in caplog.records] == [
            "no file descriptor is left to answer with; raise the limit of open files (ulimit -n)"
        ] * times


def test_a_connection_that_was_closed_is_gone(readyz: Checks) -> None:
    settings = Settings(application(healthz=Checks("healthz"), readyz=readyz))
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        connection = Connection(settings, ours, clock=VirtualClock())
        connection.close()
        assert connection.gather() is Progress.GONE
    settings.forget()


def test_a_client_that_goes_away_is_forgotten(health: Served) -> None:
    for send in (b"", b"GET /", b"GET /readyz HTTP/1.1\r\n\r\n"):
        connect(health, send=send).close()
    for _ in range(2):  # When the second is answered, the loop's turn with the first is over.
        assert health.ask("/readyz").status == 200
    assert health.server._loop is not None
    assert len(health.server._loop._waiting) == 0


def test_descriptors_are_given_back_without_the_help_of_the_garbage_collector(serve: Serve, readyz: Checks) -> None:
    gc.disable()
    try:
        before = open_descriptors()
        health = serve(application(healthz=Checks("healthz"), readyz=readyz))
        for _ in range(5):
            assert health.ask("/readyz").status == 200
        connect(health, send=b"GET /").close()
        health.server.stop()
        assert open_descriptors() == before
    finally:
        gc.enable()


def test_threads_are_named(health: Served) -> None:
    assert health.threads.alive() == ("kc-health", "kc-health-1", "kc-health-2", "kc-health-3")


def test_an_application_that_raises_is_500_in_the_log_and_not_on_stderr(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise LookupError

    assert serve(broken).ask("/").status == 500
    assert [(record.name, record.levelno) for record in caplog.records if record.levelno >= logging.ERROR] == [
        ("kcontroller.serving.connection", logging.ERROR)
    ]
    assert capfd.readouterr() == ("", "")


def test_stop_is_bounded_by_its_time_although_an_answer_hangs() -> None:
    release = threading.Event()
    entered: list[str] = []

    def hang(environ: Any, start_response: Any) -> Iterable[bytes]:
        entered.append(threading.current_thread().name)
        release.wait(30)
        start_response("200 OK", [])
        return []

    threads = ThreadGroup(on_failure=lambda name, error: None)
    server = HttpServer(address="127.0.0.1:0", app=hang, name="health")
    server.start(threads)
    try:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=5)) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: entered)
            assert set(entered) <= set(server.stop(timeout=0.01))
    finally:
        release.set()
    assert threads.join(5) == ()


def test_the_port_is_free_after_stop(serve: Serve, readyz: Checks) -> None:
    served = serve(application(healthz=Checks("healthz"), readyz=readyz))
    port = served.server.port
    served.server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_running_answer_ends_before_stop_returns(serve: Serve, readyz: Checks) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow() -> str | None:
        entered.set()
        release.wait(5)
        return None

    readyz.add("slow", slow)
    served = serve(application(healthz=Checks("healthz"), readyz=readyz))
    with closing(connect(served, send=b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")) as client:
        assert entered.wait(5)
        stopper = threading.Thread(target=served.server.stop)
        stopper.start()
        release.set()
        assert read_all(client).endswith(b"ok")
        stopper.join(5)
        assert not stopper.is_alive()


def test_stop_without_start_closes_the_port() -> None:
    server = HttpServer(address="127.0.0.1:0", app=application(healthz=Checks("healthz"), readyz=Checks("r")), name="h")
    server.bind()
    port = server.port
    assert server.stop() == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_occupied_port_names_the_option_before_any_thread_starts(health: Served) -> None:
    app = application(healthz=Checks("healthz"), readyz=Checks("readyz"))
    address = f"127.0.0.1:{health.server.port}"
    server = HttpServer(address=address, app=app, name="metrics", option="--metrics-bind-address")
    with pytest.raises(ConfigError, match=f"--metrics-bind-address: cannot listen on {address}: the port is in use"):
        server.bind()
    server.stop()

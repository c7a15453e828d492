from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import ConnectFailed, RequestTimeout, ServerSilent, TLSFailed, TransportError
from kcontroller.process.metrics import Metrics
from kcontroller.testing import eventually
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport import streams
from kcontroller.transport.config import ClientCertificate, Config, TLSConfig
from kcontroller.transport.credentials import ANONYMOUS, CertificateFiles, Joined, TokenFile
from kcontroller.transport.files import WatchedFile
from kcontroller.transport.gate import ConnectGate
from kcontroller.transport.refresh import Fresh, Refreshing
from kcontroller.transport.streams import StreamLoop
from tests.unit.transport.scripted import AUTHORITY, STRANGER, Call, ok

if TYPE_CHECKING:
    from collections.abc import Callable


def trickle(call: Call) -> None:
    call.begin()
    for byte in b'{"type":"ADDED"}\n' * 3:
        call.chunk(bytes([byte]))
    call.end()


def watch(call: Call) -> None:
    """Send one event, then nothing."""
    call.begin()
    call.chunk(b"{}\n")
    call.hold()


def by_target(**scripts: Callable[[Call], None]) -> Callable[[Call], None]:
    return lambda call: scripts[call.request.target.strip("/")](call)


def open_on(running: Any, receiver: Any, target: str = "/watch", timeout: float = 10.0) -> Any:
    return running.do(lambda: running.loop.open(target, receiver, timeout=timeout))


def test_a_stream_brings_its_answer_piece_by_piece_and_then_its_end(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(trickle)), recorder()
    open_on(running, receiver)

    assert receiver.wait_for_end() is None
    assert (receiver.status, receiver.headers["content-type"]) == (200, "application/json")
    assert receiver.body == b'{"type":"ADDED"}\n' * 3


def test_over_http_1_streams_that_start_together_do_not_wait_for_each_other(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    running, receivers = start_loop(serve(watch)), [recorder() for _ in range(4)]
    running.do(lambda: [running.loop.open("/watch", each, timeout=20) for each in receivers[:3]])
    for receiver in receivers[:3]:
        receiver.wait_for(lambda each: each.body == b"{}\n")
    open_on(running, receivers[3])  # This one knows it from the start.
    receivers[3].wait_for(lambda each: each.body == b"{}\n")

    assert [receiver.ends for receiver in receivers] == [[]] * 4


def test_over_http_1_a_stream_without_an_answer_does_not_hold_up_the_others(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    server = serve(by_target(silent=Call.hold, watch=watch))
    running, silent, receivers = start_loop(server), recorder(), [recorder() for _ in range(3)]
    targets = zip(["silent", *["watch"] * 3], [silent, *receivers], strict=True)
    running.do(lambda: [running.loop.open(f"/{target}", each, timeout=20) for target, each in targets])
    for receiver in receivers:
        receiver.wait_for(lambda each: each.body == b"{}\n")

    assert [seen.target for seen in server.seen].count("/silent") == 1  # It was left alone.
    assert server.connections == 4


def test_everything_is_told_on_the_loop_thread(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(trickle)), recorder()
    open_on(running, receiver)
    receiver.wait_for_end()

    assert receiver.threads == {running.do(threading.get_ident)}
    assert running.do(lambda: running.loop.on_loop_thread)
    assert not running.loop.on_loop_thread


def test_a_status_of_400_and_more_is_an_answer_like_any(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(lambda call: call.reply(410, b"{}"))), recorder()
    open_on(running, receiver)

    assert receiver.wait_for_end() is None
    assert (receiver.status, receiver.body) == (410, b"{}")


def test_plain_http_works_too(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(trickle, context=None)), recorder()
    open_on(running, receiver)

    assert receiver.wait_for_end() is None


def test_trailers_are_no_second_answer(serve: Any, start_loop: Any, recorder: Any) -> None:
    def script(call: Call) -> None:
        call.begin()
        call.send(b"1\r\nx\r\n0\r\nX-Trailer: 1\r\n\r\n")

    running, receiver = start_loop(serve(script)), recorder()
    open_on(running, receiver)

    assert receiver.wait_for_end() is None
    assert "x-trailer" not in receiver.headers


# How a stream ends.


@pytest.mark.parametrize("end", [Call.close, Call.reset])
def test_a_stream_that_is_cut_ends_with_an_error(serve: Any, start_loop: Any, recorder: Any, end: Any) -> None:
    def script(call: Call) -> None:
        call.begin()
        call.chunk(b'{"type":')
        end(call)

    running, receiver = start_loop(serve(script)), recorder()
    open_on(running, receiver)

    assert type(receiver.wait_for_end()) is TransportError
    assert receiver.ends == [receiver.ends[0]]


def test_a_stream_past_its_time_ends_with_a_timeout(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(watch)), recorder()
    open_on(running, receiver, timeout=0.1)

    assert isinstance(receiver.wait_for_end(), RequestTimeout)


def test_a_refused_connection_ends_the_stream(serve: Any, start_loop: Any, recorder: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    running, receiver = start_loop(serve(), config={}), recorder()
    running.loop._own.endpoint._base = f"https://127.0.0.1:{port}"
    open_on(running, receiver)

    assert isinstance(receiver.wait_for_end(), ConnectFailed)


def test_a_server_we_do_not_trust_ends_the_stream(serve: Any, start_loop: Any, recorder: Any) -> None:
    running = start_loop(serve(), config={"tls": TLSConfig(ca=STRANGER.cert_pem.bytes())})
    receiver = recorder()
    open_on(running, receiver)

    assert isinstance(receiver.wait_for_end(), TLSFailed)


def test_credentials_that_fail_end_the_stream(serve: Any, start_loop: Any, recorder: Any) -> None:
    class Broken:
        def authorization(self) -> str:
            raise ConnectFailed("the plugin found no token")

        def client_certificate(self) -> None:
            return None

        def invalidate(self) -> None:
            return None

    running, receiver = start_loop(serve(), config={"credentials": Broken()}), recorder()
    open_on(running, receiver)

    assert str(receiver.wait_for_end()) == "the plugin found no token"


def test_a_refused_token_is_invalidated_and_the_refusal_told(serve: Any, start_loop: Any, recorder: Any) -> None:
    class Token:
        invalidated = 0

        def authorization(self) -> str:
            return "Bearer x"

        def client_certificate(self) -> None:
            return None

        def invalidate(self) -> None:
            self.invalidated += 1

    token, receiver = Token(), recorder()
    running = start_loop(serve(lambda call: call.reply(401)), config={"credentials": token})
    open_on(running, receiver)
    receiver.wait_for_end()

    assert (receiver.status, token.invalidated) == (401, 1)


class Plugin:
    """Credentials that take until `gate` to be had."""

    def __init__(self) -> None:
        self.gate, self.runs = threading.Event(), 0
        self.error: ConnectFailed | None = None
        self._token = Refreshing(self._run, hold=5.0)

    def _run(self) -> Fresh[str]:
        self.runs += 1
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return Fresh(f"Bearer {self.runs}", 60.0)

    def authorization(self) -> str:
        return self._token.get()

    def client_certificate(self) -> None:
        return None

    def invalidate(self) -> None:
        self._token.invalidate()


def test_a_loop_goes_on_while_credentials_are_had(serve: Any, start_loop: Any, recorder: Any) -> None:
    server, plugin = serve(), Plugin()
    running = start_loop(server, config={"credentials": plugin})
    given_up, first, second = recorder(), recorder(), recorder()
    closed = open_on(running, given_up)
    open_on(running, first)
    open_on(running, second, "/second")
    eventually(lambda: plugin.runs == 1)
    running.do(closed.close)  # The loop's thread is there.
    plugin.gate.set()

    assert (first.wait_for_end(), second.wait_for_end()) == (None, None)
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer 1"] * 2
    assert (plugin.runs, given_up.ends) == (1, [])


def test_streams_that_wait_for_credentials_end_if_there_are_none(serve: Any, start_loop: Any, recorder: Any) -> None:
    plugin, receivers = Plugin(), [recorder() for _ in range(3)]
    plugin.error = ConnectFailed("the plugin found no token")
    running = start_loop(serve(), config={"credentials": plugin})
    for receiver in receivers:
        open_on(running, receiver)
    plugin.gate.set()

    assert {str(receiver.wait_for_end()) for receiver in receivers} == {"the plugin found no token"}
    assert plugin.runs == 1


def test_a_loop_that_is_refused_does_not_wait_for_other_credentials(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(lambda call: call.reply(401 if call.request.target == "/bad" else 200))
    plugin = Plugin()
    plugin._token = Refreshing(plugin._run, hold=0.001)
    plugin.gate.set()
    running, good, bad = start_loop(server, config={"credentials": plugin}), recorder(), recorder()
    open_on(running, bad, "/bad")
    bad.wait_for_end()
    plugin.gate.clear()
    eventually(lambda: running.do(plugin.authorization) and plugin.runs == 2)
    open_on(running, good)

    assert good.wait_for_end() is None
    assert server.seen[-1].headers["authorization"] == "Bearer 1"
    plugin.gate.set()
    eventually(lambda: running.do(plugin.authorization) == "Bearer 2")


def test_a_silent_connection_is_probed_as_soon_as_credentials_are_had(
    serve: Any, start_loop: Any, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server, plugin = serve(by_target(watch=watch, version=ok)), Plugin()
    plugin._token = Refreshing(lambda: Fresh("Bearer x", 0.2, 0.2), hold=0.2)
    running, receiver = start_loop(server, config={"credentials": plugin}, silence=0.5), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    server.wait_for(lambda: any(seen.target == "/version" for seen in server.seen))

    assert not caplog.records


class Disk:
    """Files, of which one may hang: nobody ends the opening of a pipe that has no writer."""

    def __init__(self, folder: Path, closing: contextlib.ExitStack) -> None:
        self._folder = folder
        self._closing = closing

    def file(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path

    def hang(self, path: Path) -> None:
        """Let it hang until `answer`, or the end of the test."""
        pipe = self._folder / "pipe"
        os.mkfifo(pipe)
        pipe.replace(path)
        self._closing.callback(self.answer, path, b"")

    @staticmethod
    def answer(path: Path, content: bytes) -> None:
        """Write it for whoever reads it now."""
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # Blocks nobody, whether there is a reader or not.
        os.write(descriptor, content)
        os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path, closing: contextlib.ExitStack) -> Disk:
    return Disk(tmp_path, closing)


def files_of(disk: Disk, clock: VirtualClock) -> tuple[dict[str, Any], dict[str, Path]]:
    """A configuration that has all from files."""
    issued = AUTHORITY.issue_cert("we@example.com")
    paths = {
        "token": disk.file("token", b"one"),
        "ca": disk.file("ca", AUTHORITY.cert_pem.bytes()),
        "certificate": disk.file("certificate", issued.cert_chain_pems[0].bytes()),
        "key": disk.file("key", issued.private_key_pem.bytes()),
    }
    token = TokenFile(paths["token"], what="token", clock=clock)
    pair = CertificateFiles(paths["certificate"], paths["key"], what="pair", clock=clock)
    ca = WatchedFile(paths["ca"], what="CA", clock=clock)
    return {"credentials": Joined((token, pair)), "tls": TLSConfig(ca_file=ca)}, paths


@pytest.mark.parametrize("hanging", ["token", "ca", "certificate", "key"])
@pytest.mark.parametrize("why", ["is old", "was refused"])
def test_a_loop_goes_on_with_what_it_had_while_a_file_hangs(
    serve: Any, start_loop: Any, recorder: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch, hanging: str, why: str
) -> None:
    monkeypatch.setattr(streams, "SOON_SECONDS", 0.01)
    clock = VirtualClock()
    config, paths = files_of(disk, clock)
    server = serve(lambda call: call.reply(401 if call.request.target == "/bad" else 200))
    running, first, bad, second = start_loop(server, config=config), recorder(), recorder(), recorder()
    open_on(running, first)
    assert first.wait_for_end() is None
    disk.hang(paths[hanging])
    if why == "was refused":
        open_on(running, bad, "/bad")
        bad.wait_for_end()
    else:
        clock.advance(60)
    open_on(running, second)
    eventually(lambda: clock.advance(0.1) or second.ends)

    assert second.wait_for_end() is None
    assert server.seen[-1].headers["authorization"] == "Bearer one"


def test_a_stream_waits_for_a_file_that_was_never_read_and_the_loop_does_not(
    serve: Any, start_loop: Any, recorder: Any, disk: Disk
) -> None:
    server, path = serve(), disk.file("token", b"")
    disk.hang(path)
    running, receiver = start_loop(server, config={"credentials": TokenFile(path, what="token")}), recorder()
    open_on(running, receiver)
    running.do(lambda: None)
    assert not receiver.ends
    disk.answer(path, b"one")

    assert receiver.wait_for_end() is None
    assert server.seen[-1].headers["authorization"] == "Bearer one"


def test_a_token_that_was_refused_is_read_again_before_the_next_stream(
    serve: Any, start_loop: Any, recorder: Any, disk: Disk
) -> None:
    path = disk.file("token", b"one")
    server = serve(lambda call: call.reply(401 if call.request.headers["authorization"] == "Bearer one" else 200))
    token = TokenFile(path, what="token")
    assert token.authorization() == "Bearer one"
    path.write_bytes(b"two")
    running, bad, good = start_loop(server, config={"credentials": token}), recorder(), recorder()
    open_on(running, bad)
    bad.wait_for_end()
    open_on(running, good)
    good.wait_for_end()

    assert (bad.status, good.status) == (401, 200)


class Rotated:
    """Another token at each call, as some plugins give, and a certificate that is replaced by hand."""

    def __init__(self) -> None:
        self.tokens = itertools.count(1)
        self.certificate: ClientCertificate | None = None

    def authorization(self) -> str:
        return f"Bearer {next(self.tokens)}"

    def client_certificate(self) -> ClientCertificate | None:
        return self.certificate

    def invalidate(self) -> None: ...

    def rotate(self) -> None:
        issued = AUTHORITY.issue_cert("we@example.com")
        self.certificate = ClientCertificate(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())


def test_a_stream_goes_on_when_the_next_one_begins_with_another_token(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    script = Silence()
    server = serve(script)
    running = start_loop(server, config={"credentials": Rotated()}, silence=0.05)
    receivers = [recorder() for _ in range(3)]
    for receiver in receivers:
        open_on(running, receiver)
        receiver.wait_for(lambda it: it.status == 200)
    server.wait_for(lambda: script.probes >= 3)

    assert [receiver.ends for receiver in receivers] == [[]] * 3
    tokens = [seen.headers["authorization"] for seen in server.seen if seen.target == "/watch"]
    assert tokens == ["Bearer 1", "Bearer 2", "Bearer 3"]


def test_a_stream_is_ended_after_a_silence_when_the_certificate_is_another(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    credentials, old, new = Rotated(), recorder(), recorder()
    running = start_loop(serve(Silence()), config={"credentials": credentials}, silence=0.05)
    open_on(running, old)
    old.wait_for(lambda it: it.status == 200)
    credentials.rotate()

    assert "certificates were renewed" in str(old.wait_for_end())
    open_on(running, new)
    new.wait_for(lambda it: it.status == 200)
    running.do(lambda: None)
    assert new.ends == []


def test_a_stream_that_talks_or_has_no_answer_yet_outlives_its_certificate(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    clock, go_on = VirtualClock(), threading.Event()

    def talk(call: Call) -> None:
        call.begin()
        call.chunk(b"1")
        go_on.wait(10)
        call.chunk(b"2")
        call.hold()

    server = serve(by_target(talking=talk, waiting=Call.hold, watch=watch, version=ok))
    credentials, talking, waiting, new = Rotated(), recorder(), recorder(), recorder()
    running = start_loop(server, config={"credentials": credentials}, silence=30.0, clock=clock)
    open_on(running, talking, "/talking")
    talking.wait_for(lambda it: it.body == b"1")
    open_on(running, waiting, "/waiting")
    server.wait_for(lambda: len(server.seen) == 2)
    credentials.rotate()
    running.do(lambda: clock.advance(20))
    go_on.set()
    talking.wait_for(lambda it: it.body == b"12")
    open_on(running, new)
    new.wait_for(lambda it: it.status == 200)
    running.do(lambda: clock.advance(29))
    running.do(lambda: None)
    assert (talking.ends, waiting.ends) == ([], [])
    running.do(lambda: clock.advance(2))

    assert "certificates were renewed" in str(talking.wait_for_end())
    assert (waiting.ends, new.ends) == ([], [])


# What receivers may do.


def test_a_stream_may_be_opened_inside_on_end(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, second = start_loop(serve(trickle)), recorder()

    class First(recorder):
        def on_end(self, error: Any) -> None:
            running.loop.open("/again", second, timeout=10)

    open_on(running, First())

    assert second.wait_for_end() is None


def test_a_stream_may_be_opened_and_another_closed_inside_on_data(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(by_target(silent=watch, talking=trickle, third=trickle))
    running, silent, third = start_loop(server), recorder(), recorder()
    silent_stream = open_on(running, silent, "/silent")
    silent.wait_for(lambda it: it.chunks)

    class Talking(recorder):
        def on_data(self, chunk: bytes) -> None:
            if not self.chunks:
                silent_stream.close()
                running.loop.open("/third", third, timeout=10)
            super().on_data(chunk)

    talking = Talking()
    open_on(running, talking, "/talking")

    assert (talking.wait_for_end(), third.wait_for_end(), silent.ends) == (None, None, [])


def test_a_closed_stream_is_told_nothing_more_and_leaves_the_server(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(watch)
    running, receiver = start_loop(server), recorder()
    stream = open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    running.do(stream.close)
    running.do(stream.close)
    running.stop()

    assert receiver.ends == []


@pytest.mark.parametrize("callback", ["on_response", "on_data"])
def test_a_stream_closed_inside_its_own_callback_ends_there(
    serve: Any, start_loop: Any, recorder: Any, callback: str
) -> None:
    running, calls = start_loop(serve(trickle)), []

    class Closing(recorder):
        stream: Any = None

        def _note(self) -> None:
            calls.append(self.status)
            if callback == "on_response" or self.chunks:
                self.stream.close()
            super()._note()

    receiver = Closing()
    running.do(lambda: setattr(receiver, "stream", running.loop.open("/watch", receiver, timeout=10)))
    after = recorder()
    receiver.wait_for(lambda it: it.stream.closed)
    open_on(running, after)
    after.wait_for_end()

    assert (len(calls), receiver.ends) == (1 if callback == "on_response" else 2, [])


def test_a_stream_closed_before_it_began_is_never_sent(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(trickle)
    running, after = start_loop(server), recorder()
    running.do(lambda: running.loop.open("/never", recorder(), timeout=10).close())
    open_on(running, after)
    after.wait_for_end()

    assert [seen.target for seen in server.seen] == ["/watch"]


@pytest.mark.parametrize("callback", ["on_response", "on_data"])
def test_a_receiver_that_raises_ends_its_own_stream_only(
    serve: Any, start_loop: Any, recorder: Any, callback: str
) -> None:
    server = serve(by_target(silent=watch, watch=trickle))
    running, sibling, receiver = start_loop(server), recorder(), recorder()
    open_on(running, sibling, "/silent")
    sibling.wait_for(lambda it: it.chunks)

    def fail(*_: object) -> None:
        raise KeyError("secret of the object")

    setattr(receiver, callback, fail)
    open_on(running, receiver)
    error = receiver.wait_for_end()

    assert str(error) == "the stream of /watch ended because its receiver raised KeyError"
    assert isinstance(error.__cause__, KeyError)
    assert sibling.ends == []
    assert running.failure is None


def test_a_transport_error_of_a_receiver_is_its_end_as_it_is(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver, error = start_loop(serve(trickle)), recorder(), TransportError("line too long")

    def fail(_: bytes) -> None:
        raise error

    receiver.on_data = fail
    open_on(running, receiver)

    assert receiver.wait_for_end() is error


def test_a_receiver_that_raises_at_its_end_is_logged_and_the_loop_lives(
    serve: Any, start_loop: Any, recorder: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    running, after = start_loop(serve(trickle)), recorder()

    class Failing(recorder):
        def on_end(self, error: Any) -> None:
            raise ValueError("at the end")

    open_on(running, Failing())
    open_on(running, after)

    assert after.wait_for_end() is None
    eventually(lambda: "the receiver of a stream raised at its end" in caplog.text)


# Silence.


class Silence:
    """Watches speak once, then fall silent; the probe is answered as long as `alive`."""

    def __init__(self) -> None:
        self.alive = True
        self.probes = 0

    def __call__(self, call: Call) -> None:
        if call.request.target != "/version":
            watch(call)
            return
        self.probes += 1
        if self.alive:
            call.reply()
        else:
            call.hold()


def test_a_silent_connection_whose_probe_fails_ends_all_its_streams(
    serve: Any, start_loop: Any, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    script = Silence()
    script.alive = False
    running = start_loop(serve(script), silence=0.2, probe_timeout=0.1)
    receivers = [recorder(), recorder()]
    started = time.monotonic()
    for receiver in receivers:
        open_on(running, receiver)

    for receiver in receivers:
        assert type(receiver.wait_for_end()) is ServerSilent
        assert "is dead" in str(receiver.ends[0])
    assert time.monotonic() - started < 2.0
    assert "the connection is dead" in caplog.text


def test_a_silent_connection_whose_probe_is_answered_stays(serve: Any, start_loop: Any, recorder: Any) -> None:
    script = Silence()
    server = serve(script)
    running, receiver = start_loop(server, silence=0.05, probe_timeout=10.0), recorder()
    open_on(running, receiver)
    server.wait_for(lambda: script.probes >= 3)

    assert receiver.ends == []


def test_a_server_that_refuses_new_connections_keeps_its_streams_for_three_silences(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    server = serve(watch)
    running, receiver = start_loop(server, silence=0.1, probe_timeout=1.0), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    started = time.monotonic()
    server.refuse()

    assert "is dead" in str(receiver.wait_for_end())
    assert time.monotonic() - started > 0.25


def test_without_streams_nothing_is_probed(serve: Any, start_loop: Any, recorder: Any) -> None:
    clock, server = VirtualClock(), serve(trickle)
    running, receiver = start_loop(server, clock=clock), recorder()
    open_on(running, receiver)
    receiver.wait_for_end()
    clock.advance(100)
    running.do(lambda: None)
    running.do(lambda: None)
    running.stop()

    assert [seen.target for seen in server.seen] == ["/watch"]


def test_half_a_minute_of_silence_is_probed(serve: Any, start_loop: Any, recorder: Any) -> None:
    clock, script = VirtualClock(), Silence()
    server = serve(script)
    running, receiver = start_loop(server, clock=clock), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    clock.advance(29.9)
    running.do(lambda: None)
    running.do(lambda: None)
    assert running.loop._silence.probe is None
    clock.advance(0.1)
    running.do(lambda: None)

    server.wait_for(lambda: script.probes == 1)


def test_a_stream_can_be_opened_again_after_its_connection_was_found_dead(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    script = Silence()
    script.alive = False
    running, first, second = start_loop(serve(script), silence=0.05, probe_timeout=0.05), recorder(), recorder()
    open_on(running, first)
    first.wait_for_end()
    script.alive = True
    open_on(running, second)

    second.wait_for(lambda it: it.chunks)


# Calls and timers.


def test_calls_of_many_threads_run_in_the_order_each_made_them(serve: Any, start_loop: Any) -> None:
    running, seen = start_loop(serve()), []

    def work(worker: int) -> None:
        for number in range(200):
            running.loop.call(lambda number=number: seen.append((worker, number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    running.do(lambda: None)

    assert len(seen) == 1600
    for worker in range(8):
        assert [number for who, number in seen if who == worker] == list(range(200))


def test_calls_made_before_run_are_not_lost(serve: Any, configure: Any) -> None:
    loop = StreamLoop(configure(serve()), name="test")
    loop.call(loop.stop)

    loop.run()


def test_timers_run_in_the_order_of_their_times_and_a_stopped_one_never(serve: Any, start_loop: Any) -> None:
    running, seen, done = start_loop(serve()), [], threading.Event()

    def schedule() -> None:
        running.loop.call_later(0.03, done.set)
        running.loop.call_later(0.02, lambda: seen.append("second"))
        running.loop.call_later(0.01, lambda: seen.append("first"))
        running.loop.call_later(0.0, lambda: seen.append("never")).stop()

    running.do(schedule)
    assert done.wait(10)

    assert seen == ["first", "second"]


def test_a_call_that_raises_ends_the_loop_and_closes_everything(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(watch)
    running, receiver = start_loop(server), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    running.loop.call(lambda: {}["missing"])
    running.join()

    assert isinstance(running.failure, KeyError)
    assert receiver.ends == []


def test_a_stream_is_not_opened_from_another_thread(serve: Any, start_loop: Any, recorder: Any) -> None:
    running = start_loop(serve())
    running.do(lambda: None)

    with pytest.raises(RuntimeError, match=r"use StreamLoop\.call"):
        running.loop.open("/watch", recorder(), timeout=1)


def test_a_target_that_is_not_percent_encoded_is_refused_at_once(serve: Any, start_loop: Any, recorder: Any) -> None:
    running = start_loop(serve())

    def attempt() -> str:
        with pytest.raises(ValueError, match="percent-encoded") as caught:
            running.loop.open("/a b", recorder(), timeout=1)
        return str(caught.value)

    assert "/a b" in running.do(attempt)


# Stop.


def test_stop_ends_the_loop_at_once_without_a_further_word(serve: Any, start_loop: Any, recorder: Any) -> None:
    running, receiver = start_loop(serve(watch)), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.chunks)
    started = time.monotonic()
    running.stop()

    assert time.monotonic() - started < 0.5
    assert receiver.ends == []


def test_stop_ends_a_connect_to_a_black_hole_at_once(recorder: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        loop = StreamLoop(Config(f"https://127.0.0.1:{black_hole.getsockname()[1]}", ANONYMOUS), name="test")
        thread = threading.Thread(target=loop.run)
        thread.start()
        loop.call(lambda: loop.open("/watch", recorder(), timeout=60))
        black_hole.settimeout(10)
        with black_hole.accept()[0] as accepted:
            accepted.recv(1)
            started = time.monotonic()
            loop.stop()
            thread.join(10)
    assert time.monotonic() - started < 0.5


def test_stop_before_run_and_twice_is_fine(serve: Any, configure: Any) -> None:
    loop = StreamLoop(configure(serve()), name="test")
    loop.stop()
    loop.stop()

    loop.run()


def test_calls_after_stop_are_dropped(serve: Any, start_loop: Any) -> None:
    running = start_loop(serve())
    running.stop()
    running.loop.call(lambda: pytest.fail("ran"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors through /proc")
def test_nothing_is_open_after_stop(serve: Any, start_loop: Any, recorder: Any) -> None:
    server = serve(watch)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    running, receivers = start_loop(server), [recorder() for _ in range(3)]
    for receiver in receivers:
        open_on(running, receiver)
        receiver.wait_for(lambda it: it.chunks)
    running.stop()
    with contextlib.suppress(AssertionError):
        server._stopped.set()
    server.wait_for(lambda: not server._open)

    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


# Gate and metrics.


def test_a_loop_waits_for_the_gate_before_it_connects(serve: Any, start_loop: Any, recorder: Any) -> None:
    gate, server = ConnectGate(limit=1), serve(trickle)
    other = gate.enter(lambda: None)
    running, receiver = start_loop(server, gate=gate), recorder()
    open_on(running, receiver)
    running.do(lambda: None)
    assert server.connections == 0

    other.leave()

    assert receiver.wait_for_end() is None


@pytest.mark.parametrize("script", [trickle, Call.close, watch])
def test_a_loop_leaves_the_gate_once_its_connection_stands_or_failed(
    serve: Any, start_loop: Any, recorder: Any, script: Any
) -> None:
    gate = ConnectGate(limit=1)
    running, receiver = start_loop(serve(script), gate=gate), recorder()
    open_on(running, receiver)
    receiver.wait_for(lambda it: it.ends or it.status)
    running.do(lambda: None)

    assert gate._inside == 0


def test_a_stopped_loop_leaves_the_gate(serve: Any, start_loop: Any, recorder: Any) -> None:
    gate, server = ConnectGate(limit=1), serve(Call.hold)
    running = start_loop(server, gate=gate)
    open_on(running, recorder())
    server.wait_for(lambda: bool(server.seen))
    assert gate._inside == 1
    running.stop()

    assert gate._inside == 0


def test_streams_are_counted_by_status_and_failures_as_errors(serve: Any, start_loop: Any, recorder: Any) -> None:
    metrics, server = Metrics(), serve(by_target(a=trickle, b=Call.close))
    running = start_loop(server, metrics=metrics)
    for target in ("/a", "/b"):
        receiver = recorder()
        open_on(running, receiver, target)
        receiver.wait_for_end()

    text = metrics.render().decode()
    host = f'host="127.0.0.1:{server.port}"'
    assert f'rest_client_requests_total{{code="200",{host},method="GET"}} 1.0' in text
    assert f'rest_client_requests_total{{code="<error>",{host},method="GET"}} 1.0' in text


# ---- who observes ----------------------------------------------------------------------------------------------------


class Observer:
    def __init__(self) -> None:
        self.heard: list[tuple[object, bool, bool]] = []

    def answered(self, status: int, *, waits: bool, stands: bool) -> None:
        self.heard.append((status, waits, stands))

    def unanswered(self, error: Exception, *, stands: bool) -> None:
        self.heard.append((type(error).__name__, False, stands))


def test_an_observer_hears_how_streams_begin_and_whether_another_one_stands(
    serve: Any, start_loop: Any, recorder: Any
) -> None:
    scripts: dict[str, Callable[[Call], None]] = {
        "busy": lambda call: call.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        "broken": lambda call: call.reply(500, b"{}"),
        "cut": lambda call: call.close(),
        "watch": watch,
    }
    running, observer = start_loop(serve(by_target(**scripts))), Observer()
    running.loop.observe(observer)
    for target in ("busy", "cut", "watch", "broken", "cut"):
        receiver = recorder()
        open_on(running, receiver, f"/{target}")
        receiver.wait_for(lambda each: each.ends or each.body)

    assert observer.heard == [
        (503, True, False),
        ("TransportError", False, False),
        (200, False, False),
        (500, False, True),
        ("TransportError", False, True),
    ]

"""Answers as servers of all sorts write them, and what becomes of the connection after each."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from kcontroller.errors import OutcomeUnknown, RequestTimeout, Stopped, TransportError
from kcontroller.process.stop import StopToken
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.transport.scripted import Call

GET = HttpRequest("GET", "/api")
POST = HttpRequest("POST", "/api", b'{"kind":"Widget"}', content_type="application/json")
BODY = 20_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", 1),
        (b"HTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\n\r\n{}", b"{}", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", 1),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"", 1),
        (CHUNKED + b"1\r\n{\r\n1;ext=1\r\n}\r\n0\r\n\r\n", b"{}", 1),
        (CHUNKED + b"2\r\n{}\r\n0\r\nTrailer: 1\r\n\r\n", b"{}", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", 1),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", 2),
        (CHUNKED + b"2\r\n{}\r\n0\r\nContent-Encoding: gzip\r\n\r\n", b"{}", 1),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", b"{}", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\x00nonsense", b"{}", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx", b"{}", 2),
    ],
)
def test_an_answer_ends_where_it_says_and_the_next_request_gets_its_own(
    serve: Any, connect: Any, answer: bytes, body: bytes, connections: int
) -> None:
    server = serve(lambda call: call.send(answer))
    requester = connect(server)
    first, second = requester.send(POST), requester.send(POST)

    assert [first.body, second.body] == [body, body]
    assert first.status == second.status
    assert server.connections == connections


def test_an_answer_without_a_length_ends_with_its_connection(serve: Any, connect: Any) -> None:
    def until_the_end(call: Call) -> None:
        call.send(b"HTTP/1.1 200 OK\r\n\r\n{}")
        call.close()

    server = serve(until_the_end)
    requester = connect(server)

    assert [requester.send(POST).body for _ in range(2)] == [b"{}", b"{}"]
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 60_000,
    ],
)
def test_what_is_no_answer_leaves_the_outcome_of_a_write_open(serve: Any, connect: Any, answer: bytes) -> None:
    def say(call: Call) -> None:
        call.send(answer)
        call.close()

    requester = connect(serve(say))

    with pytest.raises(OutcomeUnknown):
        requester.send(POST)


@pytest.mark.parametrize("packed", [b"plain", gzip.compress(b"{}")[:-4]])
def test_a_body_that_is_not_packed_as_it_says_is_no_answer(serve: Any, connect: Any, packed: bytes) -> None:
    server = serve(lambda call: call.reply(body=packed, headers={"Content-Encoding": "gzip"}))

    with pytest.raises(TransportError, match="before GET was answered in full"):
        connect(server, repeats=False).send(replace(GET, compressed=True))


def test_a_body_packed_in_several_pieces_is_whole(serve: Any, connect: Any) -> None:
    packed = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    server = serve(lambda call: call.reply(body=packed, headers={"Content-Encoding": "GZIP"}))

    assert connect(server).send(replace(GET, compressed=True)).body == b'{"a":1}'


def test_a_body_after_the_answer_to_a_head_is_nobodys(serve: Any, connect: Any) -> None:
    server = serve(lambda call: call.reply(body=call.request.method.encode()))
    requester = connect(server)
    requester.send(HttpRequest("HEAD", "/api"))

    assert requester.send(POST).body == b"POST"


def dripping(call: Call) -> None:
    """Never end, and never pause for long."""
    call.begin()
    while not call.stopped.wait(0.002) and call.open:
        try:
            call.sock.sendall(b"1\r\n \r\n")
        except OSError:
            call.close()


def test_an_answer_that_keeps_coming_ends_with_its_time(serve: Any, connect: Any) -> None:
    with pytest.raises(RequestTimeout):
        connect(serve(dripping)).send(POST, timeout=0.1)


def test_an_answer_that_keeps_coming_ends_with_a_stop(serve: Any, connect: Any) -> None:
    server, stop = serve(dripping), StopToken()
    requester = connect(server)
    timer = threading.Timer(0.05, lambda: stop.stop("lease lost"))
    timer.start()

    with pytest.raises(Stopped, match="lease lost"):
        requester.send(POST, stop=stop, timeout=5)
    timer.join(10)


def test_an_interim_answer_does_not_end_the_sending() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with requester_of_one_that_reads_no_more(b"HTTP/1.1 100 Continue\r\n\r\n", then=answer) as requester:
        assert requester.send(replace(POST, body=b"x" * BODY), timeout=10).body == b"{}"


def test_an_answer_in_single_bytes_is_an_answer(serve: Any, connect: Any) -> None:
    def slowly(call: Call) -> None:
        call.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CHUNKED + b"2\r\n{}\r\n0\r\n\r\n":
            call.send(bytes([byte]))

    assert connect(serve(slowly)).send(GET).body == b"{}"


def test_a_large_answer_is_whole(serve: Any, connect: Any) -> None:
    body = bytes(range(256)) * 20_000

    assert connect(serve(lambda call: call.reply(body=body))).send(GET).body == body


def test_a_large_request_to_a_server_that_reads_slowly_is_whole(serve: Any, connect: Any) -> None:
    body = bytes(range(256)) * 40_000
    server = serve()
    for _ in range(2):
        connect(server).send(replace(POST, body=body))

    assert [seen.body == body for seen in server.seen] == [True, True]


@contextlib.contextmanager
def requester_of_one_that_reads_no_more(says: bytes, *, then: bytes = b"") -> Iterator[Requester]:
    """Connect to a server that reads a little of a request, says something, and keeps the connection.

    With `then` it reads the rest after all, and says that.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as kept:

        def serve() -> None:
            connection = kept.enter_context(listener.accept()[0])
            connection.recv(100)
            connection.sendall(says)
            left = BODY if then else 0
            while left > 0:
                left -= len(connection.recv(1 << 16))
            connection.sendall(then)

        thread = threading.Thread(target=serve, name="reads-no-more")
        thread.start()
        requester = Requester(Config(f"http://127.0.0.1:{listener.getsockname()[1]}", ANONYMOUS))
        yield requester
        requester.close()
        thread.join(10)


def test_a_server_that_refuses_a_body_before_it_has_read_it_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large"
    with requester_of_one_that_reads_no_more(refusal) as requester:
        response = requester.send(replace(POST, body=b"x" * BODY), timeout=10)

    assert (response.status, response.body) == (413, b"too large")


def test_a_request_that_nobody_reads_ends_in_its_time() -> None:
    with requester_of_one_that_reads_no_more(b"") as requester, pytest.raises(RequestTimeout) as caught:
        requester.send(replace(POST, body=b"x" * BODY), timeout=0.2)
    assert caught.value.sent

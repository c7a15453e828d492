from __future__ import annotations

from typing import Any

from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS
from kcontroller.transport.curl import Endpoint
from kcontroller.transport.transfer import Stream


class Quiet:
    """A tenant that does nothing."""

    endpoint = Endpoint(Config("https://127.0.0.1", ANONYMOUS), user_agent="test")
    stopped = False

    def hear(self) -> float:
        return 0.0

    def answered(self, status: int, *, shared: bool, waits: bool) -> None: ...

    def unanswered(self, error: Any) -> None: ...

    def remove_soon(self, stream: Any) -> None: ...


def stream_for(receiver: Any) -> Stream:
    return Stream(Quiet(), "/watch", receiver, timeout=1, accept="a/b")


def feed(stream: Stream, *lines: bytes) -> list[int | None]:
    return [stream._on_header(line) for line in lines]


def test_bytes_that_arrive_between_close_and_removal_are_refused(recorder: Any) -> None:
    receiver = recorder()
    stream = stream_for(receiver)
    stream.close()

    assert (stream._on_body(b"late"), feed(stream, b"HTTP/2 200\r\n", b"\r\n")) == (-1, [-1, -1])
    stream.ended(None)
    assert (receiver.status, receiver.chunks, receiver.ends) == (None, [], [])


def test_only_the_last_head_counts_and_trailers_do_not(recorder: Any) -> None:
    receiver = recorder()
    stream = stream_for(receiver)
    feed(stream, b"HTTP/1.1 103 Early\r\n", b"X-Early: 1\r\n", b"\r\n")
    assert receiver.status is None
    feed(stream, b"HTTP/2 200 \r\n", b"A: 1\r\n", b"\r\n")
    feed(stream, b"X-Trailer: 1\r\n", b"\r\n")

    assert (receiver.status, receiver.headers) == (200, {"a": "1"})


def test_a_head_that_is_none_ends_the_stream(recorder: Any) -> None:
    stream = stream_for(recorder())

    assert feed(stream, b"HTTP/1.1 nonsense\r\n", b"\r\n") == [None, -1]


def test_the_end_is_told_once(recorder: Any) -> None:
    receiver = recorder()
    stream = stream_for(receiver)
    stream.ended(None)
    stream.ended(None)

    assert receiver.ends == [None]

"""One request and its answer over HTTP/1.1, on a connection that stands.

What is a message and where it ends is judged by llhttp (`httptools`), the parser of Node.js.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Final

import httptools

from kcontroller.process.waits import about_to_wait
from kcontroller.transport.connection import ConnectionBroken
from kcontroller.transport.curl import Headers
from kcontroller.transport.faults import BAD_ENCODING, CUT_SHORT, NOT_HTTP, TIMED_OUT, Failure
from kcontroller.transport.messages import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.stop import StopToken
    from kcontroller.transport.connection import Connection

_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})  # A missing body is an empty one, with Content-Length: 0.
_LARGEST_HEAD: Final = 1 << 18
_INTERIM: Final = range(100, 200)

_UNHUNG_SECONDS: Final = 0.05
"""How long an exchange waits before it hangs its wake-up on the stop tokens: most answers come before, also of a server
that is busy, and hanging costs more than the rest of the waiting. A stop ends a request within 100 ms."""


def request_bytes(method: str, target: str, lines: list[str], body: bytes | None, *, compressed: bool) -> bytes:
    """Write a request as it goes on the wire.

    Args:
        method: one of `METHODS`.
        target: path and query, percent-encoded and checked.
        lines: header lines, checked.
        body: its body; None for nothing.
        compressed: ask for gzip.
    """
    more = "\r\nAccept-Encoding: gzip" if compressed else ""
    if body is not None or method in _WITH_LENGTH:
        more += f"\r\nContent-Length: {len(body or b'')}"
    head = "\r\n".join((f"{method} {target} HTTP/1.1", *lines)) + more + "\r\n\r\n"
    return head.encode("ascii") + (body or b"")


class Exchange:
    """Sends one request and takes its answer, once.

    Args:
        connection: one that stands; it does no longer if the exchange does not end as both sides expect.
        until: the moment of `time.monotonic` at which the answer must be there.
        stops: whose stop ends the waiting.

    Attributes:
        answered: whether a byte of the answer has come.
    """

    def __init__(self, connection: Connection, *, until: float, stops: tuple[StopToken, ...]) -> None:
        """Send nothing yet."""
        self.answered = False
        self._connection = connection
        self._until = until
        self._hangs_at = time.monotonic() + _UNHUNG_SECONDS
        self._stops = stops
        self._withdraw: list[Callable[[], None]] | None = None

    def run(self, data: bytes, *, to_head: bool, compressed: bool) -> HttpResponse:
        """Send the request, and wait for the whole answer.

        Args:
            data: all of the request.
            to_head: it is a HEAD, whose answer has no body.
            compressed: whether the answer may be packed with gzip.

        Raises:
            ConnectionBroken: there is no whole answer; the request may have arrived.
            Stopped: one of the tokens was stopped.
        """
        connection = self._connection
        connection.stands = False
        answer = _Answer(to_head=to_head)
        try:
            in_full = self._send(memoryview(data), answer)
            self._receive(answer)
        finally:
            for withdraw in self._withdraw or ():
                withdraw()
            answer.let_go()
        connection.stands = in_full and answer.leaves_connection
        return answer.response(unpack=compressed)

    def _send(self, left: memoryview, answer: _Answer) -> bool:
        """Send all, unless the answer comes first; returns whether all was sent."""
        while left:
            try:
                left = left[self._connection.send(left) :]
            except BlockingIOError:
                if not self._took(answer):
                    self._wait(for_room=True)
                elif answer.begun:
                    return False
            except ConnectionBroken as lost:
                return self._told_why(answer, lost)
            if left:
                self._check()
        return True

    def _told_why(self, answer: _Answer, lost: ConnectionBroken) -> bool:
        # A server that refuses a body ends the connection after it has said why.
        try:
            self._take_all(answer)
        except ConnectionBroken:
            raise lost from None
        return False

    def _receive(self, answer: _Answer) -> None:
        if not self.answered:
            about_to_wait()
            self._wait()
        self._take_all(answer)

    def _take_all(self, answer: _Answer) -> None:
        while not answer.complete:
            self._check()
            if not self._took(answer):
                self._wait()

    def _took(self, answer: _Answer) -> bool:
        """Take what has come; returns whether anything had."""
        try:
            data = self._connection.receive()
        except BlockingIOError:
            return False
        if data:
            self.answered = True
            answer.feed(data)
        else:
            answer.end()
        return True

    def _check(self) -> None:
        """Raise if time is over or somebody has stopped: an answer that keeps coming is never waited for."""
        if time.monotonic() >= self._until:
            raise ConnectionBroken(Failure(TIMED_OUT, ""))
        for stop in self._stops:
            if stop.stopped:
                stop.raise_if_stopped()

    def _wait(self, *, for_room: bool = False) -> None:
        now = time.monotonic()
        if self._withdraw is None and now < self._hangs_at:
            self._connection.wait(max(0.0, min(self._until, self._hangs_at) - now), for_room=for_room)
            return
        if self._withdraw is None:
            self._withdraw = [stop.on_stop(self._connection.wake) for stop in self._stops]
        self._connection.wait(max(0.0, self._until - now), for_room=for_room)


class _Answer:
    """Takes an answer apart; the parser calls its ``on_`` methods."""

    __slots__ = ("_body", "_head", "_kept", "_lines", "_parser", "_size", "_status", "_to_head", "complete", "excess")

    def __init__(self, *, to_head: bool) -> None:
        self.complete = False
        self.excess = False
        self._to_head = to_head
        self._head = self._kept = False
        self._size = self._status = 0
        self._lines: list[bytes] = []
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)  # RFC 9112, 2.2

    @property
    def begun(self) -> bool:
        """Whether more than interim answers have come."""
        return self._head

    @property
    def leaves_connection(self) -> bool:
        """Whether the server keeps the connection and has sent nothing beyond."""
        return self._kept and not self.excess

    def let_go(self) -> None:
        """Take nothing more: the parser holds us, and a cycle for each request would be the garbage collector's."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Take a piece; raises ConnectionBroken for what is not HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
                raise error.__context__ from None  # It came while the parser called us, and is not the server's.
            self.excess = True
            if not self.complete:
                raise ConnectionBroken(Failure(NOT_HTTP, type(error).__name__)) from error
        if not self._head:
            self._size += len(data)
            if self._size > _LARGEST_HEAD:
                raise ConnectionBroken(Failure(NOT_HTTP, "a head without end"))

    def end(self) -> None:
        """Take the end of the connection, which ends an answer that does not say how long it is."""
        headers = Headers(self._lines)
        if not self._head or "content-length" in headers or "transfer-encoding" in headers:
            raise ConnectionBroken(Failure(CUT_SHORT, ""))
        self.complete = self.excess = True

    def response(self, *, unpack: bool) -> HttpResponse:
        """Give it as a value; raises ConnectionBroken if its body is not packed as it says."""
        body, headers = b"".join(self._body), Headers(self._lines)
        if unpack and body and headers.get("content-encoding", "").lower() == "gzip":
            body = _unpacked(body)
        return HttpResponse(self._status, headers, body)

    def on_message_begin(self) -> None:
        """Expect nothing after the answer."""
        self.excess = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the head, a trailer, is not one that anybody should act on."""
        if not self._head:
            self._lines.append(b"%b: %b\n" % (name, value))

    def on_headers_complete(self) -> None:
        """Note that it will be an answer, which is all that there is of one to HEAD."""
        if not self.complete:
            self._status = self._parser.get_status_code()
            self._head = self._status not in _INTERIM
            self._kept = self._parser.should_keep_alive()
            self.complete = self._head and self._to_head

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body."""
        if self.complete:
            self.excess = True
        else:
            self._body.append(piece)

    def on_message_complete(self) -> None:
        """End, or pass over an interim answer."""
        if self._head:
            self.complete = True
        else:
            self._lines = []


def _unpacked(body: bytes) -> bytes:
    plain = b""
    while body:  # It may have several members, one after the other (RFC 1952, 2.2).
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            plain += unpacker.decompress(body)
        except zlib.error as error:
            raise ConnectionBroken(Failure(BAD_ENCODING, "")) from error
        if not unpacker.eof:
            raise ConnectionBroken(Failure(BAD_ENCODING, ""))
        body = unpacker.unused_data
    return plain

"""A cluster's loop without a thread or a socket: the test is the server, and moves the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller.errors import TransportError
from kcontroller.testing.clock import VirtualClock
from tests.unit.cache.objects import dump, status

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeStream:
    """One GET; behaves to its receiver as `transport.streams.Stream` does."""

    def __init__(self, target: str, receiver: Any, timeout: float, accept: str = "") -> None:
        self.target = target
        self.accept = accept
        self.timeout = timeout
        self.closed = False
        self.swallowed: BaseException | None = None
        self._receiver = receiver

    def close(self) -> None:
        self.closed = True

    @property
    def watch(self) -> bool:
        return "watch=true" in self.target

    # What the server does.

    def respond(self, code: int = 200, headers: dict[str, str] | None = None) -> FakeStream:
        if not self.closed:
            self._receiver.on_response(code, headers or {})
        return self

    def send(self, *pieces: bytes) -> FakeStream:
        for piece in pieces:
            if self.closed:
                return self
            try:
                self._receiver.on_data(piece)
            except TransportError as error:
                self.end(error)
            except Exception as fault:  # noqa: BLE001 - as the transport does
                error = TransportError(f"its receiver raised {type(fault).__name__}")
                error.__cause__ = fault
                self.end(error)
        return self

    def end(self, error: TransportError | None = None) -> None:
        if self.closed:
            return
        self.closed = True
        try:
            self._receiver.on_end(error)
        except BaseException as fault:  # noqa: BLE001 - as the transport does: logged, and nobody is told
            self.swallowed = fault

    def refuse(self, code: int, headers: dict[str, str] | None = None, body: bytes | None = None) -> None:
        self.respond(code, headers).send(dump(status(code)) if body is None else body).end()

    def answer(self, body: bytes) -> None:
        self.respond().send(body).end()


class FakeTimer:
    def __init__(self, due: float, function: Callable[[], None]) -> None:
        self.due = due
        self.function: Callable[[], None] | None = function

    def stop(self) -> None:
        self.function = None


class FakeFeed:
    """`cache.feed.Feed`; `streams` holds everything that was ever opened."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.streams: list[FakeStream] = []
        self.calls: list[Callable[[], None]] = []
        self.timers: list[FakeTimer] = []

    def open(self, target: str, receiver: Any, *, timeout: float, accept: str = "application/json") -> FakeStream:
        stream = FakeStream(target, receiver, timeout, accept)
        self.streams.append(stream)
        return stream

    def call(self, function: Callable[[], None]) -> None:
        self.calls.append(function)

    def call_later(self, seconds: float, function: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self.clock.monotonic() + seconds, function)
        self.timers.append(timer)
        return timer

    # What the loop and time do.

    def run(self) -> None:
        """Run the calls, those they make as well; an exception comes out."""
        while self.calls:
            self.calls.pop(0)()

    def advance(self, seconds: float) -> None:
        """Let the time pass, timer by timer."""
        until = self.clock.monotonic() + seconds
        while due := [timer for timer in self.timers if timer.function and timer.due <= until]:
            timer = min(due, key=lambda each: each.due)
            self.clock.advance(max(0.0, timer.due - self.clock.monotonic()))
            function, timer.function = timer.function, None
            assert function is not None
            function()
            self.run()
        self.clock.advance(max(0.0, until - self.clock.monotonic()))

    @property
    def open_streams(self) -> list[FakeStream]:
        return [stream for stream in self.streams if not stream.closed]

    @property
    def stream(self) -> FakeStream:
        """The one stream that is open."""
        (stream,) = self.open_streams
        return stream

    @property
    def waiting(self) -> bool:
        return any(timer.function for timer in self.timers)

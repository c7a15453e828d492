"""What an informer asks of its cluster's loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Closable(Protocol):
    """A stream that can be closed; `transport.streams.Stream`."""

    def close(self) -> None:
        """End it without a further callback."""
        ...


class Stoppable(Protocol):
    """A timer that can be stopped; `transport.streams.Timer`."""

    def stop(self) -> None:
        """Never fire."""
        ...


class Feed(Protocol):
    """What an informer asks of its cluster's loop; `transport.streams.StreamLoop` is one."""

    def open(self, target: str, receiver: Any, *, timeout: float, accept: str = ...) -> Closable:
        """Begin a GET; `accept` is the header of that name, by default JSON."""
        ...

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon."""
        ...

    def call_later(self, seconds: float, function: Callable[[], None]) -> Stoppable:
        """Run a function on the loop thread after so many seconds."""
        ...

"""Whether the streams of a loop share one connection.

Streams that start together wait for the first one's connection. If it turns out to speak HTTP/1.1, libcurl would let
them wait until that stream ends, so each of them is then started anew with a connection of its own. That it speaks
HTTP/1.1 is known from the first status, or from others that still wait although a request has gone out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.process.clock import Clock
    from kcontroller.transport.multi import Multi
    from kcontroller.transport.timers import Timers
    from kcontroller.transport.transfer import Transfer

_LOOK_SECONDS: Final = 0.2  # Over HTTP/2 who waits for a connection goes on in the turn in which it stands.


class Sharing:
    """What a loop knows of it.

    Args:
        running: the loop's transfers.
        timers: the loop's.
        clock: its time.

    Attributes:
        on: whether a stream that begins waits for the connection of another one.
    """

    def __init__(self, running: Mapping[int, Transfer], *, timers: Timers, clock: Clock) -> None:
        """Hope for HTTP/2."""
        self.on = True
        self._running = running
        self._timers = timers
        self._clock = clock
        self._looks = False

    def look_later(self) -> None:
        """Find out that a connection is not shared although nobody on it has a status; called before a start."""
        if self.on and self._running and not self._looks and not self.is_answered():
            self._looks = True
            self._timers.add(_LOOK_SECONDS, self._look)

    def is_answered(self) -> bool:
        """Whether a transfer has its status, so that a connection stands."""
        return any(transfer.status is not None for transfer in self._running.values())

    def separate(self, multi: Multi) -> None:
        """Give those that wait a connection each."""
        for transfer in self._running.values():
            if transfer.waits:
                multi.remove(transfer.handle)
                transfer.stop_sharing(now=self._clock.monotonic())
                multi.add(transfer.handle)

    def _look(self) -> None:
        self._looks = False
        if self.is_answered() or not any(transfer.waits for transfer in self._running.values()):
            return
        if sum(transfer.is_sent for transfer in self._running.values()) == 1:
            self.on = False
        else:
            self.look_later()

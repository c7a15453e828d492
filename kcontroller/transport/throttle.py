"""When the requests of one client may go: by its rate limits, and by what its server says.

A server that answers 429 with a Retry-After is asked nothing until then: else each worker would collect a 429 of its
own, and each of them is work for a server that has too much. (In client-go every request finds out for itself.)
"""

from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING, Final

from kcontroller.errors import RequestTimeout
from kcontroller.transport.retries import WAIT_JITTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.transport.limiter import RateLimiter

_NOT_HELD: Final = 0.0


class Throttle:
    """Holds the requests of one client back; any thread.

    Args:
        limiters: of each of them a request takes a turn, in this order.
        server: for messages.
        clock: the time.
    """

    def __init__(self, *limiters: RateLimiter, server: str, clock: Clock) -> None:
        self._limiters = limiters
        self._server = server
        self._clock = clock
        self._lock = threading.Lock()
        self._held_until = _NOT_HELD
        self._spread = 0.0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._held_until == _NOT_HELD and not self._limiters

    def hold(self, seconds: float) -> None:
        """Let nothing go for so long."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock.monotonic() + seconds)
            self._spread = WAIT_JITTER * seconds

    def wait(self, pause: Callable[[float], None], *, within: float, verb: str) -> float:
        """Wait until a request may go; returns the seconds that it took.

        Args:
            pause: waits so many seconds, or raises; then no turn is taken.
            within: seconds after which nobody needs the turn any more.
            verb: of the request, for the message.

        Raises:
            RequestTimeout: the turn would come later. It is known, and raised, at once.
        """
        began = self._clock.monotonic()
        until = began + within
        self._sit_out(pause, until, verb)
        with contextlib.ExitStack() as in_vain:
            for limiter in self._limiters:
                turn = limiter.reserve(within=until - self._clock.monotonic())
                if turn is None:
                    msg = f"the rate limit of {self._server} (qps, burst) has no turn for {verb} within its time"
                    raise RequestTimeout(msg, sent=False, ours=True)
                in_vain.callback(limiter.give_back, turn)
                if turn.wait:
                    pause(turn.wait)
            self._sit_out(pause, until, verb)  # A 429 may have come meanwhile.
            in_vain.pop_all()
        return self._clock.monotonic() - began

    def _sit_out(self, pause: Callable[[float], None], until: float, verb: str) -> None:
        while True:
            with self._lock:
                now, held_until = self._clock.monotonic(), self._held_until
                if held_until <= now:
                    self._held_until = _NOT_HELD
                    return
            if held_until > until:
                msg = f"{self._server} answered 429 and wants no requests for {held_until - now:.0f} s; {verb} has less"
                raise RequestTimeout(msg, sent=False, ours=True)
            # Spread, or all would come back together; who comes first finds out for the others.
            pause(min(until, held_until + self._spread * random.random()) - now)  # noqa: S311 - not a secret

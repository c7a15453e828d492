"""How many requests a client may send in a second: client-go's token bucket (``rest.Config.QPS`` and ``Burst``).

Off by default, as in controller-runtime: API servers have priority and fairness of their own. Watches and lists of
informers do not pass here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock

DEFAULT_BURST: Final = 10
"""client-go's DefaultBurst, where a rate is set and no burst."""


class Turn(NamedTuple):
    """One token that is taken.

    Attributes:
        wait: seconds until it is there.
        at: when that is, by the limiter's clock.
    """

    wait: float
    at: float


class RateLimiter:
    """Tokens that come back at a rate; the bucket holds `burst` of them and is full at first.

    Whoever comes is given the earliest moment that is left, so that callers go in the order they came. Safe for use
    from many threads.

    Args:
        qps: tokens a second, above 0.
        burst: how many may go at once; at least 1.
        clock: the time by which they come back.
    """

    def __init__(self, qps: float, burst: int, *, clock: Clock) -> None:
        self._qps = qps
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._looked_at = clock.monotonic()
        self._last_at = self._looked_at

    def reserve(self, *, within: float) -> Turn | None:
        """Take a token; gives None, and takes none, if it would not be there `within` so many seconds."""
        with self._lock:
            now = self._fill_locked()
            wait = max(0.0, (1.0 - self._tokens) / self._qps)
            if wait > within:
                return None
            self._tokens -= 1.0
            self._last_at = now + wait
            return Turn(wait, self._last_at)

    def give_back(self, turn: Turn) -> None:
        """Return a token that was waited for in vain (``Reservation.Cancel`` of golang.org/x/time/rate).

        Turns that were given later keep their moments, so what lies between this one and the last is not returned.
        """
        with self._lock:
            self._fill_locked()
            later = (self._last_at - turn.at) * self._qps
            if later < 1.0:
                self._tokens += 1.0 - later
                self._last_at -= (1.0 - later) / self._qps

    def _fill_locked(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(float(self._burst), self._tokens + (now - self._looked_at) * self._qps)
        self._looked_at = now
        return now

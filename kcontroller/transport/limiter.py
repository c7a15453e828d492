"""How many requests a client may send in a second: client-go's token bucket (``rest.Config.QPS`` and ``Burst``).

Off by default, as in controller-runtime: API servers have priority and fairness of their own. Watches and lists of
informers do not pass here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

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


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What limits a client beside its configuration.

    Attributes:
        qps: requests a second of one client whose configuration sets none; 0 for no limit.
        burst: how many of them may go at once; 0 for `DEFAULT_BURST`.
        shared: what all clients share; None if they share nothing.
    """

    qps: float = 0.0
    burst: int = 0
    shared: RateLimiter | None = None

    def limiters(self, config: Config, *, clock: Clock) -> tuple[RateLimiter, ...]:
        """Make the limiters of one client."""
        qps, burst = (config.qps, config.burst) if config.qps else (self.qps, self.burst)
        own = (RateLimiter(qps, burst or DEFAULT_BURST, clock=clock),) if qps else ()
        return own if self.shared is None else (*own, self.shared)


NO_LIMITS: Final = RateLimits()

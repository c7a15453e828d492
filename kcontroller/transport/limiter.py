"""How many requests a client may send in a second: client-go's token bucket (``rest.Config.QPS`` and ``Burst``).

Off by default, as in controller-runtime: API servers have priority and fairness of their own. Watches and lists of
informers do not pass here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock

DEFAULT_BURST: Final = 10
"""client-go's DefaultBurst, where a rate is set and no burst."""


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

    def reserve(self, *, within: float) -> float | None:
        """Take a token; gives the seconds until it is there, or None, and takes none, if that is not `within`."""
        with self._lock:
            now = self._clock.monotonic()
            tokens = min(float(self._burst), self._tokens + (now - self._looked_at) * self._qps)
            self._looked_at, self._tokens = now, tokens
            seconds = max(0.0, (1.0 - tokens) / self._qps)
            if seconds > within:
                return None
            self._tokens = tokens - 1.0
            return seconds

"""A token bucket without a clock: how long each of many must wait so that together they keep to a rate."""

from __future__ import annotations

import math


class Bucket:
    """Tokens that come back at a rate; the bucket holds `burst` of them and is full at first.

    It keeps one figure, the moment of the newest token that was taken (the generic cell rate algorithm), instead of
    a count and the time of the count. Not for several threads at once.

    Args:
        qps: tokens a second, above 0 and finite.
        burst: how many may be taken at once; at least 1.

    Raises:
        ValueError: one of them is not.
    """

    def __init__(self, qps: float, burst: int) -> None:
        if not 0 < qps < math.inf or burst < 1:
            msg = f"not a token bucket: {qps} a second, {burst} at once; give a rate above 0 and at least 1 at once"
            raise ValueError(msg)
        self._interval = 1.0 / qps
        self._ahead = (burst - 1) / qps
        self._newest = -math.inf

    def reserve(self, now: float) -> float:
        """Take the next token; the answer is how many seconds after `now` (in seconds) it is there."""
        self._newest = max(self._newest + self._interval, now - self._ahead)
        return max(0.0, self._newest - now)

"""Exponential backoff as one value."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of ``initial * factor ** (failures - 1)`` seconds up to `cap`, spread over ``[d, d * (1 + jitter))``.

    Attributes:
        initial: seconds after the first failure.
        cap: longest delay in seconds, before jitter.
        factor: growth per failure.
        jitter: 0 for none; 1.0 spreads a delay d over [d, 2d), as client-go's reflector does.
    """

    initial: float
    cap: float
    factor: float = 2.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that would make a busy loop."""
        bounded = 0 < self.initial <= self.cap < math.inf and 0 <= self.jitter < math.inf
        if not bounded or not self.factor >= 1:  # A NaN is neither above nor below.
            msg = f"not a backoff: {self!r} (0 < initial <= cap, factor >= 1, jitter >= 0, all finite)"
            raise ValueError(msg)

    def delay(self, failures: int, *, rng: random.Random | None = None) -> float:
        """Seconds to wait after this many failures in a row; 0 failures wait nothing."""
        if failures <= 0:
            return 0.0
        try:
            base = min(self.cap, self.initial * math.pow(self.factor, failures - 1))
        except OverflowError:  # Far above any cap.
            base = self.cap
        if not self.jitter:
            return base
        return base * (1.0 + self.jitter * (rng.random() if rng else random.random()))  # noqa: S311 - not a secret


RECONCILE: Final = Backoff(initial=0.005, cap=1000.0)
"""client-go's ItemExponentialFailureRateLimiter with the defaults of controller-runtime."""

REFLECTOR: Final = Backoff(initial=0.8, cap=30.0, jitter=1.0)
"""client-go's reflector: 0.8 s to 30 s, jitter 1.0."""

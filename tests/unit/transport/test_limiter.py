from __future__ import annotations

import pytest

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.limiter import RateLimiter


def test_the_bucket_is_full_at_first_and_then_fills_at_the_rate() -> None:
    limiter = RateLimiter(5.0, 2, clock=VirtualClock())

    assert [limiter.reserve(within=10) for _ in range(5)] == pytest.approx([0, 0, 0.2, 0.4, 0.6])


def test_a_bucket_never_holds_more_than_the_burst() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(5.0, 2, clock=clock)
    clock.advance(3600)

    assert [limiter.reserve(within=10) for _ in range(3)] == pytest.approx([0, 0, 0.2])


def test_who_cannot_wait_that_long_takes_no_token() -> None:
    limiter = RateLimiter(1.0, 1, clock=VirtualClock())
    limiter.reserve(within=0)

    assert limiter.reserve(within=0.9) is None
    assert limiter.reserve(within=1.0) == pytest.approx(1.0)

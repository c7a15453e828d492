from __future__ import annotations

import pytest

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.limiter import RateLimiter


def wait(limiter: RateLimiter, *, within: float = 10.0) -> float:
    turn = limiter.reserve(within=within)
    assert turn is not None
    return turn.wait


def test_the_bucket_is_full_at_first_and_then_fills_at_the_rate() -> None:
    limiter = RateLimiter(5.0, 2, clock=VirtualClock())

    assert [wait(limiter) for _ in range(5)] == pytest.approx([0, 0, 0.2, 0.4, 0.6])


def test_a_bucket_never_holds_more_than_the_burst() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(5.0, 2, clock=clock)
    clock.advance(3600)

    assert [wait(limiter) for _ in range(3)] == pytest.approx([0, 0, 0.2])


def test_who_cannot_wait_that_long_takes_no_token() -> None:
    limiter = RateLimiter(1.0, 1, clock=VirtualClock())
    limiter.reserve(within=0)

    assert limiter.reserve(within=0.9) is None
    assert wait(limiter, within=1.0) == pytest.approx(1.0)


def test_a_turn_that_is_given_back_goes_to_who_comes_next() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(1.0, 1, clock=clock)
    wait(limiter)
    turn = limiter.reserve(within=10)
    assert turn is not None
    clock.advance(0.25)
    limiter.give_back(turn)

    assert wait(limiter) == pytest.approx(0.75)
    assert wait(limiter) == pytest.approx(1.75)


def test_a_turn_before_others_is_lost_so_that_there_are_never_two_in_one() -> None:
    limiter = RateLimiter(1.0, 1, clock=VirtualClock())
    wait(limiter)
    turns = [limiter.reserve(within=10) for _ in range(3)]
    assert turns[0] is not None
    assert turns[2] is not None
    limiter.give_back(turns[0])
    assert wait(limiter) == pytest.approx(4.0)

    limiter = RateLimiter(1.0, 1, clock=VirtualClock())
    wait(limiter)
    turns = [limiter.reserve(within=10) for _ in range(3)]
    assert turns[1] is not None
    assert turns[2] is not None
    limiter.give_back(turns[2])
    limiter.give_back(turns[1])
    assert wait(limiter) == pytest.approx(2.0)

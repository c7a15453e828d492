from __future__ import annotations

import pytest

from kcontroller.errors import RequestTimeout, Stopped
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS
from kcontroller.transport.limiter import RateLimiter, RateLimits
from kcontroller.transport.retries import WAIT_JITTER
from kcontroller.transport.throttle import Throttle

SERVER = "https://one"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def wait(throttle: Throttle, clock: VirtualClock, *, within: float = 30.0) -> float:
    return throttle.wait(clock.advance, within=within, verb="get")


def test_without_limits_there_is_nothing_to_wait_for_until_the_server_says_so(clock: VirtualClock) -> None:
    throttle = Throttle(server=SERVER, clock=clock)
    assert throttle.idle
    throttle.hold(2.0)
    assert not throttle.idle
    assert 2.0 <= wait(throttle, clock) <= 2.0 * (1 + WAIT_JITTER)
    assert throttle.idle


def test_what_is_held_is_held_longer_if_another_answer_says_so_meanwhile(clock: VirtualClock) -> None:
    throttle = Throttle(server=SERVER, clock=clock)
    throttle.hold(2.0)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)
        if len(pauses) == 1:
            throttle.hold(4.0)
            throttle.hold(1.0)  # Changes nothing.

    throttle.wait(pause, within=30.0, verb="get")
    assert len(pauses) == 2
    assert pauses[1] >= 4.0


def test_who_has_less_time_than_that_is_told_at_once(clock: VirtualClock) -> None:
    throttle = Throttle(server=SERVER, clock=clock)
    throttle.hold(20.0)
    with pytest.raises(RequestTimeout, match="https://one answered 429 and wants no requests for 20 s") as caught:
        wait(throttle, clock, within=19.0)
    assert (caught.value.sent, caught.value.ours) == (False, True)
    assert wait(throttle, clock, within=20.0) == pytest.approx(20.0)


def test_a_request_takes_a_turn_of_each_limit(clock: VirtualClock) -> None:
    shared = RateLimiter(1.0, 2, clock=clock)
    one, two = (Throttle(RateLimiter(10.0, 1, clock=clock), shared, server=SERVER, clock=clock) for _ in range(2))
    assert [wait(each, clock) for each in (one, two, one, two)] == pytest.approx([0, 0, 1, 1])


def test_what_was_reserved_in_vain_is_given_back(clock: VirtualClock) -> None:
    own, shared = RateLimiter(1.0, 1, clock=clock), RateLimiter(0.1, 1, clock=clock)
    throttle = Throttle(own, shared, server=SERVER, clock=clock)
    shared.reserve(within=0)
    with pytest.raises(RequestTimeout, match="rate limit of https://one"):
        wait(throttle, clock, within=5.0)
    turn = own.reserve(within=0)
    assert turn is not None
    own.give_back(turn)

    def stopped(_seconds: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        throttle.wait(stopped, within=30.0, verb="get")
    assert own.reserve(within=0) is not None
    assert shared.reserve(within=10.0) is not None


@pytest.mark.parametrize(("own", "expected"), [(0.0, [0, 0.5]), (4.0, [0, 0.25])])
def test_a_clients_own_rate_goes_before_that_of_all(clock: VirtualClock, own: float, expected: list[float]) -> None:
    config = Config(SERVER, ANONYMOUS, qps=own, burst=1 if own else 0)
    limits = RateLimits(qps=2.0, burst=1)
    throttle = Throttle(*limits.limiters(config, clock=clock), server=SERVER, clock=clock)
    assert [wait(throttle, clock) for _ in range(2)] == pytest.approx(expected)

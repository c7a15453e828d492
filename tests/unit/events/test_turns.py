from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kcontroller.events.turns import Turns


def lane(name: str, *, failures: int = 0) -> Any:
    """What the schedule looks at."""
    return SimpleNamespace(
        name=name, failures=failures, queued=False, working=False, gone=False, ticket=0, backing_off=failures > 0
    )


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_lanes_take_turns(turns: Turns) -> None:
    a, b = lane("a"), lane("b")
    turns.wake(a)
    turns.wake(b)
    order = []
    for _ in range(4):
        current: Any = turns.next(0)
        order.append(current.name)
        turns.over(current, 0, 0)

    assert order == ["a", "b", "a", "b"]


def test_a_lane_has_one_turn_at_a_time(turns: Turns) -> None:
    a = lane("a")
    assert turns.wake(a)
    assert not turns.wake(a)
    assert turns.next(0) is a
    assert not turns.wake(a)
    assert turns.next(0) is None


def test_a_lane_that_rests_is_woken_by_news_or_by_its_moment(turns: Turns) -> None:
    a = lane("a")
    turns.wake(a)
    turns.next(0)
    turns.over(a, 10, 0)

    assert turns.next(9) is None
    assert turns.seconds(9) == 1
    assert turns.wake(a)
    assert turns.next(9) is a
    turns.over(a, None, 9)
    assert turns.next(10) is None  # Its moment was that of an earlier rest.

    turns.wake(a)
    turns.next(10)
    turns.over(a, 20, 10)
    assert turns.next(20) is a


def test_news_do_not_end_a_backoff(turns: Turns) -> None:
    a = lane("a", failures=1)
    turns.wake(a)
    turns.next(0)
    turns.over(a, 5, 0)

    assert not turns.wake(a)
    assert turns.next(4) is None
    assert turns.next(5) is a


def test_lanes_that_fail_share_one_turn_and_the_others_pass_them(turns: Turns) -> None:
    bad, worse, good = lane("bad", failures=1), lane("worse", failures=3), lane("good")
    for each in (good, bad, worse):
        turns.wake(each)

    assert turns.next(0) is bad
    assert turns.next(0) is good
    assert turns.next(0) is None
    bad.failures = 0
    turns.over(bad, None, 0)
    assert turns.next(0) is worse


def test_a_lane_that_failed_once_goes_before_those_that_failed_more_often(turns: Turns) -> None:
    worse, bad = lane("worse", failures=2), lane("bad", failures=1)
    turns.wake(worse)
    turns.wake(bad)

    assert turns.next(0) is bad
    turns.over(bad, None, 0)
    assert turns.next(0) is worse


def test_hurry_ends_every_wait_for_a_moment(turns: Turns) -> None:
    resting, failing = lane("resting"), lane("failing", failures=2)
    for each in (resting, failing):
        turns.wake(each)
        turns.next(0)
        turns.over(each, 100, 0)
    turns.hurry()

    assert [turns.next(0), turns.next(0), turns.next(0)] == [failing, resting, None]
    assert turns.seconds(0) is None


@pytest.mark.parametrize("failures", [0, 1])
def test_a_lane_that_is_gone_has_no_turn(turns: Turns, failures: int) -> None:
    a = lane("a", failures=failures)
    turns.wake(a)
    a.gone = True
    assert turns.next(0) is None

    b = lane("b", failures=failures)
    turns.wake(b)
    turns.next(0)
    b.gone = True
    turns.over(b, 1, 0)
    assert turns.next(2) is None

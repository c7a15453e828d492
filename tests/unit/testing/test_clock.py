from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from kcontroller.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class Waiter:
    """A thread in a wait."""

    def __init__(
        self, clock: VirtualClock, seconds: float | None, condition: threading.Condition | None = None
    ) -> None:
        self.condition = condition or threading.Condition()
        self._answers: list[bool] = []
        self._clock, self._seconds = clock, seconds
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        with self.condition:
            self._answers.append(self._clock.wait(self.condition, self._seconds))

    @property
    def waits(self) -> bool:
        return not self._answers

    def answer(self) -> bool:
        self._thread.join(10)
        return self._answers[0]


def test_time_stands_still_until_it_is_moved(clock: VirtualClock) -> None:
    before = (clock.monotonic(), clock.now())
    assert (clock.monotonic(), clock.now()) == before
    clock.advance(1.5)

    assert clock.monotonic() == before[0] + 1.5
    assert clock.now() == before[1] + timedelta(seconds=1.5)


def test_the_wall_stands_where_it_was_told_to() -> None:
    start = datetime(2030, 5, 6, tzinfo=UTC)

    assert VirtualClock(start=start).now() == start


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_wait_without_time_is_over_at_once(clock: VirtualClock, seconds: float) -> None:
    condition = threading.Condition()
    with condition:
        assert clock.wait(condition, seconds) is False


def test_a_wait_ends_when_its_time_has_come_and_not_before(clock: VirtualClock) -> None:
    waiter = Waiter(clock, 5)
    clock.wait_for_waiters(1)
    clock.advance(4.999)
    assert waiter.waits
    clock.advance(0.001)

    assert waiter.answer() is False


def test_a_wait_ends_when_it_is_notified(clock: VirtualClock) -> None:
    waiter = Waiter(clock, None)
    clock.wait_for_waiters(1)
    with waiter.condition:
        waiter.condition.notify()

    assert waiter.answer() is True


def test_one_step_wakes_everybody_whose_time_has_come(clock: VirtualClock) -> None:
    waiters = [Waiter(clock, seconds) for seconds in (1, 2, 3)]
    late = Waiter(clock, 100)
    clock.wait_for_waiters(4)
    clock.advance(10)

    assert [waiter.answer() for waiter in waiters] == [False] * 3
    assert late.waits
    clock.advance(100)
    assert late.answer() is False


def test_who_waits_on_the_same_condition_for_longer_is_woken_without_cause_at_most(clock: VirtualClock) -> None:
    shared = threading.Condition()
    short, long = Waiter(clock, 1, shared), Waiter(clock, 50, shared)
    clock.wait_for_waiters(2)
    clock.advance(1)

    assert short.answer() is False
    assert long.answer() is True


def test_who_was_woken_by_time_no_longer_counts_as_waiting(clock: VirtualClock) -> None:
    waiters = [Waiter(clock, 1) for _ in range(20)]
    clock.wait_for_waiters(20)
    clock.advance(1)
    assert len(clock._waiting) == 0
    for waiter in waiters:
        waiter.answer()


def test_waiting_for_waiters_ends_with_the_last_to_come(clock: VirtualClock) -> None:
    done = threading.Event()

    def look() -> None:
        clock.wait_for_waiters(2)
        done.set()

    looker = threading.Thread(target=look)
    looker.start()
    first = Waiter(clock, 1)
    clock.wait_for_waiters(1)
    assert not done.is_set()
    second = Waiter(clock, 1)
    assert done.wait(10)
    looker.join(10)
    clock.advance(1)
    assert (first.answer(), second.answer()) == (False, False)


def test_a_wait_that_nobody_ends_fails_the_test(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcontroller.testing.clock._PATIENCE", 0.005)
    condition = threading.Condition()

    with condition, pytest.raises(AssertionError, match="nothing ended a wait of 7 virtual seconds"):
        clock.wait(condition, 7)
    with pytest.raises(AssertionError, match="0 threads wait on the clock, expected 1"):
        clock.wait_for_waiters(1)

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


# ---- jumps -----------------------------------------------------------------------------------------------------------


def sleeper(clock: VirtualClock, seconds: float, times: int, log: list[tuple[str, float]], name: str) -> None:
    condition = threading.Condition()
    for _ in range(times):
        with condition:
            clock.wait(condition, seconds)
        log.append((name, clock.monotonic()))


def test_a_jump_leads_to_the_first_moment_that_anybody_waits_for(clock: VirtualClock) -> None:
    waiters = [Waiter(clock, seconds) for seconds in (7, 3.1)]
    clock.wait_for_waiters(2)

    assert clock.jump()
    assert clock.monotonic() == 1003.1
    assert waiters[1].answer() is False
    assert waiters[0].waits
    assert clock.jump()
    assert waiters[0].answer() is False
    assert clock.monotonic() == 1007


def test_there_is_no_jump_without_a_moment_in_reach(clock: VirtualClock) -> None:
    forever, late = Waiter(clock, None), Waiter(clock, 10)
    clock.wait_for_waiters(2)

    assert not clock.jump(within=9.9)
    assert clock.monotonic() == 1000
    assert clock.jump(within=10)
    assert late.answer() is False
    assert not clock.jump()
    with forever.condition:
        forever.condition.notify()
    forever.answer()


def test_a_jump_waits_for_a_registered_thread_that_works(clock: VirtualClock) -> None:
    log: list[tuple[str, float]] = []
    working = threading.Event()

    def worker() -> None:
        working.wait(10)
        sleeper(clock, 1, 1, log, "worker")

    clock.spawn("worker", worker)
    other = Waiter(clock, 5)
    clock.wait_for_waiters(1)
    threading.Timer(0.005, working.set).start()

    assert clock.jump()
    assert clock.monotonic() == 1001  # Not 1005, which was the only wait when the jump was asked for.
    assert clock.jump()
    assert other.answer() is False


def test_someone_who_was_notified_does_not_count_as_waiting(clock: VirtualClock) -> None:
    first = Waiter(clock, None)
    clock.register(first._thread)
    second = Waiter(clock, 5)
    clock.wait_for_waiters(2)
    with first.condition:
        first.condition.notify()
        assert not clock._all_wait()  # It has been notified, and cannot have noticed while we hold the lock.
    first.answer()

    assert clock._all_wait()
    clock.advance(5)
    second.answer()


def test_a_thread_that_has_ended_or_was_taken_out_is_not_waited_for(clock: VirtualClock) -> None:
    ended = clock.spawn("ended", lambda: None)
    ended.join(10)
    clock.register()
    clock.unregister()

    assert clock._all_wait()


def test_who_never_waits_is_named(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcontroller.testing.clock._PATIENCE", 0.005)
    release = threading.Event()
    busy = clock.spawn("kc-busy", lambda: release.wait(10))
    with pytest.raises(AssertionError, match=r"the clock cannot jump: .* Busy: kc-busy\. Waiting: nobody"):
        clock.jump()
    release.set()
    busy.join(10)


def test_it_says_who_waits_for_what(clock: VirtualClock) -> None:
    waiters = [Waiter(clock, 2.5), Waiter(clock, None)]
    clock.wait_for_waiters(2)

    assert sorted(clock.waits()) == sorted(
        (f"{waiters[0]._thread.name}: 2.5 s", f"{waiters[1]._thread.name}: a notification")
    )
    clock.advance(2.5)
    with waiters[1].condition:
        waiters[1].condition.notify()
    for waiter in waiters:
        waiter.answer()


def interleaving() -> list[tuple[str, float]]:
    clock = VirtualClock()
    log: list[tuple[str, float]] = []
    gate = threading.Event()

    def begin(seconds: float, times: int, name: str) -> None:
        gate.wait(10)
        sleeper(clock, seconds, times, log, name)

    threads = [clock.spawn(name, lambda s=s, n=n, name=name: begin(s, n, name)) for name, s, n in
               (("a", 3, 10), ("b", 7, 4), ("c", 1.1, 20))]  # fmt: skip
    gate.set()
    with clock.jumping():
        for thread in threads:
            thread.join(10)
    return log


def test_jumping_takes_everybody_to_the_end_in_the_order_of_time() -> None:
    first = interleaving()

    assert len(first) == 34
    assert [when for _, when in first] == sorted(when for _, when in first)
    assert first == interleaving()


def test_two_threads_that_hand_work_to_each_other_lose_no_virtual_time(clock: VirtualClock) -> None:
    condition, turns, times = threading.Condition(), [0], []

    def player(mine: int) -> None:
        for _ in range(50):
            with condition:
                while turns[0] % 2 != mine:
                    clock.wait(condition, 1000)
                turns[0] += 1
                times.append(clock.monotonic())
                condition.notify_all()

    threads = [clock.spawn(f"player {number}", lambda number=number: player(number)) for number in (0, 1)]
    with clock.jumping():
        for thread in threads:
            thread.join(10)

    assert len(times) == 100
    assert set(times) == {1000.0}


def test_a_settled_clock_waits_for_what_it_cannot_see() -> None:
    clock = VirtualClock(settle=0.02)
    waiter = Waiter(clock, None)
    clock.register(waiter._thread)
    late = Waiter(clock, 5)
    clock.wait_for_waiters(2)

    def arrive() -> None:
        with waiter.condition:
            waiter.condition.notify()

    timer = threading.Timer(0.005, arrive)  # As a socket would.
    timer.start()
    assert clock.jump()
    assert waiter.answer() is True
    assert late.answer() is False
    timer.join(10)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.controller.watchdog import Watchdog
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


class Looks:
    """Looks that are due every so many seconds, and the times at which they were called."""

    def __init__(self, clock: VirtualClock, every: float) -> None:
        self._clock = clock
        self._every = every
        self.times: list[float] = []

    def __call__(self, now: float) -> float:
        self.times.append(now - 1000.0)
        return now + self._every


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def watchdog(clock: VirtualClock) -> Iterator[Watchdog]:
    failures: list[str] = []
    threads = ThreadGroup(on_failure=lambda name, _error: failures.append(name))
    made = Watchdog(clock)
    made.start(threads)
    yield made
    made.stop()
    assert threads.join(10) == ()
    assert failures == []


def test_it_looks_at_once_and_then_when_the_look_is_due(clock: VirtualClock, watchdog: Watchdog) -> None:
    looks = Looks(clock, 5.0)
    clock.wait_for_waiters(1)
    watchdog.watch(looks)
    eventually(lambda: looks.times == [0.0])
    for seconds in (4.0, 1.0, 5.0):
        clock.wait_for_waiters(1)
        clock.advance(seconds)

    eventually(lambda: looks.times == [0.0, 5.0, 10.0])


def test_the_first_look_that_is_due_counts(clock: VirtualClock, watchdog: Watchdog) -> None:
    slow, quick = Looks(clock, 60.0), Looks(clock, 5.0)
    watchdog.watch(slow)
    watchdog.watch(quick)
    eventually(lambda: quick.times == [0.0])
    clock.wait_for_waiters(1)
    clock.advance(5.0)

    eventually(lambda: quick.times == [0.0, 5.0])


def test_what_is_due_later_than_a_thread_can_wait_is_looked_at_sooner(clock: VirtualClock, watchdog: Watchdog) -> None:
    looks = Looks(clock, float("inf"))
    watchdog.watch(looks)
    eventually(lambda: looks.times == [0.0])
    clock.wait_for_waiters(1)
    clock.advance(3600.0)

    eventually(lambda: looks.times == [0.0, 3600.0])

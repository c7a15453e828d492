"""Who waits at a queue: workers for an item, of which one keeps the time; others until it has come to rest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kcontroller.process.clock import LONGEST_WAIT
from kcontroller.workqueue.entry import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock


class Waiters:
    """The waiting workers of one queue; every method is called with the queue's lock held.

    The first to wait becomes the timekeeper: it alone wakes when a delay is over, so that a thousand delays don't wake
    a whole pool. Invariant: where anyone waits one keeps the time, or was woken and will. A worker that leaves
    therefore wakes another if nobody keeps the time; and since one wake can find several items, also if there is more
    to take.

    Attributes:
        waiting: how many workers wait.
        keeping: whether one of them keeps the time.
        alarm: when that one looks by itself; `NEVER` if none does.
    """

    def __init__(self, lock: threading.Lock, clock: Clock) -> None:
        """Wait on conditions of `lock`, by `clock`."""
        self._clock = clock
        self._asleep = threading.Condition(lock)
        self._timer = threading.Condition(lock)
        self._sleepers = 0
        self.waiting = 0
        self.keeping = False
        self.alarm = NEVER

    def wait(self, *, now: float, deadline: float, due: float) -> None:
        """Wait until woken, until `deadline`, or as the timekeeper until `due`; may return early."""
        self.waiting += 1
        try:
            if self.keeping:
                self._sleep(None if deadline == NEVER else deadline - now)
            else:
                self.alarm = min(due, deadline)
                self._keep_time(min(self.alarm - now, LONGEST_WAIT))
        except BaseException:
            # An interrupt must not take the timekeeping with it.
            self.wake()
            raise
        finally:
            self.waiting -= 1

    def _sleep(self, seconds: float | None) -> None:
        self._sleepers += 1
        try:
            self._clock.wait(self._asleep, seconds)
        finally:
            self._sleepers -= 1

    def _keep_time(self, seconds: float) -> None:
        self.keeping = True
        try:
            self._clock.wait(self._timer, seconds)
        finally:
            self.keeping = False
            self.alarm = NEVER

    def wake(self) -> None:
        """Wake one worker, the timekeeper last."""
        if self._sleepers:
            self._asleep.notify()
        elif self.keeping:
            self._timer.notify()

    def expect(self, due: float) -> None:
        """Wake the timekeeper if something is due before it would look."""
        if self.keeping and due < self.alarm:
            self._timer.notify()

    def wake_all(self) -> None:
        """Wake every worker."""
        self._asleep.notify_all()
        self._timer.notify_all()


class Watchers:
    """Those who wait until something is true of one queue; every method is called with the queue's lock held."""

    def __init__(self, lock: threading.Lock, clock: Clock) -> None:
        """Wait on a condition of `lock`, by `clock`."""
        self._clock = clock
        self._changed = threading.Condition(lock)
        self.count = 0

    def wait(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Wait at most `timeout` seconds until `holds` says so; False if the time ran out."""
        deadline = self._clock.monotonic() + timeout
        self.count += 1
        try:
            while not holds():
                remaining = deadline - self._clock.monotonic()
                if remaining <= 0:
                    return False
                self._clock.wait(self._changed, remaining)
            return True
        finally:
            self.count -= 1

    def look_again(self) -> None:
        """Have all of them look whether it is true now."""
        self._changed.notify_all()

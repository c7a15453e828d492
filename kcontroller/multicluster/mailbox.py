"""A thread's work: jobs that others post, and what is due by the clock."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock


class Mailbox:
    """Jobs for one thread, in the order in which they were posted.

    Args:
        clock: the time.
        due: when `look` must be called next, by the monotonic clock; infinite for never. Asked on the thread itself.
        look: does what is due, and moves `due` on.
    """

    def __init__(self, *, clock: Clock, due: Callable[[], float], look: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._look = look
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._stopped = False

    def post(self, job: Callable[[], None]) -> None:
        """Run a job on the thread soon; any thread. Dropped after `stop`."""
        with self._changed:
            if not self._stopped:
                self._jobs.append(job)
                self._changed.notify()

    def stop(self) -> None:
        """Drop what waits and end `run`; any thread."""
        with self._changed:
            self._stopped = True
            self._jobs.clear()
            self._changed.notify_all()

    def run(self) -> None:
        """Work until `stop`."""
        while (job := self._next()) is not None:
            job()
            del job  # A thread that waits keeps nothing alive.

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                seconds = self._due() - self._clock.monotonic()
                if seconds <= 0:
                    return self._look
                if self._jobs:
                    return self._jobs.popleft()
                self._clock.wait(self._changed, None if seconds == math.inf else seconds)
        return None

"""User functions of sources (map functions, function predicates) on a few threads, in order where order matters.

Jobs of one lane, that is of one controller and cluster, run one after the other in the order they came; nothing is
coalesced, because an object that went from A to B to C owes each of them a reconcile. A lane takes one turn at a time,
so that a slow function delays its own lane only.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log, described, fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

THREADS: Final = 4
_SLOW_SECONDS: Final = 0.1

_log: Final = Log("kcontroller.controller")


class Lane:
    """Jobs that must run in order.

    Args:
        mappers: runs them.
        name: for logs.
    """

    def __init__(self, mappers: Mappers, name: str) -> None:
        self._mappers = mappers
        self._name = name
        self._jobs: deque[Callable[[], None]] = deque()
        self._queued = False
        self._slow_said = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job after those that are here; any thread."""
        self._mappers.submit(self, job)

    def append(self, job: Callable[[], None]) -> bool:
        """Keep a job; True if the lane must now be queued. Under the mappers' lock."""
        self._jobs.append(job)
        queue_it = not self._queued
        self._queued = True
        return queue_it

    def take(self) -> Callable[[], None]:
        """Give the next job. Under the mappers' lock."""
        return self._jobs.popleft()

    def more(self) -> bool:
        """Whether the lane must be queued again. Under the mappers' lock."""
        self._queued = bool(self._jobs)
        return self._queued

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    def run(self, job: Callable[[], None], clock: Clock) -> None:
        """Run one job; what a user's function raises is logged, and the change it was about is skipped."""
        began = clock.monotonic()
        with fields(lane=self._name):
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - user code may raise anything; the other lanes must go on
                _log.exception("a map function or predicate failed: %s", described(error))
            took = clock.monotonic() - began
            if took > _SLOW_SECONDS and not self._slow_said:
                self._slow_said = True
                _log.warning("a map function or predicate took %.0f ms; it delays this lane's events", took * 1000)


class Mappers:
    """The threads that run the lanes.

    Args:
        clock: the time.
        count: how many threads.
    """

    def __init__(self, *, clock: Clock, count: int = THREADS) -> None:
        self._clock = clock
        self._count = count
        self._ready = threading.Condition()
        self._lanes: deque[Lane] = deque()
        self._started = False
        self._stopped = False
        self._threads: ThreadGroup | None = None

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads; they begin with the first job, since most controllers have no functions to run."""
        with self._ready:
            self._threads = threads
        self._begin()

    def stop(self) -> None:
        """Drop what waits and end the threads."""
        with self._ready:
            self._stopped = True
            self._lanes.clear()
            self._ready.notify_all()

    def submit(self, lane: Lane, job: Callable[[], None]) -> None:
        """Queue a job on a lane; any thread."""
        with self._ready:
            if self._stopped:
                return
            if lane.append(job):
                self._lanes.append(lane)
                self._ready.notify()
        if not self._started:
            self._begin()

    def _begin(self) -> None:
        with self._ready:
            threads = self._threads
            if threads is None or self._started or self._stopped or not self._lanes:
                return
            self._started = True
        for number in range(self._count):
            try:
                threads.spawn("mapper", str(number), self._work)
            except RuntimeError:  # The system gives no more threads; one is enough.
                if number:
                    return
                self._started = False
                raise

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._lanes and not self._stopped:
                    self._clock.wait(self._ready, None)
                if self._stopped:
                    return
                lane = self._lanes.popleft()
                job = lane.take()
            lane.run(job, self._clock)
            with self._ready:
                if lane.more() and not self._stopped:
                    self._lanes.append(lane)
                    self._ready.notify()
            del job

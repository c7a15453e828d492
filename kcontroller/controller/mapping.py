"""The threads on which functions of sources run: map functions, function predicates, timers.

Each controller has a pool of its own, so that a function that is slow or never returns delays no other controller. A
pool runs a few jobs at once; one that has lasted `PATIENCE` probably waits for something, and makes room for another.
Within a pool, jobs of one lane, that is of one cluster, run one after the other in the order they came; nothing is
coalesced, because an object that went from A to B to C owes each of them a reconcile. A lane takes one turn at a time.

What waits is not bounded, for an event that is thrown away is a reconcile that never happens. It is shown:
``kcontroller_mapper_jobs`` and ``kcontroller_mapper_oldest_seconds``.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kcontroller.controller.lanes import Job, Lane
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup

AT_ONCE: Final = 4
"""Jobs of one controller that run at once, without those that have lasted `PATIENCE`."""
PATIENCE: Final = 0.05
"""Seconds after which a job is taken for one that waits."""
BOUND: Final = 32
"""Threads of one controller; when so many of its functions hang, its events wait, and nobody else's."""


class MapperPool:
    """The threads of one controller, begun when there is something to run.

    While anything waits (a lane for its turn, a job to be tried again) one thread keeps the time for it.

    Args:
        controller: its name, for threads and metrics.
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, controller: str, *, clock: Clock, metrics: Metrics) -> None:
        self._controller = controller
        self._clock = clock
        self._ready = threading.Condition()
        self._threads: ThreadGroup | None = None
        self._stopped = False
        self._lanes: deque[Lane] = deque()
        self._later: list[tuple[float, int, Lane, Job]] = []
        self._tickets = itertools.count()
        self._open = 0  # Jobs that wait for their turn or for their next try, or run.
        self._running: dict[int, float] = {}  # By the thread's number: when its job began.
        self._numbers: set[int] = set()
        self._idle = 0
        self._jobs = metrics.mapper_jobs.labels(controller)
        self._oldest = metrics.mapper_oldest.labels(controller)
        self._retries = metrics.mapper_retries.labels(controller)
        self._failures = metrics.mapper_failures.labels(controller)
        metrics.before_collecting(self._publish)

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads; they begin with the first job, since most controllers have no functions to run."""
        with self._ready:
            self._threads = threads
        self._staff()

    def stop(self) -> None:
        """Drop what waits and end the threads."""
        with self._ready:
            self._stopped = True
            self._lanes.clear()
            self._later.clear()
            self._ready.notify_all()

    @property
    def idle(self) -> bool:
        """Whether no function runs, waits for its turn or is to be tried again."""
        with self._ready:
            return self._open == 0

    def submit(self, lane: Lane, job: Job, *, after: float = 0.0) -> None:
        """Queue a job on a lane, now or in so many seconds; any thread."""
        with self._ready:
            if self._stopped:
                return
            if after > 0:
                self._put_off(lane, job, after)
                self._ready.notify()
            else:
                self._append(lane, job)
            unattended = self._unattended
        if unattended:
            self._staff()

    # ---- the threads ---------------------------------------------------------------------------------------------

    def _staff(self) -> None:
        """Begin one more thread if something waits and none looks after it."""
        with self._ready:
            threads = self._threads
            if threads is None or self._stopped or not self._unattended or len(self._numbers) == BOUND:
                return
            number = next(each for each in itertools.count() if each not in self._numbers)
            self._numbers.add(number)
            self._idle += 1
        try:
            threads.spawn("mapper", f"{self._controller}-{number}", lambda: self._work(number))
        except RuntimeError:  # The system gives no more threads; one is enough.
            with self._ready:
                self._left(number)
                if self._numbers:
                    return
            raise

    def _work(self, number: int) -> None:
        while (turn := self._take(number)) is not None:
            self._staff()
            lane, job = turn
            delay = lane.run(job, self._clock)
            self._over(number, lane, job, delay)
            del turn, lane, job  # A thread that waits keeps nobody's objects.

    def _take(self, number: int) -> tuple[Lane, Job] | None:
        with self._ready:
            while not self._stopped:
                now = self._clock.monotonic()
                self._recall(now)
                if self._lanes and len(self._fresh(now)) < AT_ONCE:
                    lane = self._lanes.popleft()
                    job = lane.take()
                    if job is not None:
                        self._running[number] = now
                        self._idle -= 1
                        self._pass_on()
                        return lane, job
                elif not self._lanes and self._idle > AT_ONCE:
                    break
                else:
                    self._clock.wait(self._ready, self._next_look(now))
            self._left(number)
            self._pass_on()
            return None

    def _over(self, number: int, lane: Lane, job: Job, delay: float | None) -> None:
        again = delay is not None and delay >= 0
        if delay is not None:
            (self._retries if again else self._failures).inc()
        if not again and job.ended is not None:
            job.ended()
        with self._ready:
            del self._running[number]
            self._idle += 1
            if again and not self._stopped:
                lane.put_off(job)
                self._put_off(lane, job, delay or 0.0)
            elif not again:
                self._open -= 1
            if lane.more() and not self._stopped:
                self._lanes.append(lane)

    # ---- under the lock ------------------------------------------------------------------------------------------

    @property
    def _unattended(self) -> bool:
        return not self._idle and bool(self._lanes or self._later)

    def _pass_on(self) -> None:
        """Let another one take the next job, or keep the time."""
        if self._lanes or self._later:
            self._ready.notify()

    def _append(self, lane: Lane, job: Job) -> None:
        self._open += 1
        if lane.append(job):
            self._lanes.append(lane)
            self._ready.notify()

    def _put_off(self, lane: Lane, job: Job, seconds: float) -> None:
        heapq.heappush(self._later, (self._clock.monotonic() + seconds, next(self._tickets), lane, job))

    def _recall(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _due, _ticket, lane, job = heapq.heappop(self._later)
            if not job.tries:
                self._append(lane, job)
            elif lane.recall(job):
                self._lanes.append(lane)

    def _fresh(self, now: float) -> list[float]:
        return [began for began in self._running.values() if began > now - PATIENCE]

    def _next_look(self, now: float) -> float | None:
        """Seconds until something is due, or a job that runs makes room for another."""
        ends = [self._later[0][0]] if self._later else []
        if self._lanes:
            ends.append(min(self._fresh(now)) + PATIENCE)
        return min(ends) - now if ends else None

    def _left(self, number: int) -> None:
        self._numbers.discard(number)
        self._idle -= 1

    # ---- metrics -------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        with self._ready:
            waiting, began = self._open - len(self._running), min(self._running.values(), default=None)
        self._jobs.set(waiting)
        self._oldest.set(0.0 if began is None else self._clock.monotonic() - began)


class Mappers:
    """The pools of a process.

    Args:
        clock: the time.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pools: list[MapperPool] = []
        self._threads: ThreadGroup | None = None
        self._stopped = False

    def pool(self, controller: str, metrics: Metrics) -> MapperPool:
        """Make the pool of a controller."""
        pool = MapperPool(controller, clock=self._clock, metrics=metrics)
        with self._lock:
            self._pools.append(pool)
            threads, stopped = self._threads, self._stopped
        if stopped:
            pool.stop()
        elif threads is not None:
            pool.start(threads)
        return pool

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads."""
        with self._lock:
            self._threads = threads
            pools = tuple(self._pools)
        for pool in pools:
            pool.start(threads)

    @property
    def idle(self) -> bool:
        """Whether no function runs, waits for its turn or is to be tried again; timers that are not due don't count."""
        with self._lock:
            return all(pool.idle for pool in self._pools)

    def stop(self) -> None:
        """Drop what waits and end the threads."""
        with self._lock:
            self._stopped = True
            pools = tuple(self._pools)
        for pool in pools:
            pool.stop()

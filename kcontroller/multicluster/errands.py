"""Jobs that may take their time, on a few threads: what is not ours, or waits for a network, never runs on the fleet's.

The jobs of one lane run in order, those of several side by side. One that hangs holds up its own lane, as long as fewer
hang than there may be threads. A thread comes with the work and ends with it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

SLOW_SECONDS: Final = 60.0
"""A job that takes so long is worth a line in the log."""

_log: Final = Log("kcontroller.multicluster")


@dataclass(slots=True, eq=False)
class _Job:
    run: Callable[[], None]
    what: str
    cluster: str
    again: bool
    began: float = math.inf  # For `look`: also when it was said that it hangs.


class Errands:
    """Runs jobs; any thread may send them. What one raises is logged.

    Args:
        role: of the threads, ``kc-<role>-<n>``.
        limit: how many threads there may be.
        clock: the time.
    """

    def __init__(self, role: str, *, limit: int, clock: Clock) -> None:
        self._role = role
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[_Job]] = {}
        self._running: dict[Hashable, _Job] = {}
        self._first: OrderedDict[Hashable, None] = OrderedDict()  # Lanes in which a job may begin.
        self._again: OrderedDict[Hashable, None] = OrderedDict()
        self._free = list(range(limit - 1, -1, -1))
        self._threads: ThreadGroup | None = None
        self._stopped = False

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads."""
        self._threads = threads

    def stop(self) -> None:
        """Drop what waits, and take no more; what runs goes on to its end."""
        with self._lock:
            self._stopped = True
            for each in (self._waiting, self._first, self._again):
                each.clear()

    def send(
        self,
        lane: Hashable,
        run: Callable[[], None],
        *,
        what: str = "",
        cluster: str = "",
        newest: bool = False,
        again: bool = False,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        """Run a job soon, behind those of its lane.

        Args:
            lane: of the job.
            run: the job.
            what: says what it is, for the log.
            cluster: whose it is, likewise.
            newest: forget those that wait in the lane and are the same `what`.
            again: it was tried before: lanes whose next job was not are served first.
            refused: called at once with why the system has no thread for it; the job is not run then. Without it the
                job waits until there is one.
        """
        job = _Job(run, what, cluster, again)
        with self._lock:
            if self._stopped or self._threads is None:
                return
            waiting = self._waiting.setdefault(lane, deque())
            if newest:
                for each in [each for each in waiting if each.what == what]:
                    waiting.remove(each)
            waiting.append(job)
            wants = lane not in self._running and self._queue(lane)
            nobody_works = len(self._free) == self._limit
        why = self._hire() if wants or nobody_works else ""
        if why and refused is not None and self._took_back(lane, job):
            refused(why)

    def look(self, now: float) -> float:
        """Say of what runs for so long that it does, once, and let what waits for a thread have one.

        Returns:
            When to look again; infinite if there is nothing to look for.
        """
        self._hire()
        with self._lock:
            slow = [job for job in self._running.values() if now - job.began >= SLOW_SECONDS]
            for job in slow:
                job.began = math.inf
            first = min((job.began for job in self._running.values()), default=math.inf)
            waits = bool(self._waiting)
        for job in slow:
            _log.warning("%s has not returned for %g s", job.what, SLOW_SECONDS, cluster=job.cluster)
        return min(first, now if waits else math.inf) + SLOW_SECONDS

    def _hire(self) -> str:
        """Get a thread for what waits, if there may be one more; returns why it cannot be had."""
        with self._lock:
            threads = self._threads
            if threads is None or not self._free or not (self._first or self._again):
                return ""
            number = self._free.pop()
        try:
            threads.spawn(self._role, str(number), lambda: self._work(number))
        except RuntimeError as error:
            with self._lock:
                self._free.append(number)
            why = described(error)
            _log.warning("no thread for %s: %s", self._role, why)
            return why
        return ""

    def _work(self, number: int) -> None:
        while (found := self._next(number)) is not None:
            lane, job = found
            try:
                job.run()
            except BaseException as error:  # noqa: BLE001 - it may be a user's, also one that exits
                _log.exception_of(error, "%s failed: %s", job.what or self._role, described(error), cluster=job.cluster)
            self._over(lane)
            del found, job

    def _next(self, number: int) -> tuple[Hashable, _Job] | None:
        with self._lock:
            ready = self._first or self._again
            if not ready:
                self._free.append(number)
                return None
            lane, _ = ready.popitem(last=False)
            job = self._waiting[lane].popleft()
            self._drop_empty(lane)
            job.began = self._clock.monotonic()
            self._running[lane] = job
            return lane, job

    def _over(self, lane: Hashable) -> None:
        with self._lock:
            del self._running[lane]
            if lane in self._waiting:
                self._queue(lane)

    def _queue(self, lane: Hashable) -> bool:
        """Let a lane have its turn; it keeps the place that it has. Returns whether it is new there."""
        again = self._waiting[lane][0].again
        right, wrong = (self._again, self._first) if again else (self._first, self._again)
        is_new = wrong.pop(lane, self) is self and lane not in right
        right.setdefault(lane)
        return is_new

    def _took_back(self, lane: Hashable, job: _Job) -> bool:
        with self._lock:
            waiting = self._waiting.get(lane, ())
            if job not in waiting:
                return False  # Somebody else has it.
            self._waiting[lane].remove(job)
            self._drop_empty(lane)
            return True

    def _drop_empty(self, lane: Hashable) -> None:
        if not self._waiting[lane]:
            del self._waiting[lane]
            self._first.pop(lane, None)
            self._again.pop(lane, None)

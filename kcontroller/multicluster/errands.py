"""Jobs that may take their time, on a few threads: what is not ours, or waits for a network, never runs on the fleet's.

The jobs of one lane run in order, those of several side by side. One that hangs holds up its own lane, as long as fewer
hang than there may be threads. A thread comes with the work and ends with it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.process.threads import ThreadGroup

_log: Final = Log("kcontroller.multicluster")


class Errands:
    """Runs jobs; any thread may send them. What one raises is logged.

    Args:
        role: of the threads, ``kc-<role>-<n>``.
        limit: how many threads there may be.
    """

    def __init__(self, role: str, *, limit: int) -> None:
        self._role = role
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, deque[Callable[[], None]]] = {}
        self._ready: deque[Hashable] = deque()
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
            self._lanes.clear()
            self._ready.clear()

    def send(self, lane: Hashable, job: Callable[[], None]) -> None:
        """Run a job soon, behind those of its lane."""
        with self._lock:
            threads = self._threads
            if self._stopped or threads is None:
                return
            waiting = self._lanes.get(lane)
            if waiting is not None:
                waiting.append(job)
                return
            self._lanes[lane] = deque((job,))
            self._ready.append(lane)
            if not self._free:
                return
            number = self._free.pop()
        try:
            threads.spawn(self._role, str(number), lambda: self._work(number))
        except RuntimeError as error:  # The system gives no more: one that runs, or the next one, does it.
            with self._lock:
                self._free.append(number)
            _log.warning("no thread for %s: %s", self._role, described(error))

    def _work(self, number: int) -> None:
        while (found := self._next(number)) is not None:
            lane, job = found
            try:
                job()
            except Exception as error:  # noqa: BLE001 - it may be a user's
                _log.exception_of(error, "%s failed: %s", self._role, described(error))
            self._over(lane)
            del found, job

    def _next(self, number: int) -> tuple[Hashable, Callable[[], None]] | None:
        with self._lock:
            if self._ready:
                lane = self._ready.popleft()
                return lane, self._lanes[lane].popleft()
            self._free.append(number)
            return None

    def _over(self, lane: Hashable) -> None:
        with self._lock:
            waiting = self._lanes.get(lane)
            if waiting:
                self._ready.append(lane)
            elif waiting is not None:
                del self._lanes[lane]

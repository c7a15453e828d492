"""What can be seen of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from kcontroller.workqueue.entry import R

if TYPE_CHECKING:
    import threading

    from kcontroller.process.clock import Clock
    from kcontroller.workqueue.reading import Standing
    from kcontroller.workqueue.schedule import Schedule


class QueueView(Generic[R]):
    """The questions that a `WorkQueue` answers; any thread may ask."""

    def __init__(self, schedule: Schedule[R], lock: threading.Lock, clock: Clock) -> None:
        """Look at `schedule`, which `lock` guards, by `clock`."""
        self._schedule = schedule
        self._lock = lock
        self._clock = clock
        self._stopped = False

    def __len__(self) -> int:
        """Count the items that are ready; those in work and those delayed are not."""
        with self._lock:
            self._schedule.promote(self._clock.monotonic())
            return self._schedule.ready

    def depth(self, cluster: str) -> int:
        """Count the items of one cluster that are ready."""
        with self._lock:
            self._schedule.promote(self._clock.monotonic())
            return self._schedule.ready_of(cluster)

    def __bool__(self) -> bool:
        """Be true also when empty, so that ``queue or ...`` does not surprise."""
        return True

    @property
    def in_flight(self) -> int:
        """How many items are in work, also those of purged clusters."""
        return self._schedule.in_flight

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def failures(self, request: R) -> int:
        """Count the failures of a request since its last success."""
        with self._lock:
            return self._schedule.failures(request)

    def holders(self, cluster: str) -> frozenset[str]:
        """Name those who have paused a cluster."""
        with self._lock:
            return self._schedule.holders(cluster)

    def degraded(self, cluster: str) -> frozenset[str]:
        """Why a cluster is degraded; see `WorkQueue.degrade`."""
        with self._lock:
            return self._schedule.ills(cluster)

    def capped(self, cluster: str) -> bool:
        """Whether a cluster has ready items, and holds as many workers as it may."""
        with self._lock:
            return self._schedule.capped(cluster)

    def is_full(self, cluster: str) -> bool:
        """Whether a request of a cluster was refused, and `on_room` is still to say that there is room again."""
        with self._lock:
            return self._schedule.is_full(cluster)

    def standing(self, request: R) -> Standing | None:
        """Where a request stands; None if it neither waits nor is in work."""
        with self._lock:
            self._schedule.promote(self._clock.monotonic())
            return self._schedule.standing(request)

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts of the queue contradict each other; for tests."""
        with self._lock:
            self._schedule.check_invariants()

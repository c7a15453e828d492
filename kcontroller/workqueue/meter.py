"""The metrics of one queue, with their label children looked up once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import Gauge

    from kcontroller.process.metrics import Metrics
    from kcontroller.workqueue.reading import Reading

MAX_PRIORITIES: Final = 25
OVERFLOW: Final = "exceeded_cardinality_limit"


class QueueMeter:
    """Writes the `workqueue_*` families; the queue's name is both labels, as in controller-runtime.

    `queued` and `worked` take seconds and are called once per item, with the queue's lock held; everything else waits
    for a `Reading`.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        """Look the children up and make them visible with 0."""
        self._name = name
        self._lock = threading.Lock()  # Two scrapes may come at once.
        self._depth = metrics.queue_depth
        self._by_priority: dict[int, Gauge] = {}
        self._rest: Gauge | None = None
        self._adds = metrics.queue_adds.labels(name, name)
        self._retries = metrics.queue_retries.labels(name, name)
        self._refused = metrics.queue_refused.labels(name)
        self._unfinished = metrics.queue_unfinished.labels(name, name)
        self._longest = metrics.queue_longest.labels(name, name)
        self.queued = metrics.queue_seconds.labels(name, name).observe
        self.worked = metrics.queue_work_seconds.labels(name, name).observe
        self._write_depths({0: 0})

    def publish(self, reading: Reading) -> None:
        """Write a reading."""
        with self._lock:
            self._adds.inc(reading.adds)
            self._retries.inc(reading.retries)
            self._refused.inc(reading.refused)
            self._unfinished.set(reading.unfinished)
            self._longest.set(reading.longest)
            self._write_depths(reading.depths)

    def _write_depths(self, depths: Mapping[int, int]) -> None:
        # Priorities come from users: past the 25th all others share one series, as in controller-runtime.
        for priority in depths:
            if priority not in self._by_priority and len(self._by_priority) < MAX_PRIORITIES:
                self._by_priority[priority] = self._depth.labels(self._name, self._name, str(priority))
        for priority, gauge in self._by_priority.items():
            gauge.set(depths.get(priority, 0))
        rest = [depth for priority, depth in depths.items() if priority not in self._by_priority]
        if rest and self._rest is None:
            self._rest = self._depth.labels(self._name, self._name, OVERFLOW)
        if self._rest is not None:
            self._rest.set(sum(rest))

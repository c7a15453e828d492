"""The metrics of one controller: counted in numbers of its own, written when somebody collects them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from kcontroller.process.metrics import ERROR, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from kcontroller.controller.outcomes import Verdict
    from kcontroller.process.metrics import Metrics

    _Ending: TypeAlias = tuple[str | None, str, bool, bool]  # Cluster, label, terminal, panic.


class Tally:
    """Counts reconciles; every series exists from the start, so that a rate can be taken of the first error.

    Args:
        metrics: the families.
        controller: the label.
        workers: how many workers there are.
        in_flight: tells how many of them have an item.
    """

    def __init__(self, metrics: Metrics, controller: str, *, workers: int, in_flight: Callable[[], int]) -> None:
        labels = ("success", "error", "requeue", "requeue_after")
        self._by_cluster = metrics.cluster_reconciles
        self._total = {label: metrics.reconcile_total.labels(controller, label) for label in labels}
        self._errors = metrics.reconcile_errors.labels(controller)
        self._terminal = metrics.terminal_errors.labels(controller)
        self._panics = metrics.reconcile_panics.labels(controller)
        self._timeouts = metrics.reconcile_timeouts.labels(controller)
        self._seconds = metrics.reconcile_seconds.labels(controller)
        self._active = metrics.active_workers.labels(controller)
        self._stuck = metrics.stuck_reconciles.labels(controller)
        self._dropped = metrics.dropped_requests.labels(controller)
        metrics.max_concurrent.labels(controller).set(workers)
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._ended: Counter[_Ending] = Counter()
        metrics.before_collecting(self._publish)

    def ended(self, verdict: Verdict, cluster: str | None, *, seconds: float) -> None:
        """Count the end of a reconcile; `cluster` is None for one that has left, whose series are gone for good."""
        with self._lock:
            self._ended[cluster, verdict.label, verdict.terminal, verdict.panic] += 1
            self._seconds.observe(seconds)

    def took(self, seconds: float) -> None:
        """Take the time of a reconcile that was cut short, and counts for nothing else."""
        with self._lock:
            self._seconds.observe(seconds)

    def timed_out(self) -> None:
        """Count a reconcile whose deadline has passed; once each."""
        self._timeouts.inc()

    def stuck(self, count: int) -> None:
        """Show how many reconciles do not return."""
        self._stuck.set(count)

    def dropped(self) -> None:
        """Count a request that was not reconciled, since its cluster has left."""
        self._dropped.inc()

    def _publish(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, Counter()
        for (cluster, label, terminal, panic), count in ended.items():
            self._total[label].inc(count)
            if cluster is not None:
                self._by_cluster.labels(cluster, ERROR if label == ERROR else SUCCESS).inc(count)
            self._errors.inc(count if label == ERROR else 0)
            self._terminal.inc(count if terminal else 0)
            self._panics.inc(count if panic else 0)
        self._active.set(self._in_flight())

"""The metrics of one controller, with their label lookups done once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.controller.outcomes import Verdict
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics


class Tally:
    """Counts reconciles; every series exists from the start, so that a rate can be taken of the first error.

    Args:
        metrics: the families.
        controller: the label.
        workers: how many workers there are.
    """

    def __init__(self, metrics: Metrics, controller: str, *, workers: int) -> None:
        labels = ("success", "error", "requeue", "requeue_after")
        self._by_cluster = metrics.cluster_reconciles
        self._total = {label: metrics.reconcile_total.labels(controller, label) for label in labels}
        self._errors = metrics.reconcile_errors.labels(controller)
        self._terminal = metrics.terminal_errors.labels(controller)
        self._panics = metrics.reconcile_panics.labels(controller)
        self._timeouts = metrics.reconcile_timeouts.labels(controller)
        self._seconds = metrics.reconcile_seconds.labels(controller)
        self._active = metrics.active_workers.labels(controller)
        metrics.max_concurrent.labels(controller).set(workers)

    @contextlib.contextmanager
    def busy(self, clock: Clock) -> Iterator[None]:
        """Count a worker as active and take its time."""
        began = clock.monotonic()
        self._active.inc()
        try:
            yield
        finally:
            self._active.dec()
            self._seconds.observe(clock.monotonic() - began)

    def count(self, verdict: Verdict, cluster: str) -> None:
        """Count the end of a reconcile."""
        self._total[verdict.label].inc()
        self._by_cluster.labels(cluster, verdict.label).inc()
        if verdict.label == "error":
            self._errors.inc()
        if verdict.terminal:
            self._terminal.inc()
        if verdict.panic:
            self._panics.inc()

    def timed_out(self) -> None:
        """Count a reconcile whose deadline had passed when it returned."""
        self._timeouts.inc()

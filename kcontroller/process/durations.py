"""Histograms that cost their writers next to nothing.

`prometheus_client.Histogram.observe` takes two locks and walks over the buckets, a tenth of what a reconcile from the
cache costs. Here the writer already holds a lock of its own, and the samples are made when somebody collects them.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric


class Durations:
    """The seconds of one series. `observe` is called by one thread at a time: its callers share a lock."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count it."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds with the number of what lies below or at each."""
        names = map(floatToGoString, self._bounds)
        return list(zip(names, accumulate(self._counts), strict=True))

    @property
    def sum(self) -> float:
        """All seconds together."""
        return self._sum


class DurationFamily(Collector):
    """A histogram of seconds.

    Args:
        name: of the metric.
        text: its help.
        labels: their names.
        bounds: upper bounds of the buckets, ascending; +Inf is added.
        registry: where it is collected.
    """

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...], *, registry: CollectorRegistry
    ) -> None:
        self.name = name
        self._text = text
        self.label_names = labels
        self.bounds = (*bounds, math.inf)
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], Durations] = {}
        registry.register(self)

    def labels(self, *values: str) -> Durations:
        """Give the series of these label values, made now if it is new."""
        with self._lock:
            return self._series.setdefault(values, Durations(self.bounds))

    def describe(self) -> Iterable[Metric]:
        """Name the family without its series."""
        return [HistogramMetricFamily(self.name, self._text, labels=self.label_names)]

    def collect(self) -> Iterable[Metric]:
        """Give all series."""
        family = HistogramMetricFamily(self.name, self._text, labels=self.label_names)
        with self._lock:
            series = list(self._series.items())
        for values, durations in series:
            family.add_metric(values, durations.buckets(), durations.sum)
        return [family]

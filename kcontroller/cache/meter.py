"""What is measured of informers.

The manager's own cluster has series for each kind. A cluster of a fleet has one set for all of its kinds, under the
kind "": a thousand clusters with three kinds each would be tens of thousands of series otherwise. Which kind it is that
ails is said by readiness and the log. Counters of trouble appear when they first count.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from kcontroller.errors import Forbidden, KindNotServed, NotFound, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kcontroller.process.metrics import Metrics


class Health(enum.IntEnum):
    """How an informer fares; a greater number is worse."""

    LIVE = 0
    """Synced, and hears of news."""
    LISTING = 1
    """The first list is under way."""
    INTERRUPTED = 2
    """Synced, but gets no news; it tries again."""
    FAILING = 3
    """Has not seen its first list and meets an error; it tries again."""
    ABSENT = 4
    """The server does not serve the kind."""
    DENIED = 5
    """The credentials are not accepted, or have no right to list and watch."""

    @classmethod
    def of(cls, error: Exception | None, *, synced: bool) -> Health:
        """Judge by what is wrong now."""
        match error:
            case None:
                return cls.LIVE if synced else cls.LISTING
            case Forbidden() | Unauthorized():
                return cls.DENIED
            case KindNotServed() | NotFound():
                return cls.ABSENT
            case _:
                return cls.INTERRUPTED if synced else cls.FAILING


class Reading(msgspec.Struct, frozen=True):
    """One informer at one moment.

    Attributes:
        health: how it fares.
        objects: how many it holds.
        size: bytes of JSON.
        age: seconds since the server last sent something of it.
        list_seconds: how long its last complete list took; 0 before the first.
    """

    health: Health
    objects: int = 0
    size: int = 0
    age: float = 0.0
    list_seconds: float = 0.0


class InformerMeter:
    """The series that the informers of one kind in one cluster share.

    Args:
        metrics: where to count; None counts nothing.
        cluster: label.
        kind: label; "" for all kinds of the cluster.
    """

    def __init__(self, metrics: Metrics | None, *, cluster: str, kind: str) -> None:
        self._metrics = metrics
        self._labels = (cluster, kind)

    def count(self, family: str) -> None:
        """Add one to a counter such as ``informer_relists``."""
        if self._metrics is not None:
            getattr(self._metrics, family).labels(*self._labels).inc()

    def observe(self, readings: Sequence[Reading]) -> None:
        """Bring the gauges up to date: sums of objects and bytes, the worst of the rest."""
        if self._metrics is None or not readings:
            return
        found = {
            self._metrics.informer_objects: sum(each.objects for each in readings),
            self._metrics.informer_bytes: sum(each.size for each in readings),
            self._metrics.informer_state: max(each.health for each in readings),
            self._metrics.informer_last_event_age: max(each.age for each in readings),
            self._metrics.informer_list_seconds: max(each.list_seconds for each in readings),
        }
        for gauge, value in found.items():
            gauge.labels(*self._labels).set(value)

    def forget(self) -> None:
        """Drop the series."""
        if self._metrics is not None:
            self._metrics.forget_informers(*self._labels)

"""What is measured of informers.

The manager's own cluster has series for each kind. A cluster of a fleet has one set for all of its kinds, under the
kind "": a thousand clusters with three kinds each would be tens of thousands of series otherwise. Which kind it is that
ails is said by readiness and the log. Counters of rare trouble are kept by kind alone, for all clusters together.
Counters appear when they first count.
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
        cluster: its name.
        kind: such as ``v1 ConfigMap``; "" for all kinds of a cluster of a fleet.
    """

    def __init__(self, metrics: Metrics | None, *, cluster: str, kind: str) -> None:
        self._metrics = metrics
        self._fleet = bool(cluster)
        self._kind = kind
        self._labels = (cluster, "" if cluster else kind)

    def count_relist(self) -> None:
        """Count a list after the first one."""
        if self._metrics is not None:
            self._metrics.informer_relists.labels(*self._labels).inc()

    def count_reset(self) -> None:
        """Count that the server went back in time."""
        if self._metrics is not None:
            self._metrics.informer_resets.labels(self._kind).inc()

    def count_stale_answer(self) -> None:
        """Count an answer older than the cache."""
        if self._metrics is not None:
            self._metrics.informer_stale_answers.labels(self._kind).inc()

    def count_undecodable(self) -> None:
        """Count an object that could not be decoded."""
        if self._metrics is not None:
            self._metrics.informer_undecodable.labels(self._kind).inc()

    def observe(self, readings: Sequence[Reading]) -> None:
        """Bring the gauges up to date: sums of objects and bytes, the worst of the rest."""
        if self._metrics is None or not readings:
            return
        found = {
            self._metrics.informer_objects: sum(each.objects for each in readings),
            self._metrics.informer_bytes: sum(each.size for each in readings),
            self._metrics.informer_state: max(each.health for each in readings),
            self._metrics.informer_last_event_age: max(each.age for each in readings),
        }
        for gauge, value in found.items():
            gauge.labels(*self._labels).set(value)
        if not self._fleet:
            seconds = max(each.list_seconds for each in readings)
            self._metrics.informer_list_seconds.labels(self._kind).set(seconds)

    def forget(self) -> None:
        """Drop the series."""
        if self._metrics is not None:
            self._metrics.forget_informers(*self._labels)

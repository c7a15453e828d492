"""Which events are worth a request: client-go's rules, without I/O and without a clock of their own.

An event goes through three steps.

* Aggregation: of more than nine different messages of one controller about one object, with the same type and reason,
  only nine stay; what comes on top of them counts for one event, "(combined from similar events): ...". Ten minutes
  without any begin anew.
* Counting: an event that says the same as an earlier one becomes a count in that one.
* Spam filter: requests for one controller, object and type are paid with tokens, 25 at first and one more every five
  minutes. What cannot be paid is dropped, or counted for a later request.

How a count is told depends on the API. In core/v1 every repeat is a patch of count and lastTimestamp. In
events.k8s.io/v1 (KEP-383) the first repeat makes a series, later ones are counted here; `sweep` tells of the series
every half hour, and once more when it ends, after six minutes without a repeat.

Two deliberate differences from client-go: of ten messages the newest makes room, not a random one, so that the nine
that are known keep their own counts; and the recorder of events.k8s.io/v1, which has neither filter nor aggregation
there and forgets the note of a repeat, has both here, and only equal notes make a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from cachetools import LRUCache

from kcontroller.events.recorded import clipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kcontroller.events.recorded import RecordedEvent

CACHE_SIZE: Final = 4096
"""client-go: maxLruCacheEntries."""
SPAM_BURST: Final = 25
"""client-go: defaultSpamBurst."""
SPAM_SECONDS: Final = 300.0
"""Seconds for a token. client-go: defaultSpamQPS, 1/300."""
AGGREGATE_MESSAGES: Final = 10
"""client-go: defaultAggregateMaxEvents."""
AGGREGATE_SECONDS: Final = 600.0
"""client-go: defaultAggregateIntervalInSeconds."""
REFRESH_SECONDS: Final = 1800.0
"""client-go: refreshTime of a series."""
FINISH_SECONDS: Final = 360.0
"""client-go: finishTime of a series."""
EXPIRY_SECONDS: Final = 3600.0
"""kube-apiserver's default of --event-ttl: an event that was not written for so long is gone."""
COMBINED: Final = "(combined from similar events): "

_FULL: Final = SPAM_BURST * SPAM_SECONDS

_Source = tuple[str, ...]
V = TypeVar("V")


class Verdict(Enum):
    """What is to be done about an event."""

    CREATE = "create"
    PATCH = "patch"
    COUNTED = "counted"
    FILTERED = "filtered"


@dataclass(slots=True, eq=False)
class Record:
    """An event as the server has it, or will have.

    Attributes:
        event: what was recorded first.
        component: the controller.
        key: what makes another event the same.
        message: of the newest occurrence; differs from the first one's only where events are combined.
        first: when it happened first.
        last: when it happened last.
        count: how often it happened.
        told: the count that the server has; 0 before it has any.
        seen_at: monotonic seconds of the last occurrence.
        told_at: monotonic seconds of the last request.
        name: the name of its API object, once that was chosen.
        namespace: where that is.
    """

    event: RecordedEvent
    component: str
    key: _Source
    message: str
    first: datetime
    last: datetime
    seen_at: float
    told_at: float
    count: int = 1
    told: int = 0
    name: str = ""
    namespace: str = ""


@dataclass(slots=True)
class _Bucket:
    """Tokens, counted in the seconds that they take to come: sums of whole seconds have no rounding error."""

    seconds: float
    at: float


@dataclass(slots=True)
class _Group:
    messages: set[str]
    at: float


class Correlator:
    """The memory of one cluster's events; for one thread at a time.

    Args:
        size: how many objects, groups and events are remembered; the ones used least go first.
    """

    def __init__(self, *, size: int = CACHE_SIZE) -> None:
        self._buckets: LRUCache[_Source, _Bucket] = LRUCache(size)
        self._groups: LRUCache[_Source, _Group] = LRUCache(size)
        self._records: LRUCache[_Source, Record] = LRUCache(size)

    def observe(
        self, event: RecordedEvent, component: str, *, at: datetime, now: float, series: bool
    ) -> tuple[Verdict, Record | None]:
        """Take an event.

        Args:
            event: what was recorded.
            component: the controller that did.
            at: when, for people.
            now: monotonic seconds.
            series: whether the cluster has events.k8s.io/v1, where repeats are counted here.

        Returns:
            What to do, and with which record; none where nothing is to be sent and nothing counted.
        """
        regarding = event.regarding
        # Not the resourceVersion: an event of the next version is still the same event.
        about = (component, regarding.api_version, regarding.kind, regarding.namespace, regarding.name, regarding.uid)
        spam = (*about, event.type)
        message, key = self._aggregated(event, (*spam, event.reason), now)
        record = self._records.get(key)
        if record is None:
            if not self._pay(spam, now):
                return Verdict.FILTERED, None
            record = Record(event, component, key, message, at, at, now, now)
            self._records[key] = record
            return Verdict.CREATE, record
        record.count += 1
        record.last, record.seen_at, record.message = at, now, message
        if series and record.told > 1:
            return Verdict.COUNTED, record
        if not self._pay(spam, now):
            return Verdict.FILTERED, record
        return Verdict.PATCH, record

    def told(self, record: Record, count: int, *, now: float) -> None:
        """Note that the server has the record with this count."""
        record.told, record.told_at = count, now

    def forget(self, record: Record) -> None:
        """Forget a record that the server does not have; the next of its kind is a new one."""
        if self._records.get(record.key) is record:
            del self._records[record.key]

    def sweep(self, *, now: float, series: bool, ending: bool = False) -> list[Record]:
        """Forget what is over, and return the series whose count the server should hear of now.

        Args:
            now: monotonic seconds.
            series: as for `observe`.
            ending: take everything for over.
        """
        due = []
        for record in list(self._records.values()):
            ended = ending or now - record.seen_at >= (FINISH_SECONDS if series else EXPIRY_SECONDS)
            if series and record.count > record.told and (ended or now - record.told_at >= REFRESH_SECONDS):
                due.append(record)
            if ended:
                del self._records[record.key]
        # That changes nothing of what is decided: they are as good as new.
        _drop(self._groups, lambda group: ending or now - group.at > AGGREGATE_SECONDS)
        _drop(self._buckets, lambda bucket: ending or bucket.seconds + now - bucket.at >= _FULL)
        return due

    def __len__(self) -> int:
        """How many events are remembered."""
        return len(self._records)

    @property
    def remembered(self) -> int:
        """How much is remembered in all; what is left without an event only waits for `sweep`."""
        return len(self._records) + len(self._groups) + len(self._buckets)

    def _aggregated(self, event: RecordedEvent, group_key: _Source, now: float) -> tuple[str, _Source]:
        group = self._groups.get(group_key)
        if group is None or now - group.at > AGGREGATE_SECONDS:
            group = self._groups[group_key] = _Group(set(), now)
        group.at = now
        if event.message in group.messages:
            return event.message, (*group_key, event.action, event.message)
        if len(group.messages) < AGGREGATE_MESSAGES - 1:
            group.messages.add(event.message)
            return event.message, (*group_key, event.action, event.message)
        return clipped(COMBINED + event.message), group_key

    def _pay(self, spam: _Source, now: float) -> bool:
        bucket = self._buckets.get(spam)
        if bucket is None:
            bucket = self._buckets[spam] = _Bucket(_FULL, now)
        bucket.seconds = min(_FULL, bucket.seconds + now - bucket.at)
        bucket.at = now
        if bucket.seconds < SPAM_SECONDS:
            return False
        bucket.seconds -= SPAM_SECONDS
        return True


def _drop(cache: LRUCache[_Source, V], over: Callable[[V], bool]) -> None:
    for key in [key for key, value in cache.items() if over(value)]:
        del cache[key]

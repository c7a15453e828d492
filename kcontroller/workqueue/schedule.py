"""Which request is next, and when: the queue without lock, threads or clock."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from kcontroller.workqueue.delayed import DelayHeap
from kcontroller.workqueue.entry import DELAYED, IDLE, NEVER, PROCESSING, READY, Entry, Item, R
from kcontroller.workqueue.invariants import require
from kcontroller.workqueue.ready import ClusterShare, ReadyRings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.process.backoff import Backoff
    from kcontroller.workqueue.outcome import Outcome

_SLICE: Final = 1000  # Due entries moved in one go, so that a million of them cannot hold the lock for seconds.


@dataclass(frozen=True, slots=True)
class Reading:
    """What a schedule knows of itself at one moment.

    Attributes:
        depths: ready items by priority.
        adds: items that became ready since the reading before.
        retries: items added with a delay since the reading before.
        unfinished: seconds, the ages of all items in work together.
        longest: seconds, the age of the oldest item in work.
    """

    depths: Mapping[int, int]
    adds: int
    retries: int
    unfinished: float
    longest: float


class Schedule(Generic[R]):
    """The state of a queue and its steps; the caller brings the time (`now`, seconds) and takes one step at a time.

    Args:
        cap: workers one of several clusters with work may hold.
        alone: workers a cluster may hold that is alone with work; at least `cap`.
        backoff: seconds between the retries of one request.
    """

    def __init__(self, *, cap: int, backoff: Backoff, alone: float = math.inf) -> None:
        """Start empty."""
        self._backoff = backoff
        self._shares: dict[str, ClusterShare] = {}
        self._ready = ReadyRings(cap=cap, alone=alone)
        self._delayed = DelayHeap()
        self._processing: set[Entry] = set()
        self._adds = 0
        self._retries = 0

    @property
    def pickable(self) -> bool:
        """Whether `take` would return an item without looking at the time."""
        return self._ready.pickable

    @property
    def ready(self) -> int:
        """How many items are ready."""
        return self._ready.size

    @property
    def in_flight(self) -> int:
        """How many items are in work."""
        return len(self._processing)

    def ready_of(self, cluster: str) -> int:
        """How many items of one cluster are ready."""
        share = self._shares.get(cluster)
        return 0 if share is None else share.ready

    def in_flight_of(self, cluster: str) -> int:
        """How many items of one cluster are in work, also those from before a purge."""
        share = self._shares.get(cluster)
        return 0 if share is None else share.in_flight + share.left_over

    def failures(self, request: R) -> int:
        """Count the failures of a request since its last success."""
        share = self._shares.get(request.cluster)
        entry = None if share is None else share.entries.get(request)
        return 0 if entry is None else entry.failures

    def next_due(self) -> float:
        """When the first delay is over; infinite if there is none."""
        return self._delayed.head()

    def add(self, request: R, now: float, priority: int, after: float, reason: str) -> None:
        """Merge a wish into what is known of the request."""
        if after == math.inf:
            msg = f"{request} cannot be added after {after} seconds; give a finite number"
            raise ValueError(msg)
        entry = self._entry(request)
        entry.note(reason)
        due = now
        if after > 0:  # NaN is not
            self._retries += 1
            due += after
        state = entry.state
        if state is READY:
            if priority > entry.priority:
                self._ready.raise_to(entry, priority)
            return
        if state is DELAYED:
            if due >= entry.due:
                entry.priority = max(priority, entry.priority)
                return
            self._delayed.remove(entry)
        entry.want(due, priority)
        if state is not PROCESSING:
            self._place(entry, now)

    def take(self, now: float) -> Item[R] | None:
        """Hand out the next item, if any is ready and its cluster is open."""
        if self._delayed:
            self.promote(now)
        entry = self._ready.pop()
        if entry is None:
            return None
        self._processing.add(entry)
        return entry.hand_out(now)

    def give_back(self, item: Item[R], outcome: Outcome, now: float) -> float:
        """Apply an outcome and whatever was added meanwhile; returns the seconds the item was in work."""
        entry = self._claim(item)
        self._processing.discard(entry)
        left_over = entry.purged
        if left_over:
            entry.purged = False
        else:
            self._apply(entry, item, outcome, now)
        entry.state = IDLE
        entry.item = None
        share = entry.share
        # Before the release, so that the share of a single busy request does not leave the contenders for a moment.
        if entry.due < NEVER:
            self._place(entry, now)
        elif not entry.failures:
            del share.entries[entry.request]
        if left_over:
            share.left_over -= 1
        else:
            self._ready.release(share)
        if not share.entries:
            self._prune(share)
        return now - entry.started

    def promote(self, now: float) -> None:
        """Make ready what is due, up to a thousand entries at a time."""
        for _ in range(_SLICE):
            entry = self._delayed.pop_due(now)
            if entry is None:
                return
            self._make_ready(entry)

    def purge(self, cluster: str) -> object:
        """Forget a cluster; returns what was forgotten, for the caller to free where it delays nobody."""
        share = self._shares.get(cluster)
        if share is None:
            return None
        dropped = share.entries
        share.entries = {}
        self._ready.clear(share)
        for request, entry in dropped.items():
            if entry.state is DELAYED:
                self._delayed.remove(entry)
            elif entry.state is PROCESSING:
                entry.purged = True
                entry.failures = 0
                entry.clear()
                share.entries[request] = entry
        self._prune(share)
        return dropped

    def purge_all(self) -> object:
        """Forget every cluster; returns what was forgotten."""
        return [self.purge(cluster) for cluster in list(self._shares)]

    def pause(self, cluster: str) -> None:
        """Hand out nothing of a cluster."""
        self._ready.pause(self._share(cluster))

    def resume(self, cluster: str) -> None:
        """Hand out what a cluster has."""
        share = self._shares.get(cluster)
        if share is not None:
            self._ready.resume(share)
            self._prune(share)

    def read(self, now: float) -> Reading:
        """Sum up for the metrics; counts start anew."""
        depths: Counter[int] = Counter()
        for share in self._shares.values():
            depths.update({priority: len(lane) for priority, lane in share.lanes.items()})
        ages = [now - entry.started for entry in self._processing]
        reading = Reading(depths, self._adds, self._retries, sum(ages), max(ages, default=0.0))
        self._adds = self._retries = 0
        return reading

    def _share(self, cluster: str) -> ClusterShare:
        share = self._shares.get(cluster)
        if share is None:
            share = self._shares[cluster] = ClusterShare(cluster)
        return share

    def _prune(self, share: ClusterShare) -> None:
        if not share.entries and not share.paused:
            del self._shares[share.name]

    def _entry(self, request: R) -> Entry:
        share = self._share(request.cluster)
        entry = share.entries.get(request)
        if entry is None:
            entry = share.entries[request] = Entry(request, share)
        return entry

    def _claim(self, item: Item[R]) -> Entry:
        share = self._shares.get(item.request.cluster)
        entry = None if share is None else share.entries.get(item.request)
        if entry is None or entry.item is not item:
            msg = f"{item.request} is not in work here; call done once, with the item that get returned"
            raise ValueError(msg)
        return entry

    def _apply(self, entry: Entry, item: Item[R], outcome: Outcome, now: float) -> None:
        delay = outcome.delay
        if outcome.forgets:
            entry.failures = 0
        elif outcome.fails:
            entry.failures += 1
            delay = self._backoff.delay(entry.failures)
        if delay is None:
            return
        if outcome.holds:
            entry.take_back(item)
        else:
            self._retries += delay > 0
            entry.note("retry" if outcome.fails else "requeue")
        entry.want(now + delay, item.priority if outcome.priority is None else outcome.priority)

    def _place(self, entry: Entry, now: float) -> None:
        if entry.due <= now:
            self._make_ready(entry)
        else:
            entry.state = DELAYED
            self._delayed.push(entry)

    def _make_ready(self, entry: Entry) -> None:
        entry.state = READY
        self._adds += 1
        self._ready.push(entry)

    def check_invariants(self) -> None:
        """Raise AssertionError if the parts contradict each other; for tests."""
        shares = self._shares
        self._ready.check_invariants(shares.values())
        self._delayed.check_invariants()
        entries = [entry for share in shares.values() for entry in share.entries.values()]
        states = Counter(entry.state for entry in entries)
        facts = {
            "DELAYED entries are those in the heap": states[DELAYED] == len(self._delayed),
            "PROCESSING entries are those in work": states[PROCESSING] == len(self._processing),
            "IDLE entries have failures": all(entry.failures for entry in entries if entry.state is IDLE),
            "entries are in their share": all(entry.share is shares[entry.request.cluster] for entry in entries),
            "shares hold something": all(share.entries or share.paused for share in shares.values()),
        }
        require("schedule", facts)

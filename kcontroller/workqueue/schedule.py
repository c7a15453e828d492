"""Which request is next, and when: the queue without lock, threads or clock."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, Literal

from kcontroller.workqueue.delayed import DelayHeap
from kcontroller.workqueue.entry import DELAYED, IDLE, NEVER, PROCESSING, READY, Entry, Item, R
from kcontroller.workqueue.invariants import require
from kcontroller.workqueue.paces import SLOW, UNKNOWN_SECONDS
from kcontroller.workqueue.reading import Reading, Standing
from kcontroller.workqueue.ready import ReadyRings
from kcontroller.workqueue.share import COMMAND, NOBODY, ClusterShare

if TYPE_CHECKING:
    from collections.abc import Sized

    from kcontroller.workqueue.bound import Bound
    from kcontroller.workqueue.outcome import Outcome
    from kcontroller.workqueue.paces import Paces
    from kcontroller.workqueue.retries import Retries

_SLICE: Final = 1000  # Due entries moved in one go, so that a million of them cannot hold the lock for seconds.


class Schedule(Generic[R]):
    """The state of a queue and its steps; the caller brings the time (`now`, seconds) and takes one step at a time.

    Args:
        cap: workers one of several clusters with work may hold.
        alone: workers a cluster may hold that is alone with work; at least `cap`.
        ill: workers that all degraded clusters may hold together; None for as many as `cap`.
        retries: seconds until a request that failed comes again.
        bound: how many requests of one cluster may be ready; a new one beyond it is refused, unless it must not be.
        paces: finds the clusters that are slow; None if nobody looks.

    Attributes:
        pickable: not empty as long as `take` would return an item without looking at the time.
    """

    def __init__(
        self,
        *,
        cap: int,
        retries: Retries,
        alone: float = math.inf,
        ill: int | None = None,
        bound: Bound,
        paces: Paces | None = None,
    ) -> None:
        """Start empty."""
        self._paces = paces
        self._after_failures = retries
        self._bound = bound
        self._full = bound.full
        self._shares: dict[str, ClusterShare] = {}
        self._ready = ReadyRings(cap=cap, alone=alone, ill=ill)
        self._delayed = DelayHeap()
        self.pickable: Sized = self._ready.levels
        self._processing: dict[int, Entry] = {}  # By the identity of their item.
        self._weights: dict[str, int] = {}
        self._ills: dict[str, frozenset[str]] = {}
        self._held: set[Entry] = set()  # Of the DELAYED ones those whose worker found it too early.
        self._adds = 0
        self._retries = 0

    @property
    def ready(self) -> int:
        """How many items are ready."""
        return self._ready.size

    @property
    def in_flight(self) -> int:
        """How many items are in work."""
        return len(self._processing)

    def is_idle(self, now: float) -> bool:
        """Whether nothing is ready, in work, held or due."""
        return not self._ready.size and not self._processing and not self._held and self._delayed.head() > now

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

    def standing(self, request: R) -> Standing | None:
        """Where a request stands; None if it is not known."""
        share = self._shares.get(request.cluster)
        entry = None if share is None else share.entries.get(request)
        if entry is None:
            return None
        item = entry.item
        if item is not None:
            return Standing("processing", entry.since, entry.due, item.priority, entry.failures, item.reasons)
        if entry.state is READY:
            return Standing("ready", entry.due, entry.due, entry.priority, entry.failures, entry.reasons)
        state: Literal["held", "delayed"] = "held" if entry in self._held else "delayed"
        return Standing(state, entry.since, entry.due, entry.priority, entry.failures, entry.reasons)

    def capped(self, cluster: str) -> bool:
        """Whether a cluster has ready items that wait for workers of its own."""
        share = self._shares.get(cluster)
        return share is not None and share.ready > 0 and not share.holders and not self._ready.is_open(share)

    def is_full(self, cluster: str) -> bool:
        """Whether a request of a cluster was refused, and not half of what was ready is handed out since."""
        share = self._shares.get(cluster)
        return share is not None and share in self._full

    def next_due(self) -> float:
        """When the first delay is over; infinite if there is none."""
        return self._delayed.head()

    def add(
        self, request: R, now: float, priority: int, after: float, reason: str, *, may_refuse: bool = False
    ) -> bool:
        """Merge a wish into what is known of the request; False if it is new, may be refused, and its cluster full."""
        if after == math.inf:
            msg = f"{request} cannot be added after {after} seconds; give a finite number"
            raise ValueError(msg)
        entry = self._entry(request)
        state = entry.state
        if may_refuse and state is IDLE and entry.share.ready >= self._bound.limit:
            self._bound.refuse(entry.share)
            del entry.share.entries[request]
            return False
        entry.note(reason)
        due = now
        if after > 0:  # NaN is not
            self._retries += 1
            due += after
        if state is READY:
            if priority > entry.priority:
                self._ready.raise_to(entry, priority)
            return True
        if state is DELAYED:
            if due >= entry.due:
                entry.priority = max(priority, entry.priority)
                return True
            self._delayed.remove(entry)
            if due <= now:
                self._held.discard(entry)
        entry.want(due, priority)
        if state is not PROCESSING:
            self._place(entry, now)
        return True

    def take(self, now: float) -> Item[R] | None:
        """Hand out the next item, if any is ready and its cluster is open."""
        if self._delayed.live:
            self.promote(now)
        entry = self._ready.pop()
        if entry is None:
            return None
        if self._full:
            self._bound.note_taken(entry.share)
        item = entry.hand_out(now)
        self._processing[id(item)] = entry
        return item

    def give_back(self, item: Item[R], outcome: Outcome, now: float) -> float:
        """Apply an outcome and whatever was added meanwhile; returns the seconds the item was in work."""
        entry = self._processing.pop(id(item), None)
        if entry is None:
            msg = f"{item.request} is not in work here; call done once, with the item that get returned"
            raise ValueError(msg)
        worked = now - entry.since
        purged, entry.purged = entry.purged, False
        if not purged:
            if outcome.forgets:
                entry.failures = 0
            if outcome.fails or outcome.delay is not None:
                self._add_again(entry, item, outcome, now)
        entry.state = IDLE
        entry.item = None
        share = entry.share
        # Before the release, so that the share of a single busy request does not leave the contenders for a moment.
        if entry.due < NEVER:
            self._place(entry, now)
            if outcome.holds and not purged and entry.state is DELAYED:
                self._held.add(entry)
        else:
            del share.entries[entry.request]
        self._put_back(entry)
        if entry.left_over:
            entry.left_over = False
            share.left_over -= 1
        else:
            self._ready.release(share)
        if not share.entries:
            self._prune(share)
        if self._paces is not None and not purged and outcome.works:
            self._paces.note(share.name, worked, now)
            self.look_if_due(now)
        return worked

    def abandon(self, item: Item[R]) -> None:
        """Count an item against no cap any more; nothing happens if it is not in work."""
        entry = self._processing.get(id(item))
        if entry is not None and not entry.left_over:
            self._put_back(entry)
            entry.left_over = True
            self._ready.leave_over(entry.share)

    def set_aside(self, item: Item[R], now: float) -> bool:
        """Count an item of a degraded cluster not against the ward, if others should have the worker that it holds.

        That is if those that are ill have more in work than they may, or some of them wait and this one hangs.
        """
        entry = self._processing.get(id(item))
        if entry is None or entry.aside or entry.left_over or not entry.share.ill:
            return False
        if not self._ready.overfull and not (self._ready.crowded and now > entry.since + UNKNOWN_SECONDS):
            return False
        entry.aside = True
        self._ready.set_aside(entry.share)
        return True

    def lags(self, item: Item[R], now: float) -> bool:
        """Whether something that may be taken is ready while an item takes far longer than those of most clusters."""
        entry, paces = self._processing.get(id(item)), self._paces
        return bool(self.pickable) and entry is not None and paces is not None and now > entry.since + paces.lag

    def _put_back(self, entry: Entry) -> None:
        if entry.aside:
            entry.aside = False
            self._ready.put_back(entry.share)

    def promote(self, now: float) -> None:
        """Make ready what is due, up to a thousand entries at a time."""
        for _ in range(_SLICE):
            entry = self._delayed.pop_due(now)
            if entry is None:
                return
            self._held.discard(entry)
            self._make_ready(entry)

    def purge(self, cluster: str) -> object:
        """Forget a cluster; returns what was forgotten, for the caller to free where it delays nobody."""
        if self._paces is not None:
            self._paces.forget(cluster)
            self.recover(cluster, SLOW)
        share = self._shares.get(cluster)
        if share is None:
            return None
        return self._forget(share, share.holders & {COMMAND})

    def purge_all(self) -> object:
        """Forget every cluster; returns what was forgotten."""
        return [self._forget(share, NOBODY) for share in list(self._shares.values())]

    def _forget(self, share: ClusterShare, holders: frozenset[str]) -> object:
        dropped = share.entries
        share.entries = {}
        self._bound.full.discard(share)
        self._ready.clear(share)
        self._ready.hold(share, holders)
        for request, entry in dropped.items():
            if entry.state is DELAYED:
                self._delayed.remove(entry)
                self._held.discard(entry)
            elif entry.state is PROCESSING:
                entry.purged = entry.left_over = True
                entry.aside = False
                entry.failures = 0
                entry.clear()
                share.entries[request] = entry
        self._prune(share)
        return dropped

    def pause(self, cluster: str, holder: str) -> None:
        """Hand out nothing of a cluster until this holder and all others have resumed it."""
        share = self._share(cluster)
        self._ready.hold(share, share.holders | {holder})

    def resume(self, cluster: str, holder: str) -> None:
        """Let go of a cluster for this holder."""
        share = self._shares.get(cluster)
        if share is not None:
            self._ready.hold(share, share.holders - {holder})
            self._prune(share)

    def holders(self, cluster: str) -> frozenset[str]:
        """Who has paused a cluster."""
        share = self._shares.get(cluster)
        return NOBODY if share is None else share.holders

    def weigh(self, cluster: str, weight: int) -> None:
        """Hand out so many of a cluster's items in each of its turns."""
        if weight == 1:
            self._weights.pop(cluster, None)
        else:
            self._weights[cluster] = weight
        share = self._shares.get(cluster)
        if share is not None:
            share.bonus = share.extra = weight - 1

    def degrade(self, cluster: str, why: str) -> None:
        """Let a cluster share the turn and the workers of one with all others that are degraded."""
        self._ills[cluster] = self.ills(cluster) | {why}
        self._settle(cluster)

    def recover(self, cluster: str, why: str) -> None:
        """Take back what this one said of a cluster; it counts for itself when nobody says so any more."""
        ills = self._ills.pop(cluster, NOBODY) - {why}
        if ills:
            self._ills[cluster] = ills
        self._settle(cluster)

    def ills(self, cluster: str) -> frozenset[str]:
        """Why a cluster is degraded."""
        return self._ills.get(cluster, NOBODY)

    def look_if_due(self, now: float) -> None:
        """Degrade and recover those that became slow, or well, since the last look."""
        paces = self._paces
        if paces is None or now < paces.look_at:
            return
        in_work = [(entry.share.name, entry.since) for entry in self._processing.values() if not entry.purged]
        for name, is_slow in paces.look(now, in_work).items():
            (self.degrade if is_slow else self.recover)(name, SLOW)

    def _settle(self, cluster: str) -> None:
        share = self._shares.get(cluster)
        if share is not None:
            self._ready.move(share, ill=cluster in self._ills)

    def read(self, now: float) -> Reading:
        """Sum up for the metrics; counts start anew."""
        depths: Counter[int] = Counter()
        for share in self._shares.values():
            depths.update({priority: len(lane) for priority, lane in share.lanes.items()})
        ages = [now - entry.since for entry in self._processing.values()]
        reading = Reading(depths, self._adds, self._retries, self._bound.refused, sum(ages), max(ages, default=0.0))
        self._adds = self._retries = self._bound.refused = 0
        return reading

    def _share(self, cluster: str) -> ClusterShare:
        share = self._shares.get(cluster)
        if share is None:
            ill = cluster in self._ills
            share = self._shares[cluster] = ClusterShare(cluster, weight=self._weights.get(cluster, 1), ill=ill)
        return share

    def _prune(self, share: ClusterShare) -> None:
        if not share.entries and not share.holders:
            del self._shares[share.name]

    def _entry(self, request: R) -> Entry:
        share = self._share(request.cluster)
        entry = share.entries.get(request)
        if entry is None:
            entry = share.entries[request] = Entry(request, share)
        return entry

    def _add_again(self, entry: Entry, item: Item[R], outcome: Outcome, now: float) -> None:
        if outcome.fails:
            entry.failures += 1
            delay = self._after_failures.delay(entry.failures, now)
        else:
            delay = outcome.delay or 0.0
        if outcome.holds:
            entry.take_back(item)
        else:
            self._retries += delay > 0
            entry.note("retry" if outcome.fails else "requeue")
            if outcome.fails:
                entry.recall(item)  # Why it was asked for in the first place is still true.
        entry.want(now + delay, item.priority if outcome.priority is None else outcome.priority)

    def _place(self, entry: Entry, now: float) -> None:
        if entry.due <= now:
            self._make_ready(entry)
        else:
            entry.state = DELAYED
            entry.since = now
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
        self._bound.check_invariants()
        entries = [entry for share in shares.values() for entry in share.entries.values()]
        states = Counter(entry.state for entry in entries)
        facts = {
            "DELAYED entries are those in the heap": states[DELAYED] == self._delayed.live,
            "full shares are known": all(shares.get(share.name) is share for share in self._bound.full),
            "held entries are DELAYED": all(entry.state is DELAYED for entry in self._held),
            "PROCESSING entries are those in work": states[PROCESSING] == len(self._processing),
            "they are found by their item": all(id(each.item) == item for item, each in self._processing.items()),
            "between two steps no entry is IDLE": not states[IDLE],
            "entries are in their share": all(entry.share is shares[entry.request.cluster] for entry in entries),
            "shares hold something": all(share.entries or share.holders for share in shares.values()),
        }
        require("schedule", facts)

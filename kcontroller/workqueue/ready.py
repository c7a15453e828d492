"""The entries that can be worked on now: per priority a ring of clusters, each a queue in order of arrival."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kcontroller.workqueue.entry import PROCESSING, READY
from kcontroller.workqueue.invariants import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.workqueue.entry import Entry

AGING: Final = 16
"""Every so many picks one goes a level lower."""

COMMAND: Final = "command"
"""Who holds a pause that outlasts a purge: people name a cluster, and mean also the one that comes back under it."""

NOBODY: Final[frozenset[str]] = frozenset()

# OrderedDict and not dict: taking the first key of a dict walks over all that were deleted before it.
_Lane: TypeAlias = "OrderedDict[Entry, None]"


class ClusterShare:
    """A cluster's part of the queue: its entries, its lanes (one per priority), and what it holds of the workers.

    A share is *open* if its entries may be handed out: nobody holds it back (`holders`), and it is below its cap. What
    was in flight when the cluster was purged, or was abandoned, is *left over*: it counts no longer, or a reconcile
    that never ends would starve the successor.
    """

    __slots__ = ("entries", "holders", "in_flight", "lanes", "left_over", "name", "open", "ready")

    def __init__(self, name: str) -> None:
        """Start empty and open."""
        self.name = name
        self.entries: dict[Any, Entry] = {}
        self.lanes: dict[int, _Lane] = {}
        self.ready = 0
        self.in_flight = 0
        self.left_over = 0
        self.holders = NOBODY
        self.open = True

    @property
    def has_work(self) -> bool:
        """Whether it competes for workers; a paused cluster does not."""
        return not self.holders and (self.ready > 0 or self.in_flight > 0)


class ReadyRings:
    """Chooses the next entry.

    The highest level goes first and within a level the clusters take turns, one entry each: deficit round robin with
    all weights and costs 1. While two or more clusters have work none gets more than `cap` workers; one that is alone
    with work gets `alone`.

    Invariants: a ring holds exactly the lanes of open shares, and no lane or ring is ever empty, so that there is
    something to pick exactly if there is a ring. An entry is in the lane of its own priority.
    """

    def __init__(self, *, cap: int, alone: float = math.inf) -> None:
        """Start empty; `cap` is the number of workers one of several clusters may hold, at most `alone`."""
        self._cap = cap
        self._alone = alone
        self._rings: dict[int, OrderedDict[ClusterShare, _Lane]] = {}
        self._order: list[int] = []  # The negated priorities of the rings, ascending: the highest comes first.
        self._contenders: OrderedDict[ClusterShare, None] = OrderedDict()
        self._picks = 0
        self.size = 0

    @property
    def pickable(self) -> bool:
        """Whether `pop` would return an entry."""
        return bool(self._order)

    def push(self, entry: Entry) -> None:
        """Append a READY entry to the lane of its priority."""
        share = entry.share
        if not share.ready and not share.in_flight and not share.holders:
            self._join(share)
        share.ready += 1
        self.size += 1
        self._append(entry)

    def pop(self) -> Entry | None:
        """Take the next entry out and count it as in flight until `release`; None if every share is empty or closed."""
        if not self._order:
            return None
        self._picks += 1
        place = 0 if self._picks % AGING else self._steps_down()
        priority = -self._order[place]
        ring = self._rings[priority]
        share, lane = next(iter(ring.items()))
        entry, _ = lane.popitem(last=False)
        if lane:
            ring.move_to_end(share)
        else:
            self._drop_lane(share, priority)
        self.size -= 1
        share.ready -= 1
        share.in_flight += 1
        if share.in_flight >= self._cap:
            self._review(share)
        return entry

    def _steps_down(self) -> int:
        # One in 16 picks goes to the second level, one in 256 to the third: a full second level starves nobody either.
        steps, picks = 0, self._picks
        while picks % AGING == 0 and steps < len(self._order) - 1:
            steps += 1
            picks //= AGING
        return steps

    def release(self, share: ClusterShare) -> None:
        """Give back the worker that `pop` counted."""
        share.in_flight -= 1
        if not share.ready and not share.in_flight:
            self._leave(share)
        self._review(share)

    def leave_over(self, share: ClusterShare) -> None:
        """Give back the worker that `pop` counted although it goes on: it is replaced."""
        share.left_over += 1
        self.release(share)

    def raise_to(self, entry: Entry, priority: int) -> None:
        """Move an entry to the tail of a higher level."""
        self._take_out(entry)
        entry.priority = priority
        self._append(entry)

    def hold(self, share: ClusterShare, holders: frozenset[str]) -> None:
        """Say who holds a share back: while anybody does it is closed, and what it has stays in place."""
        share.holders = holders
        if share.has_work:
            self._join(share)
        else:
            self._leave(share)
        self._review(share)

    def clear(self, share: ClusterShare) -> None:
        """Take all entries of a share out; what is in flight is left over from now on."""
        for priority in list(share.lanes):
            self._drop_lane(share, priority)
        self.size -= share.ready
        share.ready = 0
        share.left_over += share.in_flight
        share.in_flight = 0
        self._leave(share)
        self._review(share)

    def _append(self, entry: Entry) -> None:
        share, priority = entry.share, entry.priority
        lane = share.lanes.get(priority)
        if lane is None:
            lane = share.lanes[priority] = OrderedDict()
            if share.open:
                self._link(share, priority, lane)
        lane[entry] = None

    def _take_out(self, entry: Entry) -> None:
        lane = entry.share.lanes[entry.priority]
        del lane[entry]
        if not lane:
            self._drop_lane(entry.share, entry.priority)

    def _drop_lane(self, share: ClusterShare, priority: int) -> None:
        del share.lanes[priority]
        if share.open:
            self._unlink(share, priority)

    def _link(self, share: ClusterShare, priority: int, lane: _Lane) -> None:
        ring = self._rings.get(priority)
        if ring is None:
            ring = self._rings[priority] = OrderedDict()
            insort(self._order, -priority)
        ring[share] = lane

    def _unlink(self, share: ClusterShare, priority: int) -> None:
        ring = self._rings[priority]
        del ring[share]
        if not ring:
            del self._rings[priority]
            del self._order[bisect_left(self._order, -priority)]

    def _join(self, share: ClusterShare) -> None:
        self._contenders[share] = None
        if len(self._contenders) == 2:  # noqa: PLR2004 - with the second cluster contention begins
            self._review(next(iter(self._contenders)))

    def _leave(self, share: ClusterShare) -> None:
        if share in self._contenders:
            del self._contenders[share]
            if len(self._contenders) == 1:
                self._review(next(iter(self._contenders)))

    def _review(self, share: ClusterShare) -> None:
        """Open or close a share by what is true now.

        Contention begins and ends with the second cluster, so only the first one's answer can change with it.
        """
        may = not share.holders and not self._is_capped(share)
        if may is share.open:
            return
        share.open = may
        for priority, lane in share.lanes.items():
            if may:
                self._link(share, priority, lane)
            else:
                self._unlink(share, priority)

    def _is_capped(self, share: ClusterShare) -> bool:
        return share.in_flight >= (self._cap if len(self._contenders) > 1 else self._alone)

    def check_invariants(self, shares: Iterable[ClusterShare]) -> None:
        """Raise AssertionError if the class's invariants do not hold for all shares there are; for tests."""
        shares = list(shares)
        for share in shares:
            self._check_share(share)
        linked = {(priority, share.name) for priority, ring in self._rings.items() for share in ring}
        facts = {
            "the rings are the lanes of the open shares": linked
            == {(priority, share.name) for share in shares if share.open for priority in share.lanes},
            "no ring is empty": all(self._rings.values()),
            "the levels are sorted": self._order == sorted(-priority for priority in self._rings),
            "the size is the sum of the shares": self.size == sum(share.ready for share in shares),
            "the contenders are those with work": set(self._contenders) == {one for one in shares if one.has_work},
        }
        require("ready rings", facts)

    def _check_share(self, share: ClusterShare) -> None:
        states = [entry.state for entry in share.entries.values()]
        placed = [(priority, entry) for priority, lane in share.lanes.items() for entry in lane]
        facts = {
            "no lane is empty": all(share.lanes.values()),
            "ready is counted": share.ready == states.count(READY) == len(placed),
            "in flight is counted": share.in_flight + share.left_over == states.count(PROCESSING),
            "left over is counted": share.left_over == sum(entry.left_over for entry in share.entries.values()),
            "each entry is READY in its lane": all(
                entry.state is READY and entry.priority == priority for priority, entry in placed
            ),
            "it is open unless paused or at its cap": share.open is not (bool(share.holders) or self._is_capped(share)),
        }
        require(f"cluster {share.name!r}", facts)

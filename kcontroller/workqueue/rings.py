"""The entries that can be worked on now: per priority a ring of clusters, each a queue in order of arrival."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from kcontroller.workqueue.entry import PROCESSING, READY
from kcontroller.workqueue.invariants import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.workqueue.entry import Entry
    from kcontroller.workqueue.share import ClusterShare, Lane

AGING: Final = 16
"""Every so many picks one goes a level lower."""


class Rings:
    """Chooses the next entry.

    The highest level goes first and within a level the clusters take turns, as many entries each as they weigh: deficit
    round robin with all costs 1. While two or more clusters have work none gets more than `cap` workers; one that is
    alone with work gets `alone`.

    Invariants: a ring holds exactly the lanes of open shares, and no lane or ring is ever empty, so that there is
    something to pick exactly if there is a ring. An entry is in the lane of its own priority.

    Attributes:
        levels: the negated priorities of the rings, ascending: the highest comes first. Always the same list; `pop`
            returns an entry as long as it is not empty.
        size: how many entries there are, also of shares that are closed.
        ill: whose shares stand here; those of the others stand in the ward.
        ward: where shares stand that are ill; see `ready`.
        contenders: the shares that have work, and are not held back.
    """

    ill = False

    def __init__(self, *, cap: int, alone: float = math.inf) -> None:
        """Start empty; `cap` is the number of workers one of several clusters may hold, at most `alone`."""
        self._cap = self._ward_cap = cap
        self._alone = alone
        self._limit = alone  # Of these two the one that holds now.
        self._rings: dict[int, OrderedDict[ClusterShare, Lane]] = {}
        self.contenders: OrderedDict[ClusterShare, None] = OrderedDict()
        self._picks = 0
        self.ward: Rings = self
        self.levels: list[int] = []
        self.size = 0

    def push(self, entry: Entry) -> None:
        """Append a READY entry to the lane of its priority."""
        share = entry.share
        if share.ill is not self.ill:
            self.size += 1
            self.ward.push(entry)
            return
        if not share.ready and not share.in_flight and not share.holders:
            self.join(share)
        share.ready += 1
        self.size += 1
        self._append(entry)

    def pop(self, priority: int | None = None) -> Entry | None:
        """Take the next entry out and count it as in flight until `release`; None if every share is empty or closed.

        Args:
            priority: of this level, which must be there; None for the one whose turn it is.
        """
        if priority is None:
            if not self.levels:
                return None
            self._picks += 1
            place = 0 if self._picks % AGING else self._steps_down()
            priority = -self.levels[place]
        ring = self._rings[priority]
        share, lane = next(iter(ring.items()))
        if share.ill is not self.ill:
            entry = self.ward.pop(priority)
            self.size -= 1
            if share in ring:
                ring.move_to_end(share)
            return entry
        entry, _ = lane.popitem(last=False)
        if not lane:
            self._drop_lane(share, priority)
            share.extra = share.bonus
        elif share.extra:
            share.extra -= 1
        else:
            ring.move_to_end(share)
            share.extra = share.bonus
        self.size -= 1
        share.ready -= 1
        share.in_flight += 1
        if share.in_flight >= self._limit:
            self.review(share)
        return entry

    def _steps_down(self) -> int:
        # One in 16 picks goes to the second level, one in 256 to the third: a full second level starves nobody either.
        steps, picks = 0, self._picks
        while picks % AGING == 0 and steps < len(self.levels) - 1:
            steps += 1
            picks //= AGING
        return steps

    def release(self, share: ClusterShare) -> None:
        """Give back the worker that `pop` counted."""
        if share.ill is not self.ill:
            self.ward.release(share)
            return
        share.in_flight -= 1
        if not share.ready and not share.in_flight:
            self.leave(share)
        if not share.open:
            self.review(share)

    def leave_over(self, share: ClusterShare) -> None:
        """Give back the worker that `pop` counted although it goes on: it is replaced."""
        share.left_over += 1
        self.release(share)

    def raise_to(self, entry: Entry, priority: int) -> None:
        """Move an entry to the tail of a higher level."""
        if entry.share.ill is not self.ill:
            self.ward.raise_to(entry, priority)
            return
        self._take_out(entry)
        entry.priority = priority
        self._append(entry)

    def hold(self, share: ClusterShare, holders: frozenset[str]) -> None:
        """Say who holds a share back: while anybody does it is closed, and what it has stays in place."""
        if share.ill is not self.ill:
            self.ward.hold(share, holders)
            return
        share.holders = holders
        if share.has_work:
            self.join(share)
        else:
            self.leave(share)
        self.review(share)

    def clear(self, share: ClusterShare) -> None:
        """Take all entries of a share out; what is in flight is left over from now on."""
        if share.ill is not self.ill:
            self.size -= share.ready
            self.ward.clear(share)
            return
        for priority in list(share.lanes):
            self._drop_lane(share, priority)
        self.size -= share.ready
        share.ready = 0
        share.left_over += share.in_flight
        share.in_flight = share.aside = 0
        share.extra = share.bonus
        self.leave(share)
        self.review(share)

    def is_open(self, share: ClusterShare) -> bool:
        """Whether entries of a share may be handed out."""
        return share.open

    def _append(self, entry: Entry) -> None:
        share, priority = entry.share, entry.priority
        lane = share.lanes.get(priority)
        if lane is None:
            lane = share.lanes[priority] = OrderedDict()
            if share.open:
                self.link(share, priority, lane)
        lane[entry] = None

    def _take_out(self, entry: Entry) -> None:
        lane = entry.share.lanes[entry.priority]
        del lane[entry]
        if not lane:
            self._drop_lane(entry.share, entry.priority)

    def _drop_lane(self, share: ClusterShare, priority: int) -> None:
        del share.lanes[priority]
        if share.open:
            self.unlink(share, priority)

    # ---- also for the other side of the ward -------------------------------------------------------------------------

    def link(self, share: ClusterShare, priority: int, lane: Lane) -> None:
        """Put a lane of a share that is open at the end of its ring; at the head while its turn is not over."""
        ring = self._rings.get(priority)
        if ring is None:
            ring = self._rings[priority] = OrderedDict()
            insort(self.levels, -priority)
        ring[share] = lane
        if share.extra < share.bonus:
            ring.move_to_end(share, last=False)

    def unlink(self, share: ClusterShare, priority: int) -> None:
        """Take it out."""
        ring = self._rings[priority]
        del ring[share]
        if not ring:
            del self._rings[priority]
            del self.levels[bisect_left(self.levels, -priority)]

    def join(self, share: ClusterShare) -> None:
        """Let a share compete for workers, since it has work now."""
        self.contenders[share] = None
        if len(self.contenders) == 2:  # noqa: PLR2004 - with the second cluster contention begins
            self._limit = self._cap
            self.review(next(iter(self.contenders)))

    def leave(self, share: ClusterShare) -> None:
        """Let it compete no more."""
        if share in self.contenders:
            del self.contenders[share]
            if len(self.contenders) == 1:
                self._limit = self._alone
                self.review(next(iter(self.contenders)))

    def review(self, share: ClusterShare) -> None:
        """Open or close a share by what is true now.

        Contention begins and ends with the second cluster, so only the first one's answer can change with it.
        """
        # The ward never gets more than its quarter: what hangs in it would still be there when others have work.
        limit = self._limit if share.ill is self.ill else self._ward_cap
        may = not share.holders and share.in_flight < limit
        if may is share.open:
            return
        share.open = may
        for priority, lane in share.lanes.items():
            if may:
                self.link(share, priority, lane)
            else:
                self.unlink(share, priority)

    def check_invariants(self, shares: Iterable[ClusterShare]) -> None:
        """Raise AssertionError if the class's invariants do not hold for all shares that stand here; for tests."""
        shares = list(shares)
        for share in shares:
            self._check_share(share)
        working = {share for share in shares if share.has_work}
        require("ready rings", self._facts(shares, working, sum(share.ready for share in shares)))

    def _facts(self, shares: Iterable[ClusterShare], working: set[ClusterShare], size: int) -> dict[str, bool]:
        linked = {(priority, share) for priority, ring in self._rings.items() for share in ring}
        return {
            "the rings are the lanes of the open shares": linked
            == {(priority, share) for share in shares if share.open for priority in share.lanes},
            "no ring is empty": all(self._rings.values()),
            "the levels are sorted": self.levels == sorted(-priority for priority in self._rings),
            "the size is the sum of the shares": self.size == size,
            "the contenders are those with work": set(self.contenders) == working,
            "the limit is that of contention": self._limit == (self._cap if len(self.contenders) > 1 else self._alone),
        }

    def _check_share(self, share: ClusterShare) -> None:
        states = [entry.state for entry in share.entries.values()]
        placed = [(priority, entry) for priority, lane in share.lanes.items() for entry in lane]
        facts = {
            "it stands on its side": share.ill is self.ill,
            "no lane is empty": all(share.lanes.values()),
            "ready is counted": share.ready == states.count(READY) == len(placed),
            "in flight is counted": share.in_flight + share.left_over == states.count(PROCESSING),
            "left over is counted": share.left_over == sum(entry.left_over for entry in share.entries.values()),
            "aside is counted": share.aside == sum(entry.aside for entry in share.entries.values()),
            "what is aside is in flight": share.aside <= share.in_flight,
            "each entry is READY in its lane": all(
                entry.state is READY and entry.priority == priority for priority, entry in placed
            ),
            "it is open unless paused or at its cap": share.open
            is not (bool(share.holders) or share.in_flight >= self._limit),
        }
        require(f"cluster {share.name!r}", facts)

"""The entries that can be worked on now: per priority a ring of clusters, each a queue in order of arrival."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, cast

from kcontroller.workqueue.entry import PROCESSING, READY
from kcontroller.workqueue.invariants import require
from kcontroller.workqueue.share import ClusterShare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.workqueue.entry import Entry
    from kcontroller.workqueue.share import Lane

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
        ward: where shares stand that are ill.
    """

    ill = False

    def __init__(self, *, cap: int, alone: float = math.inf) -> None:
        """Start empty; `cap` is the number of workers one of several clusters may hold, at most `alone`."""
        self._cap = cap
        self._alone = alone
        self._limit = alone  # Of these two the one that holds now.
        self._rings: dict[int, OrderedDict[ClusterShare, Lane]] = {}
        self._contenders: OrderedDict[ClusterShare, None] = OrderedDict()
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
            self._join(share)
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
            self._review(share)
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
            self._leave(share)
        if not share.open:
            self._review(share)

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
            self._join(share)
        else:
            self._leave(share)
        self._review(share)

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
        share.in_flight = 0
        self._leave(share)
        self._review(share)

    def is_open(self, share: ClusterShare) -> bool:
        """Whether entries of a share may be handed out."""
        return share.open

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

    def _link(self, share: ClusterShare, priority: int, lane: Lane) -> None:
        ring = self._rings.get(priority)
        if ring is None:
            ring = self._rings[priority] = OrderedDict()
            insort(self.levels, -priority)
        ring[share] = lane

    def _unlink(self, share: ClusterShare, priority: int) -> None:
        ring = self._rings[priority]
        del ring[share]
        if not ring:
            del self._rings[priority]
            del self.levels[bisect_left(self.levels, -priority)]

    def _join(self, share: ClusterShare) -> None:
        self._contenders[share] = None
        if len(self._contenders) == 2:  # noqa: PLR2004 - with the second cluster contention begins
            self._limit = self._cap
            self._review(next(iter(self._contenders)))

    def _leave(self, share: ClusterShare) -> None:
        if share in self._contenders:
            del self._contenders[share]
            if len(self._contenders) == 1:
                self._limit = self._alone
                self._review(next(iter(self._contenders)))

    def _review(self, share: ClusterShare) -> None:
        """Open or close a share by what is true now.

        Contention begins and ends with the second cluster, so only the first one's answer can change with it.
        """
        may = not share.holders and share.in_flight < self._limit
        if may is share.open:
            return
        share.open = may
        for priority, lane in share.lanes.items():
            if may:
                self._link(share, priority, lane)
            else:
                self._unlink(share, priority)

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
            "the contenders are those with work": set(self._contenders) == working,
            "the limit is that of contention": self._limit == (self._cap if len(self._contenders) > 1 else self._alone),
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
            "each entry is READY in its lane": all(
                entry.state is READY and entry.priority == priority for priority, entry in placed
            ),
            "it is open unless paused or at its cap": share.open
            is not (bool(share.holders) or share.in_flight >= self._limit),
        }
        require(f"cluster {share.name!r}", facts)


class Ward(Rings):
    """The clusters that are ill. In the rings around it they are one share, `share`, whose lanes are the rings here.

    Args:
        around: where the clusters stand that are well.
        cap: workers that one of several of them may hold.
        alone: workers that one may hold that is alone here.
    """

    ill = True

    def __init__(self, around: Rings, *, cap: int, alone: float) -> None:
        """Start empty."""
        super().__init__(cap=cap, alone=alone)
        self._around = around
        self.share = ClusterShare("", ill=True)
        self._gone: set[int] = set()  # Levels to leave at the end of a step: another cluster may open within it.
        self.share.lanes = cast("dict[int, Lane]", self._rings)

    def push(self, entry: Entry) -> None:
        """See `Rings`."""
        super().push(entry)
        self.settle()

    def pop(self, priority: int | None = None) -> Entry | None:
        """See `Rings`."""
        entry = super().pop(priority)
        self.share.in_flight += entry is not None
        self.settle()
        return entry

    def release(self, share: ClusterShare) -> None:
        """See `Rings`."""
        super().release(share)
        self.share.in_flight -= 1
        self.settle()

    def hold(self, share: ClusterShare, holders: frozenset[str]) -> None:
        """See `Rings`."""
        super().hold(share, holders)
        self.settle()

    def clear(self, share: ClusterShare) -> None:
        """See `Rings`."""
        self.share.in_flight -= share.in_flight
        super().clear(share)
        self.settle()

    def raise_to(self, entry: Entry, priority: int) -> None:
        """See `Rings`."""
        super().raise_to(entry, priority)
        self.settle()

    def tidy(self) -> None:
        """Leave the levels at which nobody here stands any more."""
        for priority in self._gone:
            self._around._unlink(self.share, priority)  # noqa: SLF001 - its other half
        self._gone.clear()

    def settle(self) -> None:
        """Compete with those that are well as long as anybody here has work."""
        self.tidy()
        if not self._contenders:
            self._around._leave(self.share)  # noqa: SLF001
        elif self.share not in self._around._contenders:  # noqa: SLF001
            self._around._join(self.share)  # noqa: SLF001
        self._around._review(self.share)  # noqa: SLF001

    def _link(self, share: ClusterShare, priority: int, lane: Lane) -> None:
        is_new = priority not in self._rings
        super()._link(share, priority, lane)
        if priority in self._gone:
            self._gone.discard(priority)
        elif is_new and self.share.open:
            self._around._link(self.share, priority, self.share.lanes[priority])  # noqa: SLF001

    def _unlink(self, share: ClusterShare, priority: int) -> None:
        super()._unlink(share, priority)
        if priority not in self._rings and self.share.open:
            self._gone.add(priority)


class ReadyRings(Rings):
    """Clusters that are well, and a ward for those that are ill: together these get what one of the others gets.

    Args:
        cap: workers that one of several clusters may hold, and all that are ill together; at most `alone`.
        alone: workers that a cluster may hold that is alone with work.
    """

    def __init__(self, *, cap: int, alone: float = math.inf) -> None:
        """Start empty."""
        super().__init__(cap=cap, alone=alone)
        self._ward = self.ward = Ward(self, cap=max(1, cap // 4), alone=alone)

    def is_open(self, share: ClusterShare) -> bool:
        """Whether entries of a share may be handed out."""
        return share.open and (self._ward.share.open or not share.ill)

    def move(self, share: ClusterShare, *, ill: bool) -> None:
        """Put a share into the ward, or take it out; what it has goes with it, and stands last there."""
        if share.ill is ill:
            return
        ward = self._ward
        if share.open:
            for priority in share.lanes:
                (ward if share.ill else self)._unlink(share, priority)
            share.open = False
        share.ill = ill
        sign = 1 if ill else -1
        ward.share.in_flight += sign * share.in_flight
        ward.size += sign * share.ready
        # Contention must not end for a moment only because a cluster is on neither side.
        if ill:
            self._enter_ward(share)
        else:
            self._leave_ward(share)

    def _enter_ward(self, share: ClusterShare) -> None:
        ward = self._ward
        if share.has_work:
            ward._join(share)
        ward._review(share)
        self._contenders.pop(share, None)
        ward.settle()
        if len(self._contenders) == 1:
            self._limit = self._alone
            self._review(next(iter(self._contenders)))

    def _leave_ward(self, share: ClusterShare) -> None:
        self._ward._leave(share)
        self._ward.tidy()
        if share.has_work:
            self._join(share)
        self._ward.settle()
        self._review(share)

    def check_invariants(self, shares: Iterable[ClusterShare]) -> None:
        """Raise AssertionError if the class's invariants do not hold for all shares there are; for tests."""
        shares, ward = list(shares), self._ward.share
        well, ill = [one for one in shares if not one.ill], [one for one in shares if one.ill]
        self._ward.check_invariants(ill)
        for share in well:
            self._check_share(share)
        working = {one for one in well if one.has_work} | {ward for one in ill if one.has_work}
        facts = {
            **self._facts([*well, ward], working, sum(share.ready for share in shares)),
            "the ward's workers are those of the ill": ward.in_flight == sum(share.in_flight for share in ill),
            "the ward is open below its cap": ward not in working or ward.open is (ward.in_flight < self._limit),
        }
        require("ready rings and ward", facts)

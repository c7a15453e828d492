"""Which clusters take turns with which: those that are well each for itself, those that are ill all together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from kcontroller.workqueue.invariants import require
from kcontroller.workqueue.rings import Rings
from kcontroller.workqueue.share import ClusterShare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.workqueue.entry import Entry
    from kcontroller.workqueue.share import Lane


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
        self.share.in_flight -= share.in_flight - share.aside
        super().clear(share)
        self.settle()

    def raise_to(self, entry: Entry, priority: int) -> None:
        """See `Rings`."""
        super().raise_to(entry, priority)
        self.settle()

    def tidy(self) -> None:
        """Leave the levels at which nobody here stands any more."""
        for priority in self._gone:
            self._around.unlink(self.share, priority)
        self._gone.clear()

    def settle(self) -> None:
        """Compete with those that are well as long as anybody here has work."""
        self.tidy()
        if not self.contenders:
            self._around.leave(self.share)
        elif self.share not in self._around.contenders:
            self._around.join(self.share)
        self._around.review(self.share)

    def link(self, share: ClusterShare, priority: int, lane: Lane) -> None:
        """See `Rings`."""
        is_new = priority not in self._rings
        super().link(share, priority, lane)
        if priority in self._gone:
            self._gone.discard(priority)
        elif is_new and self.share.open:
            self._around.link(self.share, priority, self.share.lanes[priority])

    def unlink(self, share: ClusterShare, priority: int) -> None:
        """See `Rings`."""
        super().unlink(share, priority)
        if priority not in self._rings and self.share.open:
            self._gone.add(priority)


class ReadyRings(Rings):
    """Clusters that are well, and a ward for those that are ill: together these get what one of the others gets.

    Args:
        cap: workers that one of several clusters may hold; at most `alone`.
        alone: workers that a cluster may hold that is alone with work.
        ill: workers that all may hold together that are ill; None for as many as `cap`.
    """

    def __init__(self, *, cap: int, alone: float = math.inf, ill: int | None = None) -> None:
        """Start empty."""
        super().__init__(cap=cap, alone=alone)
        self._ward_cap = cap if ill is None else ill
        self._ward = self.ward = Ward(self, cap=min(cap, max(1, self._ward_cap // 4)), alone=alone)

    def is_open(self, share: ClusterShare) -> bool:
        """Whether entries of a share may be handed out."""
        return share.open and (self._ward.share.open or not share.ill)

    @property
    def overfull(self) -> bool:
        """Whether those that are ill hold more workers than they may."""
        return self._ward.share.in_flight > self._ward_cap

    @property
    def crowded(self) -> bool:
        """Whether some of those that are ill wait only for others of them."""
        return bool(self._ward.levels) and not self._ward.share.open

    def set_aside(self, share: ClusterShare) -> None:
        """Count one of what an ill share has in flight not against the ward any more."""
        share.aside += 1
        self._ward.share.in_flight -= 1
        self._ward.settle()

    def put_back(self, share: ClusterShare) -> None:
        """Count it again."""
        share.aside -= 1
        if share.ill:
            self._ward.share.in_flight += 1
            self._ward.settle()

    def move(self, share: ClusterShare, *, ill: bool) -> None:
        """Put a share into the ward, or take it out; what it has goes with it, and stands last there."""
        if share.ill is ill:
            return
        ward = self._ward
        if share.open:
            for priority in share.lanes:
                (ward if share.ill else self).unlink(share, priority)
            share.open = False
        share.ill = ill
        sign = 1 if ill else -1
        ward.share.in_flight += sign * (share.in_flight - share.aside)
        ward.size += sign * share.ready
        # Contention must not end for a moment only because a cluster is on neither side.
        if ill:
            self._enter_ward(share)
        else:
            self._leave_ward(share)

    def _enter_ward(self, share: ClusterShare) -> None:
        ward = self._ward
        if share.has_work:
            ward.join(share)
        ward.review(share)
        self.contenders.pop(share, None)
        ward.settle()
        if len(self.contenders) == 1:
            self._limit = self._alone
            self.review(next(iter(self.contenders)))

    def _leave_ward(self, share: ClusterShare) -> None:
        self._ward.leave(share)
        self._ward.tidy()
        if share.has_work:
            self.join(share)
        self._ward.settle()
        self.review(share)

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
            "the ward's workers are those of the ill": ward.in_flight == sum(one.in_flight - one.aside for one in ill),
            "the ward is open below its cap": ward not in working or ward.open is (ward.in_flight < self._ward_cap),
        }
        require("ready rings and ward", facts)

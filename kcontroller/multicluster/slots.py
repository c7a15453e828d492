"""The cluster names of a fleet, and when each of them has to be looked at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kcontroller.multicluster.actions import State
from kcontroller.multicluster.engagement import Engagement
from kcontroller.multicluster.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.multicluster.incarnation import Incarnation
    from kcontroller.process.clock import Clock


class Slot:
    """One cluster name.

    Attributes:
        name: the cluster's.
        engagement: says what is to be done.
        incarnation: what is there; None for nothing.
    """

    __slots__ = ("engagement", "incarnation", "name")

    def __init__(self, name: str, engagement: Engagement) -> None:
        self.name = name
        self.engagement = engagement
        self.incarnation: Incarnation | None = None


class Slots:
    """The slots of all clusters that are there, or come; for the fleet thread.

    The engagement of one that has failed and left *rests* until its pause is over: it may come back at once.

    Args:
        clock: the time.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[str, Slot] = {}
        self._due = Timetable()
        self._resting: dict[str, Engagement] = {}
        self._rested = Timetable()

    def __iter__(self) -> Iterator[Slot]:
        """Iterate over those that are there now."""
        return iter(tuple(self._slots.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def get(self, name: str) -> Slot | None:
        """The slot of a name, if there is one."""
        return self._slots.get(name)

    def made(self, name: str) -> Slot:
        """Make the slot of a name that there is not."""
        self._rested.set(name, math.inf)
        rested = self._resting.pop(name, None)
        slot = self._slots[name] = Slot(name, rested or Engagement())
        return slot

    def settle(self, slot: Slot) -> bool:
        """Take note of what an engagement has come to; returns whether it has left."""
        self._due.set(slot.name, slot.engagement.due)
        if slot.engagement.state is not State.GONE or self._slots.pop(slot.name, None) is None:
            return False
        if slot.engagement.retry_at > self._clock.monotonic():
            self._resting[slot.name] = slot.engagement
            self._rested.set(slot.name, slot.engagement.retry_at)
        return True

    @property
    def next_at(self) -> float:
        """When `due` has to be asked next."""
        return min(self._due.next_at, self._rested.next_at)

    def due(self, now: float) -> list[Slot]:
        """Those whose engagement has to look at the time."""
        for name in self._rested.take(now):
            self._resting.pop(name, None)
        return [self._slots[name] for name in self._due.take(now)]

    def __len__(self) -> int:
        """Count all that is kept, also what rests."""
        return len(self._slots) + len(self._resting)

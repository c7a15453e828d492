"""The entries that wait for their time: one heap, with lazy deletion."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Final

from kcontroller.workqueue.entry import DELAYED, NEVER
from kcontroller.workqueue.invariants import require

if TYPE_CHECKING:
    from kcontroller.workqueue.entry import Entry

_SLACK: Final = 64


class DelayHeap:
    """Entries by the time they are due, ties in order of arrival.

    Invariants: an entry is live exactly while the ticket of its place is its own; each live entry has one place; stale
    places never outnumber the live ones by more than 64, so that moving a delay again and again takes no memory.

    Attributes:
        live: how many live entries there are.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self._heap: list[tuple[float, int, Entry]] = []
        self._tickets = itertools.count(1)
        self.live = 0

    def push(self, entry: Entry) -> None:
        """Take an entry in at its `due` time; it must not be in already."""
        entry.ticket = next(self._tickets)
        self.live += 1
        heapq.heappush(self._heap, (entry.due, entry.ticket, entry))

    def remove(self, entry: Entry) -> None:
        """Take a live entry out, whatever its time."""
        entry.ticket = 0
        self.live -= 1
        if len(self._heap) > 2 * self.live + _SLACK:
            self._heap = [place for place in self._heap if place[2].ticket == place[1]]
            heapq.heapify(self._heap)

    def head(self) -> float:
        """When the next entry is due; `NEVER` if there is none."""
        heap = self._heap
        while heap:
            due, ticket, entry = heap[0]
            if entry.ticket == ticket:
                return due
            heapq.heappop(heap)
        return NEVER

    def pop_due(self, now: float) -> Entry | None:
        """Take out the next entry if its time has come."""
        if self.head() > now:
            return None
        entry = heapq.heappop(self._heap)[2]
        entry.ticket = 0
        self.live -= 1
        return entry

    def check_invariants(self) -> None:
        """Raise AssertionError if the class's invariants do not hold; for tests."""
        live = [(due, entry) for due, ticket, entry in self._heap if entry.ticket == ticket]
        facts = {
            "the live entries are counted": len(live) == self.live,
            "stale places are swept": len(self._heap) <= 2 * self.live + _SLACK,
            "its entries are DELAYED": all(entry.state is DELAYED for _, entry in live),
            "times do not change inside": all(entry.due == due for due, entry in live),
        }
        require("delay heap", facts)

"""When each of many has to be looked at next."""

from __future__ import annotations

import heapq
import math


class Timetable:
    """One moment for each name, by the monotonic clock; what it costs does not grow with how many there are.

    Not guarded: its owner is.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # Also moments that do not hold any more.

    def set(self, name: str, due: float) -> None:
        """Look at a name then, and not at the moment that was set before; infinite for never."""
        if due == self._due.get(name, math.inf):
            return
        if due == math.inf:
            del self._due[name]
        else:
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(moment, each) for each, moment in self._due.items()]
            heapq.heapify(self._heap)

    @property
    def next_at(self) -> float:
        """The first moment; infinite if there is none."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def take(self, now: float) -> list[str]:
        """Take out those whose moment has come, in that order."""
        taken = []
        while self.next_at <= now:
            _due, name = heapq.heappop(self._heap)
            del self._due[name]
            taken.append(name)
        return taken

    def __len__(self) -> int:
        """Count those that are to be looked at."""
        return len(self._due)

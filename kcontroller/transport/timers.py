"""What a loop will do later, on its own thread."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock


class Timer:
    """A function that will run on the loop thread, from `StreamLoop.call_later`."""

    __slots__ = ("_function", "owner")

    def __init__(self, function: Callable[[], None], owner: object) -> None:
        """Keep the function."""
        self._function: Callable[[], None] | None = function
        self.owner = owner

    @property
    def over(self) -> bool:
        """Whether it was stopped, or has run."""
        return self._function is None

    def stop(self) -> None:
        """Never run the function; nothing happens if it has run. Loop thread only."""
        self._function = self.owner = None

    def fire(self) -> None:
        """Run the function unless stopped; for the loop."""
        function, self._function, self.owner = self._function, None, None
        if function is not None:
            function()


class Timers:
    """Timers in the order of their times; of one thread.

    Args:
        clock: the time by which they are due.
    """

    def __init__(self, *, clock: Clock) -> None:
        """Have none."""
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def add(self, seconds: float, function: Callable[[], None], *, owner: object = None) -> Timer:
        """Run a function after so many seconds, unless its owner is done by then."""
        timer = Timer(function, owner)
        heapq.heappush(self._heap, (self._clock.monotonic() + seconds, next(self._numbers), timer))
        return timer

    @property
    def next_at(self) -> float:
        """When the first one is due; infinity if there is none."""
        while self._heap and self._heap[0][2].over:  # Nobody need wake for it.
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")

    def take_due(self) -> Timer | None:
        """Take the first one off if its time has come."""
        return heapq.heappop(self._heap)[2] if self.next_at <= self._clock.monotonic() else None

    def stop_of(self, owner: object) -> None:
        """Stop all of an owner, who is done."""
        for _at, _number, timer in self._heap:
            if timer.owner is owner:
                timer.stop()

    def clear(self) -> None:
        """Drop all."""
        self._heap.clear()

"""Whose turn it is: a schedule of lanes without threads and without a lock of its own.

Lanes that answer take turns. Lanes whose last try failed share one turn among them, however many threads there are, so
that clusters that hang can never hold up those that do not.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcontroller.events.lane import Lane


class Turns:
    """The order of the lanes; every call under the owner's lock."""

    def __init__(self) -> None:
        self._ready: deque[Lane] = deque()
        self._shaky: deque[Lane] = deque()
        self._shaky_turn: Lane | None = None
        self._later: list[tuple[float, int, Lane]] = []
        self._ticket = 0

    def wake(self, lane: Lane) -> bool:
        """Give a lane that rests a turn as soon as may be; False if it has or awaits one."""
        if lane.queued:
            return False
        self._queue(lane)
        return True

    def next(self, now: float) -> Lane | None:
        """Begin the next turn; None if no lane may have one now."""
        while self._later and self._later[0][0] <= now:
            _due, ticket, waiter = heapq.heappop(self._later)
            if waiter.ticket == ticket:
                self._queue(waiter)
        lane = None
        if self._shaky_turn is None:  # First, or they would starve beside lanes that always have work.
            lane = self._shaky_turn = _first(self._shaky)
        if lane is None:
            lane = _first(self._ready)
        if lane is not None:
            lane.working = True
        return lane

    def over(self, lane: Lane, due: float | None, now: float) -> None:
        """End a turn; the lane wants its next at `due`, or rests until it is woken."""
        if self._shaky_turn is lane:
            self._shaky_turn = None
        lane.working = lane.queued = False
        if due is None or lane.gone:
            return
        if due <= now:
            self._queue(lane)
            return
        self._ticket += 1
        lane.ticket = self._ticket
        lane.queued = lane.backing_off  # News do not end a backoff; they do end a rest.
        heapq.heappush(self._later, (due, self._ticket, lane))

    def hurry(self) -> None:
        """Let nobody wait for a moment any more."""
        for _due, ticket, lane in self._later:
            if lane.ticket == ticket:
                self._queue(lane)
        self._later.clear()

    def seconds(self, now: float) -> float | None:
        """How long until a lane's moment comes; None if none waits for one."""
        return max(0.0, self._later[0][0] - now) if self._later else None

    def _queue(self, lane: Lane) -> None:
        lane.ticket = 0
        lane.queued = True
        if lane.failures == 1:
            self._shaky.appendleft(lane)  # It may only have been slow, and those behind it have had a whole try.
        else:
            (self._shaky if lane.failures else self._ready).append(lane)


def _first(lanes: deque[Lane]) -> Lane | None:
    while lanes:
        lane = lanes.popleft()
        if not lane.gone:
            return lane
    return None

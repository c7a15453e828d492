"""A limit on how many clusters connect at once, without a thread that waits.

With a thousand threads in their handshakes each of them waits seconds for the interpreter, and servers give up on them
between handshake and first frame. In a line of 64 nobody does, and all together are no slower.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class Place:
    """One place in a gate, from `ConnectGate.enter` to `leave`."""

    __slots__ = ("_gate", "_left", "admitted", "notify")

    def __init__(self, gate: ConnectGate, notify: Callable[[], None]) -> None:
        """Stand in line."""
        self._gate = gate
        self._left = False
        self.notify = notify
        self.admitted = False

    def leave(self) -> None:
        """Give the place to the next one; also from the line, and more than once."""
        if not self._left:
            self._left = True
            self._gate.release(self)


class ConnectGate:
    """Admits at most `limit` places at once, the others in the order they came. Safe for use from many threads.

    Attributes:
        limit: see above.
    """

    def __init__(self, *, limit: int) -> None:
        """Admit no one yet."""
        self.limit = limit
        self._lock = threading.Lock()
        self._inside = 0
        self._line: deque[Place] = deque()

    def enter(self, notify: Callable[[], None]) -> Place:
        """Take a place; if it is not `admitted` yet, `notify` is called when it is, on the thread that made room."""
        place = Place(self, notify)
        with self._lock:
            if self._inside < self.limit:
                self._inside += 1
                place.admitted = True
            else:
                self._line.append(place)
        return place

    def release(self, place: Place) -> None:
        """Take back a place; called by `Place.leave`."""
        with self._lock:
            if not place.admitted:
                self._line.remove(place)
                return
            following = self._line.popleft() if self._line else None
            if following is None:
                self._inside -= 1
            else:
                following.admitted = True
        if following is not None:
            following.notify()


CONNECTING: Final = ConnectGate(limit=64)
"""The gate of the process."""

"""Bulk work takes turns: one thread of the process at a time decodes lists or builds indexes, a few objects each.

Whoever has a live event then has one rival for the interpreter, and not one for each cluster that starts.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

SLICE: Final = 64
"""Objects of one turn: a millisecond, or a few where they are large."""


class Turns:
    """A lock that goes to whoever waits longest.

    A plain one goes to whoever asks first when it is free, and that is the thread that has just released it and still
    has the interpreter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        """Wait for the turn."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # Released by whoever has the turn before.

    def __exit__(self, *_error: object) -> None:
        """Hand it on."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


BULK: Final = Turns()
"""That of the process."""


def in_turns(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Apply a function to each item, a few in one turn."""
    for start in range(0, len(items), SLICE):
        with BULK:
            done = list(map(function, items[start : start + SLICE]))
        yield from done

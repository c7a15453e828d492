"""How many workers compute at once.

Python runs one thread at a time. Ten workers that all have something to compute get nothing done sooner than one: they
pass the interpreter's lock around, and on two cores that costs three times what the work itself does (ADR 0018). So
the pool works in relay. A worker that computes keeps going from item to item, and the others sleep. Another one starts

* when one that runs is about to wait for the server, and says so (`process.waits`),
* when one has taken longer than `PATIENCE` for its item: it may wait for something that nobody sees, such as a user's
  own socket,
* and while the whole process computes less than `IDLE` of the time although there is work: then there are many short
  waits that nobody sees.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from kcontroller.workqueue.entry import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.workqueue.entry import Item

PATIENCE: Final = 0.002
"""Seconds after which the worker of an item no longer counts as running."""
LOOK_SECONDS: Final = 0.005
"""How often the process's own time is looked at; with a thousand threads a look takes the kernel 50 µs."""
IDLE: Final = 0.6
BUSY: Final = 0.9
"""Shares of one core."""


class Relay:
    """Who runs; every method but `runs` is called with the queue's lock held.

    There is room for one runner at least. Whoever outlasts `PATIENCE` makes room for one more; a process that is idle
    doubles the room, one that is busy halves it.

    Args:
        workers: the most runners there can be.
        cpu_seconds: what the process has computed so far.
    """

    def __init__(self, workers: int, *, cpu_seconds: Callable[[], float] = time.process_time) -> None:
        self._workers = workers
        self._cpu_seconds = cpu_seconds
        self._room = 1
        self._running: dict[int, float] = {}  # Items by identity, the first to start first.
        self._looked = self._computed = -NEVER  # The first look makes no share of it, but nan.

    def has_room(self, now: float) -> bool:
        """Whether a worker may start on an item; who has outlasted its time makes room."""
        running = self._running
        if len(running) < self._room:
            return True
        eldest, started = next(iter(running.items()))
        if now < started + PATIENCE:
            return False
        del running[eldest]
        self._room = min(self._workers, self._room + 1)
        return True

    def next_room(self) -> float:
        """When there is room at the latest."""
        return next(iter(self._running.values())) + PATIENCE if len(self._running) >= self._room else -NEVER

    def start(self, item: Item[Any], now: float) -> None:
        """Note that the worker of an item runs."""
        self._running[id(item)] = now

    def pause(self, item: Item[Any]) -> bool:
        """Note that the worker of an item is about to wait; False if it did not count as running."""
        return self._running.pop(id(item), None) is not None

    def end(self, item: Item[Any], now: float, *, more: bool) -> None:
        """Note that the worker of an item has ended; `more` says whether others wait to be worked on."""
        self._running.pop(id(item), None)
        if now >= self._looked + LOOK_SECONDS:
            self._look(now, more=more)

    def runs(self, item: Item[Any]) -> bool:
        """Whether the worker of an item counts as running."""
        return id(item) in self._running

    def _look(self, now: float, *, more: bool) -> None:
        computed = self._cpu_seconds()
        share = (computed - self._computed) / (now - self._looked)
        self._looked, self._computed = now, computed
        if share > BUSY:
            self._room = max(1, self._room // 2)
        elif share < IDLE and more:
            self._room = min(self._workers, self._room * 2)

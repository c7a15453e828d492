"""The workers of a pool that rest, so that nobody has to start a thread in a hurry.

A thread that starts waits for the interpreter's lock twice. While ten workers compute that takes 12 ms, and whoever
starts three after one another for the healthy clusters has kept them waiting longer than the bad clusters did.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.process.clock import LONGEST_WAIT

if TYPE_CHECKING:
    from kcontroller.controller.seat import Seat
    from kcontroller.process.clock import Clock

_REST_SECONDS: Final = 1.0  # Where one cluster lags, it lags again: who is beyond the number ends only after so long.


class Reserve:
    """Who rests; every method but `rest` is called with the pool's lock held.

    Args:
        lock: the pool's.
        clock: the time.

    Attributes:
        size: so many rest without end, those beyond it for a second; set by `resize`.
    """

    def __init__(self, lock: threading.Lock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock
        self._called: dict[Seat, threading.Condition] = {}
        self._stopped = False
        self.size = 0

    def __len__(self) -> int:
        """How many rest."""
        return len(self._called)

    def resize(self, size: int) -> None:
        """Set the size; those that are beyond it now end."""
        if size < self.size:
            for called in list(self._called.values())[size:]:
                called.notify()
        self.size = size

    def add(self, seat: Seat) -> None:
        """Count a worker whose thread is about to start."""
        seat.surplus = True
        self._called[seat] = threading.Condition(self._lock)

    def remove(self, seat: Seat) -> None:
        """Take `add` back."""
        del self._called[seat]

    def call(self) -> Seat:
        """Have the one that came last work again; it is no longer surplus."""
        seat, called = self._called.popitem()
        seat.surplus = False
        called.notify()
        return seat

    def stop(self) -> None:
        """Have all end, and those that come later."""
        self._stopped = True
        for called in self._called.values():
            called.notify()

    def rest(self, seat: Seat) -> bool:
        """Wait for the call, on the worker's own thread; False if it should end."""
        with self._lock:
            if seat.surplus and seat not in self._called:
                self.add(seat)
            until = self._clock.monotonic() + _REST_SECONDS
            while seat in self._called and not self._stopped:
                left = until - self._clock.monotonic()
                if left <= 0 and len(self._called) > self.size:
                    break
                self._clock.wait(self._called[seat], left if left > 0 else LONGEST_WAIT)
            self._called.pop(seat, None)
            return not seat.surplus

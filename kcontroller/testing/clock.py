"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

_PATIENCE: Final = 60.0  # Real seconds after which a wait that nobody ends fails the test instead of hanging it.


class VirtualClock:
    """A `Clock` whose time moves only by `advance`; threads that wait on it are woken when their time has come."""

    def __init__(self, *, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """Stand at 1000 monotonic seconds and `start` on the wall."""
        self._lock = threading.Lock()
        self._seconds = 1000.0
        self._start = start - timedelta(seconds=self._seconds)
        self._waiting: dict[int, tuple[threading.Condition, float | None]] = {}
        self._tickets = 0
        self._arrived = threading.Condition(self._lock)

    def monotonic(self) -> float:
        """Seconds, as moved by `advance`."""
        return self._seconds

    def now(self) -> datetime:
        """Wall time, as moved by `advance`."""
        return self._start + timedelta(seconds=self._seconds)

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait until notified or until `advance` has passed the time."""
        with self._arrived:
            until = None if timeout is None else self._seconds + timeout
            if until is not None and until <= self._seconds:
                return False
            ticket = self._tickets
            self._tickets += 1
            self._waiting[ticket] = (condition, until)
            self._arrived.notify_all()
        try:
            if not condition.wait(_PATIENCE):
                msg = f"nothing ended a wait of {timeout} virtual seconds within {_PATIENCE:g} real seconds"
                raise AssertionError(msg)
        finally:
            with self._lock:
                self._waiting.pop(ticket, None)
        return until is None or self._seconds < until

    def advance(self, seconds: float) -> None:
        """Move the time and wake every wait that it has reached."""
        with self._lock:
            self._seconds += seconds
            now = self._seconds
            due = [ticket for ticket, (_, until) in self._waiting.items() if until is not None and until <= now]
            # Taken out here, so that `wait_for_waiters` does not count who has yet to notice that its time has come.
            conditions = [self._waiting.pop(ticket)[0] for ticket in due]
        for condition in conditions:
            with condition:
                condition.notify_all()

    def wait_for_waiters(self, count: int) -> None:
        """Block (in real time) until at least `count` threads wait on this clock."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._waiting) >= count, _PATIENCE):
                msg = f"{len(self._waiting)} threads wait on the clock, expected {count}"
                raise AssertionError(msg)

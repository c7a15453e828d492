"""Time as an argument: whoever waits or measures takes a `Clock`, so that tests can move it by hand.

Decisions (leases, backoff, delays) use `Clock.monotonic`; wall time is for what people read.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import threading


LONGEST_WAIT: Final = 3600.0
"""Seconds of one wait at most: some systems refuse to wait for months, so who waits longer looks and waits again."""

_BOOT_TIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """What kcontroller asks of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def elapsed(self) -> float:
        """Seconds since an arbitrary start that also pass while the machine sleeps: the age of a lease."""
        ...

    def now(self) -> datetime:
        """Wall time with zone UTC."""
        ...

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on a held condition for at most `timeout` seconds; False if the time ran out."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)  # Read a dozen times in each reconcile: no frame of ours around it.

    def elapsed(self) -> float:
        """Read the clock that counts sleep too (Linux); the monotonic one elsewhere."""
        return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)

    def now(self) -> datetime:
        """Read the wall clock."""
        return datetime.now(UTC)

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on the condition itself."""
        return condition.wait(timeout)


SYSTEM_CLOCK: Final[Clock] = SystemClock()

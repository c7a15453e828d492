"""One thread that looks after work whose time may be over, since nothing else moves while a thread hangs.

Those who work pay nothing for it, since nobody need tell it anything: each look says when the next one is due, and what
begins after a look has its time before it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kcontroller.process.clock import LONGEST_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

    Look: TypeAlias = Callable[[float], float]
    """Is given the time and answers when it wants to be called again, both in the clock's seconds."""


class Watchdog:
    """Calls looks when they are due, on the thread ``kc-watchdog``; a look must neither block nor raise.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._looks: tuple[Look, ...] = ()
        self._stopped = self._hurries = False

    def start(self, threads: ThreadGroup) -> None:
        """Start to look."""
        threads.spawn("watchdog", "", self._run)

    def watch(self, look: Look) -> None:
        """Call a look from now on; the first time at once."""
        with self._changed:
            self._looks = (*self._looks, look)
            self._changed.notify_all()

    def hurry(self) -> None:
        """Look now, not when the next look is due."""
        with self._changed:
            self._hurries = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Look no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopped:
            looks, self._hurries = self._looks, False
            now = self._clock.monotonic()
            due = min((look(now) for look in looks), default=now + LONGEST_WAIT)
            with self._changed:
                if looks is self._looks and not (self._stopped or self._hurries):
                    self._clock.wait(self._changed, min(LONGEST_WAIT, max(0.0, due - self._clock.monotonic())))

"""Stop tokens and deadlines: how work learns that it should end.

A token is handed down, never global. Stopping a token stops its children; nothing stops a parent. Callbacks run on the
thread that calls `stop`, with no lock held.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.errors import Stopped
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from kcontroller.process.clock import Clock

_log: Final = Log("kcontroller.process")


class StopToken:
    """A one-way switch that many threads can watch.

    Args:
        parent: stops this token when it stops.
        clock: the time by which `wait` waits.
        deadline: a moment at which the token counts as stopped; it is noticed when somebody looks or waits.
    """

    def __init__(
        self, parent: StopToken | None = None, *, clock: Clock | None = None, deadline: Deadline | None = None
    ) -> None:
        """Make a token that is not stopped, unless its parent already is."""
        inherited = parent._deadline if parent else None  # noqa: SLF001 - of its own class
        # Whoever waits on a child waits no longer than its parents allow.
        self._deadline: Deadline | None = min(
            (each for each in (deadline, inherited) if each), key=lambda each: each.at, default=None
        )
        self.clock: Clock = clock or (parent.clock if parent else SYSTEM_CLOCK)
        self._condition = threading.Condition()
        self._stopped = False
        self._reason = ""
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_callback = 0
        self._leave_parent: Callable[[], None] = lambda: None
        if parent is not None:
            self._leave_parent = parent.on_stop(lambda: self.stop(parent.reason))

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called here or above, or the deadline has come."""
        if not self._stopped and self._deadline is not None and self._deadline.expired:
            self.stop("its time is over")
        return self._stopped

    @property
    def reason(self) -> str:
        """What the first `stop` said."""
        return self._reason

    def stop(self, reason: str = "") -> None:
        """Switch to stopped, wake every waiter and run the callbacks; later calls do nothing.

        A callback that raises is logged; the others run.
        """
        with self._condition:
            if self._stopped:
                return
            self._stopped, self._reason = True, reason
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            self._condition.notify_all()
        self._leave_parent()
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - it may be a user's, and the others must hear of the stop too
                _log.exception("a callback of a stop token failed: %s", described(error))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until stopped or `timeout` seconds have passed; True if stopped."""
        ends = [self.clock.monotonic() + timeout] if timeout is not None else []
        if self._deadline is not None:
            ends.append(self._deadline.at)
        with self._condition:
            while not self._stopped:
                remaining = min(ends) - self.clock.monotonic() if ends else None
                if remaining is not None and remaining <= 0:
                    break
                self.clock.wait(self._condition, remaining)
        return self.stopped

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if the token is stopped."""
        if self.stopped:
            raise Stopped(self._reason or "stopped")

    def on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` once when the token stops, at once if it has; returns a function that takes it back.

        It runs on the thread that calls `stop` and must not block: others wait to hear of the stop.
        """
        with self._condition:
            if not self._stopped:
                number = self._next_callback
                self._next_callback += 1
                self._callbacks[number] = callback
                return lambda: self._forget(number)
        callback()
        return lambda: None

    def _forget(self, number: int) -> None:
        with self._condition:
            self._callbacks.pop(number, None)

    def child(self, *, deadline: Deadline | None = None) -> StopToken:
        """Make a token that stops with this one, or at a deadline; close it (or use ``with``) when its work is over."""
        return StopToken(self, deadline=deadline)

    def close(self) -> None:
        """Leave the parent, so that a long-lived parent does not collect finished children."""
        self._leave_parent()

    def __enter__(self) -> Self:
        """Return the token."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the parent."""
        self.close()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock's monotonic time."""

    at: float
    clock: Clock = SYSTEM_CLOCK

    @classmethod
    def after(cls, seconds: float, *, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """Make the deadline that lies `seconds` ahead."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the moment has come."""
        return self.clock.monotonic() >= self.at

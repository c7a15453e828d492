"""Stop tokens and deadlines: how work learns that it should end.

A token is handed down, never global. Stopping a token stops its children; nothing stops a parent. Callbacks run on the
thread that calls `stop`, with no lock held.

A deadline has no thread of its own: a token notices it when somebody looks or waits. Who only hangs something on a
token hears of its deadline from whoever watches it; those of reconciles have a watchdog.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.errors import Stopped
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described
from kcontroller.process.waits import about_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from kcontroller.process.clock import Clock

OVERDUE: Final = "its time is over"
"""The reason of a token that its deadline has stopped."""

_log: Final = Log("kcontroller.process")

_making: Final = threading.Lock()


class StopToken:
    """A one-way switch that many threads can watch.

    A token looks at its parents when it is asked. It hangs itself on them only when somebody waits on it or hangs
    something on it: most reconciles end without either, and a token for each of them costs next to nothing.

    Args:
        parents: stop this token when one of them stops.
        clock: the time by which `wait` waits.
        deadline: a moment at which the token counts as stopped; it is noticed when somebody looks or waits.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_condition",
        "_deadline",
        "_is_root",
        "_leave",
        "_next_callback",
        "_parents",
        "_reason",
        "_stopped",
        "clock",
    )

    def __init__(self, *parents: StopToken, clock: Clock | None = None, deadline: Deadline | None = None) -> None:
        """Make a token that is not stopped, unless a parent already is."""
        for parent in parents:
            # Whoever waits on a child waits no longer than its parents allow.
            inherited = parent._deadline  # noqa: SLF001 - of its own class
            if inherited is not None and (deadline is None or inherited.at < deadline.at):
                deadline = inherited
        self.clock: Clock = clock or (parents[0].clock if parents else SYSTEM_CLOCK)
        self._is_root = not parents and deadline is None
        self._parents = parents
        self._deadline: Deadline | None = deadline
        self._condition: threading.Condition | None = None  # Made when it is needed; see `_made`.
        self._stopped = False
        self._reason = ""
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_callback = 0
        self._leave: tuple[Callable[[], None], ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called here or above, or the deadline has come."""
        if self._stopped:
            return True
        for parent in self._parents:
            # A root is stopped by `stop` and nothing else.
            if parent._stopped or (not parent._is_root and parent.stopped):  # noqa: SLF001 - of its own class
                self.stop(parent.reason)
                return True
        if self._deadline is not None and self._deadline.expired:
            self.stop(OVERDUE)
        return self._stopped

    @property
    def reason(self) -> str:
        """What the first `stop` said."""
        return self._reason if self.stopped else ""

    def stop(self, reason: str = "", *, apart: Callable[[Callable[[], None]], object] | None = None) -> None:
        """Switch to stopped, wake every waiter and run the callbacks; later calls do nothing.

        A callback that raises is logged; the others run.

        Args:
            reason: for people.
            apart: is given what runs the callbacks, if there are any; for who must not be held up by a user's.
        """
        condition = self._made()
        with condition:
            if self._stopped:
                return
            self._stopped, self._reason = True, reason
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            condition.notify_all()
        self.close()
        if apart is None:
            _run(callbacks)
        elif callbacks:
            apart(partial(_run, callbacks))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until stopped or `timeout` seconds have passed; True if stopped."""
        ends = [self.clock.monotonic() + timeout] if timeout is not None else []
        if self._deadline is not None:
            ends.append(self._deadline.at)
        condition = self._hung()
        about_to_wait()
        with condition:
            while not self._stopped:
                remaining = min(ends) - self.clock.monotonic() if ends else None
                if remaining is not None and remaining <= 0:
                    break
                self.clock.wait(condition, remaining)
        return self.stopped

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if the token is stopped."""
        if self.stopped:
            raise Stopped(self._reason or "stopped")

    def on_stop(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` once when the token stops, at once if it has; returns a function that takes it back.

        It runs on the thread that calls `stop` and must not block: others wait to hear of the stop.
        """
        if not self.stopped:
            with self._hung():
                if not self._stopped:
                    number = self._next_callback
                    self._next_callback += 1
                    self._callbacks[number] = callback
                    return lambda: self._forget(number)
        callback()
        return lambda: None

    def _forget(self, number: int) -> None:
        with self._made():
            self._callbacks.pop(number, None)

    def _made(self) -> threading.Condition:
        condition = self._condition
        if condition is None:
            with _making:
                condition = self._condition
                if condition is None:
                    condition = self._condition = threading.Condition()
        return condition

    def _hung(self) -> threading.Condition:
        """Be told by the parents from now on."""
        condition = self._made()
        if self._parents and not self._leave:
            # With no lock held: a parent that has stopped calls back at once. Hanging twice does no harm.
            leave = tuple(parent.on_stop(partial(self._follow, parent)) for parent in self._parents)
            with condition:
                self._leave += leave
            if self._stopped or not self._parents:
                self.close()
        return condition

    def _follow(self, parent: StopToken) -> None:
        self.stop(parent.reason)

    def child(self, *others: StopToken, deadline: Deadline | None = None) -> StopToken:
        """Make a token that stops with this one or one of `others`, or at a deadline.

        Close it (or use ``with``) when its work is over.
        """
        return StopToken(self, *others, deadline=deadline)

    def close(self) -> None:
        """Leave the parents, so that a long-lived one does not collect finished children."""
        self._parents = ()
        if self._leave:
            with self._made():
                leave, self._leave = self._leave, ()
            for each in leave:
                each()

    def __enter__(self) -> Self:
        """Return the token."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the parents."""
        self.close()


def _run(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - it may be a user's, and the others must hear of the stop too
            _log.exception("a callback of a stop token failed: %s", described(error))


class Deadline(msgspec.Struct, frozen=True):
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

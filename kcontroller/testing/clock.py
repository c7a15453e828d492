"""A clock that stands still until a test moves it, or until everybody waits for it.

::

    clock.advance(30)                  # move it by hand
    clock.jump()                       # to the next moment that somebody waits for, once all registered threads wait
    with clock.jumping():              # and so on for ever, by a thread of its own
        ...

A thread is registered by `spawn` or `register`. A jump is taken when every registered thread that lives is inside a
wait of this clock and nobody has notified it: nothing can happen then but time, so that the order of what happens
does not depend on the machine. What works outside of this clock (sockets, other processes) is not seen; `settle` gives
it real seconds before each jump.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE: Final = 60.0  # Real seconds after which a wait that nobody ends fails the test instead of hanging it.
_LOOK_SECONDS: Final = 0.0005  # Between two looks at whether everybody waits.


@dataclass(slots=True, eq=False)
class _Wait:
    """A thread inside `VirtualClock.wait`."""

    condition: threading.Condition
    until: float | None
    thread: threading.Thread = field(default_factory=threading.current_thread)


class VirtualClock:
    """A `Clock` whose time moves only by `advance` and `jump`; threads that wait on it are woken when their time comes.

    Args:
        start: the wall time at the beginning.
        settle: real seconds for which nothing may change before a jump, for what works outside of this clock.
    """

    def __init__(self, *, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), settle: float = 0.0) -> None:
        """Stand at 1000 monotonic seconds and `start` on the wall."""
        self.settle = settle
        self._lock = threading.Lock()
        self._seconds = 1000.0
        self._start = start - timedelta(seconds=self._seconds)
        self._waiting: dict[int, _Wait] = {}
        self._tickets = 0
        self._arrived = threading.Condition(self._lock)
        self._registered: list[threading.Thread] = []

    # ---- what kcontroller asks of time ---------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Seconds, as moved by `advance` and `jump`."""
        return self._seconds

    def elapsed(self) -> float:
        """The same: a virtual machine never sleeps."""
        return self._seconds

    def now(self) -> datetime:
        """Wall time, as moved by `advance` and `jump`."""
        return self._start + timedelta(seconds=self._seconds)

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait until notified or until the time has passed."""
        with self._arrived:
            until = None if timeout is None else self._seconds + timeout
            if until is not None and until <= self._seconds:
                return False
            ticket = self._tickets
            self._tickets += 1
            self._waiting[ticket] = _Wait(condition, until)
            self._arrived.notify_all()
        try:
            if not condition.wait(_PATIENCE):
                who = "; ".join(self.waits())
                msg = (
                    f"nothing ended a wait of {timeout} virtual seconds within {_PATIENCE:g} real ones; waiting: {who}"
                )
                raise AssertionError(msg)
        finally:
            with self._lock:
                self._waiting.pop(ticket, None)
        return until is None or self._seconds < until

    # ---- moving it -----------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move the time and wake every wait that it has reached."""
        with self._lock:
            self._seconds += seconds
            now = self._seconds
            due = [ticket for ticket, wait in self._waiting.items() if wait.until is not None and wait.until <= now]
            # Taken out here, so that nobody counts as waiting who has yet to notice that its time has come.
            conditions = [self._waiting.pop(ticket).condition for ticket in due]
        for condition in conditions:
            with condition:
                condition.notify_all()

    def jump(self, *, within: float = math.inf, unless: Callable[[], bool] | None = None) -> bool:
        """Wait (in real time) until all registered threads wait, then move to the next moment that anybody waits for.

        One wait ends; of several with the same moment the one that began first, and the others at the next jumps.

        Args:
            within: jump no further than so many seconds.
            unless: asked once all wait; if it is true there is no jump.

        Returns:
            False if nobody waits for a moment in that time, or `unless` was true; the clock stands where it stood.

        Raises:
            AssertionError: a registered thread does something else for a whole real minute; it is named.
        """
        self.wait_until_all_wait()
        return not (unless is not None and unless()) and self._jump(within)

    def _jump(self, within: float) -> bool:
        with self._lock:
            dues = ((wait.until, ticket) for ticket, wait in self._waiting.items() if wait.until is not None)
            due, ticket = min(dues, default=(math.inf, 0))
            if due == math.inf or due > self._seconds + within:
                return False
            self._seconds = max(self._seconds, due)
            condition = self._waiting.pop(ticket).condition
        with condition:
            condition.notify_all()
        return True

    @contextlib.contextmanager
    def jumping(self) -> Iterator[None]:
        """Jump whenever all registered threads wait, for as long as the block runs; somebody must be registered."""
        ended = threading.Event()

        def keep_jumping() -> None:
            while not ended.is_set():
                if not self._registered or not self._await_all(ended.is_set) or not self._jump(math.inf):
                    ended.wait(_LOOK_SECONDS)

        thread = threading.Thread(target=keep_jumping, name="kc-clock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_PATIENCE)

    # ---- whose waits count ---------------------------------------------------------------------------------------

    def spawn(self, name: str, function: Callable[[], None]) -> threading.Thread:
        """Start a registered daemon thread; an exception in it goes to ``threading.excepthook``."""
        thread = threading.Thread(target=function, name=name, daemon=True)
        self.register(thread)
        thread.start()
        return thread

    def register(self, *threads: threading.Thread) -> None:
        """Jump only while these wait; without arguments, the calling thread. A thread that has ended counts no more."""
        with self._lock:
            self._registered += threads or (threading.current_thread(),)

    def unregister(self, *threads: threading.Thread) -> None:
        """Take `register` back; without arguments, for the calling thread."""
        gone = threads or (threading.current_thread(),)
        with self._lock:
            self._registered = [thread for thread in self._registered if thread not in gone]

    def wait_for_waiters(self, count: int) -> None:
        """Block (in real time) until at least `count` threads wait on this clock."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._waiting) >= count, _PATIENCE):
                msg = f"{len(self._waiting)} threads wait on the clock, expected {count}"
                raise AssertionError(msg)

    def wait_until_all_wait(self) -> None:
        """Block (in real time) until every registered thread waits, and has done nothing else for `settle` seconds.

        Raises:
            AssertionError: one does something else for a whole real minute; it is named.
        """
        deadline = time.monotonic() + _PATIENCE
        if not self._await_all(lambda: time.monotonic() > deadline):
            raise AssertionError(self._who_is_busy())

    def _await_all(self, given_up: Callable[[], bool]) -> bool:
        while not given_up():
            before = self._ticket_numbers()
            quiet_until = time.monotonic() + self.settle
            while self._all_wait() and self._ticket_numbers() == before:
                if time.monotonic() >= quiet_until:
                    return True
                time.sleep(min(_LOOK_SECONDS, self.settle))
            time.sleep(_LOOK_SECONDS)
        return False

    def _ticket_numbers(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._waiting)

    def waits(self) -> tuple[str, ...]:
        """Say who waits for how many more seconds, for messages: ``kc-worker-widget-0: 29.5 s``."""
        with self._lock:
            return tuple(
                f"{wait.thread.name}: {'a notification' if wait.until is None else f'{wait.until - self._seconds:g} s'}"
                for wait in self._waiting.values()
            )

    def _all_wait(self) -> bool:
        with self._lock:
            return not self._busy_locked()

    def _busy_locked(self) -> list[threading.Thread]:
        waiting = {wait.thread for wait in self._waiting.values() if not self._is_notified_locked(wait.condition)}
        return [thread for thread in self._registered if _may_run(thread) and thread not in waiting]

    def _is_notified_locked(self, condition: threading.Condition) -> bool:
        """Whether someone in a wait on the condition was notified, or has not yet let go of the lock.

        Only the condition itself knows, and it does not offer to tell; where it cannot be asked, nobody is.
        """
        inside = getattr(condition, "_waiters", None)
        ours = sum(wait.condition is condition for wait in self._waiting.values())
        return inside is not None and len(inside) < ours

    def _who_is_busy(self) -> str:
        with self._lock:
            busy = ", ".join(thread.name for thread in self._busy_locked()) or "none for long enough"
        waits = "; ".join(self.waits()) or "nobody"
        return f"the clock cannot jump: {_PATIENCE:g} real seconds long not all wait. Busy: {busy}. Waiting: {waits}"


def _may_run(thread: threading.Thread) -> bool:
    return thread.ident is None or thread.is_alive()  # One that has not started yet is about to.

"""Named, recorded and supervised threads.

An exception that no one caught ends the process through `on_failure`, with the thread's name: a framework whose
dispatcher has died in silence is worse than one that is gone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock


class Joinable(Protocol):
    """A thread, or what has a share of one."""

    @property
    def name(self) -> str:
        """Of the thread, or of whoever shares it."""
        ...

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for so many seconds at most."""
        ...


class ThreadGroup:
    """The threads of one owner.

    Args:
        on_failure: called on the failing thread with its name and the exception.
        clock: the time by which `join` gives up.
    """

    def __init__(self, *, on_failure: Callable[[str, BaseException], None], clock: Clock = SYSTEM_CLOCK) -> None:
        """Start with no thread."""
        self._on_failure = on_failure
        self._clock = clock
        self._lock = threading.Lock()
        self._threads: list[Joinable] = []

    def spawn(self, role: str, key: str, target: Callable[[], None]) -> threading.Thread:
        """Start a daemon thread named ``kc-<role>-<key>`` and record it.

        It is a daemon so that a reconcile that never returns cannot keep the process alive after the drain time.
        """
        name = f"kc-{role}-{key}" if key else f"kc-{role}"
        thread = threading.Thread(target=self._guard, args=(name, target), name=name, daemon=True)
        with self._lock:
            thread.start()  # Under the lock: a thread that has not started cannot be joined.
            self._forget_ended()
            self._threads.append(thread)
        return thread

    def adopt(self, share: Joinable) -> Callable[[str, BaseException], None]:
        """Count a share of another group's thread as a thread of this one.

        Returns:
            To be called, with its name, when it fails.
        """
        with self._lock:
            self._forget_ended()
            self._threads.append(share)
        return self._on_failure

    def apart(self, role: str, key: str, stop: Callable[[], None]) -> threading.Thread | None:
        """Stop a token on a thread of its own, since users may have hung functions on it that block.

        Returns:
            The thread; None if the system gives no more of them: then it was done here.
        """
        try:
            return self.spawn(role, key, stop)
        except RuntimeError:
            stop()
            return None

    def _guard(self, name: str, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001 - the one place where nothing may pass unseen
            self._on_failure(name, error)
        with self._lock:  # Of many that end one after another the last one alone is kept until the next begins.
            self._forget_ended()

    def _forget_ended(self) -> None:
        self._threads = [known for known in self._threads if known.is_alive()]

    def join(self, timeout: float, *, role: str = "") -> tuple[str, ...]:
        """Wait at most `timeout` seconds for all threads together, or for those of one role.

        Returns:
            The names of those still alive.
        """
        deadline = Deadline.after(timeout, clock=self._clock)
        threads = self._of(role)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(deadline.remaining())
        return tuple(thread.name for thread in self._of(role) if thread.is_alive())

    def alive(self) -> tuple[str, ...]:
        """Names of the threads that have not ended."""
        return tuple(thread.name for thread in self._of("") if thread.is_alive())

    def _of(self, role: str) -> list[Joinable]:
        prefix = f"kc-{role}"
        with self._lock:
            return [each for each in self._threads if not role or f"{each.name}-".startswith(f"{prefix}-")]

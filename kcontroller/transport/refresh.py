"""A value that grows old: one thread at a time gets a new one, the others share it."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from kcontroller.errors import ConnectFailed, KControllerError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock

T = TypeVar("T")
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Fresh(Generic[T]):
    """What a load brought: the value, the seconds until the next load, and the seconds it can be used at all."""

    value: T
    fresh_for: float
    usable_for: float = float("inf")


class Refreshing(Generic[T]):
    """Keeps a value fresh by loading it when it is asked for.

    No lock is held during a load. While one thread loads, the others get the old value as long as it is usable, and
    wait otherwise. A failed load is not repeated, but told again, for `hold` seconds.

    Args:
        load: gets the value; may block, and raises a `KControllerError` when it fails.
        hold: at least this many seconds lie between two loads, whoever asks; 0 for what is cheap.
        patience: seconds a thread waits for another thread's load before it raises `ConnectFailed`.
        clock: the time that makes values old.
    """

    def __init__(
        self, load: Callable[[], Fresh[T]], *, hold: float, patience: float = 60.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._load = load
        self._hold = hold
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        self._loading = False
        self._loaded: Fresh[T] | None = None
        self._error: KControllerError | None = None
        self._loaded_at = self._fresh_until = self._usable_until = self._retry_at = _NEVER

    def get(self) -> T:
        """Give the value, loading it if it is old; raises what the load raised, or `ConnectFailed` after `patience`."""
        deadline = Deadline.after(self._patience, clock=self._clock)
        with self._changed:
            while True:
                now = self._clock.monotonic()
                resting = self._loading or now < self._retry_at
                if self._loaded is not None and now < (self._usable_until if resting else self._fresh_until):
                    return self._loaded.value
                if not self._loading:
                    if resting and self._error is not None:
                        # A copy: many threads raising one exception would tie their tracebacks together.
                        raise copy.copy(self._error)
                    self._loading = True
                    break
                if deadline.expired:
                    msg = f"credentials were not ready within {self._patience:g} s"
                    raise ConnectFailed(msg, ours=True)
                self._clock.wait(self._changed, deadline.remaining())
        return self._reload()

    def _reload(self) -> T:
        loaded: Fresh[T] | None = None
        error: KControllerError | None = None
        try:
            loaded = self._load()
        except KControllerError as failure:
            error = failure
        finally:
            with self._changed:
                self._loading = False
                self._settle(loaded, error)
                self._changed.notify_all()
        return self.get() if loaded is None else loaded.value

    def _settle(self, loaded: Fresh[T] | None, error: KControllerError | None) -> None:
        now = self._clock.monotonic()
        self._error = error
        self._retry_at = now + max(self._hold, 1.0) if error is not None else _NEVER
        if loaded is not None:
            self._loaded, self._loaded_at = loaded, now
            self._fresh_until = now + max(loaded.fresh_for, self._hold)
            self._usable_until = now + loaded.usable_for

    def invalidate(self) -> None:
        """Make the next `get` load again, but not within `hold` seconds of the last load."""
        with self._changed:
            self._fresh_until = self._usable_until = min(self._fresh_until, self._loaded_at + self._hold)

"""A value that grows old: one thread at a time gets a new one, the others share what there is."""

from __future__ import annotations

import contextlib
import copy
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kcontroller.errors import ConnectFailed, KControllerError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.process.clock import Clock

T = TypeVar("T")
SOON_SECONDS: Final = 1.0
"""So long a thread that waits for nobody does without what is cheap, to have it new: a file that hangs is none such."""

_NEVER: Final = float("-inf")
_LONGEST_PAUSE: Final = 60.0  # One cluster that refuses everybody must not keep the others from what is new for longer.

_log: Final = Log("kcontroller.transport")


class NotReady(ConnectFailed):
    """The value is being loaded, and this thread waits for nobody."""

    def __init__(self) -> None:
        super().__init__("the credentials are not ready yet", ours=True)


class Abandoned(ConnectFailed):
    """The value was not loaded, because nobody wants it any more."""


class _Thread(threading.local):
    wake: Callable[[], None] | None = None


_thread: Final = _Thread()


@contextlib.contextmanager
def waking(wake: Callable[[], None]) -> Iterator[None]:
    """Have this thread wait for no load, since others have their turn on it: it gets `NotReady`.

    Args:
        wake: called when the load has ended, on any thread; must not block.
    """
    _thread.wake = wake
    try:
        yield
    finally:
        _thread.wake = None


@dataclass(frozen=True, slots=True)
class Fresh(Generic[T]):
    """What a load brought: the value, the seconds until the next load, and the seconds it can be used at all."""

    value: T
    fresh_for: float
    usable_for: float = float("inf")


class Refreshing(Generic[T]):
    """Keeps a value fresh by loading it when it is asked for.

    No lock is held during a load. While one thread loads, the others get the old value as long as it is usable, and
    wait otherwise. What is not cheap is loaded on a thread of its own as long as the old value is usable; for a thread
    inside `waking`, all is: a file may be on a disk that hangs. What is cheap is soon had, so the old value is taken
    only if it is not. A failed load is not repeated, but told again, for `hold` seconds.

    Args:
        load: gets the value; may block, and raises a `KControllerError` when it fails.
        hold: at least this many seconds lie between two loads, whoever asks; 0 for what is cheap.
        patience: seconds a thread waits for another thread's load before it raises `ConnectFailed`.
        clock: the time that makes values old.
        on_kept: told the first of several failures in a row while the old value stays in use, which nobody else hears
            of; on a thread of its own.
    """

    def __init__(
        self,
        load: Callable[[], Fresh[T]],
        *,
        hold: float,
        patience: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
        on_kept: Callable[[KControllerError], None] = lambda _: None,
    ) -> None:
        self._load = load
        self._hold = hold
        self._patience = patience
        self._clock = clock
        self._on_kept = on_kept
        self._changed = threading.Condition()
        self._loading = False
        self._began = _NEVER
        self._loaded: Fresh[T] | None = None
        self._error: KControllerError | None = None
        self._loaded_at = self._fresh_until = self._usable_until = self._retry_at = _NEVER
        self._doubted = False
        self._pause = hold
        self._refused: set[int] = set()
        self._wakes: set[Callable[[], None]] = set()

    def get(self) -> T:
        """Give the value, loading it if it is old; raises what the load raised, or `ConnectFailed` after `patience`.

        A thread that has called the value invalid waits for another one; one inside `waking` for none at all.
        """
        deadline = Deadline.after(self._patience, clock=self._clock)
        with self._changed:
            refused = self._take_refusal()
            while True:
                now, old = self._clock.monotonic(), self._loaded
                if old is not None and now < self._fresh_until:
                    return old.value
                usable = old is not None and now < self._usable_until and not refused
                aside = _thread.wake is not None or (self._hold > 0 and usable)
                if not self._loading and now >= self._retry_at:
                    self._loading, self._began = True, now
                    if not aside:
                        break
                    self._begin_aside()
                if usable and old is not None and not self._is_soon_had(now):
                    return old.value
                self._raise_if_vain(late=deadline.expired)
                self._clock.wait(self._changed, deadline.remaining())
        return self._load_here(refused=refused)

    def _take_refusal(self) -> bool:
        me = threading.get_ident()
        refused = me in self._refused
        self._refused.discard(me)
        return refused

    def _is_soon_had(self, now: float) -> bool:
        return _thread.wake is not None and self._hold == 0 and self._loading and now < self._began + SOON_SECONDS

    def _raise_if_vain(self, *, late: bool) -> None:
        if not self._loading and self._error is not None:
            # A copy: many threads raising one exception would tie their tracebacks together.
            raise copy.copy(self._error)
        if _thread.wake is not None:
            self._wakes.add(_thread.wake)
            raise NotReady
        if late:
            msg = f"credentials were not ready within {self._patience:g} s"
            raise ConnectFailed(msg, ours=True)

    def _load_here(self, *, refused: bool) -> T:
        loaded: Fresh[T] | None = None
        error: KControllerError | None = None
        try:
            loaded = self._load()
            if self._loaded is not None and self._loaded.value == loaded.value:
                loaded = replace(loaded, value=self._loaded.value)  # Whoever compares by `is` sees no change.
        except KControllerError as failure:
            error = failure
        finally:
            with self._changed:
                self._settle(loaded, error)
                wakes, self._wakes = self._wakes, set()
            for wake in wakes:
                wake()
        if loaded is not None:
            return loaded.value
        if refused and error is not None:
            raise copy.copy(error)
        return self.get()

    def _begin_aside(self) -> None:
        try:
            threading.Thread(target=self._load_aside, name="kc-load-credentials", daemon=True).start()
        except RuntimeError as error:
            self._settle(None, ConnectFailed(f"no thread to load credentials: {error}", ours=True))

    def _load_aside(self) -> None:
        failed_before = self._error is not None
        try:
            self._load_here(refused=True)
        except Abandoned:
            pass
        except KControllerError as error:
            if not failed_before and self._clock.monotonic() < self._usable_until:
                self._on_kept(error)
        except Exception as error:  # noqa: BLE001 - a thread that has no owner to tell
            _log.exception_of(error, "loading credentials failed: %s", described(error))

    def _settle(self, loaded: Fresh[T] | None, error: KControllerError | None) -> None:
        now = self._clock.monotonic()
        self._loading = False
        self._error = error
        self._retry_at = now + max(self._hold, 1.0) if error is not None else _NEVER
        if loaded is not None:
            self._pause = min(2 * self._pause, max(self._hold, _LONGEST_PAUSE)) if self._doubted else self._hold
            self._doubted = False
            self._loaded, self._loaded_at = loaded, now
            self._fresh_until = now + max(loaded.fresh_for, self._hold)
            self._usable_until = now + loaded.usable_for
        self._changed.notify_all()

    def invalidate(self) -> None:
        """Have a new value loaded, but not within `hold` seconds of the last load.

        Others use the old value until then. Who calls every value invalid may be wrong himself: the seconds double with
        each load that was asked for in this way, up to a minute, until one brought what was good for a minute.
        """
        with self._changed:
            if not self._doubted and self._clock.monotonic() > self._loaded_at + _LONGEST_PAUSE:
                self._pause = self._hold
            self._doubted = True
            self._fresh_until = min(self._fresh_until, self._loaded_at + self._pause)
            if _thread.wake is None:
                self._refused.add(threading.get_ident())

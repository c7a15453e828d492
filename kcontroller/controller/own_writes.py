"""Holds a request back until the cache shows what its last reconcile wrote: a delay in the queue costs no worker.

Without it a reconcile that comes too early waits in its first read, and with a watch that lags by a second all workers
soon do. Kubernetes' own controllers do the same (KEP-5647). The echo of a write usually queues the request by itself;
for what it does not bring the request looks again, ever more rarely, and after `HELD_SECONDS` it goes on in any case:
its reads still wait, and raise `StaleRead`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.api.keys import Key, Request
    from kcontroller.cluster.floors import Promise
    from kcontroller.process.clock import Clock

HELD_SECONDS: Final = 2.0
"""How long a request is held back at most, from the end of the reconcile that wrote."""

_FIRST_LOOK: Final = 0.005
_MANY: Final = 1024


class _Open:
    """What the cache does not show yet."""

    __slots__ = ("began", "look", "promises")

    def __init__(self, promises: tuple[tuple[Key, Promise], ...], began: float) -> None:
        self.promises = promises
        self.began = began
        self.look = _FIRST_LOOK


class OwnWrites:
    """What the requests of one controller wrote last; any thread.

    Args:
        clock: the time.
        on_hold: called when a request is held back, once for each reconcile that wrote.
    """

    def __init__(self, clock: Clock, on_hold: Callable[[], None]) -> None:
        self._clock = clock
        self._on_hold = on_hold
        self._lock = threading.Lock()
        self._open: dict[Request, _Open] = {}
        self._sweep_at = _MANY

    def note(self, request: Request, written: Iterable[tuple[Key, Promise]]) -> None:
        """Take what a reconcile of the request wrote, at its end."""
        promises = tuple((key, promise) for key, promise in written if not promise.kept(key))
        now = self._clock.monotonic()
        with self._lock:
            if promises:
                self._open[request] = _Open(promises, now)
            else:
                self._open.pop(request, None)
            if len(self._open) >= self._sweep_at:
                # Requests that never came again.
                self._open = {each: found for each, found in self._open.items() if now < found.began + HELD_SECONDS}
                self._sweep_at = max(_MANY, 2 * len(self._open))

    def delay(self, request: Request) -> float:
        """Seconds after which the request should look again; 0 if it may be reconciled."""
        found = self._open.get(request)  # Nearly always None, or kept by now.
        if found is None:
            return 0.0
        remaining = found.began + HELD_SECONDS - self._clock.monotonic()
        if remaining > 0 and not all(promise.kept(key) for key, promise in found.promises):
            look = found.look
            if look == _FIRST_LOOK:
                self._on_hold()
            found.look *= 2
            return min(look, remaining)
        with self._lock:
            if self._open.get(request) is found:
                del self._open[request]
        return 0.0

    def forget(self, cluster: str) -> None:
        """Forget what the requests of a cluster wrote that has left: a promise pins all that was cached of it."""
        with self._lock:
            self._open = {request: found for request, found in self._open.items() if request.cluster != cluster}

    def __len__(self) -> int:
        """Count the requests that wait, or have not come again."""
        return len(self._open)

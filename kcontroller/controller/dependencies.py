"""What the requests of one controller have read with ``track=True``, and so want to be called again for.

The set of a request is what its last reconcile had read when it ended, whether it returned or raised: nothing else can
make the next one end in another way, but what the controller watches anyway. A reconcile that was cut short keeps what
the one before it had read.
"""

from __future__ import annotations

import threading
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.codec import gvk_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.cluster.floors import Promise
    from kcontroller.cluster.tracked import TrackedObjects
    from kcontroller.cluster.tracked_object import Listener
    from kcontroller.workqueue import WorkQueue

    Target = tuple[TrackedObjects, GVK, Key]
    """Of one incarnation of a cluster: what comes back under its name is watched anew."""

_NOTHING: Final[Mapping[Target, Listener]] = MappingProxyType({})


class Dependencies:
    """The dependencies of all requests of one controller.

    Attributes:
        held: what each of them depends on; looking needs no lock.

    Args:
        queue: gets a request when something it depends on has changed.
    """

    def __init__(self, queue: WorkQueue[Request]) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._reading: set[Reads] = set()
        self.held: dict[Request, Mapping[Target, Listener]] = {}

    def forget(self, cluster: str | None = None) -> None:
        """Hold nothing any more for the requests of a cluster that leaves, or for any."""
        with self._lock:
            gone = [request for request in self.held if cluster in (None, request.cluster)]
            left = [listener for request in gone for listener in self.held.pop(request).values()]
            for reads in self._reading:
                reads.forgotten = reads.forgotten or cluster in (None, reads.request.cluster)
        _close(left)

    def __len__(self) -> int:
        """Count the requests that depend on something."""
        return len(self.held)

    def open(self, reads: Reads) -> dict[Target, Listener]:
        """Take note of a reconcile that tracks, and tell it what the one before it has left; for `Reads`."""
        with self._lock:
            self._reading.add(reads)
            return dict(self.held.get(reads.request, {}))

    def requeue(self, request: Request, kind: str, what: str) -> None:
        """Queue a request, since something of that kind that it depends on has changed; for `Reads`."""
        self._queue.add(request, reason=f"tracked {kind} {what}")

    def replace(self, reads: Reads, now: dict[Target, Listener], before: Mapping[Target, Listener]) -> None:
        """Let a request depend on what its reconcile has read; for `Reads`."""
        with self._lock:
            self._reading.discard(reads)
            if reads.forgotten:
                before = {**before, **now}
                now = {}
            if now:
                self.held[reads.request] = now
            else:
                self.held.pop(reads.request, None)
        _close([listener for target, listener in before.items() if target not in now])


class Reads(msgspec.Struct, eq=False):
    """What one reconcile tracks and writes; a `cluster.tracked.Tracker`. Until then it costs next to nothing.

    Attributes:
        dependencies: takes the outcome.
        request: whose reconcile it is; `settle` ends it.
        forgotten: its cluster has left meanwhile.
        written: what it wrote, and what that promises to reads; None for nothing.
    """

    dependencies: Dependencies
    request: Request
    forgotten: bool = False
    written: list[tuple[Key, Promise]] | None = None
    _before: Mapping[Target, Listener] = _NOTHING
    _now: dict[Target, Listener] | None = None

    def saw(self, objects: TrackedObjects, kind: KindRef, key: Key, version: int) -> None:
        """Note what was read; of two readings of an object, the first one decides what is news.

        Raises:
            TooManyTracked: it cannot be watched.
        """
        if self._now is None:
            self._before, self._now = self.dependencies.open(self), {}
        gvk = gvk_of(kind)
        target = (objects, gvk, key)
        if target in self._now:
            return
        listener = self._before.get(target)
        if listener is not None and not listener.closed:
            listener.seen = version
        else:
            listener = objects.listen(kind, key, version, partial(self.dependencies.requeue, self.request, gvk.kind))
        if self._now.setdefault(target, listener) is not listener:
            listener.close()  # Another thread of the reconcile was quicker.

    def wrote(self, key: Key, promise: Promise) -> None:
        """Note what was written."""
        if self.written is None:
            self.written = []
        self.written.append((key, promise))

    def settle(self, *, cut_short: bool = False) -> None:
        """End the reconcile, before its item is given back to the queue."""
        if self._now is None:
            if cut_short or self.request not in self.dependencies.held:
                return
            self._before, self._now = self.dependencies.open(self), {}
        if cut_short:
            self._now = {**self._before, **self._now}
        self.dependencies.replace(self, self._now, self._before)


def _close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()

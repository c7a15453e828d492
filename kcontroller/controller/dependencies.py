"""What the requests of one controller have read with ``track=True``, and so want to be called again for.

The set of a request is what its last reconcile had read when it ended, whether it returned or raised: nothing else can
make the next one end in another way, but what the controller watches anyway. A reconcile that was cut short keeps what
the one before it had read.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

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

_NOTHING: Final[dict[Target, Listener]] = {}


class Dependencies:
    """The dependencies of all requests of one controller.

    Args:
        queue: gets a request when something it depends on has changed.
    """

    def __init__(self, queue: WorkQueue[Request]) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._held: dict[Request, Mapping[Target, Listener]] = {}
        self._reading: set[Reads] = set()

    def begin(self, request: Request) -> Reads:
        """Begin a reconcile; `Reads.settle` ends it."""
        return Reads(self, self._queue, request)

    def forget(self, cluster: str | None = None) -> None:
        """Hold nothing any more for the requests of a cluster that leaves, or for any."""
        with self._lock:
            gone = [request for request in self._held if cluster in (None, request.cluster)]
            left = [listener for request in gone for listener in self._held.pop(request).values()]
            for reads in self._reading:
                reads.forgotten = reads.forgotten or cluster in (None, reads.request.cluster)
        _close(left)

    def __len__(self) -> int:
        """Count the requests that depend on something."""
        return len(self._held)

    def depends(self, request: Request) -> bool:
        """Whether the request depends on something; needs no lock."""
        return request in self._held

    def open(self, reads: Reads) -> dict[Target, Listener]:
        """Take note of a reconcile that tracks, and tell it what the one before it has left; for `Reads`."""
        with self._lock:
            self._reading.add(reads)
            return dict(self._held.get(reads.request, {}))

    def replace(self, reads: Reads, now: dict[Target, Listener], before: Mapping[Target, Listener]) -> None:
        """Let a request depend on what its reconcile has read; for `Reads`."""
        with self._lock:
            self._reading.discard(reads)
            if reads.forgotten:
                before = {**before, **now}
                now = {}
            if now:
                self._held[reads.request] = now
            else:
                self._held.pop(reads.request, None)
        _close([listener for target, listener in before.items() if target not in now])


class Reads:
    """What one reconcile tracks and writes; a `cluster.tracked.Tracker`. Until then it costs next to nothing.

    Attributes:
        request: whose reconcile it is.
        forgotten: its cluster has left meanwhile.
        written: what it wrote, and what that promises to reads; None for nothing.
    """

    __slots__ = ("_before", "_dependencies", "_now", "_queue", "forgotten", "request", "written")

    def __init__(self, dependencies: Dependencies, queue: WorkQueue[Request], request: Request) -> None:
        self._dependencies = dependencies
        self._queue = queue
        self.request = request
        self.forgotten = False
        self.written: list[tuple[Key, Promise]] | None = None
        self._before = _NOTHING
        self._now: dict[Target, Listener] | None = None

    def saw(self, objects: TrackedObjects, kind: KindRef, key: Key, version: int) -> None:
        """Note what was read; of two readings of an object, the first one decides what is news.

        Raises:
            TooManyTracked: it cannot be watched.
        """
        if self._now is None:
            self._before, self._now = self._dependencies.open(self), {}
        gvk = gvk_of(kind)
        target = (objects, gvk, key)
        if target in self._now:
            return
        listener = self._before.get(target)
        if listener is not None and not listener.closed:
            listener.seen = version
        else:
            listener = objects.listen(kind, key, version, partial(_requeue, self._queue, self.request, gvk.kind))
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
            if cut_short or not self._dependencies.depends(self.request):
                return
            self._before, self._now = self._dependencies.open(self), {}
        if cut_short:
            self._now = {**self._before, **self._now}
        self._dependencies.replace(self, self._now, self._before)


def _requeue(queue: WorkQueue[Request], request: Request, kind: str, what: str) -> None:
    queue.add(request, reason=f"tracked {kind} {what}")


def _close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()

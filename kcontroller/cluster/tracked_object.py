"""One tracked object: who listens to it, and when they are told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.feed import Stoppable
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.store import Change, Store
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.kinds import CacheHandle
    from kcontroller.cluster.subscriptions import KindSubscription
    from kcontroller.cluster.tracked import TrackedObjects


class Listener:
    """One reader of one object, who is told when it is no longer what was read.

    Attributes:
        seen: the version that was read or told of last; 0 for an absent object. The reader may set it at any time.
    """

    __slots__ = ("_objects", "_on_change", "closed", "seen", "tracked")

    def __init__(
        self, objects: TrackedObjects, tracked: TrackedObject | None, seen: int, on_change: Callable[[str], None]
    ) -> None:
        self._objects = objects
        self._on_change = on_change
        self.tracked = tracked
        self.seen = seen
        self.closed = tracked is None

    def close(self) -> None:
        """Hear nothing more; any thread, harmless when repeated."""
        self._objects.leave(self)

    def compare(self, now: int, reached: float, *, again: bool = False) -> None:
        """Tell if the object is something else than what was read; for `TrackedObject`, on the loop thread.

        Args:
            now: its version, or 0.
            reached: the version up to which the store has seen everything; before that of the reading it knows less
                than the reader.
            again: the version is another server's, or of another time: an equal one is news too.
        """
        seen = self.seen
        if (now != seen or (again and now)) and reached >= seen:
            self.seen = now
            self.tell("updated" if now and seen else "created" if now else "deleted")

    def tell(self, what: str) -> None:
        """Tell why the reader should read again."""
        if not self.closed:
            self._on_change(what)


class TrackedObject:
    """One object, and who listens. `users` belongs to the lock of `TrackedObjects`, all else to the loop thread.

    Args:
        gvk: its kind.
        key: its name.
        own: its own informer; None where a cached kind holds it.
        handle: keeps that cached kind.
    """

    def __init__(self, gvk: GVK, key: Key, *, own: Informer | None = None, handle: CacheHandle | None = None) -> None:
        self.gvk = gvk
        self.key = key
        self.own = own
        self.handle = handle
        self.kind = None if handle is None else handle.kind
        self.users = 0
        self.listeners: dict[Listener, None] = {}
        self.linger: Stoppable | None = None
        self.started = False
        self._times: tuple[Store | None, int] | None = None

    def hear(self, change: Change) -> None:
        """Compare what there is now with what the listeners have read."""
        self._compare(change.new.version if change.new is not None else 0, tuple(self.listeners))

    def synced(self) -> None:
        """The first list is in: what was read and is not in it was deleted meanwhile."""
        self._look(tuple(self.listeners))

    def join(self, listener: Listener) -> None:
        """Add a listener, who may have read something older than what is here."""
        if not listener.closed:
            self.listeners[listener] = None
            self._look((listener,))

    def _look(self, listeners: tuple[Listener, ...]) -> None:
        informer = self.informer
        if informer is not None and informer.status.synced:
            entry = informer.store.get(self.key)
            self._compare(entry.version if entry is not None else 0, listeners)

    def _compare(self, now: int, listeners: tuple[Listener, ...]) -> None:
        informer = self.informer
        # What is read from a cached kind that was made anew, or from a server that went back in time, may have a higher
        # version than what is there: only the store that was read can be behind the reading.
        store = None if informer is None else informer.store
        times = (store, 0 if store is None else store.resets)
        before, self._times = self._times, times
        reached = math.inf if store is None or before not in (None, times) else store.version
        again = before is not None and before[0] is store and before != times
        for listener in listeners:
            listener.compare(now, reached, again=again)

    @property
    def informer(self) -> Informer | None:
        """What shows it; None while a cached kind is found anew."""
        return self.own if self.kind is None else self.kind.covering(self.key.namespace, {})


class Dispatcher:
    """One subscription of a cached kind for all of its objects that are tracked; loop thread only."""

    def __init__(self, kind: CachedKind) -> None:
        self.objects: dict[Key, TrackedObject] = {}
        self._subscription: KindSubscription = kind.subscribe(self._hear, lambda: None)

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()

    def _hear(self, change: Change) -> None:
        tracked = self.objects.get(change.entry.key)
        if tracked is not None:
            tracked.hear(change)

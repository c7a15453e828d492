"""Objects that reconciles asked to hear of: each is watched by itself, for as long as somebody listens.

A tracked object has one small informer, a list and watch with the field selector ``metadata.name``, however many
requests read it. Where a cached kind holds the object anyway, that one is listened to and no watch is opened.

No change is lost between a read and the moment when the watch stands: a listener says which version it has read, and
is told as soon as something else is there. The watch begins after the read, with a consistent list.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.api.selectors import FieldSelector
from kcontroller.api.versions import parse_version
from kcontroller.cache.informer import Informer
from kcontroller.cache.scope import Scope
from kcontroller.cluster.reader import entry_of
from kcontroller.cluster.tracked_object import Dispatcher, Listener, TrackedObject
from kcontroller.errors import KindNotServed, NotFound, NotSynced, TooManyTracked

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.feed import Feed
    from kcontroller.client.discovery import RestMapper
    from kcontroller.client.ports import Reader
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.floors import Floors, Promise
    from kcontroller.cluster.kind_view import KindView
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken

LIMIT: Final = 5_000
"""So many objects of one cluster may have a watch of their own; beyond that a cached kind is cheaper for everybody."""

LINGER_SECONDS: Final = 30.0
"""A watch that nobody needs stays this long: a reconcile that failed before its read will soon want it again."""


class Tracker(Protocol):
    """Takes note of what one reconcile tracks and writes; `controller.dependencies.Reads` is one."""

    def saw(self, objects: TrackedObjects, kind: KindRef, key: Key, version: int) -> None:
        """Note that the object was read at this version, or (0) was not there."""
        ...

    def wrote(self, key: Key, promise: Promise) -> None:
        """Note what a write promised to later reads of the key."""
        ...


class _Read(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Body(msgspec.Struct):
    metadata: _Read


_LEFT: Final = "left with its cluster"

_decode = msgspec.json.Decoder(_Body).decode


class TrackedObjects:
    """The tracked objects of one cluster.

    Args:
        feed: the cluster's loop.
        mapper: knows how kinds are served.
        floors: what own writes promised.
        cached: finds the cached kind, or None.
        clock: the time.
        cluster: its name.
        on_trouble: told what is wrong with the watch of an object, or None when it is over; on the loop thread.
        leaving: stops when the cluster leaves.
        limit: see `LIMIT`.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        mapper: RestMapper,
        floors: Floors,
        cached: Callable[[GVK], KindView | None],
        clock: Clock,
        cluster: str,
        on_trouble: Callable[[GVK, Key, Exception | None], None],
        leaving: StopToken,
        limit: int = LIMIT,
    ) -> None:
        self._feed = feed
        self._mapper = mapper
        self._floors = floors
        self._cached = cached
        self._clock = clock
        self._cluster = cluster
        self._on_trouble = on_trouble
        self._leaving = leaving
        self._heeds = False  # Most clusters have no listener, and a token with a callback is dear.
        self._limit = limit
        self._lock = threading.Lock()
        self._objects: dict[tuple[GVK, Key], TrackedObject] = {}
        self._own = 0
        self._listeners: set[Listener] = set()
        self._closed = False
        self._dispatchers: dict[CachedKind, Dispatcher] = {}

    # ---- any thread ----------------------------------------------------------------------------------------------

    def read(self, tracker: Tracker, live: Reader, kind: KindRef, key: Key) -> bytes:
        """Read an object and let the tracker know: from memory where it is there, else at the server.

        Raises:
            NotFound: it does not exist; the tracker knows that, too.
            TooManyTracked: it cannot be watched.
            StaleRead, WouldDeadlock: see `errors`.
        """
        try:
            raw, version = self._read(live, kind, key)
        except NotFound:
            tracker.saw(self, kind, key, 0)
            raise
        tracker.saw(self, kind, key, version)
        return raw

    def listen(self, kind: KindRef, key: Key, seen: int, on_change: Callable[[str], None]) -> Listener:
        """Call `on_change` with a word, on the loop thread, whenever the object is no longer what was seen.

        Args:
            kind: the kind, which the server is known to serve.
            key: the object.
            seen: the version that was read; 0 if there was none.
            on_change: must not block. That the cluster has left is told at once, by the caller of this or of `close`.

        Raises:
            TooManyTracked: so many objects are watched already.
        """
        self._heed()
        gvk = gvk_of(kind)
        tracked = self._joined(gvk, key) or self._added(kind, gvk, key)
        listener = Listener(self, tracked, seen, on_change)
        with self._lock:
            late = self._closed
            if not late:
                self._listeners.add(listener)
        if late:
            on_change(_LEFT)
        elif tracked is not None:
            self._feed.call(lambda: self._join(tracked, listener))
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener; its watch is closed after a while unless others need it."""
        with self._lock:
            tracked = listener.tracked
            if listener.closed or tracked is None:
                return
            listener.closed = True
            self._listeners.discard(listener)
            tracked.users -= 1
        self._feed.call(lambda: self._part(tracked, listener))

    def informer(self, gvk: GVK, key: Key) -> Informer | None:
        """The informer that the object has for itself, if any."""
        tracked = self._objects.get((gvk, key))
        return tracked.own if tracked is not None else None

    def _heed(self) -> None:
        with self._lock:
            heeds, self._heeds = self._heeds, True
        if not heeds:
            self._leaving.on_stop(self.close)

    def close(self) -> None:
        """Tell all listeners that the cluster leaves, and take no more of them; the loop's end closes the watches."""
        with self._lock:
            self._closed = True
            left = tuple(self._listeners)
        for listener in left:
            listener.tell(_LEFT)

    def __len__(self) -> int:
        """How many objects are tracked, those of cached kinds included."""
        return len(self._objects)

    def _read(self, live: Reader, kind: KindRef, key: Key) -> tuple[bytes, int]:
        gvk = gvk_of(kind)
        tracked = self._objects.get((gvk, key))
        view = self._cached(gvk) if tracked is None else None
        held = view.holder(key.namespace) if view is not None else None
        # What listens compares with what was read from the same store: another one may be behind it.
        informer = tracked.informer if tracked is not None else held[1] if held is not None else None
        if informer is not None and informer.status.synced:
            self._floors.await_key(gvk, key, informer)
            with contextlib.suppress(NotSynced):  # Let go of at this moment.
                entry = entry_of(informer, key)
                return entry.raw, entry.version
        raw = live.get(kind, key)
        return raw, parse_version(_decode(raw).metadata.resource_version)

    def _joined(self, gvk: GVK, key: Key) -> TrackedObject | None:
        with self._lock:
            tracked = self._objects.get((gvk, key))
            if tracked is not None and not self._closed:
                tracked.users += 1
                return tracked
        return None

    def _added(self, kind: KindRef, gvk: GVK, key: Key) -> TrackedObject | None:
        """Begin to track, unless another thread just did; None if the cluster has left."""
        made = self._shared(gvk, key) or self._watching(kind, gvk, key)
        with self._lock:
            tracked = None if self._closed else self._objects.get((gvk, key), made)
            is_new = tracked is made
            full = is_new and made.own is not None and self._own >= self._limit
            if tracked is not None and not full:
                tracked.users += 1
                self._objects[gvk, key] = tracked
                self._own += is_new and made.own is not None
        if not is_new and made.handle is not None:
            made.handle.close()
        if full:
            cluster = self._cluster or "local"
            msg = (
                f"{gvk} {key} cannot be tracked: cluster {cluster} has {self._limit} watches of single objects; "
                f"declare the kind in setup, builder.watches(...), so that one watch serves all of them"
            )
            raise TooManyTracked(msg)
        return tracked

    def _shared(self, gvk: GVK, key: Key) -> TrackedObject | None:
        view = self._cached(gvk)
        held = view.holder(key.namespace) if view is not None else None
        handle = view.share(held[0]) if view is not None and held is not None else None
        return TrackedObject(gvk, key, handle=handle) if handle is not None else None

    def _watching(self, kind: KindRef, gvk: GVK, key: Key) -> TrackedObject:
        mapping = self._mapper.known(kind)
        if mapping is None:
            msg = f"{gvk} is not served any more"
            raise KindNotServed(msg)
        informer = Informer(
            mapping,
            feed=self._feed,
            clock=self._clock,
            scope=Scope(key.namespace, fields=FieldSelector.of({"metadata.name": key.name})),
            on_status=lambda informer: self._on_trouble(gvk, key, informer.error),
        )
        return TrackedObject(gvk, key, own=informer)

    # ---- loop thread ---------------------------------------------------------------------------------------------

    @property
    def own_informers(self) -> tuple[Informer, ...]:
        """The informers of objects that no cached kind holds."""
        with self._lock:
            found = tuple(self._objects.values())
        return tuple(tracked.own for tracked in found if tracked.own is not None and tracked.started)

    def _join(self, tracked: TrackedObject, listener: Listener) -> None:
        if tracked.linger is not None:
            tracked.linger.stop()
            tracked.linger = None
        tracked.join(listener)
        if not tracked.started:
            tracked.started = True
            self._start(tracked)
        if not tracked.listeners:  # It left before it came.
            self._wait_for_others(tracked)

    def _start(self, tracked: TrackedObject) -> None:
        if tracked.own is not None:
            tracked.own.subscribe(tracked.hear, tracked.synced)
            tracked.own.start()
        if tracked.kind is None:
            return
        dispatcher = self._dispatchers.get(tracked.kind)
        if dispatcher is None:
            dispatcher = self._dispatchers[tracked.kind] = Dispatcher(tracked.kind)
        dispatcher.objects[tracked.key] = tracked

    def _part(self, tracked: TrackedObject, listener: Listener) -> None:
        joined = tracked.listeners.pop(listener, self)
        if joined is None and not tracked.listeners:
            self._wait_for_others(tracked)

    def _wait_for_others(self, tracked: TrackedObject) -> None:
        if tracked.linger is not None:
            tracked.linger.stop()
        tracked.linger = self._feed.call_later(LINGER_SECONDS, lambda: self._drop(tracked))

    def _drop(self, tracked: TrackedObject) -> None:
        with self._lock:
            if tracked.users or self._objects.get((tracked.gvk, tracked.key)) is not tracked:
                return
            del self._objects[tracked.gvk, tracked.key]
            self._own -= tracked.own is not None
        if tracked.own is not None:
            tracked.own.let_go()
            self._on_trouble(tracked.gvk, tracked.key, None)
        if tracked.handle is None or tracked.kind is None:
            return
        dispatcher = self._dispatchers[tracked.kind]
        del dispatcher.objects[tracked.key]
        if not dispatcher.objects:
            del self._dispatchers[tracked.kind]
            dispatcher.close()
        tracked.handle.close()

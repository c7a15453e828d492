"""What feeds a controller from one cluster: each declaration with its subscription, filter and way into the queue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.cluster.view import ClusterView
from kcontroller.controller.event import Event
from kcontroller.controller.raw import Feed
from kcontroller.controller.retelling import Retelling
from kcontroller.process.logs import Log
from kcontroller.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cache.store import Change
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.cluster.view import Terms
    from kcontroller.controller.declarations import Declaration
    from kcontroller.controller.lanes import Lane
    from kcontroller.controller.pauses import PausedObjects
    from kcontroller.controller.raw import RawDeclaration, RawSource
    from kcontroller.controller.recording import Recording
    from kcontroller.process.clock import Clock
    from kcontroller.workqueue import WorkQueue


_log: Final = Log("kcontroller.controller")


class KindSource:
    """Feeds a queue with the changes of one kind in one cluster.

    Args:
        declaration: what counts and whom it concerns.
        cluster: where.
        handle: of the kind there.
        read_as: what user functions get; of a kind that is kept as metadata only a class may not be able to say it.
        queue: gets the requests.
        lane: runs the user's functions.
        on_synced: called once, when every object that there was at the start is in the queue.
        pauses: takes note of the objects' pauses; None for a kind that knows none.
        recording: takes down which changes were queued, and what dropped the others.
    """

    def __init__(
        self,
        declaration: Declaration,
        cluster: Cluster,
        handle: CacheHandle,
        *,
        read_as: KindRef,
        queue: WorkQueue[Request],
        lane: Lane,
        on_synced: Callable[[], None],
        pauses: PausedObjects | None = None,
        recording: Recording | None = None,
    ) -> None:
        self._declaration = declaration
        self._read_as = read_as
        self._cluster = cluster
        self._queue = queue
        self._lane = lane
        self._on_synced = on_synced
        self._pauses = pauses
        self._recording = recording
        self._stopped = False
        self._retelling = Retelling(lambda: self._subscription, lane.submit if declaration.user_code else None)
        self._subscription = handle.subscribe(self._hear, self._heard_all, resync=declaration.resync)

    def stop(self) -> None:
        """Hear nothing more; what waits on the lane is dropped."""
        self._stopped = True
        self._subscription.close()

    def _hear(self, change: Change) -> None:
        if self._pauses is not None:
            self._pauses.hear(self._cluster.name, change)
        event = Event(self._cluster.name, self._read_as, change)
        if self._declaration.user_code:
            self._lane.submit(lambda: self._take(event, change), key=(self, change.entry.key))
        else:
            self._take(event, change)

    def _heard_all(self) -> None:
        if self._declaration.user_code:
            self._lane.submit(self._synced)  # Behind the jobs of the first list.
        else:
            self._synced()

    def _synced(self) -> None:
        if not self._stopped:
            self._on_synced()

    def _take(self, event: Event, change: Change) -> None:
        if self._stopped:
            return
        recording = self._recording
        for predicate in self._declaration.predicates:
            if not predicate.admits(event):
                if recording is not None:
                    recording.dropped(event, predicate, self._declaration.handler, self._cluster)
                return
        priority = LOW_PRIORITY if _is_routine(change) else 0
        for request in self._declaration.handler.requests(event, self._cluster):
            if recording is not None:
                recording.queued(request, event)
            if not self._queue.add(request, priority=priority, reason=event.reason, may_refuse=True):
                if recording is not None:
                    recording.refused(request)
                self._note_refusal(change)

    def room(self) -> None:
        """Ask again for what was refused; any thread."""
        self._retelling.room()

    def _note_refusal(self, change: Change) -> None:
        if self._retelling.refused(change.entry.key, resync=change.resync):
            _log.warning(
                "the queue is full: more requests will be told again when there is room",
                controller=self._queue.name,
                cluster=self._cluster.name,
            )


class ClusterSources:
    """All sources of one controller in one cluster, and the kinds that it keeps in memory there.

    Args:
        cluster: where.
        terms: what the clients keep to that functions of the user's are given; its token is closed by `close`.
    """

    def __init__(self, cluster: Cluster, terms: Terms) -> None:
        self._cluster = cluster
        self._terms = terms
        self._view = ClusterView(cluster, terms)
        self._holdings = terms.holdings
        self._handles: dict[GVK, CacheHandle] = {}
        self._sources: list[KindSource] = []
        self._lock = threading.Lock()
        self._feeds: list[tuple[RawSource, Feed]] = []
        self._stopped = False

    def keep(self, kind: KindRef) -> CacheHandle:
        """Keep a kind in memory; the same handle for the same kind."""
        gvk = gvk_of(kind)
        handle = self._handles.get(gvk)
        if handle is None:
            handle = self._handles[gvk] = self._cluster.cache(kind, self._holdings.get(gvk))
        return handle

    def add(
        self,
        declaration: Declaration,
        *,
        queue: WorkQueue[Request],
        lane: Lane,
        on_synced: Callable[[], None],
        pauses: PausedObjects | None = None,
        recording: Recording | None = None,
    ) -> None:
        """Begin to feed the queue; arguments as for `KindSource`."""
        handle = self.keep(declaration.kind)
        gvk = gvk_of(declaration.kind)
        holding = self._holdings.get(gvk)
        read_as = gvk if holding is not None and holding.metadata_only else declaration.kind
        source = KindSource(
            declaration,
            self._view,
            handle,
            read_as=read_as,
            queue=queue,
            lane=lane,
            on_synced=on_synced,
            pauses=pauses,
            recording=recording,
        )
        self._sources.append(source)

    def begin(self, declaration: RawDeclaration, *, queue: WorkQueue[Request], lane: Lane, clock: Clock) -> None:
        """Begin to feed the queue from a raw source, unless this has been stopped meanwhile."""
        feed = Feed(declaration.source, self._view, declaration.predicates, queue=queue, lane=lane, clock=clock)
        with self._lock:
            if self._stopped:
                return
            self._feeds.append((declaration.source, feed))
        declaration.source.start(feed)
        if self._stopped:  # While it began.
            declaration.source.stop(feed)

    def stop(self) -> None:
        """Feed nothing more; the kinds stay for reads."""
        for source in self._sources:
            source.stop()
        with self._lock:
            self._stopped = True
            feeds = tuple(self._feeds)
        for raw, feed in feeds:
            raw.stop(feed)  # First: what comes from now on is kept, and not refused.
            feed.stop()

    def room(self) -> None:
        """Ask again for what the queue has refused."""
        for source in self._sources:
            source.room()

    def close(self) -> None:
        """Let the kinds go; others may keep them."""
        for handle in self._handles.values():
            handle.close()
        if self._terms.stop is not None:
            self._terms.stop.close()


def _is_routine(change: Change) -> bool:
    """Part of a first list or a resync, or an update that changed nothing, as after the server went back in time."""
    if change.new is None:
        return False
    return change.initial or change.resync or (change.old is not None and change.old.version == change.new.version)

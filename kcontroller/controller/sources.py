"""What feeds a controller from one cluster: each declaration with its subscription, filter and way into the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.codec import gvk_of
from kcontroller.cluster.view import ClusterView, Terms
from kcontroller.controller.event import Event
from kcontroller.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cache.scope import Holding
    from kcontroller.cache.store import Change
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.controller.builder import Declaration
    from kcontroller.controller.mapping import Lane
    from kcontroller.workqueue import WorkQueue


class KindSource:
    """Feeds a queue with the changes of one kind in one cluster.

    Args:
        declaration: what counts and whom it concerns.
        cluster: where.
        handle: of the kind there.
        queue: gets the requests.
        lane: runs the user's functions.
        on_synced: called once, when every object that there was at the start is in the queue.
    """

    def __init__(
        self,
        declaration: Declaration,
        cluster: Cluster,
        handle: CacheHandle,
        *,
        queue: WorkQueue[Request],
        lane: Lane,
        on_synced: Callable[[], None],
    ) -> None:
        self._declaration = declaration
        self._cluster = cluster
        self._queue = queue
        self._lane = lane
        self._on_synced = on_synced
        self._stopped = False
        self._subscription = handle.subscribe(self._hear, self._heard_all, resync=declaration.resync)

    def stop(self) -> None:
        """Hear nothing more; what waits on the lane is dropped."""
        self._stopped = True
        self._subscription.close()

    def _hear(self, change: Change) -> None:
        event = Event(self._cluster.name, self._declaration.kind, change)
        if self._declaration.user_code:
            self._lane.submit(lambda: self._take(event))
        else:
            self._take(event)

    def _heard_all(self) -> None:
        if self._declaration.user_code:
            self._lane.submit(self._synced)  # Behind the jobs of the first list.
        else:
            self._synced()

    def _synced(self) -> None:
        if not self._stopped:
            self._on_synced()

    def _take(self, event: Event) -> None:
        if self._stopped or not all(predicate.admits(event) for predicate in self._declaration.predicates):
            return
        priority = LOW_PRIORITY if _is_routine(event.change) else 0
        for request in self._declaration.handler.requests(event, self._cluster):
            self._queue.add(request, priority=priority, reason=event.reason)


class ClusterSources:
    """All sources of one controller in one cluster, and the kinds that it keeps in memory there.

    Args:
        cluster: where.
        holdings: what to keep of kinds of which it is not the usual.
    """

    def __init__(self, cluster: Cluster, holdings: Mapping[GVK, Holding]) -> None:
        self._cluster = cluster
        # Map functions read what their controller keeps.
        self._read = ClusterView(cluster, Terms("kcontroller", holdings=holdings)) if holdings else cluster
        self._holdings = holdings
        self._handles: dict[GVK, CacheHandle] = {}
        self._sources: list[KindSource] = []

    def keep(self, kind: KindRef) -> CacheHandle:
        """Keep a kind in memory; the same handle for the same kind."""
        gvk = gvk_of(kind)
        handle = self._handles.get(gvk)
        if handle is None:
            handle = self._handles[gvk] = self._cluster.cache(kind, self._holdings.get(gvk))
        return handle

    def add(
        self, declaration: Declaration, *, queue: WorkQueue[Request], lane: Lane, on_synced: Callable[[], None]
    ) -> None:
        """Begin to feed the queue; arguments as for `KindSource`."""
        handle = self.keep(declaration.kind)
        source = KindSource(declaration, self._read, handle, queue=queue, lane=lane, on_synced=on_synced)
        self._sources.append(source)

    def stop(self) -> None:
        """Feed nothing more; the kinds stay for reads."""
        for source in self._sources:
            source.stop()

    def close(self) -> None:
        """Let the kinds go; others may keep them."""
        for handle in self._handles.values():
            handle.close()


def _is_routine(change: Change) -> bool:
    """Part of a first list or a resync, or an update that changed nothing, as after the server went back in time."""
    if change.new is None:
        return False
    return change.initial or change.resync or (change.old is not None and change.old.version == change.new.version)

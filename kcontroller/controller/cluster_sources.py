"""All that feeds a controller from one cluster, and what it keeps in memory there; it may change with the labels."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from kcontroller.api.codec import gvk_of
from kcontroller.cluster.view import ClusterView
from kcontroller.controller.handlers import ForObject
from kcontroller.controller.raw import Feed
from kcontroller.controller.selecting import Wanted
from kcontroller.controller.sources import KindSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.cluster.view import ClusterGetter, Terms
    from kcontroller.controller.declarations import Declaration
    from kcontroller.controller.inlet import Inlet
    from kcontroller.controller.lanes import Lane
    from kcontroller.controller.raw import RawDeclaration
    from kcontroller.process.clock import Clock


class ClusterSources:
    """All sources of one controller in one cluster, and the kinds that it keeps in memory there.

    Which they are may change while the cluster is engaged: see `settle`, which one thread calls at a time.

    Args:
        cluster: where.
        terms: what the clients keep to that functions of the user's are given; its token is closed by `close`.
        paths: by what each kind is indexed.
        clusters: what functions of the user's find the other clusters by.
        inlet: gets the requests.
        lane: runs functions of the user's.
        on_synced: called once, when all sources that there were from the start have queued their first objects. It may
            be called by `settle`.

    Attributes:
        wanted: what was settled last.
    """

    def __init__(
        self,
        cluster: Cluster,
        terms: Terms,
        *,
        clusters: ClusterGetter,
        paths: Mapping[GVK, tuple[str, ...]],
        inlet: Inlet,
        lane: Lane,
        on_synced: Callable[[], None],
    ) -> None:
        self.cluster = cluster
        self.lane = lane
        self.wanted = Wanted()
        self._terms = terms
        self._paths = paths
        self._view = ClusterView(cluster, terms, clusters)
        self._inlet = inlet
        self._awaited = _Awaited(on_synced)
        self._kept: dict[GVK, CacheHandle] = {}
        self._sources: dict[Declaration, KindSource] = {}
        self._lock = threading.Lock()
        self._feeds: dict[RawDeclaration, Feed] = {}
        self._stopped = False

    def settle(self, wanted: Wanted) -> None:
        """Attach what is wanted and not there, and let go of what is there and not wanted any more.

        Of raw sources only those end here that are not wanted; see `begin`.
        """
        self._awaited.wait_for(self)  # Until all are told of.
        self.wanted = wanted
        kept = {gvk_of(kind): kind for kind in wanted.kept}
        for gvk in self._kept.keys() - kept.keys():
            self._awaited.over(gvk)
            self._kept.pop(gvk).close()
        for each in [each for each in self._sources if each not in wanted.declarations]:
            self._detach(each)
        for raw in [each for each in self._feeds if each not in wanted.raw]:
            self._end(raw)
        for each in sorted(wanted.declarations, key=lambda each: not isinstance(each.handler, ForObject)):
            if each not in self._sources:  # First what is reconciled: its class says most of the kind.
                self._attach(each)
        for gvk, kind in kept.items():
            if gvk not in self._kept:
                self._awaited.wait_for(gvk)
                handle = self._kept[gvk] = self._acquire(kind)
                handle.subscribe(lambda _change: None, partial(self._awaited.over, gvk))
        self._awaited.over(self)

    def _attach(self, each: Declaration) -> None:
        self._awaited.wait_for(each)
        gvk = gvk_of(each.kind)
        holding = self._terms.holdings.get(gvk)
        if isinstance(each.handler, ForObject):
            self._inlet.objects.forget(self.cluster.name)  # Its thread may have told of one when it left.
        self._sources[each] = KindSource(
            each,
            self._view,
            self._acquire(each.kind),
            read_as=gvk if holding is not None and holding.metadata_only else each.kind,
            inlet=self._inlet,
            lane=self.lane,
            on_synced=lambda: self._awaited.over(each),
        )

    def _detach(self, each: Declaration) -> None:
        source = self._sources.pop(each)
        source.stop()
        source.close()
        if isinstance(each.handler, ForObject):
            self._inlet.objects.forget(self.cluster.name)  # Nobody would hear that their pauses end.
        self._awaited.over(each)

    def _acquire(self, kind: KindRef) -> CacheHandle:
        gvk = gvk_of(kind)
        handle = self.cluster.cache(kind, self._terms.holdings.get(gvk))
        if self._paths.get(gvk):
            handle.index(self._paths[gvk])
        return handle

    # ---- raw sources ---------------------------------------------------------------------------------------------

    def begin(self, declaration: RawDeclaration, *, lane: Lane, clock: Clock) -> None:
        """Begin to feed the queue from a raw source, unless it is not wanted any more or has begun."""
        feed = Feed(
            declaration.source, self._view, declaration.predicates, queue=self._inlet.queue, lane=lane, clock=clock
        )
        with self._lock:
            if self._stopped or declaration not in self.wanted.raw or declaration in self._feeds:
                return
            self._feeds[declaration] = feed
        declaration.source.start(feed)
        if self._feeds.get(declaration) is not feed or self._stopped:  # While it began.
            declaration.source.stop(feed)

    def _end(self, declaration: RawDeclaration) -> None:
        with self._lock:
            feed = self._feeds.pop(declaration)
        declaration.source.stop(feed)  # First: what comes from now on is kept, and not refused.
        feed.stop()

    # ---- the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Feed nothing more; the kinds stay for reads."""
        for source in self._sources.values():
            source.stop()
        with self._lock:
            self._stopped = True
            raw = tuple(self._feeds)
        for each in raw:
            self._end(each)

    def close(self) -> None:
        """Let the kinds go; others may keep them."""
        for source in self._sources.values():
            source.close()
        for handle in self._kept.values():
            handle.close()
        if self._terms.stop is not None:
            self._terms.stop.close()


class _Awaited:
    """Calls a function once, when nothing is waited for any more.

    Args:
        function: the function.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._tokens: set[object] = set()
        self._done = False

    def wait_for(self, token: object) -> None:
        """Wait for something more, unless it is too late."""
        with self._lock:
            if not self._done:
                self._tokens.add(token)

    def over(self, token: object) -> None:
        """Wait no longer for it."""
        with self._lock:
            self._tokens.discard(token)
            if self._tokens or self._done:
                return
            self._done = True
        self._function()

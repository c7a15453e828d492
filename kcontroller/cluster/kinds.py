"""What a cluster keeps in memory, shared by everybody who wants the same of a kind.

Who wants a kind gets a handle, and gives it back with `close`. The first handle begins the lists and watches, the last
one that is closed ends them, with their memory, metrics and troubles. An index stays until nothing of its kind is held:
to take it out would mean to go through every object for a few bytes each.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kcontroller.api.codec import gvk_of
from kcontroller.cache.meter import InformerMeter
from kcontroller.cache.scope import Holding
from kcontroller.cluster.cached_kind import CachedKind
from kcontroller.cluster.kind_view import DeclaredKind, KindView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK
    from kcontroller.cache.feed import Feed, Stoppable
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.meter import Reading
    from kcontroller.cache.store import Change
    from kcontroller.client.discovery import RestMapper
    from kcontroller.cluster.kind_view import Answering
    from kcontroller.cluster.subscriptions import KindSubscription
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics


class CacheHandle:
    """One user of what is kept of a kind; any thread. A handle that is not closed keeps it until the cluster ends.

    Attributes:
        kind: what is kept; others may share it.
    """

    def __init__(self, kind: CachedKind, kinds: Kinds) -> None:
        self.kind = kind
        self.closed = False
        self._kinds = kinds
        self._subscriptions: list[KindSubscription] = []

    def subscribe(
        self, handler: Callable[[Change], None], on_synced: Callable[[], None], *, resync: float = 0.0
    ) -> KindSubscription:
        """Let `handler` hear of every object and every change, on the loop thread, until the handle is closed.

        Args:
            handler: must not block.
            on_synced: called once, when the handler has heard of every object that there was at the start.
            resync: tell it of every object again after so many seconds, and so on; 0 for never.
        """
        subscription = self.kind.subscribe(handler, on_synced, resync=resync)
        self._subscriptions.append(subscription)
        return subscription

    def index(self, paths: Iterable[str]) -> None:
        """Keep and index these JSON paths of the kind from now on, also of the objects that are here."""
        self._kinds.index(self.kind.gvk, paths)

    def call_later(self, seconds: float, function: Callable[[], None]) -> Stoppable:
        """Run a function on the loop thread after so many seconds; only there, as in a handler."""
        return self.kind.call_later(seconds, function)

    @property
    def synced(self) -> bool:
        """Whether every object that there was is in memory."""
        return self.kind.synced

    def covering(self, namespace: str, labels: Mapping[str, str]) -> Informer | None:
        """The informer that would hold an object with these, if any."""
        return self.kind.covering(namespace, labels)

    def close(self) -> None:
        """End its subscriptions, and let go of the kind; harmless when repeated."""
        for subscription in self._subscriptions:
            subscription.close()
        self._kinds.release(self)

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()


class Kinds:
    """The kinds of one cluster; any thread.

    Args:
        feed: the cluster's loop.
        mapper: knows how kinds are served.
        clock: the time.
        cluster: its name, a metric label.
        namespaces: keep only these where somebody does not name others; () keeps all.
        on_trouble: told what is wrong with a kind, or None when it is over.
        on_end: told of a kind that is not kept any more.
        metrics: where to count.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        mapper: RestMapper,
        clock: Clock,
        cluster: str,
        namespaces: tuple[str, ...],
        on_trouble: Callable[[CachedKind, Exception | None], None],
        on_end: Callable[[CachedKind], None],
        metrics: Metrics | None,
    ) -> None:
        self._feed = feed
        self._mapper = mapper
        self._clock = clock
        self._cluster = cluster
        self._namespaces = tuple(sorted(set(namespaces)))
        self._on_trouble = on_trouble
        self._on_end = on_end
        self._metrics = metrics
        self._lock = threading.Lock()
        self._held: dict[tuple[GVK, Holding], CachedKind] = {}
        self._users: dict[CachedKind, int] = {}
        self._paths: dict[GVK, dict[str, None]] = {}
        self._views: dict[GVK, KindView] = {}

    def acquire(self, kind: KindRef, holding: Holding | None = None) -> CacheHandle:
        """Keep a kind in memory until the handle is closed."""
        gvk = gvk_of(kind)
        wanted = self._wanted(holding or Holding())
        with self._lock:
            cached = self._held.get((gvk, wanted))
            is_new = cached is None
            if cached is None:
                cached = self._held[gvk, wanted] = self._made(gvk, kind, wanted)
                self._show(gvk)
            self._users[cached] = self._users.get(cached, 0) + 1
        if is_new:
            self._feed.call(cached.start)
        return CacheHandle(cached, self)

    def share(self, cached: CachedKind) -> CacheHandle | None:
        """One more handle of what is kept already; None if it is not any more."""
        with self._lock:
            if cached not in self._users:
                return None
            self._users[cached] += 1
        return CacheHandle(cached, self)

    def release(self, handle: CacheHandle) -> None:
        """Take a handle back; once for each handle, whatever it is told."""
        cached = handle.kind
        with self._lock:
            if handle.closed:
                return
            handle.closed = True
            self._users[cached] -= 1
            if self._users[cached]:
                return
            del self._users[cached]
            del self._held[cached.gvk, cached.holding]
            self._show(cached.gvk)
        self._feed.call(lambda: self._end(cached))

    def index(self, gvk: GVK, paths: Iterable[str]) -> None:
        """Index a kind by JSON paths, whatever is held of it: a read does not say whose index it means."""
        wanted = tuple(paths)
        with self._lock:
            self._paths.setdefault(gvk, {}).update(dict.fromkeys(wanted))
            kinds = [cached for (other, _holding), cached in self._held.items() if other == gvk]
        for cached in kinds:
            cached.index(wanted)

    def get(self, gvk: GVK) -> KindView | None:
        """What is kept of a kind; None for nothing."""
        return self._views.get(gvk)

    def answering(self, gvk: GVK, holdings: Mapping[GVK, Holding]) -> Answering | None:
        """What answers the reads of a kind to somebody who keeps these; None if nothing of it is kept."""
        holding = holdings.get(gvk)
        declared = None if holding is None else self._held.get((gvk, self._wanted(holding)))
        return DeclaredKind(declared) if declared is not None else self._views.get(gvk)

    def all(self) -> tuple[CachedKind, ...]:
        """Everything that is kept."""
        with self._lock:
            return tuple(self._held.values())

    def observe(self) -> None:
        """Bring the gauges up to date; called before a scrape."""
        readings: dict[str, list[Reading]] = {}
        for cached in self.all():
            readings.setdefault(self._label(cached.gvk), []).extend(cached.readings())
        for label, found in readings.items():
            self._meter(label).observe(found)
        # What was let go meanwhile must not come back.
        for label in readings.keys() - {self._label(cached.gvk) for cached in self.all()}:
            self._meter(label).forget()

    def _wanted(self, holding: Holding) -> Holding:
        """The one form of what comes to the same, so that it is shared."""
        is_default = holding.namespaces is not None and tuple(sorted(holding.namespaces)) == self._namespaces
        return replace(holding, namespaces=None) if is_default else holding

    def _made(self, gvk: GVK, kind: KindRef, holding: Holding) -> CachedKind:
        return CachedKind(
            gvk,
            kind,
            feed=self._feed,
            mapper=self._mapper,
            clock=self._clock,
            holding=holding,
            namespaces=self._namespaces,
            on_trouble=self._on_trouble,
            meter=self._meter(str(gvk)),
            paths=tuple(self._paths.get(gvk, ())),
        )

    def _show(self, gvk: GVK) -> None:
        # A new value each time: reads take no lock.
        kinds = [cached for (other, _holding), cached in self._held.items() if other == gvk]
        if kinds:
            self._views[gvk] = KindView(gvk, kinds, self.share)
        else:
            self._views.pop(gvk, None)
            self._paths.pop(gvk, None)

    def _end(self, cached: CachedKind) -> None:
        cached.stop()
        self._on_end(cached)
        label = self._label(cached.gvk)
        if all(self._label(other.gvk) != label for other in self.all()):
            self._meter(label).forget()

    def _label(self, gvk: GVK) -> str:
        return "" if self._cluster else str(gvk)

    def _meter(self, kind: str) -> InformerMeter:
        return InformerMeter(self._metrics, cluster=self._cluster, kind=kind)

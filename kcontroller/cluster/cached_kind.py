"""One kind of a cluster in memory: found by discovery, then one informer for all namespaces or one for each.

A kind that the server does not serve yet is pending, says so, and is asked for again until it appears. One that
vanishes keeps what is known of it, and discovery is asked whether it comes back under another plural or scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.codec import mapping_of
from kcontroller.cache.informer import Informer
from kcontroller.cache.meter import Health, Reading
from kcontroller.cache.scope import Holding
from kcontroller.cluster.kind_discovery import KindDiscovery
from kcontroller.cluster.subscriptions import KindSubscription
from kcontroller.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, ResourceMapping
    from kcontroller.cache.feed import Feed, Stoppable
    from kcontroller.cache.meter import InformerMeter
    from kcontroller.cache.scope import Scope
    from kcontroller.cache.store import Change
    from kcontroller.client.discovery import RestMapper
    from kcontroller.process.clock import Clock


class CachedKind:
    """What is held of a kind, and its informers. Those who want the same share it; see `kinds`.

    Attributes:
        gvk: the kind.
        holding: what of it.

    Args:
        kind: the kind as it was named; a class may state how it is served.
        feed: the cluster's loop.
        mapper: knows how kinds are served.
        clock: the time.
        holding: what to keep. Its namespaces are those that somebody asked for; None takes the manager's.
        namespaces: the manager's; () is all. Cluster-scoped kinds are held whole.
        on_trouble: told what is wrong, or None when it is over.
        meter: where to count.
        paths: JSON paths to index by.
    """

    def __init__(
        self,
        gvk: GVK,
        kind: KindRef,
        *,
        feed: Feed,
        mapper: RestMapper,
        clock: Clock,
        on_trouble: Callable[[CachedKind, Exception | None], None],
        holding: Holding | None = None,
        namespaces: tuple[str, ...] = (),
        meter: InformerMeter | None = None,
        paths: Iterable[str] = (),
    ) -> None:
        self.gvk = gvk
        self.holding = holding or Holding()
        self._kind = kind
        self._feed = feed
        self._mapper = mapper
        self._clock = clock
        own = self.holding.namespaces
        self._namespaces = tuple(dict.fromkeys(namespaces if own is None else own))
        self._on_trouble = on_trouble
        self._meter = meter
        self._discovery = KindDiscovery(gvk, feed=feed, on_found=self._found, on_failed=self._undiscovered)
        self._mapping: ResourceMapping | None = None
        self._informers: dict[str, Informer] = {}
        self._subscriptions: list[KindSubscription] = []
        self._paths = {path: None for path in paths if self.holding.keeps(path)}
        self._error: Exception | None = None
        self._vanished = False
        self._closed = False

    # ---- any thread ----------------------------------------------------------------------------------------------

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon."""
        self._feed.call(function)

    def subscribe(
        self, handler: Callable[[Change], None], on_synced: Callable[[], None], *, resync: float = 0.0
    ) -> KindSubscription:
        """Let `handler` hear of every object and every change, on the loop thread; see `KindSubscription`."""
        subscription = KindSubscription(self, handler, on_synced, resync=resync)
        self.call(lambda: self._join(subscription))
        return subscription

    def index(self, paths: Iterable[str]) -> None:
        """Keep and index these JSON paths from now on, also of the objects that are here."""
        wanted = tuple(path for path in paths if self.holding.keeps(path))
        if wanted:
            self.call(lambda: self._add_paths(wanted))

    @property
    def informers(self) -> tuple[Informer, ...]:
        """One for each namespace, or one for all; () while it is not known how the kind is served."""
        return tuple(self._informers.values())

    @property
    def synced(self) -> bool:
        """Whether the first complete list of every informer is in."""
        informers = self._informers
        return bool(informers) and all(informer.status.synced for informer in informers.values())

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that are held; () for all, and of cluster-scoped kinds."""
        whole = self._mapping is not None and not self._mapping.namespaced
        return () if whole else self._namespaces

    @property
    def selective(self) -> bool:
        """Whether objects of the namespaces are left out."""
        return any(scope.selective for scope in self.holding.scopes(()))

    def synced_informers(self, namespace: str) -> tuple[Informer, ...]:
        """The informers for a namespace ("" for all); () as long as one of them has not seen its first list."""
        informers = self._informers
        if namespace:
            one = informers.get("") or informers.get(namespace)
            return (one,) if one is not None and one.status.synced else ()
        return tuple(informers.values()) if self.synced else ()

    def covering(self, namespace: str, labels: Mapping[str, str]) -> Informer | None:
        """The informer that would hold an object with these, if any."""
        return next((each for each in self._informers.values() if each.covers(namespace, labels)), None)

    def showing(self, key: Key, labels: Mapping[str, str]) -> Informer | None:
        """The informer that would hold an object with these labels, or holds one that had others a moment ago."""
        for informer in self._informers.values():
            if informer.covers(key.namespace, labels) or informer.store.get(key) is not None:
                return informer
        return None

    def readings(self) -> tuple[Reading, ...]:
        """How its informers fare."""
        informers = self._informers
        if not informers:
            return (Reading(Health.of(self._error, synced=False)),)
        return tuple(informer.reading() for informer in informers.values())

    def __str__(self) -> str:
        """Name it for logs and readiness: ``v1 Secret, metadata only``."""
        what = str(self.holding)
        return f"{self.gvk} {what}" if what else str(self.gvk)

    # ---- loop thread ---------------------------------------------------------------------------------------------

    def call_later(self, seconds: float, function: Callable[[], None]) -> Stoppable:
        """Run a function on the loop thread after so many seconds."""
        return self._feed.call_later(seconds, function)

    def start(self) -> None:
        """Find out how the kind is served, then list and watch."""
        mapping = self._mapper.known(self._kind)
        if mapping is not None:
            self._mapper.learn(mapping)  # Also for those who name the kind by its GVK.
            self._serve(mapping)
        elif not self._closed:
            self._discovery.ask()

    def stop(self) -> None:
        """Close the watches and give the memory back."""
        self._closed = True
        self._discovery.stop()
        for informer in self._informers.values():
            informer.let_go()

    def left(self, subscription: KindSubscription) -> None:
        """Forget a subscriber."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _join(self, subscription: KindSubscription) -> None:
        self._subscriptions.append(subscription)
        if self._informers and not self._closed:
            subscription.attach(self._informers.values())

    def _add_paths(self, paths: tuple[str, ...]) -> None:
        self._paths.update(dict.fromkeys(paths))
        for informer in self._informers.values():
            informer.add_paths(paths)

    def _fits(self, mapping: ResourceMapping) -> bool:
        if mapping.namespaced or not self.holding.namespaces:
            return True
        msg = f"{self.gvk} is cluster-scoped, so that it cannot be cached by namespace; leave namespaces= out"
        self._tell(ConfigError(msg))
        self._discovery.ask_later()  # It may be installed anew.
        return False

    def _serve(self, mapping: ResourceMapping) -> None:
        if self._closed or not self._fits(mapping):
            return
        if self._error is not None:
            self._tell(None)
        before, self._mapping = self._informers, mapping
        self._informers = {scope.namespace: self._informer(scope) for scope in self.holding.scopes(self.namespaces)}
        for subscription in tuple(self._subscriptions):
            subscription.attach(self._informers.values())
        for informer in before.values():
            informer.let_go()
        for informer in self._informers.values():
            informer.start()

    def _informer(self, scope: Scope) -> Informer:
        assert self._mapping is not None  # noqa: S101 - it was just found
        return Informer(
            self._mapping,
            feed=self._feed,
            clock=self._clock,
            holding=self.holding,
            scope=scope,
            paths=tuple(self._paths),
            on_status=self._status_changed,
            meter=self._meter,
        )

    def _status_changed(self, _informer: Informer) -> None:
        errors = [informer.error for informer in self._informers.values() if informer.error is not None]
        self._tell(errors[0] if errors else None)
        stated = mapping_of(self._kind)
        if any(map(_is_of_the_path, errors)) and (stated is None or not stated.plural):
            self._vanished = True
        if self._vanished:
            self._discovery.ask()

    def _found(self, mapping: ResourceMapping) -> None:
        self._mapper.learn(mapping)
        if mapping != self._mapping:
            self._vanished = False
            self._serve(mapping)
        elif self._vanished:
            # Its list may answer before its discovery does: what is found after that counts.
            self._vanished = any(_is_of_the_path(informer.error) for informer in self._informers.values())
            self._discovery.ask_later()

    def _undiscovered(self, error: Exception) -> None:
        if not self._informers:  # They tell their own troubles.
            self._tell(error)

    def _tell(self, error: Exception | None) -> None:
        self._error = error
        self._on_trouble(self, error)


def _is_of_the_path(error: Exception | None) -> bool:
    """Whether the server does not know the resource; what an informer asks for is no single object."""
    return isinstance(error, NotFound)

"""One kind of a cluster in memory: found by discovery, then one informer for all namespaces or one for each.

A kind that the server does not serve yet is pending, says so, and is asked for again until it appears.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.paths import group_version_path
from kcontroller.cache.informer import Informer, Scope
from kcontroller.client.discovery import REQUEST_SECONDS, kind_from
from kcontroller.errors import KControllerError, NotSynced, TransportError, UnlistedNamespace
from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, ResourceMapping
    from kcontroller.cache.feed import Feed
    from kcontroller.cache.informer import Subscription
    from kcontroller.cache.store import Change
    from kcontroller.client.discovery import RestMapper
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_DISCOVERY: Final = Backoff(initial=0.5, cap=5.0, jitter=0.2)


class KindSubscription:
    """One subscriber of a kind, over all of its informers."""

    def __init__(self, kind: CachedKind, handler: Callable[[Change], None], on_synced: Callable[[], None]) -> None:
        self._kind = kind
        self._handler = handler
        self._on_synced = on_synced
        self._parts: tuple[Subscription, ...] = ()
        self._unsynced = 0
        self._closed = False

    def close(self) -> None:
        """Hear nothing more; any thread, harmless when repeated."""
        self._closed = True
        self._kind.call(self._detach)

    def attach(self, informers: Iterable[Informer]) -> None:
        """Join the informers; for the kind, on the loop thread."""
        if not self._closed and not self._parts:
            joined = tuple(informers)
            self._unsynced = len(joined)
            self._parts = tuple(informer.subscribe(self._tell, self._part_synced) for informer in joined)

    def _tell(self, change: Change) -> None:
        if not self._closed:
            self._handler(change)

    def _part_synced(self) -> None:
        self._unsynced -= 1
        if not self._unsynced and not self._closed:
            self._on_synced()

    def _detach(self) -> None:
        for part in self._parts:
            part.close()
        self._kind.left(self)


class CachedKind:
    """A kind and its informers.

    Args:
        kind: the kind.
        feed: the cluster's loop.
        mapper: knows how kinds are served.
        clock: the time.
        cluster: for logs and metric labels.
        namespaces: hold only these; () holds all. Cluster-scoped kinds are always held whole.
        on_trouble: told what is wrong, or None when it is over.
        metrics: where to count.
    """

    def __init__(
        self,
        gvk: GVK,
        kind: KindRef,
        *,
        feed: Feed,
        mapper: RestMapper,
        clock: Clock,
        cluster: str,
        namespaces: tuple[str, ...],
        on_trouble: Callable[[CachedKind, Exception | None], None],
        metrics: Metrics | None,
    ) -> None:
        self.gvk = gvk
        self._kind = kind
        self._feed = feed
        self._mapper = mapper
        self._clock = clock
        self._cluster = cluster
        self._namespaces = namespaces
        self._on_trouble = on_trouble
        self._metrics = metrics
        self._informers: dict[str, Informer] = {}
        self._subscriptions: list[KindSubscription] = []
        self._paths: dict[str, None] = {}
        self._failures = 0
        self._closed = False

    # ---- any thread ----------------------------------------------------------------------------------------------

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon."""
        self._feed.call(function)

    def subscribe(self, handler: Callable[[Change], None], on_synced: Callable[[], None]) -> KindSubscription:
        """Let `handler` hear of every object and every change, on the loop thread.

        `on_synced` is called once, when it has heard of every object that there was at the start.
        """
        subscription = KindSubscription(self, handler, on_synced)
        self.call(lambda: self._join(subscription))
        return subscription

    def index(self, paths: Iterable[str]) -> None:
        """Keep and index these JSON paths from now on, also of the objects that are here."""
        wanted = tuple(paths)
        if wanted:
            self.call(lambda: self._add_paths(wanted))

    @property
    def synced(self) -> bool:
        """Whether the first complete list of every informer is in."""
        informers = self._informers
        return bool(informers) and all(informer.status.synced for informer in informers.values())

    def informers(self, namespace: str) -> tuple[Informer, ...]:
        """The synced informers that can answer a read of a namespace ("" for all, or of a cluster-scoped kind).

        Raises:
            NotSynced: the first list is not in yet.
            UnlistedNamespace: this process does not watch the namespace.
        """
        informers = self._informers
        if not self.synced:
            msg = f"the cache of {self.gvk} is not synced yet"
            raise NotSynced(msg)
        if not namespace:
            return tuple(informers.values())
        informer = informers.get("") or informers.get(namespace)
        if informer is None:
            msg = (
                f"namespace {namespace!r} is not watched; this process holds {self.gvk} of {', '.join(informers)} only"
            )
            raise UnlistedNamespace(msg)
        return (informer,)

    def covering(self, namespace: str, labels: Mapping[str, str]) -> Informer | None:
        """The informer that would hold an object with these, if any."""
        return next((each for each in self._informers.values() if each.covers(namespace, labels)), None)

    def observe(self) -> None:
        """Bring the gauges up to date."""
        for informer in self._informers.values():
            informer.observe()

    # ---- loop thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find out how the kind is served, then list and watch."""
        mapping = self._mapper.known(self._kind)
        if mapping is not None:
            self._mapper.learn(mapping)  # Also for those who name the kind by its GVK.
            self._serve(mapping)
        else:
            self._discover()

    def stop(self) -> None:
        """Close the watches."""
        self._closed = True
        for informer in self._informers.values():
            informer.stop()

    def left(self, subscription: KindSubscription) -> None:
        """Forget a subscriber."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _join(self, subscription: KindSubscription) -> None:
        self._subscriptions.append(subscription)
        if self._informers:
            subscription.attach(self._informers.values())

    def _add_paths(self, paths: tuple[str, ...]) -> None:
        self._paths.update(dict.fromkeys(paths))
        for informer in self._informers.values():
            informer.add_paths(paths)

    def _serve(self, mapping: ResourceMapping) -> None:
        if self._closed:
            return
        namespaces = self._namespaces if mapping.namespaced and self._namespaces else ("",)
        self._informers = {namespace: self._informer(mapping, namespace) for namespace in namespaces}
        for subscription in tuple(self._subscriptions):
            subscription.attach(self._informers.values())
        for informer in self._informers.values():
            informer.start()

    def _informer(self, mapping: ResourceMapping, namespace: str) -> Informer:
        return Informer(
            mapping,
            feed=self._feed,
            clock=self._clock,
            scope=Scope(namespace),
            cluster=self._cluster,
            paths=tuple(self._paths),
            on_status=self._status_changed,
            metrics=self._metrics,
        )

    def _status_changed(self, _informer: Informer) -> None:
        errors = (informer.error for informer in self._informers.values())
        self._on_trouble(self, next((error for error in errors if error is not None), None))

    def _discover(self) -> None:
        if not self._closed:
            self._feed.open(group_version_path(self.gvk), _Discovery(self), timeout=REQUEST_SECONDS)

    def discovered(self, status: int, body: bytes) -> None:
        """Take the answer of discovery."""
        try:
            mapping = kind_from(body, status, self.gvk)
        except KControllerError as error:
            self.undiscovered(error)
            return
        self._mapper.learn(mapping)
        # The loop lets no exception of a receiver out; one of ours must end it.
        self.call(lambda: self._found(mapping))

    def _found(self, mapping: ResourceMapping) -> None:
        if not self._closed:
            self._failures = 0
            self._on_trouble(self, None)
            self._serve(mapping)

    def undiscovered(self, error: Exception) -> None:
        """Ask again later."""
        if self._closed:
            return
        self._failures += 1
        self._on_trouble(self, error)
        self._feed.call_later(_DISCOVERY.delay(self._failures), self._discover)


class _Discovery:
    """Receives a discovery document."""

    def __init__(self, kind: CachedKind) -> None:
        self._kind = kind
        self._status = 0
        self._body: list[bytes] = []

    def on_response(self, status: int, headers: Mapping[str, Any]) -> None:  # noqa: ARG002 - the receiver's signature
        self._status = status

    def on_data(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def on_end(self, error: TransportError | None) -> None:
        if error is not None:
            self._kind.undiscovered(error)
        else:
            self._kind.discovered(self._status, b"".join(self._body))

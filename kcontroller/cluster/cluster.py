"""A cluster: its thread, what it keeps in memory, and the clients of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.fixpoints import Fixpoints
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.cluster.floors import Floors
from kcontroller.cluster.kinds import Kinds
from kcontroller.cluster.rails import RailedWriter
from kcontroller.cluster.reader import CachedReader
from kcontroller.cluster.tracked import TrackedObjects
from kcontroller.cluster.troubles import Troubles, in_words
from kcontroller.cluster.writer import PromisingWriter, ReducedWriter
from kcontroller.errors import TooManyRequests
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.process.stop import StopToken
from kcontroller.transport.requests import Requester
from kcontroller.transport.streams import StreamLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.entry import Entry
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.scope import Holding
    from kcontroller.client.ports import Reader, Writer
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.kinds import CacheHandle
    from kcontroller.cluster.rails import Rail
    from kcontroller.cluster.tracked import Tracker
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.repeats import Repeats
    from kcontroller.process.stop import Deadline
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config

_NOTHING: Final[Mapping[GVK, Holding]] = {}

_log: Final = Log("kcontroller.cluster")


class Pending(msgspec.Struct, frozen=True):
    """A kind of a cluster that is not synced, and why.

    Attributes:
        cluster: its name.
        kind: such as ``v1 ConfigMap``; "" if the cluster as a whole is not engaged.
        reason: why.
    """

    cluster: str
    kind: str
    reason: str

    def __str__(self) -> str:
        """One line for readiness and logs."""
        where = f"cluster {self.cluster}: " if self.cluster else ""
        if not self.kind:
            return f"{where}not engaged: {self.reason}"
        return f"{where}{self.kind} is not synced: {self.reason}"


class Cluster:
    """One API server. `client` reads from the cache, `api_reader` from the server; both write to the server.

    Attributes:
        leaving: stops when the cluster is disengaged, and with it the reconciles that work on it. What is hung on it
            must not block.

    Args:
        config: how to reach it.
        name: "" for a single cluster.
        namespaces: cache only these; () caches all.
        clock: the time.
        metrics: where to count.
        repeats: see `Troubles`.
        read_own_writes: whether cached reads wait until they show what was written here; see `floors`.
    """

    def __init__(
        self,
        config: Config,
        *,
        name: str = "",
        namespaces: tuple[str, ...] = (),
        clock: Clock = SYSTEM_CLOCK,
        metrics: Metrics | None = None,
        repeats: Repeats | None = None,
        read_own_writes: bool = True,
    ) -> None:
        self.config = config
        self.name = name
        self.leaving = StopToken(clock=clock)
        self._clock = clock
        self._metrics = metrics
        self._loop = StreamLoop(config, name=name or "local", metrics=metrics, clock=clock)
        self._requester = Requester(config, metrics=metrics, clock=clock)
        self._mapper = RestMapper(self._requester, clock=clock)
        self._fixpoints = Fixpoints(clock)
        self._read_own_writes = read_own_writes
        self._floors = Floors(
            clock=clock,
            on_loop_thread=lambda: self._loop.on_loop_thread,
            on_stale=self._count_stale,
            on_waited=self._count_wait,
        )
        self._troubles = Troubles(name, repeats=repeats)
        self._kinds = Kinds(
            feed=self._loop,
            mapper=self._mapper,
            clock=clock,
            cluster=name,
            namespaces=namespaces,
            on_trouble=self._trouble,
            on_end=lambda kind: self._troubles.forget(str(kind)),
            metrics=metrics,
        )
        self._tracked = TrackedObjects(
            feed=self._loop,
            mapper=self._mapper,
            floors=self._floors,
            cached=self._kinds.get,
            clock=clock,
            cluster=name,
            on_trouble=self._tracked_trouble,
        )
        self.leaving.on_stop(self._tracked.close)
        self.client = self.client_for("kcontroller")
        self.api_reader = self._client(DirectPort(self._requester, self._mapper), WriteOptions(), cached=False)

    @property
    def itself(self) -> Cluster:
        """The same for all views of a cluster."""
        return self

    def start(self, threads: ThreadGroup) -> None:
        """Start the cluster's thread; what is cached already begins to list and watch."""
        threads.spawn("cluster", self.name or "local", self._loop.run)

    def stop(self) -> None:
        """End the thread and every running request at once."""
        self.leaving.stop(f"cluster {self.name or 'local'} is stopped")
        self._loop.stop()
        self._requester.close()

    def cache(self, kind: KindRef, holding: Holding | None = None) -> CacheHandle:
        """Keep a kind in memory until the handle is closed, or the cluster ends.

        Args:
            kind: the kind.
            holding: what of it; by default all of it, in the namespaces of the cluster. Who wants the same shares it.
        """
        return self._kinds.acquire(kind, holding)

    def is_namespaced(self, kind: KindRef) -> bool | None:
        """Whether a kind lives in namespaces; None while that is not known. Never asks the server."""
        mapping = self._mapper.known(kind)
        return None if mapping is None else mapping.namespaced

    def plural(self, kind: KindRef) -> str:
        """The resource name of a kind, such as ``widgets``; "" while that is not known. Never asks the server."""
        mapping = self._mapper.known(kind)
        return "" if mapping is None else mapping.plural

    def shown(self, gvk: GVK, key: Key) -> Entry | None:
        """What the caches show of an object now, without waiting for own writes; None if none of them has it."""
        entries = (informer.store.get(key) for informer in self._showing(gvk, key, {}))
        return next((entry for entry in entries if entry is not None), None)

    def pending(self) -> tuple[Pending, ...]:
        """The kinds that are not synced, and why."""
        return tuple(
            Pending(self.name, str(kind), self._troubles.of(str(kind)) or "the first list is under way")
            for kind in self._kinds.all()
            if not kind.synced
        )

    @property
    def shows_own_writes(self) -> bool:
        """Whether the caches show all that was written here; always, where `read_own_writes` is off."""
        return self._floors.kept

    def troubles(self) -> dict[str, str]:
        """What is wrong now, by kind; also of kinds that are synced but get no news. Empty when all is well."""
        return self._troubles.all()

    def client_for(
        self,
        field_owner: str,
        *,
        cached: bool = True,
        stop: StopToken | None = None,
        deadline: Deadline | None = None,
        guard: Callable[[], None] | None = None,
        tracker: Tracker | None = None,
        holdings: Mapping[GVK, Holding] | None = None,
        rails: tuple[Rail, ...] = (),
    ) -> Client:
        """Make a client for one piece of work: its writes are owned by `field_owner` and end with its token.

        Reads are from the cache, or with `cached` False always from the server. `guard` is called right before each
        write is sent, and refuses it by what it raises. `tracker` takes note of tracked reads. Kinds of `holdings` are
        read from just what these say, as long as somebody keeps that; see `kind_view`. `rails` look at each write.
        """
        direct = DirectPort(self._requester, self._mapper, stop=stop, deadline=deadline, guard=guard)
        options = WriteOptions(field_owner=field_owner)
        return self._client(direct, options, cached=cached, tracker=tracker, holdings=holdings or {}, rails=rails)

    def _client(
        self,
        direct: DirectPort,
        options: WriteOptions,
        *,
        cached: bool,
        tracker: Tracker | None = None,
        holdings: Mapping[GVK, Holding] = _NOTHING,
        rails: tuple[Rail, ...] = (),
    ) -> Client:
        reader: Reader = direct
        writer: Writer = RailedWriter(direct, direct, rails, self.name) if rails else direct
        if cached:
            reader = CachedReader(direct, self._floors, lambda gvk: self._kinds.answering(gvk, holdings))
        if self._read_own_writes:
            writer = PromisingWriter(writer, self._floors, self._showing, tracker)
        if cached and holdings:
            writer = ReducedWriter(writer, holdings)
        tracked = partial(self._tracked.read, tracker, direct) if cached and tracker is not None else None
        ports = Ports(reader, direct, writer, self.name, tracked=tracked, fixpoints=self._fixpoints)
        return Client(ports, options)

    def _showing(self, gvk: GVK, key: Key, labels: Mapping[str, str]) -> Sequence[Informer]:
        cached = self._kinds.get(gvk)
        found = cached.showing(key, labels) if cached is not None else ()
        own = self._tracked.informer(gvk, key)
        return found if own is None else (*found, own)

    def kubernetes_client(self) -> Any:
        """Make an official ``kubernetes.client.ApiClient`` for this cluster; see `interop` for what it shares."""
        from kcontroller.cluster.interop import kubernetes_client  # noqa: PLC0415 - heavy, and rarely wanted

        return kubernetes_client(self.config)

    def observe(self) -> None:
        """Bring the gauges up to date; called before a scrape."""
        self._kinds.observe()
        if self._metrics is not None and self._tracked.used:
            self._metrics.tracked_objects.labels(self.name).set(len(self._tracked))

    def _trouble(self, kind: CachedKind, error: Exception | None) -> None:
        name = str(kind)
        text = in_words(error, kind.gvk, self.config) if error else ""
        self._troubles.set(name, text, passing=isinstance(error, TooManyRequests))
        if error is None and kind.synced:
            _log.debug("synced", cluster=self.name, kind=name)

    def _tracked_trouble(self, gvk: GVK, key: Key, error: Exception | None) -> None:
        text = (
            f"{in_words(error, gvk, self.config)}; until then no reconcile hears of changes of {key}" if error else ""
        )
        self._troubles.set(f"{gvk} {key}", text, passing=isinstance(error, TooManyRequests))

    def _count_wait(self, seconds: float) -> None:
        if self._metrics is not None:
            self._metrics.own_write_waits.labels(self.name).inc()
            self._metrics.own_write_wait_seconds.observe(seconds)

    def _count_stale(self) -> None:
        if self._metrics is not None:
            self._metrics.stale_reads.labels(self.name).inc()

    def __repr__(self) -> str:
        """Name it; never its credentials."""
        return f"<Cluster {self.name or 'local'} {self.config.server}>"

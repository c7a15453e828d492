"""A cluster: its thread, what it keeps in memory, and the clients of it."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.fixpoints import Fixpoints
from kcontroller.client.writes import Ports, WriteOptions
from kcontroller.cluster import exchange
from kcontroller.cluster.breaker import BREAKER, Breaker, GuardedSender
from kcontroller.cluster.circuit import CLOSED
from kcontroller.cluster.credentials import CREDENTIALS, PluginsInUse
from kcontroller.cluster.floors import Floors
from kcontroller.cluster.informers import Informers
from kcontroller.cluster.kinds import Kinds
from kcontroller.cluster.pending import Pending
from kcontroller.cluster.rails import RailedWriter
from kcontroller.cluster.reader import CachedReader
from kcontroller.cluster.suspension import SUSPENSION, SuspensibleWriter, Suspension
from kcontroller.cluster.tracked import TrackedObjects
from kcontroller.cluster.troubles import Troubles, WatchTroubles
from kcontroller.cluster.writer import PromisingWriter, ReducedWriter
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.transport.limiter import NO_LIMITS
from kcontroller.transport.requests import Requester
from kcontroller.transport.route import Route
from kcontroller.transport.streams import StreamLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.entry import Entry
    from kcontroller.cache.scope import Holding
    from kcontroller.client.ports import Reader, Writer
    from kcontroller.client.shared_mappings import SharedMappings
    from kcontroller.cluster.kinds import CacheHandle
    from kcontroller.cluster.rails import Rail
    from kcontroller.cluster.source import Source
    from kcontroller.cluster.tracked import Tracker
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.repeats import Repeats
    from kcontroller.process.stop import Deadline
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config
    from kcontroller.transport.limiter import RateLimits
    from kcontroller.transport.shared_loops import SharedLoops
    from kcontroller.transport.shares import LoopShare

_NOTHING: Final[Mapping[GVK, Holding]] = {}


class Cluster:
    """One API server. `client` reads from the cache, `api_reader` from the server; both write to the server.

    Attributes:
        leaving: stops when the cluster is disengaged, and with it the reconciles that work on it. What is hung on it
            must not block.
        breaker: keeps requests from it while its server does not answer.
        labels: as they are now; another dictionary takes its place when they change, and is read without a lock.

    Args:
        config: how to reach it.
        name: "" for a single cluster.
        namespaces: cache only these; () caches all.
        clock: the time.
        metrics: where to count.
        repeats: see `Troubles`.
        read_own_writes: whether cached reads wait until they show what was written here; see `floors`.
        uid: of what stands for it; "" if nothing does.
        labels: what its provider says of it.
        source: the object on the hub that stands for it.
        weight: its share of the workers, against 1 of the others.
        mappings: how built-in kinds are served, shared with the other clusters of a fleet.
        loops: gives it a thread, or a share of one; by default it has its own.
        limits: of its requests, beside those of `config` and of those that it adopts.
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
        uid: str = "",
        labels: Iterable[tuple[str, str]] = (),
        source: Source | None = None,
        weight: int = 1,
        mappings: SharedMappings | None = None,
        loops: SharedLoops | None = None,
        limits: RateLimits = NO_LIMITS,
    ) -> None:
        self.config = config
        self.name = name
        self.uid = uid
        self.labels: Mapping[str, str] = dict(labels)
        self.source = source
        self.weight = weight
        self.leaving = StopToken(clock=clock)
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._loop: StreamLoop | LoopShare = (
            StreamLoop(config, name=name or "local", metrics=metrics, clock=clock)
            if loops is None
            else loops.loop(config, name=name, metrics=metrics)
        )
        self._requester = Route(self._make_requester(config))
        self.breaker = Breaker(
            name, feed=self._loop, target=self._probe_target, clock=clock, repeats=repeats, metrics=metrics
        )
        self._loop.observe(self.breaker)
        self.breaker.subscribe(self._hear_breaker)
        self._suspension = Suspension(name, clock=clock, repeats=repeats, metrics=metrics)
        self._sender = GuardedSender(self._requester, self.breaker)
        self._mapper = RestMapper(self._sender, clock=clock, shared=mappings)
        self._fixpoints = Fixpoints(clock)
        self._read_own_writes = read_own_writes
        self._floors = Floors(
            clock=clock,
            on_loop_thread=lambda: self._loop.on_loop_thread,
            on_stale=self._count_stale,
            on_waited=self._count_wait,
        )
        self._troubles = Troubles(name, repeats=repeats, clock=clock)
        watches = WatchTroubles(name, self._troubles, lambda: self.config)
        self._kinds = Kinds(
            feed=self._loop,
            mapper=self._mapper,
            clock=clock,
            cluster=name,
            namespaces=namespaces,
            on_trouble=watches.of_kind,
            on_end=watches.ended,
            metrics=metrics,
        )
        self._tracked = TrackedObjects(
            feed=self._loop,
            mapper=self._mapper,
            floors=self._floors,
            cached=self._kinds.get,
            clock=clock,
            cluster=name,
            on_trouble=watches.of_object,
            leaving=self.leaving,
        )
        self._informers = Informers(self._kinds, self._tracked)
        self._plugins = PluginsInUse(config.credentials, self.leaving)

    @property
    def itself(self) -> Cluster:
        """The same for all views of a cluster."""
        return self

    def __repr__(self) -> str:
        """Name it; never its credentials."""
        return f"<Cluster {self.name or 'local'} {self.config.server}>"

    # ---- those who read and write it ---------------------------------------------------------------------------------

    @cached_property
    def client(self) -> Client:
        """Reads from the cache."""
        return self.client_for("kcontroller")

    @cached_property
    def api_reader(self) -> Client:
        """Reads from the server."""
        return self.client_for("kcontroller", cached=False)

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
        direct = DirectPort(self._sender, self._mapper, stop, deadline, guard)
        reader: Reader = direct
        writer: Writer = SuspensibleWriter(direct, self._suspension, self._informers.shown)
        if rails:
            writer = RailedWriter(writer, direct, rails, self.name)
        if cached:
            reader = CachedReader(direct, self._floors, partial(self._kinds.answering, holdings=holdings or _NOTHING))
        if self._read_own_writes:
            writer = PromisingWriter(writer, self._floors, self._informers.showing, tracker)
        if cached and holdings:
            writer = ReducedWriter(writer, holdings)
        tracked = partial(self._tracked.read, tracker, direct) if cached and tracker is not None else None
        ports = Ports(reader, direct, writer, self.name, tracked=tracked, fixpoints=self._fixpoints)
        return Client(ports, WriteOptions(field_owner))

    def kubernetes_client(self) -> Any:
        """Make an official ``kubernetes.client.ApiClient`` for this cluster; see `interop` for what it shares."""
        from kcontroller.cluster.interop import kubernetes_client  # noqa: PLC0415 - heavy, and rarely wanted

        return kubernetes_client(self.config)

    # ---- its life ----------------------------------------------------------------------------------------------------

    def start(self, threads: ThreadGroup) -> None:
        """Start the cluster's thread; what is cached already begins to list and watch."""
        self._loop.start(threads)

    def stop(self) -> None:
        """End the thread and every running request at once."""
        self.leaving.stop(f"cluster {self.name or 'local'} is stopped")
        self._loop.stop()
        self._requester.close()
        self.breaker.end()
        self._suspension.end()

    @property
    def opens_connections(self) -> bool:
        """Whether streams of it take connections of their own, and not those of a loop that many share."""
        return isinstance(self._loop, StreamLoop)

    def prove(self, config: Config, *, stop: StopToken | None = None) -> bool:
        """Try another configuration without using it yet; waits for the network.

        Args:
            config: the one in question.
            stop: ends the wait; by default it ends when the cluster leaves.

        Returns:
            Whether it leads to the same cluster: if not, what is in memory and in queues here is of no use there.

        Raises:
            Exception: it does not do for what is in memory here, or cannot be used at all.
        """
        stop = stop or self.leaving
        exchange.prove(config, self._informers.synced(), stop=stop, clock=self._clock)
        if not self._loop.fits(config):
            return False  # The same, but its credentials may block those who share the loop.
        if not exchange.leads_elsewhere(self.config, config):
            return True
        return exchange.is_same(self._requester, config, stop=stop, clock=self._clock)

    def adopt(self, config: Config) -> None:
        """Use another configuration of the same cluster from now on: no object that is in memory is told of twice.

        Requests that run end on their old way. Watches are taken up from where they are. Where the server may be
        another one, what is in memory counts as not synced until it is listed there, and the differences are told.

        Raises:
            ConfigError: it cannot be used; nothing has changed then.
        """
        elsewhere = exchange.leads_elsewhere(self.config, config)
        self._requester.exchange(self._make_requester(config))
        if elsewhere:
            self._floors.leave()
        self.config = config
        self._plugins.exchange(config.credentials)
        self.breaker.reset()
        self._loop.call(partial(self._go_over, config, elsewhere=elsewhere))

    # ---- what is kept of it in memory --------------------------------------------------------------------------------

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
        return self._informers.shown(gvk, key)

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

    @property
    def kept_kinds(self) -> int:
        """How many kinds are kept in memory; one of which several parts are wanted counts for each."""
        return len(self._kinds.all())

    @property
    def tracked(self) -> int:
        """How many objects reconciles have read with ``track=True``."""
        return len(self._tracked)

    def observe(self) -> None:
        """Bring the gauges up to date; called before a scrape."""
        self._kinds.observe()

    # ---- what is wrong with it ---------------------------------------------------------------------------------------

    @property
    def troubled_since(self) -> float | None:
        """The monotonic time since which a list or watch fails; None while none does."""
        return self._troubles.since

    def troubles(self) -> dict[str, str]:
        """What is wrong now, by kind; also of kinds that are synced but get no news. Empty when all is well.

        What concerns the cluster as a whole is under the name of who found it, such as ``breaker``.
        """
        whole = {
            BREAKER: self.breaker.trouble,
            SUSPENSION: self._suspension.trouble,
            CREDENTIALS: self._plugins.trouble,
        }
        return self._troubles.all() | {who: trouble for who, trouble in whole.items() if trouble}

    # ---- how its parts meet ------------------------------------------------------------------------------------------

    def _make_requester(self, config: Config) -> Requester:
        return Requester(config, metrics=self._metrics, clock=self._clock, limits=self._limits)

    def _go_over(self, config: Config, *, elsewhere: bool) -> None:
        self._loop.exchange(config)
        self._informers.renew(elsewhere=elsewhere)

    def _hear_breaker(self) -> None:
        # Reconciles go on now: they must not work on caches whose next try is a minute away.
        if self.breaker.state is CLOSED:
            self._loop.call(self._informers.reachable)

    def _probe_target(self, number: int) -> str:
        return self._informers.probe_target(number)  # These are made with what the breaker guards, so after it.

    def _count_wait(self, seconds: float) -> None:
        if self._metrics is not None:
            self._metrics.own_write_waits.inc()
            self._metrics.own_write_wait_seconds.observe(seconds)

    def _count_stale(self) -> None:
        if self._metrics is not None:
            self._metrics.stale_reads.inc()

"""What a manager is made of, put together from its options; nothing of it runs yet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.api.selectors import LabelSelector
from kcontroller.client.shared_mappings import SharedMappings
from kcontroller.cluster import Cluster
from kcontroller.cluster.view import ClusterView, Terms
from kcontroller.controller.canary import Canary
from kcontroller.controller.commands import Commands
from kcontroller.controller.controllers import Controllers
from kcontroller.controller.leadership import Leadership
from kcontroller.controller.mapping import Mappers
from kcontroller.controller.pauses import Pauses
from kcontroller.controller.watchdog import Watchdog
from kcontroller.errors import ConfigError
from kcontroller.events import Broadcaster
from kcontroller.manager.engagement_events import EngagementEvents
from kcontroller.manager.supervisor import Supervisor
from kcontroller.multicluster import ClusterSpec, Registry, State
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.process.logs import Log
from kcontroller.process.metrics import Metrics
from kcontroller.process.repeats import Repeats
from kcontroller.serving import health
from kcontroller.serving.servers import Servers
from kcontroller.transport.limiter import DEFAULT_BURST, RateLimiter, RateLimits
from kcontroller.transport.loading import load_config
from kcontroller.transport.shared_loops import SharedLoops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.config import ManagerOptions
    from kcontroller.multicluster import Provider
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

_log: Final = Log("kcontroller.manager")


class Parts:
    """The parts of one manager, each made once.

    Attributes:
        turns: held for each change of the controllers; start, stop and late controllers take turns, each is short.

    Args:
        config: see `Manager`.
        clusters: see `Manager`.
        provider: see `Manager`.
        options: see there.
        clock: the time.

    Raises:
        ConfigError: there is no usable configuration.
    """

    def __init__(
        self,
        config: Config | None,
        *,
        clusters: Mapping[str, Config] | None,
        provider: Provider | None,
        options: ManagerOptions,
        clock: Clock,
    ) -> None:
        self.options = options
        self.clock = clock
        self.metrics = Metrics()
        self.supervisor = Supervisor(clock=clock, metrics=self.metrics)
        self.mappers = Mappers(clock=clock)
        self.watchdog = Watchdog(clock)
        self.events = Broadcaster(clock=clock, metrics=self.metrics)
        fleet = provider is not None or clusters is not None
        self.pauses = Pauses(clock=clock, metrics=self.metrics, paused=options.paused, fleet=fleet)
        self.healthz = health.Checks("healthz", threads=self.supervisor.threads, clock=clock)
        self.readyz = health.Checks("readyz", threads=self.supervisor.threads, clock=clock)
        self._repeats = Repeats(clock=clock)
        self._mappings = SharedMappings()
        self._loops = SharedLoops(self.supervisor.threads, clock=clock)
        self._limits = RateLimits(options.cluster_qps, options.cluster_burst, _budget(options, clock))
        found = _hub_config(config, provider) if clusters is None else None
        self.hub = None if found is None else self._connect(ClusterSpec("", found))
        self.provider = provider if clusters is None else StaticProvider(clusters)
        self.clusters = Registry(
            connect=self._connect,
            clock=clock,
            metrics=self.metrics,
            hub=self.hub,
            engages_hub=self.provider is None,
            patience=None if self.provider is None else self.provider.patience,
            ready_when=options.ready_when,
            on_gone=self.events.forget,
        )
        self.turns = threading.Lock()
        self.controllers = Controllers(leading=options.leader_election is None, clock=clock)
        self.commands = Commands(self.controllers, self.pauses, clock=clock)
        self.leadership = Leadership(
            self.controllers, self.supervisor.threads, turns=self.turns, on_lost=self.supervisor.fail
        )
        if self.provider is not None and self.hub is not None:
            told = EngagementEvents(self.events, self.hub, self.leadership, states=self.clusters.states, clock=clock)
            self.clusters.listen(told, at_once=True)
            self.watchdog.watch(told.look)
        if self.provider is None and options.cluster_qps:
            msg = "cluster_qps is of the clusters of a provider, and there is none; give qps instead"
            raise ConfigError(msg)
        self.canary = self._new_canary()
        self.servers = Servers(
            metrics_address=options.metrics_bind_address,
            health_address=options.health_probe_bind_address,
            families=self.metrics,
            before_scrape=self.observe,
            healthz=self.healthz,
            readyz=self.readyz,
            clock=clock,
        )
        self.healthz.add("threads", lambda: self.supervisor.failure or None)

    def _new_canary(self) -> Canary | None:
        if not self.options.canary:
            return None
        if self.provider is None:
            msg = "canary chooses among the clusters of a provider, and there is none"
            raise ConfigError(msg)
        labels, seconds = LabelSelector.parse(self.options.canary), self.options.canary_minutes * 60
        canary = Canary(labels, seconds, clock=self.clock, metrics=self.metrics, found=self._labels)
        self.watchdog.watch(canary.look)
        return canary

    def _labels(self) -> list[dict[str, str]] | None:
        """Those of each cluster, once all are listed."""
        found = (each for each in self.clusters.states() if each.state is not State.REFUSED)
        return [dict(each.labels) for each in found] if self.clusters.complete else None

    def view(self, cluster: Cluster) -> Cluster:
        """What a listener that is no Reconciler is given of a cluster: only who leads may write."""
        return ClusterView(cluster, Terms("kcontroller", guard=self.leadership.guard), self.clusters)

    def elect(self, config: Config | None) -> None:
        """Let a Lease decide who works, if the options want it.

        Args:
            config: the server that holds the Lease, if it is not the hub.

        Raises:
            ConfigError: there is no server for the Lease.
        """
        if self.options.leader_election is None:
            return
        hub = self.hub
        where = config or (None if hub is None else hub.config)
        if where is None:
            msg = "leader election needs a cluster for its Lease; give leader_election_config"
            raise ConfigError(msg)
        # On another server nobody has granted events.
        events = self.events.recorder(hub, "leader-election") if hub is not None and where == hub.config else None
        check = self.leadership.elect(
            self.options.leader_election, where, events=events, clock=self.clock, metrics=self.metrics
        )
        self.healthz.add("leader-election", check)

    def secure_metrics(self, config: Config | None) -> None:
        """Show metrics by HTTPS, and to whom the API server lets, if the options want it.

        Args:
            config: the server that knows the readers, if it is not the hub.

        Raises:
            ConfigError: there is no server to ask.
        """
        if not self.options.metrics_secure:
            return
        where = config or (None if self.hub is None else self.hub.config)
        if where is None:
            msg = "metrics_secure needs a cluster that knows who reads them; give metrics_config"
            raise ConfigError(msg)
        self.servers.secure_metrics(where, certificates=self.options.metrics_cert_dir)

    def observe(self) -> None:
        """Bring the gauges up to date."""
        self.controllers.observe()
        hub = () if self.hub is None else (self.hub,)
        tracked = 0
        for cluster in dict.fromkeys((*hub, *self.clusters)):
            cluster.observe()
            tracked += cluster.tracked
            self.metrics.cluster_queue_depth.labels(cluster.name).set(self.controllers.depth(cluster.name))
        self.metrics.tracked_objects.set(tracked)

    def _connect(self, spec: ClusterSpec) -> Cluster:
        return Cluster(
            spec.config,
            name=spec.name,
            namespaces=self.options.namespaces if spec.namespaces is None else spec.namespaces,
            clock=self.clock,
            metrics=self.metrics,
            repeats=self._repeats,
            read_own_writes=self.options.read_own_writes,
            uid=spec.uid,
            labels=spec.labels,
            source=spec.source,
            weight=spec.weight,
            mappings=self._mappings,
            loops=self._loops if spec.name else None,  # The hub's thread is the process's own.
            limits=self._limits if spec.name else RateLimits(shared=self._limits.shared),
        )


def _budget(options: ManagerOptions, clock: Clock) -> RateLimiter | None:
    """What the requests of all clusters have together; None for no limit."""
    return RateLimiter(options.qps, options.burst or DEFAULT_BURST, clock=clock) if options.qps else None


def _hub_config(config: Config | None, provider: Provider | None) -> Config | None:
    """How the hub is reached; None if nothing leads to one and the provider goes without."""
    try:
        return config or load_config()
    except ConfigError as error:
        if provider is None or getattr(provider, "needs_hub", True):
            raise
        _log.info("there is no hub: %s", error, provider=provider.name)
        return None

"""What a manager is made of, put together from its options; nothing of it runs yet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kcontroller.cluster import Cluster
from kcontroller.controller.commands import Commands
from kcontroller.controller.controllers import Controllers
from kcontroller.controller.leadership import Leadership
from kcontroller.controller.mapping import Mappers
from kcontroller.controller.pauses import Pauses
from kcontroller.controller.watchdog import Watchdog
from kcontroller.errors import ConfigError
from kcontroller.events import Broadcaster
from kcontroller.manager.supervisor import Supervisor
from kcontroller.multicluster import ClusterSpec, Registry
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.process.metrics import Metrics
from kcontroller.process.repeats import Repeats
from kcontroller.serving import health
from kcontroller.serving.servers import Servers
from kcontroller.transport.loading import load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.config import ManagerOptions
    from kcontroller.multicluster import Provider
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config


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
        self.pauses = Pauses(clock=clock, metrics=self.metrics, paused=options.paused)
        self.healthz = health.Checks("healthz", threads=self.supervisor.threads, clock=clock)
        self.readyz = health.Checks("readyz", threads=self.supervisor.threads, clock=clock)
        self._repeats = Repeats(clock=clock)
        self.hub = self._connect(ClusterSpec("", config or load_config())) if clusters is None else None
        self.provider = provider if clusters is None else StaticProvider(clusters)
        self.clusters = Registry(
            connect=self._connect,
            clock=clock,
            metrics=self.metrics,
            hub=self.hub,
            engages_hub=self.provider is None,
            patience=None if self.provider is None else self.provider.patience,
            on_gone=self.events.forget,
        )
        self.turns = threading.Lock()
        self.controllers = Controllers(leading=options.leader_election is None, clock=clock)
        self.commands = Commands(self.controllers, self.pauses, clock=clock)
        self.leadership = Leadership(
            self.controllers, self.supervisor.threads, turns=self.turns, on_lost=self.supervisor.fail
        )
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
        for cluster in dict.fromkeys((*hub, *self.clusters)):
            cluster.observe()
            self.metrics.cluster_queue_depth.labels(cluster.name).set(self.controllers.depth(cluster.name))

    def _connect(self, spec: ClusterSpec) -> Cluster:
        return Cluster(
            spec.config,
            name=spec.name,
            namespaces=self.options.namespaces,
            clock=self.clock,
            metrics=self.metrics,
            repeats=self._repeats,
            read_own_writes=self.options.read_own_writes,
        )

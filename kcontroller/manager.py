"""Start and stop, in order.

Start: HTTP servers, the hub cluster, the provider, which engages clusters as it finds them, the election, the workers.
Caches fill before a leader is elected, so that a standby takes over without a list. A kind that cannot be synced does
not end the process: it is pending, readiness and the log say why, and the others work.

Stop, in reverse: the queues hand out nothing more, running reconciles get the drain time, then their tokens stop; when
the last has ended, the lease is given back; mappers, clusters and HTTP servers end last, so that probes are answered to
the end. A lost lease ends the process at once and with exit code 1.
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.cluster import Cluster
from kcontroller.config import ManagerOptions
from kcontroller.controller import Controller
from kcontroller.controller.controllers import Controllers
from kcontroller.controller.leadership import Leadership
from kcontroller.controller.mapping import Mappers
from kcontroller.errors import ConfigError
from kcontroller.events import Broadcaster
from kcontroller.multicluster import ClusterSpec, Registry
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.descriptors import raise_open_files_limit
from kcontroller.process.logs import Log, described
from kcontroller.process.metrics import Metrics
from kcontroller.process.repeats import Repeats
from kcontroller.process.signals import SignalWait
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.serving import health
from kcontroller.serving.servers import Servers
from kcontroller.transport.loading import load_config
from kcontroller.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from kcontroller.cluster import Pending
    from kcontroller.controller import Reconciler
    from kcontroller.multicluster import Provider
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

_FLEET_WORKERS: Final = 4  # One that hangs in a cluster must leave some for the others: ADR 0012.
_JOIN_SECONDS: Final = 5.0
_ABANDON_SECONDS: Final = 0.5
_INTERRUPT_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0
_NO_LIMIT_SECONDS: Final = 365 * 24 * 3600.0

_DEFAULTS: Final = ManagerOptions()

_log: Final = Log("kcontroller.manager")


class Manager:
    """Runs Reconcilers against an API server, or the same ones against every cluster that a provider finds.

    `run` blocks and owns the signals. `start` and `stop`, or a ``with`` block, embed it in a program or a test, from
    any thread; a manager runs once.

    Args:
        config: how to reach the server; by default what `load_config` finds. With a `provider` it is the hub: the
            provider looks there for clusters, and ``ctx.clusters.get("")`` finds it, but no controller works on it.
        clusters: instead of `config`, several servers by the names that `Request.cluster` and `ctx.clusters.get` use.
        provider: finds the clusters to work on.
        options: see there.
        leader_election_config: the server that holds the Lease, if it is not that of `config`.
        clock: the time.

    Raises:
        ConfigError: there is no usable configuration.
        TypeError: `clusters` is given together with `config` or `provider`.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clusters: Mapping[str, Config] | None = None,
        provider: Provider | None = None,
        options: ManagerOptions = _DEFAULTS,
        leader_election_config: Config | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if clusters is not None and (config is not None or provider is not None):
            msg = "a manager takes either config or clusters, and a provider only with config; a single cluster is ''"
            raise TypeError(msg)
        self.options = options
        self.clock = clock
        self.metrics = Metrics()
        self.mappers = Mappers(clock=clock)
        self.healthz = health.Checks("healthz")
        self.readyz = health.Checks("readyz")
        self._lifecycle = threading.Lock()  # Start, stop and late controllers take turns; each is short.
        self._stop = StopToken(clock=clock)
        self._failure = ""
        self._threads = ThreadGroup(on_failure=self._thread_failed, clock=clock)
        self._repeats = Repeats(clock=clock)
        self.events = Broadcaster(clock=clock, metrics=self.metrics)
        hub = self._connect(ClusterSpec("", config or load_config())) if clusters is None else None
        self._hub = hub
        self._provider = provider if clusters is None else StaticProvider(clusters)
        self.clusters = Registry(
            connect=self._connect,
            clock=clock,
            metrics=self.metrics,
            hub=hub,
            engages_hub=self._provider is None,
            patience=None if self._provider is None else self._provider.patience,
            on_gone=self.events.forget,
        )
        self._controllers = Controllers(leading=options.leader_election is None, clock=clock)
        self._leadership = Leadership(self._controllers, self._threads, turns=self._lifecycle, on_lost=self._fail)
        self._elect(leader_election_config)
        self._started = False
        self._switch_before = 0.0
        self._engaged = False
        self._stopping = False
        self._ended = threading.Event()
        self._drained = False
        self._servers = Servers(
            metrics_address=options.metrics_bind_address,
            health_address=options.health_probe_bind_address,
            families=self.metrics,
            before_scrape=self.observe,
            healthz=self.healthz,
            readyz=self.readyz,
        )
        self.readyz.add("caches", self._not_ready)
        self.healthz.add("threads", lambda: self._failure or None)

    # ---- what users call -----------------------------------------------------------------------------------------

    def add(self, *reconcilers: Reconciler) -> None:
        """Take Reconcilers; before the start or while running.

        Raises:
            ConfigError: `setup` is wrong, or two controllers have one name.
            RuntimeError: the manager has stopped.
        """
        fleet = self._provider is not None
        for reconciler in reconcilers:
            controller = Controller(
                reconciler,
                self,
                max_concurrent_reconciles=self.options.max_concurrent_reconciles or (_FLEET_WORKERS if fleet else 1),
                many_clusters=fleet,
                reconcile_timeout=self.options.reconcile_timeout,
            )
            with self._lifecycle:
                self._refuse_after_stop()
                self._controllers.add(controller)
                if self._started:
                    self._run(controller)

    def run(self) -> int:
        """Start, wait for SIGINT or SIGTERM, stop; for the main thread.

        Returns:
            0 if it stopped in order; 1 if a thread failed, the lease was lost or the drain time ran out (0 asks not to
            wait, which is in order). A second signal ends the process with 1 at once.

        Raises:
            ConfigError: an address cannot be had.
            RuntimeError: this is not the main thread, or the manager was started before.
        """
        with SignalWait() as signals:
            self._stop.on_stop(signals.wake)
            self.start()
            name = signals.wait()
            if name:
                _log.info("%s: stopping; once more to end at once", name)
            drained = self.stop()
        in_order = drained or not self.options.graceful_shutdown_timeout
        return 0 if in_order and not self._failure else 1

    def start(self) -> None:
        """Start everything and return; readiness tells when the caches are synced.

        Raises:
            ConfigError: an address cannot be had; nothing is left running then.
            RuntimeError: it was started before, or has stopped.
        """
        with self._lifecycle:
            self._refuse_after_stop()
            if self._started:
                msg = "a manager starts once; make a new one"
                raise RuntimeError(msg)
            self._servers.bind()
            self._started = True
            try:
                self._start_all()
            except BaseException:
                self._stop.stop("the start failed")
                self._stopping = True
                self._leadership.close()
                self._stop_all(0.0)
                raise
        self._engaged = True

    def stop(self, grace: float | None = None) -> bool:
        """Stop everything and return; a later call waits for the first and gives its answer.

        A reconcile that calls it is waited for as the others are, until the grace is over: let another thread call it.

        Args:
            grace: seconds that running reconciles get, instead of the option's.

        Returns:
            Whether all reconciles ended in time.
        """
        self._stop.stop("stop was called")
        with self._lifecycle:
            first, self._stopping = not self._stopping, True
            self._leadership.close()
        if not first:
            self._ended.wait(_NO_LIMIT_SECONDS)
            return self._drained
        seconds = self.options.graceful_shutdown_timeout if grace is None else grace
        if self._leadership.lost:
            seconds = 0.0  # Another replica may be working already.
        self._stop_all(_NO_LIMIT_SECONDS if seconds < 0 else seconds)
        return self._drained

    def cluster(self, name: str = "") -> Cluster:
        """The cluster of that name; a single one is named "".

        Raises:
            ClusterNotFound: there is no such cluster.
        """
        return self.clusters.get(name)

    @property
    def controllers(self) -> tuple[Controller, ...]:
        """What was made of the Reconcilers, in the order of `add`."""
        return tuple(self._controllers)

    def pending(self) -> tuple[Pending, ...]:
        """The kinds that are not synced, and why; empty when the manager is ready."""
        return self.clusters.pending()

    @property
    def is_leader(self) -> bool:
        """Whether this process may write for controllers that need leader election."""
        return self._leadership.leads

    @property
    def guard(self) -> Callable[[], None] | None:
        """What raises `NotLeader` before a write that needs the lease; None where no leader is elected."""
        return self._leadership.guard

    def wait_ready(self, timeout: float) -> bool:
        """Wait until nothing is pending; False if `timeout` seconds ran out, or the manager stopped."""
        deadline = Deadline.after(timeout, clock=self.clock)
        while self._not_ready() and not deadline.expired:
            if self._stop.wait(min(0.02, deadline.remaining())):
                return False
        return not self._not_ready()

    def wait_stopping(self, timeout: float | None = None) -> bool:
        """Wait until the manager stops or has to: `stop` was called, or there is a `failure`.

        It is for programs that call `start`: nothing but `stop` ends what still runs, also after a failure.

        Args:
            timeout: seconds to wait at most; without limit by default.

        Returns:
            False if the time ran out.
        """
        return self._stop.wait(timeout)

    @property
    def failure(self) -> str:
        """The first thing that failed, in a line: the lease was lost, or a thread has died; "" if nothing has."""
        return self._failure

    def observe(self) -> None:
        """Bring the gauges of `metrics` up to date, as is done before each scrape."""
        self._controllers.observe()
        hub = () if self._hub is None else (self._hub,)
        for cluster in dict.fromkeys((*hub, *self.clusters)):
            cluster.observe()
            self.metrics.cluster_queue_depth.labels(cluster.name).set(self._controllers.depth(cluster.name))

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _refuse_after_stop(self) -> None:
        if self._stopping:
            msg = "the manager has stopped; make a new one"
            raise RuntimeError(msg)

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

    def _elect(self, config: Config | None) -> None:
        if self.options.leader_election is None:
            return
        hub = self._hub
        where = config or (None if hub is None else hub.config)
        if where is None:
            msg = "leader election needs a cluster for its Lease; give leader_election_config"
            raise ConfigError(msg)
        # On another server nobody has granted events.
        events = self.events.recorder(hub, "leader-election") if hub is not None and where == hub.config else None
        check = self._leadership.elect(
            self.options.leader_election, where, events=events, clock=self.clock, metrics=self.metrics
        )
        self.healthz.add("leader-election", check)

    def _run(self, controller: Controller) -> None:
        self._controllers.start(controller, self._threads)
        self.clusters.join(controller)

    def _start_all(self) -> None:
        if self.options.switch_interval:
            self._switch_before = sys.getswitchinterval()
            sys.setswitchinterval(self.options.switch_interval)
        raise_open_files_limit()
        names = ", ".join(controller.name for controller in self._controllers)
        _log.info("kcontroller %s starts", VERSION, **self._where(), controllers=names)
        self._servers.start(self._threads)
        self.mappers.start(self._threads)
        self.events.start(self._threads)
        self.clusters.start(self._threads)
        for controller in self._controllers:
            self._run(controller)
        if self._provider is not None:
            self._provider.start(self.clusters, hub=self._hub)
        self._leadership.start()

    def _where(self) -> dict[str, str]:
        hub = {} if self._hub is None else {"server": self._hub.config.server}
        return hub if self._provider is None else {**hub, "provider": self._provider.name}

    def _stop_all(self, seconds: float) -> None:
        try:
            self._drained = self._controllers.drain(seconds)
            self._end()
        finally:
            self._ended.set()

    def _end(self) -> None:
        self._interrupt()
        self._stop_provider()
        self._leadership.resign()
        self.events.stop(_FLUSH_SECONDS)
        self._leadership.stop(release=self._drained)
        self.mappers.stop()
        seconds = _JOIN_SECONDS if self._drained else _ABANDON_SECONDS
        left = self.clusters.stop(seconds)
        self._servers.stop(timeout=_JOIN_SECONDS)
        if self._switch_before:
            sys.setswitchinterval(self._switch_before)
        left += self._threads.join(seconds)
        if left:
            _log.warning("threads that did not end: %s", ", ".join(left))
        _log.info("stopped" if self._drained else "stopped without waiting longer")

    def _interrupt(self) -> None:
        self._controllers.interrupt(self._threads, _INTERRUPT_SECONDS)
        if self._drained:
            return
        for cluster in self.clusters:
            # Its token has reconciles too, and must be stopped before the cluster does it on this thread.
            self._threads.apart("leave", cluster.name or "local", partial(cluster.leaving.stop, "the process stops"))
            cluster.leaving.wait(_ABANDON_SECONDS)

    def _stop_provider(self) -> None:
        if self._provider is None:
            return
        try:
            self._provider.stop()
        except Exception as error:  # noqa: BLE001 - it may be a user's, and the lease must be given back all the same
            _log.exception_of(error, "provider %s failed to stop: %s", self._provider.name, described(error))

    def _not_ready(self) -> str | None:
        if self._stop.stopped:
            return "stopping"
        if not self._engaged:
            return "starting"
        reasons = [str(each) for each in self.pending()]
        if not reasons and not self.clusters.complete:
            reasons = ["the first list of clusters is under way"]
        if not reasons:
            # The caches are complete; what is missing are the map functions of the first objects.
            awaits = self.clusters.awaits
            waiting = [each.name for each in self._controllers if any(map(awaits, each.waiting_for()))]
            reasons = [f"controller {name} has not queued its first objects" for name in waiting]
        return "; ".join(reasons) or None

    def _thread_failed(self, name: str, error: BaseException) -> None:
        self.metrics.threads_failed.inc()
        _log.exception_of(error, "thread %s failed, the process stops: %s", name, described(error))
        self._fail(f"thread {name} failed: {type(error).__name__}")

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._stop.stop(why)

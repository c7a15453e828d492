"""What users call to run their Reconcilers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.cluster.budgets import Budget
from kcontroller.config import ManagerOptions
from kcontroller.controller import Controller
from kcontroller.controller.names import ANY
from kcontroller.errors import ConfigError
from kcontroller.manager import inspection
from kcontroller.manager.lifecycle import Lifecycle
from kcontroller.manager.once import Round
from kcontroller.manager.parts import Parts
from kcontroller.multicluster.listeners import listens
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.process.signals import SignalWait
from kcontroller.process.stop import Deadline
from kcontroller.process.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from kcontroller.cluster import Cluster, Pending
    from kcontroller.controller import Reconciler
    from kcontroller.controller.commands import Paused
    from kcontroller.multicluster import Provider
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

_FLEET_WORKERS: Final = 4  # One that hangs in a cluster must leave some for the others: ADR 0012.
_LOOK_SECONDS: Final = 0.02
_LOOK_SHARE: Final = 20  # Between two looks, in lengths of a look.

_DEFAULTS: Final = ManagerOptions()

_log: Final = Log("kcontroller.manager")


class Manager:
    """Runs Reconcilers against an API server, or the same ones against every cluster that a provider finds.

    `run` blocks and owns the signals. `start` and `stop`, or a ``with`` block, embed it in a program or a test, from
    any thread; a manager runs once.

    Args:
        config: how to reach the server; by default what `load_config` finds. With a `provider` it is the hub: the
            provider looks there for clusters, ``ctx.clusters.get("")`` finds it, and nothing works on it but sources
            that say ``clusters=HUB``.
        clusters: instead of `config`, several servers by the names that `Request.cluster` and `ctx.clusters.get` use.
        provider: finds the clusters to work on.
        options: see there.
        leader_election_config: the server that holds the Lease, if it is not that of `config`.
        metrics_config: the server that knows who reads secure metrics, if it is not that of `config`.
        listeners: told of the clusters of `provider` that come and go, by the methods that they have of
            `ClusterListener`.
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
        metrics_config: Config | None = None,
        listeners: Iterable[object] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if clusters is not None and (config is not None or provider is not None):
            msg = "a manager takes either config or clusters, and a provider only with config; a single cluster is ''"
            raise TypeError(msg)
        parts = Parts(config, clusters=clusters, provider=provider, options=options, clock=clock)
        parts.elect(leader_election_config)
        parts.secure_metrics(metrics_config)
        inspection.serve(parts)
        for listener in listeners:
            parts.clusters.listen(listener, view=parts.view)
        self._parts = parts
        self._lifecycle = Lifecycle(parts)
        self.options = options
        self.clock = clock
        self.metrics = parts.metrics
        self.mappers = parts.mappers
        self.watchdog = parts.watchdog
        self.events = parts.events
        self.pauses = parts.pauses
        self.clusters = parts.clusters
        self.healthz = parts.healthz
        self.readyz = parts.readyz

    def add(self, *reconcilers: Reconciler) -> None:
        """Take Reconcilers; before the start or while running.

        One that has methods of a `ClusterListener` is told of clusters that come and go, with a `provider`.

        Raises:
            ConfigError: `setup` is wrong, or two controllers have one name.
            RuntimeError: the manager has stopped.
        """
        fleet = self._parts.provider is not None
        for reconciler in reconcilers:
            controller = Controller(
                reconciler,
                self,
                max_concurrent_reconciles=self.options.max_concurrent_reconciles or (_FLEET_WORKERS if fleet else 1),
                concurrency=self.options.concurrency,
                many_clusters=fleet,
                reconcile_timeout=self.options.reconcile_timeout,
                trace=Trace(self.options.trace_keys, clock=self.clock) if self.options.trace_keys else None,
                delete_budget=Budget.of(self.options.delete_budget),
                write_budget=Budget.of(self.options.write_budget),
                detect_loops=self.options.detect_loops,
                canary=self._parts.canary,
            )
            self._lifecycle.add(controller)
            if listens(reconciler):
                self.clusters.listen(reconciler, view=controller.view)

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
            self._parts.supervisor.stop.on_stop(signals.wake)
            self.start()
            name = signals.wait()
            if name:
                _log.info("%s: stopping; once more to end at once", name)
            drained = self.stop()
            in_order = drained or not self.options.graceful_shutdown_timeout
            signals.code = 0 if in_order and not self.failure else 1
        return signals.code

    def run_once(self, timeout: float | None = None) -> int:
        """Start, reconcile until there is nothing left to do now, stop; for the main thread, in a CronJob or a test.

        A request that fails is tried five times in a row; what asks to be called later is not waited for.

        Args:
            timeout: seconds for all but the stop; None for no limit.

        Returns:
            0 if all was reconciled; 1 if something was not synced or not done in time, was held back by a pause or a
            spent budget, the last reconcile of a request was an error, a function of a source failed for good, a signal
            came before the end, or for what makes `run` return 1.

        Raises:
            ConfigError: an address cannot be had, or there are canaries.
            RuntimeError: this is not the main thread, or the manager was started before.
        """
        if self._parts.canary is not None:
            msg = "one round does not go with canaries: it is over before the other clusters may begin"
            raise ConfigError(msg)
        with SignalWait() as signals:
            work = Round(self._parts, self._lifecycle.not_ready)
            self.start()
            done = work.run(timeout, ends=lambda: signals.received)
            drained = self.stop()
            signals.code = 0 if done and drained and not self.failure else 1
        return signals.code

    def start(self) -> None:
        """Start everything and return; readiness tells when the caches are synced.

        Raises:
            ConfigError: an address cannot be had; nothing is left running then.
            RuntimeError: it was started before, or has stopped.
        """
        self._lifecycle.start()

    def stop(self, grace: float | None = None) -> bool:
        """Stop everything and return; a later call waits for the first and gives its answer.

        A reconcile that calls it is waited for as the others are, until the grace is over: let another thread call it.

        Args:
            grace: seconds that running reconciles get, instead of the option's.

        Returns:
            Whether all reconciles ended in time.
        """
        return self._lifecycle.stop(grace)

    def cluster(self, name: str = "") -> Cluster:
        """The cluster of that name; a single one is named "".

        Raises:
            ClusterNotFound: there is no such cluster.
        """
        return self.clusters.get(name)

    @property
    def controllers(self) -> tuple[Controller, ...]:
        """What was made of the Reconcilers, in the order of `add`."""
        return tuple(self._parts.controllers)

    def pending(self) -> tuple[Pending, ...]:
        """The kinds that are not synced, and why; empty when the manager is ready."""
        return self.clusters.pending()

    @property
    def is_leader(self) -> bool:
        """Whether this process may write for controllers that need leader election."""
        return self._parts.leadership.leads

    @property
    def guard(self) -> Callable[[], None] | None:
        """What raises `NotLeader` before a write that needs the lease; None where no leader is elected."""
        return self._parts.leadership.guard

    def pause(self, controller: str = ANY, cluster: str = ANY, *, why: str = "") -> None:
        """Let a controller begin no further reconcile in a cluster; of all controllers, or in all clusters, by "*".

        What runs goes on to its end. Requests are kept. It holds for clusters that come later, too.

        Raises:
            ConfigError: there is no such controller.
        """
        self._parts.commands.pause(controller, cluster, why=why)

    def resume(self, controller: str = ANY, cluster: str = ANY) -> tuple[str, ...]:
        """End every pause within this target, and give back every budget in it that is spent.

        Returns:
            What held it, in words. A pause that says more, such as one of all controllers, stays.

        Raises:
            ConfigError: there is no such controller.
        """
        return self._parts.commands.resume(controller, cluster)

    def paused(self) -> tuple[Paused, ...]:
        """What is paused by `pause` or by a budget."""
        return self._parts.commands.all()

    def wait_ready(self, timeout: float) -> bool:
        """Wait until nothing is pending; False if `timeout` seconds ran out, or the manager stopped."""
        deadline = Deadline.after(timeout, clock=self.clock)
        while True:
            began = self.clock.monotonic()
            if not self._lifecycle.not_ready():
                return True
            if deadline.expired:
                return False
            # With a thousand clusters a look costs milliseconds, that these need to become ready.
            pause = max(_LOOK_SECONDS, _LOOK_SHARE * (self.clock.monotonic() - began))
            if self._parts.supervisor.stop.wait(min(pause, deadline.remaining())):
                return False

    def wait_stopping(self, timeout: float | None = None) -> bool:
        """Wait until the manager stops or has to: `stop` was called, or there is a `failure`.

        It is for programs that call `start`: nothing but `stop` ends what still runs, also after a failure.

        Args:
            timeout: seconds to wait at most; without limit by default.

        Returns:
            False if the time ran out.
        """
        return self._parts.supervisor.stop.wait(timeout)

    @property
    def failure(self) -> str:
        """The first thing that failed, in a line: the lease was lost, or a thread has died; "" if nothing has."""
        return self._parts.supervisor.failure

    def observe(self) -> None:
        """Bring the gauges of `metrics` up to date, as is done before each scrape."""
        self._parts.observe()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

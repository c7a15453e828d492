"""One Reconciler at work: its queue, its sources in every engaged cluster, its workers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.cluster.budgets import DELETES, Budget
from kcontroller.cluster.view import Terms
from kcontroller.controller.builder import Builder
from kcontroller.controller.dependencies import Dependencies
from kcontroller.controller.handlers import ForObject
from kcontroller.controller.lanes import Lane
from kcontroller.controller.own_writes import OwnWrites
from kcontroller.controller.pool import WorkerPool
from kcontroller.controller.reconciler import refuse_metadata_only
from kcontroller.controller.recording import Recording
from kcontroller.controller.safety import Safety
from kcontroller.controller.sources import ClusterSources
from kcontroller.controller.tally import Tally
from kcontroller.controller.worker import Declared, Worker
from kcontroller.errors import ConfigError
from kcontroller.process.backoff import RECONCILE
from kcontroller.process.logs import Log, described
from kcontroller.process.stop import StopToken
from kcontroller.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.keys import Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.raw import RawDeclaration
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.process.trace import Trace

_log: Final = Log("kcontroller.controller")

SYNC: Final = "sync"
"""Holds a cluster's requests back in the queue until its sources are synced."""

QUEUE_LIMIT: Final = 200_000
"""Requests of one cluster that may be ready, some 100 MB; more than the 150,000 Pods that a cluster may have.

Whoever pauses a cluster or stands by does not work its queue off, and objects may come and go in it for weeks.
"""


def _nothing() -> None:
    """Wait for nothing."""


class Controller:
    """Runs one Reconciler. A cluster's requests wait until all of its sources are synced; other clusters do not wait.

    Args:
        reconciler: the user's.
        host: clusters, clock, metrics.
        max_concurrent_reconciles: workers, unless the Reconciler says otherwise.
        concurrency: workers by the ``Kind.group`` that is reconciled; goes before `max_concurrent_reconciles`.
        reconcile_timeout: seconds a reconcile may take, unless the Reconciler says otherwise; 0 is no limit.
        many_clusters: whether clusters come and go; then none may hold all workers, unless there is one only.
        delete_budget: what it may delete in each cluster, unless the Reconciler says otherwise; None for all it wants.
        write_budget: what else it may write there, likewise.
        detect_loops: whether to look for hot loops and contested fields, and say so.
        trace: takes down what happens to each request; None for nothing.

    Raises:
        ConfigError: `setup` declares nothing, or something impossible.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        host: Host,
        *,
        max_concurrent_reconciles: int = 1,
        concurrency: Mapping[str, int] | None = None,
        reconcile_timeout: float = 0.0,
        many_clusters: bool = False,
        delete_budget: Budget | None = DELETES,
        write_budget: Budget | None = None,
        detect_loops: bool = True,
        trace: Trace | None = None,
    ) -> None:
        builder = Builder()
        try:
            reconciler.setup(builder)
            refuse_metadata_only(reconciler, builder)
            self.declarations, self._indexes, options = builder.build()
        except (TypeError, ValueError) as error:
            msg = f"{type(reconciler).__name__}.setup: {error}"
            raise ConfigError(msg) from error
        except (Exception, SystemExit) as error:
            msg = f"{type(reconciler).__name__}.setup failed: {described(error)}"
            raise ConfigError(msg) from error
        self._host = host
        self.trace = trace
        self._recording = None if trace is None else Recording(trace, host.clusters)
        self._many_clusters = many_clusters
        self.gvk = builder.reconciled
        self._for = builder.for_kind
        self._holdings = builder.holdings
        self._read_only = builder.read_only_kinds
        self._raw = builder.raw_sources
        self.needs_leader_election = options.needs_leader_election
        self.name = name_of(reconciler, builder)
        by_kind = None if self.gvk is None else (concurrency or {}).get(self.gvk.group_kind)
        self.workers = options.max_concurrent_reconciles or by_kind or max_concurrent_reconciles
        timeout = reconcile_timeout if options.reconcile_timeout is None else options.reconcile_timeout
        self.queue: WorkQueue[Request] = WorkQueue(
            self.name,
            clock=host.clock,
            backoff=options.backoff or RECONCILE,
            bucket=options.bucket(),
            workers=self.workers,
            reserves=many_clusters,
            relay=True,
            limit=QUEUE_LIMIT,
            on_room=self._ask_again,
            metrics=host.metrics,
        )
        self._mappers = host.mappers.pool(self.name, host.metrics)
        self._dependencies = Dependencies(self.queue)
        self._own_writes = OwnWrites(host.clock, host.metrics.own_write_holds.labels(self.name).inc)
        self.safety = Safety(
            self.name,
            self.queue,
            host,
            gvk=self.gvk,
            deletes=delete_budget if options.delete_budget is None else Budget.of(options.delete_budget),
            writes=write_budget if options.write_budget is None else Budget.of(options.write_budget),
            leader_only=options.needs_leader_election,
            detect_loops=detect_loops,
        )
        self._stop = StopToken(clock=host.clock)
        self._timeout = timeout
        self._tally = Tally(host.metrics, self.name, workers=self.workers, in_flight=lambda: self.queue.in_flight)
        self._worker = Worker(
            self.name,
            self.gvk,
            reconciler,
            queue=self.queue,
            host=host,
            declared=Declared(
                builder.for_kind,
                builder.owned_kinds,
                needs_leader_election=options.needs_leader_election,
                holdings=self._holdings,
            ),
            dependencies=self._dependencies,
            own_writes=self._own_writes,
            safety=self.safety,
            tally=self._tally,
            recording=self._recording,
            stop=self._stop,
            timeout=timeout,
        )
        self._lock = threading.Lock()
        self._engaged: dict[str, ClusterSources] = {}
        self._unsynced: set[str] = set()
        self._started = False
        self._waiting: list[tuple[Cluster, ClusterSources, RawDeclaration]] = []

    def engage(self, cluster: Cluster, *, on_synced: Callable[[], None] = _nothing) -> None:
        """Take a cluster on: its requests are queued at once and handed out when all of its sources are synced.

        `on_synced` is called then, on a thread of the cluster or of a map function; it must not block.
        """
        sources = ClusterSources(cluster, self._terms(cluster))  # Its identity is that of the engagement.
        self.queue.pause(cluster.name, holder=SYNC)
        self.safety.engage(cluster.name)
        with self._lock:
            self._engaged[cluster.name] = sources
            self._unsynced.add(cluster.name)
        if self._for is not None:
            sources.keep(self._for)
        for kind, path in self._indexes:
            sources.keep(kind).index((path,))
        count = len(self.declarations) + len(self._read_only) + 1  # This here, where nothing else is to wait for.
        remaining = _Countdown(count, lambda: self._synced(cluster, sources, on_synced))
        for kind in self._read_only:
            sources.keep(kind).subscribe(lambda _change: None, remaining.down)
        lane = Lane(self._mappers, f"{self.name}/{cluster.name or 'local'}")
        for each in self.declarations:
            pauses = self.safety.objects if isinstance(each.handler, ForObject) else None
            sources.add(
                each,
                queue=self.queue,
                lane=lane,
                on_synced=remaining.down,
                pauses=pauses,
                recording=self._recording,
            )
        remaining.down()

    def disengage(self, name: str, *, on_idle: Callable[[], None] = _nothing) -> None:
        """Let a cluster go: its events are no longer heard and its requests are forgotten.

        `on_idle` is called when the last reconcile of it has ended, on that worker's thread or at once; it must not
        block.
        """
        with self._lock:
            sources = self._engaged.pop(name, None)
            self._unsynced.discard(name)
            self._waiting = [each for each in self._waiting if each[1] is not sources]
        if sources is not None:
            sources.stop()
        self._dependencies.forget(name)
        self.queue.purge(name)
        self.safety.leave(name)
        self.queue.when_idle(name, lambda: self._let_go(name, sources, on_idle))

    def _let_go(self, name: str, sources: ClusterSources | None, on_idle: Callable[[], None]) -> None:
        with self._lock:
            is_back = name in self._engaged
        if not is_back:
            # A reconcile that was running when the cluster left may have read and written until now.
            self._dependencies.forget(name)
            self._own_writes.forget(name)
        if sources is not None:
            sources.close()
        on_idle()

    def waiting_for(self) -> tuple[str, ...]:
        """The clusters whose first objects are not all queued yet; also a map function that hangs shows here."""
        with self._lock:
            return tuple(sorted(self._unsynced))

    def on_ended(self, hear: Callable[[Request, Verdict], None]) -> None:
        """Have each reconcile that was not cut short told, on its worker's thread; before the start."""
        self._worker.on_ended = hear

    def start(self, threads: ThreadGroup) -> None:
        """Start the workers, and the timers that waited for the process to lead."""
        pool = WorkerPool(
            self.name,
            self._worker.run,
            size=self.workers,
            timeout=self._timeout,
            queue=self.queue,
            tally=self._tally,
            threads=threads,
        )
        pool.start()
        self._host.watchdog.watch(pool.look)
        with self._lock:
            self._started = True
            waiting, self._waiting = tuple(self._waiting), []
        for cluster, sources, each in waiting:
            self._begin(cluster, sources, each)

    def stop_queue(self) -> None:
        """Hand out nothing more; what is ready is dropped, since the next start lists it again."""
        self.queue.stop()
        self._dependencies.forget()

    def drained(self, timeout: float) -> bool:
        """Wait for the running reconciles; False if some are still running after `timeout` seconds."""
        return self.queue.wait_in_flight(timeout)

    def interrupt(self) -> None:
        """Stop the tokens of the running reconciles, so that their requests and waits end."""
        self._stop.stop("the process stops")

    def _terms(self, cluster: Cluster) -> Terms:
        """What map functions, function predicates and timers keep to."""
        guard = self._guard if self.needs_leader_election else None
        stop = self._stop.child(cluster.leaving)
        return Terms(self.name, stop=stop, guard=guard, holdings=self._holdings, rails=self.safety.rails)

    def _guard(self) -> None:
        guard = self._host.guard
        if guard is not None:
            guard()

    def _ask_again(self, _name: str) -> None:
        with self._lock:
            everywhere = tuple(self._engaged.values())
        for sources in everywhere:  # A map function may have asked for requests of another cluster than its own.
            sources.room()

    def _synced(self, cluster: Cluster, sources: ClusterSources, on_synced: Callable[[], None]) -> None:
        with self._lock:
            if self._engaged.get(cluster.name) is not sources:
                return  # The cluster has left, or come back as another.
            self._unsynced.discard(cluster.name)
            # Under the lock: the queue may be paused for the next one right after it.
            self.queue.resume(cluster.name, holder=SYNC)
        state = "reconciling" if self._started else "standing by"
        # Of many clusters the fleet says that they are engaged.
        say = _log.debug if self._many_clusters else _log.info
        say("synced; %s", state, controller=self.name, cluster=cluster.name, workers=self.workers)
        for each in self._raw:
            if not each.source.acts or not self._waits(cluster, sources, each):
                self._begin(cluster, sources, each)
        self._ask_again(cluster.name)  # Its requests were forgotten when it left: also those of other clusters' events.
        on_synced()

    def _waits(self, cluster: Cluster, sources: ClusterSources, each: RawDeclaration) -> bool:
        """Whether a source is to begin when this process leads."""
        with self._lock:
            waits = self.needs_leader_election and self._host.guard is not None and not self._started
            if waits and self._engaged.get(cluster.name) is sources:
                self._waiting.append((cluster, sources, each))
            return waits

    def _begin(self, cluster: Cluster, sources: ClusterSources, each: RawDeclaration) -> None:
        lane = Lane(self._mappers, f"{self.name}/{cluster.name or 'local'}/{each.source}")
        sources.begin(each, queue=self.queue, lane=lane, clock=self._host.clock)


class _Countdown:
    """Calls a function when it has been called so many times itself."""

    def __init__(self, count: int, function: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._function = function

    def down(self) -> None:
        with self._lock:
            self._count -= 1
            reached = self._count == 0
        if reached:
            self._function()


def name_of(reconciler: Reconciler, builder: Builder) -> str:
    """The controller's name: what the Reconciler says, else the lower-case kind of `for_`, else the class's name."""
    if reconciler.name:
        return reconciler.name
    gvk = builder.reconciled
    return gvk.kind.lower() if gvk is not None else type(reconciler).__name__.lower()

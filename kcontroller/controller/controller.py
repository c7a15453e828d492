"""One Reconciler at work: its queue, its sources in every engaged cluster, its workers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.cluster.budgets import DELETES, Budget
from kcontroller.cluster.view import AtWork, ClusterView, Terms
from kcontroller.controller.availability import Availability
from kcontroller.controller.cluster_sources import ClusterSources
from kcontroller.controller.dependencies import Dependencies
from kcontroller.controller.inlet import Inlet, Retellings
from kcontroller.controller.joining import JOINED, LEFT, RELABELLED, JoinSources
from kcontroller.controller.lanes import Lane
from kcontroller.controller.own_writes import OwnWrites
from kcontroller.controller.plan import Plan
from kcontroller.controller.pool import WorkerPool
from kcontroller.controller.recording import Recording
from kcontroller.controller.safety import Safety
from kcontroller.controller.selecting import FLEET, Wanted
from kcontroller.controller.tally import Tally
from kcontroller.controller.worker import Declared, Worker
from kcontroller.process.backoff import RECONCILE
from kcontroller.process.logs import Log
from kcontroller.process.stop import StopToken
from kcontroller.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.keys import Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.canary import Canary
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.raw import RawDeclaration
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.controller.seat import Stuck
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
        canary: holds clusters back until others have been well; None for none.

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
        canary: Canary | None = None,
    ) -> None:
        self._plan = plan = Plan.of(reconciler)
        options = plan.options
        self._host = host
        self.trace = trace
        self._recording = None if trace is None else Recording(trace, host.clusters)
        self._many_clusters = many_clusters
        self.gvk = plan.gvk
        self.declarations = plan.declarations
        self.name = plan.name
        self.needs_leader_election = options.needs_leader_election
        by_kind = None if self.gvk is None else (concurrency or {}).get(self.gvk.group_kind)
        self.workers = options.max_concurrent_reconciles or by_kind or max_concurrent_reconciles
        timeout = reconcile_timeout if options.reconcile_timeout is None else options.reconcile_timeout
        self.queue: WorkQueue[Request] = WorkQueue(
            self.name,
            clock=host.clock,
            backoff=options.backoff or RECONCILE,
            bucket=options.bucket(),
            workers=self.workers,
            per_cluster=options.max_per_cluster,
            reserves=many_clusters,
            compares=many_clusters,
            relay=True,
            limit=QUEUE_LIMIT,
            on_room=lambda _cluster: self._retellings.room(),
            metrics=host.metrics,
        )
        self._clusters = AtWork(host.clusters, self._at_work)
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
        self._availability = Availability(self.queue, doubts=many_clusters)
        self._stop = StopToken(clock=host.clock)
        self._timeout = timeout
        self._tally = Tally(host.metrics, self.name, workers=self.workers, in_flight=lambda: self.queue.in_flight)
        self._worker = Worker(
            self.name,
            self.gvk,
            reconciler,
            queue=self.queue,
            host=host,
            clusters=self._clusters,
            declared=Declared(
                plan.for_kind,
                plan.owned,
                needs_leader_election=options.needs_leader_election,
                holdings=self._plan.holdings,
            ),
            dependencies=self._dependencies,
            own_writes=self._own_writes,
            safety=self.safety,
            tally=self._tally,
            recording=self._recording,
            stop=self._stop,
            timeout=timeout,
        )
        self._hear: Callable[[Request, Verdict], None] | None = None
        self._pool: WorkerPool | None = None
        self._canary = canary
        if canary is not None:
            canary.add(self)
        self._lock = threading.Lock()
        self._engaged: dict[str, ClusterSources] = {}
        self._joins: dict[str, JoinSources] = {}
        self._unsynced: set[str] = set()
        self._started = False
        self._waiting: list[tuple[ClusterSources, RawDeclaration]] = []
        self._retellings = Retellings()
        self._inlet = Inlet(
            queue=self.queue,
            objects=self.safety.objects,
            retellings=self._retellings,
            works_on=self._engaged.__contains__,
            dropped=self._tally.dropped,
            recording=self._recording,
        )

    def engage(self, cluster: Cluster, *, on_synced: Callable[[], None] = _nothing) -> None:
        """Take a cluster on: its requests are queued at once and handed out when all of its sources are synced.

        Where no source is wanted, nothing is held; requests that others name there are worked on all the same.
        `on_synced` is called when that is so, on a thread of the cluster or of a map function; it must not block.

        Raises:
            Exception: whatever a function raises that chooses clusters.
        """
        wanted = self._wanted(cluster)
        sources = ClusterSources(  # Its identity is that of the engagement.
            cluster,
            self._terms(self._stop.child(cluster.leaving)),
            clusters=self._clusters,
            paths=self._plan.paths,
            inlet=self._inlet,
            lane=Lane(self._mappers, f"{self.name}/{cluster.name or 'local'}"),
            on_synced=lambda: self._synced(sources, on_synced),
        )
        joins = JoinSources(
            cluster.name,
            lambda: self._view_of(cluster),
            wanted=lambda: sources.wanted.joins,
            inlet=self._inlet,
            lane=sources.lane,
        )
        self.queue.weigh(cluster.name, cluster.weight)
        self.queue.pause(cluster.name, holder=SYNC)
        self.safety.engage(cluster.name)
        self._availability.engage(cluster)
        if self._canary is not None:
            self._canary.engage(self, cluster)
        with self._lock:
            self._engaged[cluster.name] = sources
            self._joins[cluster.name] = joins
            self._unsynced.add(cluster.name)
        sources.settle(wanted)

    @property
    def wants_hub(self) -> bool:
        """Whether it works on the hub too, where a provider finds the clusters."""
        return self._plan.wants_hub

    def relabel(self, cluster: Cluster) -> None:
        """Look again at the labels of a cluster that it has engaged; the thread that engages calls it.

        Sources begin or end. Requests that are queued already stay: a reconcile looks at what is true.

        Raises:
            Exception: whatever a function raises that chooses clusters; all is as before then.
        """
        with self._lock:
            sources = self._engaged.get(cluster.name)
        if sources is None or sources.cluster.itself is not cluster.itself:
            return
        before, wanted = sources.wanted, self._wanted(cluster)
        self.queue.weigh(cluster.name, cluster.weight)
        sources.settle(wanted)
        if self._canary is not None:
            self._canary.engage(self, cluster)
        with self._lock:
            self._waiting = [each for each in self._waiting if each[0] is not sources or each[1] in wanted.raw]
            synced, joins = cluster.name not in self._unsynced, self._joins[cluster.name]
        if synced:
            self._begin_all(sources)
            joins.ask(RELABELLED, also=before.joins)

    def disengage(self, name: str, *, on_idle: Callable[[], None] = _nothing) -> None:
        """Let a cluster go: its events are no longer heard and its requests are forgotten.

        `on_idle` is called when the last reconcile of it has ended, on that worker's thread or at once; it must not
        block.
        """
        with self._lock:
            sources, joins = self._engaged.pop(name, None), self._joins.pop(name, None)
            was_synced = name not in self._unsynced
            self._unsynced.discard(name)
            self._waiting = [each for each in self._waiting if each[0] is not sources]
        if sources is not None and joins is not None:
            sources.stop()
            joins.stop()
            if was_synced:
                joins.ask(LEFT)
        self._dependencies.forget(name)
        self._availability.leave(name)
        self.queue.purge(name)
        self.queue.weigh(name, 1)
        self.safety.leave(name)
        if self._canary is not None:
            self._canary.leave(self, name)
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

    def view(self, cluster: Cluster) -> Cluster:
        """What the Reconciler's hooks are given of a cluster: they write as its map functions do."""
        return ClusterView(cluster, self._terms(self._stop), self._clusters)

    def waiting_for(self) -> tuple[str, ...]:
        """The clusters whose first objects are not all queued yet; also a map function that hangs shows here."""
        with self._lock:
            return tuple(sorted(self._unsynced))

    def on_ended(self, hear: Callable[[Request, Verdict], None]) -> None:
        """Have each reconcile that was not cut short told, on its worker's thread; before the start."""
        self._hear, self._worker.on_ended = hear, self._ended

    @property
    def stuck(self) -> tuple[Stuck, ...]:
        """The reconciles that do not return."""
        return () if self._pool is None else self._pool.stuck

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
            clock=self._host.clock,
            hurry=self._host.watchdog.hurry,
            # Who asked for one worker may rely on it that nothing runs beside it.
            fleet=(lambda: len(self._engaged)) if self._many_clusters and self.workers > 1 else None,
        )
        self._pool = pool
        if self._canary is not None:
            self._worker.on_ended = self._ended
            self._canary.start(self)
        pool.start()
        self._host.watchdog.watch(pool.look)
        if self._many_clusters:  # One that is alone takes workers from nobody.
            self._host.watchdog.watch(self._availability.look)
        with self._lock:
            self._started = True
            waiting, self._waiting = tuple(self._waiting), []
        for sources, each in waiting:
            self._begin(sources, each)

    def stop_queue(self) -> None:
        """Hand out nothing more; what is ready is dropped, since the next start lists it again."""
        self.queue.stop()
        if self._pool is not None:
            self._pool.stop()
        self._dependencies.forget()

    def drained(self, timeout: float) -> bool:
        """Wait for the running reconciles; False if some are still running after `timeout` seconds."""
        return self.queue.wait_in_flight(timeout)

    def interrupt(self) -> None:
        """Stop the tokens of the running reconciles, so that their requests and waits end."""
        self._stop.stop("the process stops")

    def _terms(self, stop: StopToken) -> Terms:
        """What map functions, function predicates and timers keep to."""
        guard = self._guard if self.needs_leader_election else None
        return Terms(self.name, stop=stop, guard=guard, holdings=self._plan.holdings, rails=self.safety.rails)

    def _ended(self, request: Request, verdict: Verdict) -> None:
        if self._hear is not None:
            self._hear(request, verdict)
        if self._canary is not None:
            self._canary.ended(self, request, failed=verdict.label == "error")

    def _guard(self) -> None:
        guard = self._host.guard
        if guard is not None:
            guard()

    def _wanted(self, cluster: Cluster) -> Wanted:
        return self._plan.wanted(cluster, alone=not self._many_clusters)

    def _at_work(self) -> tuple[Cluster, ...]:
        """The clusters of the fleet whose first objects are known."""
        alone = not self._many_clusters
        with self._lock:
            return tuple(
                sources.cluster
                for name, sources in self._engaged.items()
                if name not in self._unsynced and FLEET.admit(sources.cluster, alone=alone)
            )

    def _synced(self, sources: ClusterSources, on_synced: Callable[[], None]) -> None:
        cluster = sources.cluster
        with self._lock:
            if self._engaged.get(cluster.name) is not sources:
                return  # The cluster has left, or come back as another.
            self._unsynced.discard(cluster.name)
            joins = self._joins[cluster.name]
            # Under the lock: the queue may be paused for the next one right after it.
            self.queue.resume(cluster.name, holder=SYNC)
        state = "reconciling" if self._started else "standing by"
        # Of many clusters the fleet says that they are engaged.
        say = _log.debug if self._many_clusters else _log.info
        say("synced; %s", state, controller=self.name, cluster=cluster.name, workers=self.workers)
        self._begin_all(sources)
        self._retellings.joined(cluster.name)
        if self._canary is not None:
            self._canary.synced(self, cluster.name)
        joins.ask(JOINED)
        on_synced()

    def _view_of(self, cluster: Cluster) -> tuple[ClusterView, Callable[[], None]]:
        """Make a view for one call of a function, which may be about a cluster that has left, and what ends it."""
        stop = self._stop.child()
        return ClusterView(cluster, self._terms(stop), self._clusters), stop.close

    def _begin_all(self, sources: ClusterSources) -> None:
        for each in sources.wanted.raw:
            if not each.source.acts or not self._waits(sources, each):
                self._begin(sources, each)

    def _waits(self, sources: ClusterSources, each: RawDeclaration) -> bool:
        """Whether a source is to begin when this process leads."""
        with self._lock:
            waits = self.needs_leader_election and self._host.guard is not None and not self._started
            waiting = (sources, each)
            if waits and self._engaged.get(sources.cluster.name) is sources and waiting not in self._waiting:
                self._waiting.append(waiting)
            return waits

    def _begin(self, sources: ClusterSources, each: RawDeclaration) -> None:
        lane = Lane(self._mappers, f"{self.name}/{sources.cluster.name or 'local'}/{each.source}")
        sources.begin(each, lane=lane, clock=self._host.clock)

"""One worker: take an item, call the Reconciler, report."""

from __future__ import annotations

import random
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.cluster.view import ClustersView, ClusterView, Terms
from kcontroller.controller.context import Context
from kcontroller.controller.dependencies import Reads
from kcontroller.controller.ledger import Ledger
from kcontroller.controller.outcomes import DONE, of_error, of_result
from kcontroller.controller.places import place_of_error
from kcontroller.controller.seat import Run
from kcontroller.errors import ClusterNotFound, NotLeader, Stopped
from kcontroller.process.logs import Log, described, reset_fields, set_fields
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.process.waits import on_wait
from kcontroller.workqueue.outcome import DROP, FORGET, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cache.scope import Holding
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.cluster.view import ClusterGetter
    from kcontroller.controller.dependencies import Dependencies
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.own_writes import OwnWrites
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.controller.recording import Recording
    from kcontroller.controller.safety import Safety
    from kcontroller.controller.seat import Seat
    from kcontroller.controller.tally import Tally
    from kcontroller.workqueue import Item, WorkQueue

_log: Final = Log("kcontroller.controller")


class Declared(msgspec.Struct, frozen=True):
    """What `setup` said that a reconcile is told of.

    Attributes:
        kind: of `for_`.
        owned: the kinds of `owns`.
        needs_leader_election: whether its writes need the lease.
        holdings: what of kinds `cache` keeps.
    """

    kind: KindRef | None = None
    owned: tuple[KindRef, ...] = ()
    needs_leader_election: bool = True
    holdings: Mapping[GVK, Holding] = msgspec.field(default_factory=dict)


class Worker:
    """What the workers of a controller do; each of them runs until the queue is stopped.

    Args:
        name: the controller's.
        gvk: the kind of `for_`, for the log.
        reconciler: the user's.
        queue: where the items come from.
        host: clusters and clock.
        clusters: what a reconcile finds the other clusters by.
        declared: what `setup` said.
        dependencies: what requests have read with ``track=True``.
        own_writes: what requests have written last.
        safety: the rails of the controller.
        tally: the controller's metrics.
        recording: takes down what happens to each request.
        stop: stops when running reconciles should end.
        timeout: seconds a reconcile may take; 0 is no limit.

    Attributes:
        on_ended: told of each reconcile that was not cut short; set before the start, must not block.
    """

    def __init__(
        self,
        name: str,
        gvk: GVK | None,
        reconciler: Reconciler,
        *,
        queue: WorkQueue[Request],
        host: Host,
        clusters: ClusterGetter,
        declared: Declared,
        dependencies: Dependencies,
        own_writes: OwnWrites,
        safety: Safety,
        tally: Tally,
        recording: Recording | None = None,
        stop: StopToken,
        timeout: float,
    ) -> None:
        self._name = name
        kind = {"controllerGroup": gvk.group, "controllerKind": gvk.kind} if gvk else {}
        self._own_fields = {"controller": name, **kind}
        self._reconciler = reconciler
        self._queue = queue
        self._host = host
        self._clusters = clusters
        self._declared = declared
        self._dependencies = dependencies
        self._own_writes = own_writes
        self._safety = safety
        self._tally = tally
        self._recording = recording
        self._stop = stop
        self._timeout = timeout
        self.on_ended: Callable[[Request, Verdict], None] | None = None
        self._ledger = Ledger(name)
        self._user_log = Log(f"kcontroller.reconciler.{name}")

    def run(self, seat: Seat) -> None:
        """Work at a seat until the queue is stopped, or the seat is one too many."""
        queue = self._queue
        seat.thread = threading.get_ident()
        on_wait(partial(self._let_others, seat))
        item = queue.get() if not seat.surplus or seat.rest() else None
        while item is not None:
            try:
                outcome = self._work(item, seat)
            except BaseException as error:
                self._die_of(item, error)
                raise
            if seat.surplus:
                queue.done(item, outcome)
                item = queue.get() if seat.rest() else None
            else:
                item = queue.exchange(item, outcome)

    def _let_others(self, seat: Seat) -> None:
        run = seat.run
        if run is not None:  # A worker without an item has nothing to hand on.
            self._queue.let_others(run.item)

    def _die_of(self, item: Item[Request], error: BaseException) -> None:
        """Let go of an item, or the end of the process would wait for it, and name it: the thread's end does not."""
        self._queue.done(item, FORGET)
        who = threading.current_thread().name
        _log.error("%s dies of this request: %s", who, described(error), **self._log_fields(item.request))

    def _work(self, item: Item[Request], seat: Seat) -> Outcome:
        request, recording = item.request, self._recording
        if request in self._safety.objects:
            if recording is not None:
                recording.paused(request)
            return DROP  # It is queued again when its pause ends.
        delay = self._own_writes.delay(request)
        if delay:
            if recording is not None:
                recording.held(request)
            return Outcome.hold(delay)
        named = self._log_fields(request)
        try:
            cluster = self._host.clusters.get(request.cluster)
        except ClusterNotFound:
            # It left while the request waited, and leaves nothing to reconcile.
            self._tally.dropped()
            _log.debug("dropped: the cluster has left", **named)
            return DROP
        token = set_fields(named)
        try:
            return self._reconcile(item, cluster, seat, named)
        finally:
            reset_fields(token)

    def _reconcile(self, item: Item[Request], cluster: Cluster, seat: Seat, named: Mapping[str, object]) -> Outcome:
        clock, recording, loops, rails = self._host.clock, self._recording, self._safety.loops, self._safety.rails
        began = clock.monotonic()
        if loops is not None and loops.suspects:
            loops.began(item.request)
        if recording is not None:
            recording.began(item)
            rails = (recording.notes(item.request), *rails)
        deadline = Deadline(began + self._timeout, clock) if self._timeout else None
        stop = StopToken(self._stop, cluster.leaving, deadline=deadline)
        reads = Reads(self._dependencies, item.request)
        guard = self._host.guard if self._declared.needs_leader_election else None
        terms = Terms(self._name, stop, deadline, guard, reads, self._declared.holdings, rails)
        run = Run(item, began, stop, named)
        seat.begin(run)
        try:
            verdict, error = self._judge(item, cluster, stop, terms)
        finally:
            stop.close()
            seat.end(run)
        ended = clock.monotonic()
        seconds = ended - began
        if deadline is not None and not run.late and ended >= deadline.at:
            self._tally.timed_out()
        reads.settle(cut_short=verdict is None)
        if reads.written is not None:
            self._own_writes.note(item.request, reads.written)
        if recording is not None:
            recording.ended(item, verdict, error, seconds=seconds, reconcile_id=named["reconcileID"])
        if verdict is None:
            self._tally.took(seconds)
            _log.debug("cut short: %s", error)
            return FORGET
        self._tally.ended(verdict, None if cluster.leaving.stopped else item.request.cluster, seconds=seconds)
        if verdict is not DONE:
            _report(verdict, error, item)
        if self.on_ended is not None:
            self.on_ended(item.request, verdict)
        if loops is not None:
            loops.ended(item.request, item.reasons, verdict.outcome, reads.written, now=ended)
        return verdict.outcome

    def _judge(
        self, item: Item[Request], cluster: Cluster, stop: StopToken, terms: Terms
    ) -> tuple[Verdict | None, BaseException | None]:
        """Call the Reconciler; no verdict on what was cut short because the process, its lease or the cluster goes."""
        try:
            if terms.guard is not None:
                terms.guard()  # What a reconcile does without its client, nobody looks at later.
            context = Context(
                request=item.request,
                cluster=ClusterView(cluster, terms),
                clusters=ClustersView(self._clusters, terms),
                log=self._user_log,
                reasons=item.reasons,
                deadline=terms.deadline,
                stop=stop,
                events=self._host.events.recorder(cluster, self._name, guard=terms.guard),
                kind=self._declared.kind,
                owned=self._declared.owned,
                ledger=self._ledger,
            )
            return of_result(self._reconciler.reconcile(context, item.request)), None
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, and one object must not stop others
            cut_short = isinstance(error, NotLeader) or (
                isinstance(error, Stopped) and (self._stop.stopped or cluster.leaving.stopped)
            )
            return None if cut_short else of_error(error), error

    def _log_fields(self, request: Request) -> dict[str, object]:
        return {
            **self._own_fields,
            "cluster": request.cluster,
            "namespace": request.namespace,
            "name": request.name,
            "reconcileID": _ReconcileId(),
        }


class _ReconcileId:
    """A random UUID that is made when a line shows it; few reconciles write one."""

    __slots__ = ("_text",)

    _text: str

    def __str__(self) -> str:
        try:
            return self._text
        except AttributeError:
            # Unique, not secret: the system's random source would let another thread in at every reconcile.
            self._text = str(uuid.UUID(int=random.getrandbits(128), version=4))
            return self._text


def _report(verdict: Verdict, error: BaseException | None, item: Item[Request]) -> None:
    if verdict.label == "error" and error is not None:
        again = "no retry" if verdict.terminal else f"retry {item.failures + 1}"
        _log.exception_of(error, "Reconciler error: %s", described(error), at=place_of_error(error), then=again)
    elif verdict.why:
        _log.info("waiting: %s", verdict.why)

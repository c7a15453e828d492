"""One worker: take an item, call the Reconciler, report."""

from __future__ import annotations

import random
import traceback
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.cluster.view import ClustersView, ClusterView, Terms
from kcontroller.controller.context import Context
from kcontroller.controller.ledger import Ledger
from kcontroller.controller.outcomes import DONE, of_error, of_result
from kcontroller.errors import ClusterNotFound, NotLeader, Stopped
from kcontroller.process.logs import Log, described, fields
from kcontroller.process.stop import Deadline
from kcontroller.process.waits import on_wait
from kcontroller.workqueue.outcome import FORGET, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cache.scope import Holding
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.dependencies import Dependencies, Reads
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.own_writes import OwnWrites
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.controller.tally import Tally
    from kcontroller.process.stop import StopToken
    from kcontroller.workqueue import Item, WorkQueue

_PACKAGE: Final = Path(__file__).parents[1]

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
    """Runs until its queue is stopped.

    Args:
        name: the controller's.
        gvk: the kind of `for_`, for the log.
        reconciler: the user's.
        queue: where the items come from.
        host: clusters and clock.
        declared: what `setup` said.
        dependencies: what requests have read with ``track=True``.
        own_writes: what requests have written last.
        tally: the controller's metrics.
        stop: stops when running reconciles should end.
        timeout: seconds a reconcile may take; 0 is no limit.
    """

    def __init__(
        self,
        name: str,
        gvk: GVK | None,
        reconciler: Reconciler,
        *,
        queue: WorkQueue[Request],
        host: Host,
        declared: Declared,
        dependencies: Dependencies,
        own_writes: OwnWrites,
        tally: Tally,
        stop: StopToken,
        timeout: float,
    ) -> None:
        self._name = name
        kind = {"controllerGroup": gvk.group, "controllerKind": gvk.kind} if gvk else {}
        self._own_fields = {"controller": name, **kind}
        self._reconciler = reconciler
        self._queue = queue
        self._host = host
        self._declared = declared
        self._dependencies = dependencies
        self._own_writes = own_writes
        self._tally = tally
        self._stop = stop
        self._timeout = timeout
        self._ledger = Ledger(name)
        self._user_log = Log(f"kcontroller.reconciler.{name}")

    def run(self) -> None:
        """Work until the queue is stopped."""
        queue = self._queue
        item = queue.get()
        while item is not None:
            on_wait(partial(queue.let_others, item))
            outcome = self._work(item)
            on_wait(None)  # A worker without an item has nothing to hand on.
            item = queue.exchange(item, outcome)

    def _work(self, item: Item[Request]) -> Outcome:
        delay = self._own_writes.delay(item.request)
        if delay:
            return Outcome.hold(delay)
        with fields(**self._log_fields(item.request)):
            began = self._host.clock.monotonic()
            reads = self._dependencies.begin(item.request)
            cluster = self._cluster_of(item.request)
            # A cluster that left while the request waited leaves nothing to reconcile.
            verdict, error = (DONE, None) if cluster is None else self._judge(item, cluster, reads)
            reads.settle(cut_short=verdict is None)
            if reads.written is not None:
                self._own_writes.note(item.request, reads.written)
            seconds = self._host.clock.monotonic() - began
            if verdict is None:
                self._tally.took(seconds)
                _log.debug("cut short: %s", error)
                return FORGET
            is_there = cluster is not None and not cluster.leaving.stopped
            self._tally.ended(verdict, item.request.cluster if is_there else None, seconds=seconds)
            if verdict is not DONE:
                _report(verdict, error, item)
            return verdict.outcome

    def _cluster_of(self, request: Request) -> Cluster | None:
        try:
            return self._host.clusters.get(request.cluster)
        except ClusterNotFound:
            return None

    def _judge(
        self, item: Item[Request], cluster: Cluster, reads: Reads
    ) -> tuple[Verdict | None, BaseException | None]:
        """Call the Reconciler; no verdict on what was cut short because the process, its lease or the cluster goes."""
        deadline = Deadline.after(self._timeout, clock=self._host.clock) if self._timeout else None
        guard = self._host.guard if self._declared.needs_leader_election else None
        stop = self._stop.child(cluster.leaving, deadline=deadline)
        try:
            if guard is not None:
                guard()  # What a reconcile does without its client, nobody looks at later.
            terms = Terms(self._name, stop, deadline, guard, reads, self._declared.holdings)
            context = self._context(item, cluster, stop, terms)
            return of_result(self._reconciler.reconcile(context, item.request)), None
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, and one object must not stop others
            cut_short = isinstance(error, NotLeader) or (
                isinstance(error, Stopped) and (self._stop.stopped or cluster.leaving.stopped)
            )
            return None if cut_short else of_error(error), error
        finally:
            stop.close()
            if deadline is not None and deadline.expired:
                self._tally.timed_out()

    def _context(self, item: Item[Request], cluster: Cluster, stop: StopToken, terms: Terms) -> Context:
        return Context(
            request=item.request,
            cluster=ClusterView(cluster, terms),
            clusters=ClustersView(self._host.clusters, terms),
            log=self._user_log,
            reasons=item.reasons,
            deadline=terms.deadline,
            stop=stop,
            events=self._host.events.recorder(cluster, self._name, guard=terms.guard),
            kind=self._declared.kind,
            owned=self._declared.owned,
            ledger=self._ledger,
        )

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
        _log.exception_of(error, "Reconciler error: %s", described(error), at=_place_of(error), then=again)
    elif verdict.why:
        _log.info("waiting: %s", verdict.why)


def _place_of(error: BaseException) -> str:
    """File and line of the innermost frame that is not ours, for those who read the log without tracebacks."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if _PACKAGE not in path.parents:
            place = f"{path.name}:{line}"
    return place

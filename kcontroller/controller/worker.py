"""One worker: take an item, call the Reconciler, report."""

from __future__ import annotations

import random
import traceback
import uuid
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
from kcontroller.workqueue.outcome import FORGET

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
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
    """

    kind: KindRef | None = None
    owned: tuple[KindRef, ...] = ()
    needs_leader_election: bool = True


class Worker:
    """Runs until its queue is stopped.

    Args:
        name: the controller's.
        gvk: the kind of `for_`, for the log.
        reconciler: the user's.
        queue: where the items come from.
        host: clusters and clock.
        declared: what `setup` said.
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
        tally: Tally,
        stop: StopToken,
        timeout: float,
    ) -> None:
        self._name = name
        self._gvk = gvk
        self._reconciler = reconciler
        self._queue = queue
        self._host = host
        self._declared = declared
        self._tally = tally
        self._stop = stop
        self._timeout = timeout
        self._ledger = Ledger(name)
        self._user_log = Log(f"kcontroller.reconciler.{name}")

    def run(self) -> None:
        """Work until the queue is stopped."""
        while (item := self._queue.get()) is not None:
            self._work(item)
            del item  # A waiting worker keeps nothing alive.

    def _work(self, item: Item[Request]) -> None:
        with fields(**self._log_fields(item.request)), self._tally.busy(self._host.clock):
            verdict, error = self._judge(item)
            self._queue.done(item, FORGET if verdict is None else verdict.outcome)
            if verdict is not None:
                self._report(verdict, error, item)
            else:
                _log.debug("cut short: %s", error)

    def _judge(self, item: Item[Request]) -> tuple[Verdict | None, BaseException | None]:
        """Call the Reconciler; no verdict on what was cut short because the process, its lease or the cluster goes."""
        try:
            cluster = self._host.clusters.get(item.request.cluster)
        except ClusterNotFound:
            # The cluster left while its request waited; there is nothing to reconcile any more.
            return DONE, None
        deadline = Deadline.after(self._timeout, clock=self._host.clock) if self._timeout else None
        guard = self._host.guard if self._declared.needs_leader_election else None
        try:
            if guard is not None:
                guard()  # What a reconcile does without its client, nobody looks at later.
            with self._stop.child(deadline=deadline) as stop:
                withdraw = cluster.leaving.on_stop(lambda: stop.stop(cluster.leaving.reason))
                try:
                    context = self._context(item, cluster, deadline, stop, guard)
                    return of_result(self._reconciler.reconcile(context, item.request)), None
                finally:
                    withdraw()
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, and one object must not stop others
            cut_short = isinstance(error, NotLeader) or (
                isinstance(error, Stopped) and (self._stop.stopped or cluster.leaving.stopped)
            )
            return None if cut_short else of_error(error), error
        finally:
            if deadline is not None and deadline.expired:
                self._tally.timed_out()

    def _context(
        self,
        item: Item[Request],
        cluster: Cluster,
        deadline: Deadline | None,
        stop: StopToken,
        guard: Callable[[], None] | None,
    ) -> Context:
        terms = Terms(self._name, stop, deadline, guard)
        view = ClusterView(cluster, terms)
        return Context(
            request=item.request,
            cluster=view,
            client=view.client,
            clusters=ClustersView(self._host.clusters, terms),
            log=self._user_log,
            reasons=item.reasons,
            deadline=deadline,
            stop=stop,
            events=self._host.events.recorder(cluster, self._name, guard=guard),
            kind=self._declared.kind,
            owned=self._declared.owned,
            ledger=self._ledger,
        )

    def _report(self, verdict: Verdict, error: BaseException | None, item: Item[Request]) -> None:
        self._tally.count(verdict, item.request.cluster)
        if verdict.label == "error" and error is not None:
            again = "no retry" if verdict.terminal else f"retry {item.failures + 1}"
            _log.exception_of(error, "Reconciler error: %s", described(error), at=_place_of(error), then=again)
        elif verdict.why:
            _log.info("waiting: %s", verdict.why)

    def _log_fields(self, request: Request) -> dict[str, object]:
        kind = {"controllerGroup": self._gvk.group, "controllerKind": self._gvk.kind} if self._gvk else {}
        return {
            "controller": self._name,
            **kind,
            "cluster": request.cluster,
            "namespace": request.namespace,
            "name": request.name,
            # Unique, not secret: the system's random source would let another thread in at every reconcile.
            "reconcileID": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        }


def _place_of(error: BaseException) -> str:
    """File and line of the innermost frame that is not ours, for those who read the log without tracebacks."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if _PACKAGE not in path.parents:
            place = f"{path.name}:{line}"
    return place

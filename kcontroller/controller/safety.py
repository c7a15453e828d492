"""The safety rails of one controller, and how they make themselves heard: log, event and metric."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from kcontroller.api.codec import gvk_of
from kcontroller.api.objects import Object
from kcontroller.cluster.budgets import BUDGET, Budgets
from kcontroller.cluster.contests import Contests
from kcontroller.controller.loops import Loops
from kcontroller.controller.pauses import PausedObjects
from kcontroller.errors import ClusterNotFound
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.client.ports import Write
    from kcontroller.cluster.budgets import Budget, Spent
    from kcontroller.cluster.contests import Contest
    from kcontroller.cluster.rails import Rail
    from kcontroller.controller.host import Host
    from kcontroller.controller.loops import Loop
    from kcontroller.workqueue import WorkQueue

_QUIET_SECONDS: Final = 600.0
_LATELY: Final = 256

_log: Final = Log("kcontroller.safety")


class Safety:
    """The rails of a controller.

    Attributes:
        budgets: what it may write and delete.
        objects: which are paused by their annotation.
        loops: finds requests that it keeps busy with itself; None for nobody to look.
        rails: what looks at each of its writes.

    Args:
        controller: its name.
        queue: its queue.
        host: clusters, clock, metrics, events, and the pauses by command.
        gvk: the kind of `for_`.
        deletes: see `Budgets`.
        writes: see `Budgets`.
        leader_only: whether it works, and speaks, only where this process leads.
        detect_loops: whether to look for hot loops and contested fields.
    """

    def __init__(
        self,
        controller: str,
        queue: WorkQueue[Request],
        host: Host,
        *,
        gvk: GVK | None,
        deletes: Budget | None,
        writes: Budget | None,
        leader_only: bool,
        detect_loops: bool = True,
    ) -> None:
        self._controller = controller
        self._queue = queue
        self._host = host
        self._gvk = gvk
        self._leader_only = leader_only
        metrics = host.metrics
        self.budgets = Budgets(
            controller,
            deletes=deletes,
            writes=writes,
            clock=host.clock,
            hold=lambda cluster: queue.pause(cluster, holder=BUDGET),
            release=lambda cluster: queue.resume(cluster, holder=BUDGET),
            on_spent=self._spent,
        )
        self.objects = PausedObjects(
            controller, queue, on_change=self._paused, count=metrics.paused_objects.labels(controller).set
        )
        self.loops = Loops(self._loops) if detect_loops else None
        budgets: tuple[Rail, ...] = (self.budgets,) if deletes or writes else ()
        contests = (Contests(controller, clock=host.clock, on_contest=self._contested),) if detect_loops else ()
        self.rails = (*budgets, *contests)
        self._lately: TTLCache[object, None] = TTLCache(_LATELY, _QUIET_SECONDS, timer=host.clock.monotonic)
        self._lock = threading.Lock()
        self._trips = {what: metrics.budget_trips.labels(controller, what) for what in ("deletes", "writes")}
        self._hot = {cause: metrics.hot_requests.labels(controller, cause) for cause in ("echo", "requeue")}
        self._contests = metrics.contested_fields.labels(controller)
        self._stopped = {what: metrics.budgets_spent.labels(controller, what) for what in ("deletes", "writes")}
        metrics.before_collecting(self._publish)

    def engage(self, cluster: str) -> None:
        """Take a cluster on, while the queue hands out nothing of it: what held it before holds it again."""
        self.objects.forget(cluster)  # Its thread may have told of one when it left.
        self.budgets.engage(cluster)
        self._host.pauses.engage(self._controller, cluster, self._queue)

    def leave(self, cluster: str) -> None:
        """Let a cluster go, when its sources are stopped."""
        self.objects.forget(cluster)
        self.budgets.forget()
        self._host.pauses.leave(self._controller, cluster)

    def tell(self, cluster: str, obj: Object, type_: str, reason: str, message: str) -> None:
        """Record an event about an object, where its cluster is there and this process may speak."""
        try:
            target = self._host.clusters.get(cluster)
        except ClusterNotFound:
            return
        guard = self._host.guard if self._leader_only else None
        self._host.events.recorder(target, self._controller, guard=guard).event(obj, type_, reason, message)

    def _spent(self, spent: Spent, write: Write) -> None:
        self._trips[spent.what].inc()
        again = f"kcontroller resume {spent.controller}{f' --cluster {spent.cluster}' if spent.cluster else ''}"
        _log.error(
            "%s; it is paused there until you say: %s",
            spent,
            again,
            controller=spent.controller,
            cluster=spent.cluster,
            refused=spent.refused,
            last=", ".join(spent.last),
        )
        if write.key.name:
            reason = "DeleteBudgetSpent" if spent.what == "deletes" else "WriteBudgetSpent"
            message = f"{spent}; the {write.verb} of this object was not sent, and the controller is paused"
            self.tell(spent.cluster, _object(gvk_of(write.kind), write.key), "Warning", reason, message)

    def _paused(self, request: Request, paused: bool) -> None:  # noqa: FBT001 - as it is called
        what = "paused by annotation" if paused else "no longer paused by annotation"
        _log.info(
            what,
            controller=self._controller,
            cluster=request.cluster,
            namespace=request.namespace,
            name=request.name,
        )
        if self._gvk is not None:
            reason = "Paused" if paused else "Resumed"
            message = f"{self._controller} leaves this object alone" if paused else f"{self._controller} goes on"
            self.tell(request.cluster, _object(self._gvk, request.key), "Normal", reason, message)

    def _loops(self, loop: Loop) -> None:
        self._hot[loop.cause].inc()
        if self._is_new(loop.cause):  # The objects of a kind mostly loop together.
            request = loop.request
            _log.warning(
                "%s is %s",
                request,
                loop,
                controller=self._controller,
                cluster=request.cluster,
                namespace=request.namespace,
                name=request.name,
            )

    def _contested(self, contest: Contest) -> None:
        self._contests.inc()
        if self._is_new((contest.kind, contest.path, contest.manager)):
            _log.warning("%s", contest, controller=self._controller, cluster=contest.cluster)
            self.tell(contest.cluster, _object(contest.kind, contest.key), "Warning", "FieldContested", str(contest))

    def _is_new(self, what: object) -> bool:
        with self._lock:
            new = what not in self._lately
            if new:
                self._lately[what] = None
            return new

    def _publish(self) -> None:
        spent = Counter[str](each.what for each in self.budgets.spent())
        for what, gauge in self._stopped.items():
            gauge.set(spent[what])


def _object(kind: GVK, key: Key) -> Object:
    metadata = {"name": key.name, "namespace": key.namespace}
    return Object({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})

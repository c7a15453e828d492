"""One worker: take an item, call the Reconciler, report."""

from __future__ import annotations

import random
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcontroller.controller.context import Context
from kcontroller.controller.outcomes import DONE, of_error, of_result
from kcontroller.errors import ClusterNotFound, Stopped
from kcontroller.process.logs import Log, fields
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK, Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.host import Host
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.controller.tally import Tally
    from kcontroller.process.stop import StopToken
    from kcontroller.workqueue import Item, WorkQueue

_TEXT_LIMIT: Final = 1000
_PACKAGE: Final = Path(__file__).parents[1]

_log: Final = Log("kcontroller.controller")


class Worker:
    """Runs until its queue is stopped.

    Args:
        name: the controller's.
        gvk: the kind of `for_`, for the log.
        reconciler: the user's.
        queue: where the items come from.
        host: clusters and clock.
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
        tally: Tally,
        stop: StopToken,
        timeout: float,
    ) -> None:
        self._name = name
        self._gvk = gvk
        self._reconciler = reconciler
        self._queue = queue
        self._host = host
        self._tally = tally
        self._stop = stop
        self._timeout = timeout
        self._user_log = Log(f"kcontroller.reconciler.{name}")

    def run(self) -> None:
        """Work until the queue is stopped."""
        while (item := self._queue.get()) is not None:
            self._work(item)
            del item  # A waiting worker keeps nothing alive.

    def _work(self, item: Item[Request]) -> None:
        with fields(**self._log_fields(item.request)), self._tally.busy(self._host.clock):
            verdict, error = self._judge(item)
            self._queue.done(item, verdict.outcome)
            self._report(verdict, error, item)

    def _judge(self, item: Item[Request]) -> tuple[Verdict, BaseException | None]:
        try:
            cluster = self._host.clusters.get(item.request.cluster)
        except ClusterNotFound:
            # The cluster left while its request waited; there is nothing to reconcile any more.
            return DONE, None
        deadline = Deadline.after(self._timeout, clock=self._host.clock) if self._timeout else None
        try:
            with self._stop.child(deadline=deadline) as stop:
                context = self._context(item, cluster, deadline, stop)
                return of_result(self._reconciler.reconcile(context, item.request)), None
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, and one object must not stop others
            return of_error(error), error
        finally:
            if deadline is not None and deadline.expired:
                self._tally.timed_out()

    def _context(self, item: Item[Request], cluster: Cluster, deadline: Deadline | None, stop: StopToken) -> Context:
        return Context(
            request=item.request,
            cluster=cluster,
            client=cluster.client_for(self._name, stop=stop, deadline=deadline),
            clusters=self._host.clusters,
            log=self._user_log,
            reasons=item.reasons,
            deadline=deadline,
            stop=stop,
        )

    def _report(self, verdict: Verdict, error: BaseException | None, item: Item[Request]) -> None:
        if isinstance(error, Stopped) and self._stop.stopped:
            _log.debug("stopped in the middle of a reconcile")
            return
        self._tally.count(verdict, item.request.cluster)
        if verdict.label == "error" and error is not None:
            again = "no retry" if verdict.terminal else f"retry {item.failures + 1}"
            text = f"{type(error).__name__}: {_text_of(error)}"
            _log.exception_of(error, "Reconciler error: %s", text, at=_place_of(error), then=again)
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


def _text_of(error: BaseException) -> str:
    """The text of a user's exception: bounded, and without trust in its ``__str__``."""
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - user code
        return f"(its text cannot be had: {type(failure).__name__})"
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}... ({len(text):,} characters)"


def _place_of(error: BaseException) -> str:
    """File and line of the innermost frame that is not ours, for those who read the log without tracebacks."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if _PACKAGE not in path.parents:
            place = f"{path.name}:{line}"
    return place

"""Why a request is where it is: what `kcontroller explain` asks a running process.

Nothing is kept for it but the trace; all else is read when somebody asks: the queue, the caches, the election.
"""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import GVK, Key, Request
from kcontroller.cache.store import Change
from kcontroller.controller import sentences
from kcontroller.controller.event import Event
from kcontroller.controller.explanation import Cached, Explanation, Queued
from kcontroller.controller.history import History
from kcontroller.controller.names import Names, NotKnown
from kcontroller.controller.recording import QUEUED
from kcontroller.errors import ClusterNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from kcontroller.cache.entry import Entry
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.controller import Controller
    from kcontroller.controller.explanation import Waiting
    from kcontroller.controller.pauses import Pauses
    from kcontroller.multicluster.registry import Registry
    from kcontroller.process.clock import Clock
    from kcontroller.workqueue import Standing

_DONE: Final = "waits for nothing: its last reconcile went well"
_NEVER: Final = "waits for nothing: it has not been reconciled since this trace began"
_UNKNOWN: Final = "is not known here: no cache shows it, and nothing has happened to it"


class Explainer:
    """Answers for the controllers of a process; any thread.

    Attributes:
        names: what it is asked by.

    Args:
        controllers: all of them.
        clusters: where they work.
        pauses: what people have paused.
        clock: the time.
        leads: whether this process leads.
        holder: who holds the lease; "" if nobody or not known.
        fleet: whether a provider finds the clusters.
    """

    def __init__(
        self,
        controllers: Iterable[Controller],
        clusters: Registry,
        *,
        pauses: Pauses,
        clock: Clock,
        leads: Callable[[], bool] = lambda: True,
        holder: Callable[[], str] = lambda: "",
        fleet: bool = False,
    ) -> None:
        self._controllers = controllers
        self._clusters = clusters
        self._clock = clock
        self._pauses = pauses
        self._leads = leads
        self._holder = holder
        self.names = Names(controllers, clusters, fleet=fleet)

    def explain(self, cluster: str, kind: str, key: Key) -> tuple[Explanation, ...]:
        """Explain an object to each controller that reconciles it, or reconciles something because of it.

        Args:
            cluster: what it is `Names.called`; "" for a single one.
            kind: ``Widget``, ``widgets``, ``widgets.example.com`` or ``example.com/v1 Widget``.
            key: namespace and name.

        Raises:
            NotKnown: there is no such cluster, or no controller has to do with the kind or the object.
        """
        name = self.names.cluster(cluster)
        asked = Request(name, *key)
        found: list[Explanation] = []
        kinds: set[GVK] = set()
        for controller in self._controllers:
            meant = self.names.kinds_of(controller, name, kind)
            kinds |= meant
            found += [self._explain(controller, request) for request in self._requests(controller, meant, asked)]
        if not kinds:
            msg = f"no controller here has to do with {kind}; there are {self.names.offered()}"
            raise NotKnown(msg)
        if not any(each.known for each in found):
            self.names.check_namespace(name, kinds, key)
        if not found:
            names = ", ".join(sorted(map(str, kinds)))
            msg = f"nothing was reconciled because of {names} {key}, and nobody owns it"
            raise NotKnown(msg)
        return tuple(found)

    def shown(self, cluster: str, gvk: GVK, key: Key) -> Entry | None:
        """What the caches of a cluster show of an object now."""
        try:
            return self._clusters.get(cluster).shown(gvk, key)
        except ClusterNotFound:
            return None

    # ---- which requests ------------------------------------------------------------------------------------------

    def _requests(self, controller: Controller, kinds: set[GVK], asked: Request) -> Iterator[Request]:
        if controller.gvk in kinds:
            yield asked
            return
        found: dict[Request, None] = {}
        for declaration in controller.declarations:
            gvk = gvk_of(declaration.kind)
            if gvk not in kinds:
                continue
            entry = self.shown(asked.cluster, gvk, asked.key)
            # Functions of the user's are not called for it: what they said before stands in the trace.
            if entry is not None and not declaration.handler.user_code:
                event = Event(asked.cluster, declaration.kind, Change(None, entry))
                found |= dict.fromkeys(declaration.handler.requests(event, self._clusters.get(asked.cluster)))
            found |= dict.fromkeys(_caused(controller, gvk, asked))
        yield from found

    # ---- one request ---------------------------------------------------------------------------------------------

    def _explain(self, controller: Controller, request: Request) -> Explanation:
        history = History(() if controller.trace is None else controller.trace.of(request), at=self._at)
        standing = controller.queue.standing(request)
        entry = None if controller.gvk is None else self.shown(request.cluster, controller.gvk, request.key)
        waiting = tuple(self._waiting(controller, request, standing))
        if standing is None and history.refused:
            waiting = (*waiting, sentences.no_room())
        known = bool(entry or standing or history.steps)
        failure = history.last_error
        settled = known and failure is None and all(each.what == "requeue_after" for each in waiting)
        return Explanation(
            controller=controller.name,
            cluster=request.cluster,
            kind=str(controller.gvk or ""),
            key=str(request.key),
            verdict=_verdict(waiting, history, known=known),
            known=known,
            settled=settled,
            waiting=waiting,
            cached=None if entry is None else Cached(entry.version, entry.generation, entry.deleting),
            queue=None if standing is None else self._queued(standing),
            last_error=failure,
            writes=history.writes,
            steps=history.shown,
            complete=history.complete,
            notes=tuple(self._notes(controller, request, history)),
            now=self._clock.now(),
            where=self.names.where(request.cluster),
        )

    def _waiting(self, controller: Controller, request: Request, standing: Standing | None) -> Iterator[Waiting]:
        """What keeps a request, the one that decides first."""
        name = request.cluster
        cluster = self._cluster(name)
        if cluster is None:
            state = next((each for each in self._clusters.states() if each.name == name), None)
            yield sentences.no_cluster(name, "" if state is None else state.why or state.state.value)
        if controller.needs_leader_election and not self._leads():
            yield sentences.standing_by(self._holder())
        if cluster is not None and name in controller.waiting_for():
            yield sentences.not_synced([str(each) for each in cluster.pending()])
        yield from self._told_to(controller, request)
        if standing is not None:
            yield from self._in_queue(controller, request, standing)
        elif controller.queue.stopped:
            yield sentences.stopping()

    def _in_queue(self, controller: Controller, request: Request, standing: Standing) -> Iterator[Waiting]:
        """What it waits for where it stands."""
        match standing.state:
            case "processing":
                stuck = next((each for each in controller.stuck if each.request == request), None)
                yield sentences.stuck(stuck) if stuck else sentences.running(self._clock.monotonic() - standing.since)
            case "held":
                yield sentences.own_write(self._at(standing.due))
            case "delayed" if standing.failures:
                left = standing.due - self._clock.monotonic()
                yield sentences.backoff(left, standing.failures, self._at(standing.due))
            case "delayed":
                yield sentences.later(standing.due - self._clock.monotonic(), self._at(standing.due))
            case "ready" if controller.queue.capped(request.cluster):
                yield sentences.cap(request.cluster)
            case _:
                yield sentences.worker(controller.queue.in_flight, controller.workers, len(controller.queue))

    def _told_to(self, controller: Controller, request: Request) -> Iterator[Waiting]:
        """What people have said, or have to say."""
        for pause in self._pauses.holding(controller.name, request.cluster):
            yield sentences.paused(str(pause), pause.remedy)
        if request in controller.safety.objects:
            yield sentences.annotated()
        for spent in controller.safety.budgets.spent():
            if spent.cluster == request.cluster:
                where = self.names.where(request.cluster)
                option = ("--cluster", where) if where else ()
                yield sentences.budget(str(spent), shlex.join(("kcontroller", "resume", controller.name, *option)))

    def _cluster(self, name: str) -> Cluster | None:
        try:
            return self._clusters.get(name)
        except ClusterNotFound:
            return None

    def _queued(self, standing: Standing) -> Queued:
        since = self._at(standing.since)
        return Queued(standing.state, since, standing.priority, standing.failures, standing.reasons)

    def _notes(self, controller: Controller, request: Request, history: History) -> Iterator[str]:
        if controller.trace is None:
            yield "no trace: this process runs with --trace-keys 0"
        elif not history.complete:
            yield "older steps were dropped"
        cluster = self._cluster(request.cluster)
        if cluster is not None and controller.gvk is not None:
            for kind, trouble in cluster.troubles().items():
                if kind.startswith(str(controller.gvk)):
                    yield f"{kind} gets no news: {trouble}"

    def _at(self, monotonic: float) -> datetime:
        return self._clock.now() + timedelta(seconds=monotonic - self._clock.monotonic())


def _caused(controller: Controller, gvk: GVK, asked: Request) -> Iterator[Request]:
    """The requests that a change of an object made lately, as the trace has them."""
    if controller.trace is None:
        return
    for key in controller.trace.keys(
        lambda step: (
            step.what == QUEUED and step.about[1:2] == (asked.key,) and str(step.about[0]).partition(" ")[0] == gvk.kind
        )
    ):
        if isinstance(key, Request) and key.cluster == asked.cluster:
            yield key


def _verdict(waiting: tuple[Waiting, ...], history: History, *, known: bool) -> str:
    if not known and not any(each.what == "cluster" for each in waiting):
        return _UNKNOWN
    if waiting:
        return waiting[0].why
    failure = history.last_error
    if failure is not None:
        return f"failed and is not tried again ({failure.then}): it is called when it changes; {failure.error}"
    return _DONE if history.reconciled else _NEVER

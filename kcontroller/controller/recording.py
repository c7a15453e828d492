"""What is taken down of each request of a controller: the steps of its trace.

=========  =====================================================================================
step       about
=========  =====================================================================================
`QUEUED`   the reason, the key of the object that changed, its resourceVersion
`DROPPED`  the reason that it would have been, the key, the version, the name of the predicate
`REFUSED`  nothing: the queue was full
`HELD`     nothing: an own write was not in the cache yet
`PAUSED`   nothing: the object has the annotation
`BEGAN`    seconds that it waited, failures before, reasons
`WROTE`    a `Written`
`ENDED`    the verdict (None if it was cut short), seconds it took, failures before
`FAILED`   the same, then the error in words, the place where it was raised, the reconcileID
=========  =====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.cluster.written import Written, written_of
from kcontroller.controller.places import place_of_error
from kcontroller.errors import ClusterNotFound
from kcontroller.process.logs import described, redact, text_of
from kcontroller.process.trace import ENDED, FAILED

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.cache.entry import Entry
    from kcontroller.client.ports import Reader, Write
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.cluster.rails import Hears
    from kcontroller.cluster.view import ClusterGetter
    from kcontroller.cluster.written import Written
    from kcontroller.controller.event import Event
    from kcontroller.controller.handlers import Handler
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.controller.predicates import Predicate
    from kcontroller.process.trace import Trace
    from kcontroller.workqueue import Item

QUEUED: Final = "queued"
DROPPED: Final = "dropped"
REFUSED: Final = "refused"
HELD: Final = "held"
PAUSED: Final = "paused"
BEGAN: Final = "began"
WROTE: Final = "wrote"

_ERROR_LIMIT: Final = 300


class Recording:
    """Takes down what happens to the requests of one controller; any thread.

    Args:
        trace: where.
        clusters: finds the clusters that writes go to.
    """

    def __init__(self, trace: Trace, clusters: ClusterGetter) -> None:
        self._add = trace.add
        self._add_once = trace.add_once
        self._clusters = clusters
        self._names: dict[int, str] = {}  # Of predicates, which live as long as the controller.

    def queued(self, request: Request, event: Event) -> None:
        """A change queued the request."""
        newest = event.sides[-1]
        self._add(request, QUEUED, event.reason, newest.key, newest.version)

    def dropped(self, event: Event, predicate: Predicate, handler: Handler, cluster: Cluster) -> None:
        """A predicate dropped a change. Whom a map function would have named is not found out for it."""
        if handler.user_code:
            return
        # Its name and not itself: it may refer to anything, also back to the trace.
        name = self._names.get(id(predicate))
        if name is None:
            name = self._names[id(predicate)] = text_of(predicate)
        newest = event.sides[-1]
        for request in handler.requests(event, cluster):
            self._add(request, DROPPED, event.reason, newest.key, newest.version, name)

    def refused(self, request: Request) -> None:
        """The queue had no room for it."""
        self._add_once(request, REFUSED)

    def held(self, request: Request) -> None:
        """The cache did not show an own write yet."""
        self._add_once(request, HELD)

    def paused(self, request: Request) -> None:
        """Its object is annotated to be left alone."""
        self._add_once(request, PAUSED)

    def began(self, item: Item[Request]) -> None:
        """A reconcile began."""
        self._add(item.request, BEGAN, item.waited, item.failures, item.reasons)

    def ended(
        self,
        item: Item[Request],
        verdict: Verdict | None,
        error: BaseException | None,
        *,
        seconds: float,
        reconcile_id: object,
    ) -> None:
        """A reconcile ended; without a verdict if it was cut short."""
        if verdict is None or verdict.label != "error" or error is None:
            self._add(item.request, ENDED, verdict, seconds, item.failures)
            return
        words = redact(described(error))[:_ERROR_LIMIT]  # In this order: half a token is not known for one.
        self._add(
            item.request, FAILED, verdict, seconds, item.failures, words, place_of_error(error), str(reconcile_id)
        )

    def notes(self, request: Request) -> Notes:
        """Make what takes down the writes of one reconcile."""
        return Notes(self, request)

    def wrote(self, request: Request, written: Written) -> None:
        """A write of a reconcile has ended."""
        self._add(request, WROTE, written)

    def shown(self, cluster: str, gvk: GVK, key: Key) -> Entry | None:
        """What the caches of a cluster show of an object."""
        try:
            return self._clusters.get(cluster).shown(gvk, key)
        except ClusterNotFound:
            return None


class Notes:
    """A `Rail` that stops nothing: it takes down what the reconciles of one request write.

    Args:
        recording: where.
        request: whose writes they are.
    """

    __slots__ = ("_recording", "_request")

    def __init__(self, recording: Recording, request: Request) -> None:
        self._recording = recording
        self._request = request

    def before(self, cluster: str, write: Write, live: Reader) -> Hears:  # noqa: ARG002 - as a rail
        """Look at what an update replaces; what another write changes stands in its body."""
        updates = write.verb == "update"
        before = self._recording.shown(cluster, gvk_of(write.kind), write.key) if updates else None
        return lambda outcome: self._recording.wrote(self._request, written_of(write, before, outcome))

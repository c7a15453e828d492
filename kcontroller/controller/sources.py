"""What feeds a controller with one kind of one cluster: a declaration, its subscription, its way into the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.controller.event import Event
from kcontroller.controller.handlers import ForObject
from kcontroller.controller.retelling import Retelling
from kcontroller.process.logs import Log
from kcontroller.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Request
    from kcontroller.cache.store import Change
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.controller.declarations import Declaration
    from kcontroller.controller.inlet import Inlet
    from kcontroller.controller.lanes import Lane


_log: Final = Log("kcontroller.controller")


class KindSource:
    """Feeds a queue with the changes of one kind in one cluster.

    Args:
        declaration: what counts and whom it concerns.
        cluster: where.
        handle: of the kind there; closed with the source.
        read_as: what user functions get; of a kind that is kept as metadata only a class may not be able to say it.
        inlet: gets the requests.
        lane: runs the user's functions.
        on_synced: called when every object that there was at the start is in the queue.
    """

    def __init__(
        self,
        declaration: Declaration,
        cluster: Cluster,
        handle: CacheHandle,
        *,
        read_as: KindRef,
        inlet: Inlet,
        lane: Lane,
        on_synced: Callable[[], None],
    ) -> None:
        self._declaration = declaration
        self._read_as = read_as
        self._cluster = cluster
        self._handle = handle
        self._inlet = inlet
        self._queue = inlet.queue
        self._recording = inlet.recording
        self._pauses = inlet.objects if isinstance(declaration.handler, ForObject) else None
        self._lane = lane
        self._on_synced = on_synced
        self._stopped = False
        self._said = False
        self._retelling = Retelling(lambda: self._subscription, lane.submit if declaration.user_code else None)
        self._subscription = handle.subscribe(self._hear, self._heard_all, resync=declaration.resync)

    def stop(self) -> None:
        """Hear nothing more; what waits on the lane is dropped."""
        self._stopped = True
        self._subscription.close()
        self._inlet.retellings.forget(self._retelling)

    def close(self) -> None:
        """Let the kind go."""
        self._handle.close()

    def _hear(self, change: Change) -> None:
        if self._pauses is not None:
            self._pauses.hear(self._cluster.name, change)
        event = Event(self._cluster.name, self._read_as, change)
        if self._declaration.user_code:
            self._lane.submit(lambda: self._take(event, change), key=(self, change.entry.key))
        else:
            self._take(event, change)

    def _heard_all(self) -> None:
        if self._declaration.user_code:
            self._lane.submit(self._synced)  # Behind the jobs of the first list.
        else:
            self._synced()

    def _synced(self) -> None:
        if not self._stopped:
            self._on_synced()

    def _take(self, event: Event, change: Change) -> None:
        if self._stopped:
            return
        recording = self._recording
        for predicate in self._declaration.predicates:
            if not predicate.admits(event):
                if recording is not None:
                    recording.dropped(event, predicate, self._declaration.handler, self._cluster)
                return
        priority = LOW_PRIORITY if _is_routine(change) else 0
        for request in self._declaration.handler.requests(event, self._cluster):
            if request.cluster != self._cluster.name and not self._is_there(request):
                continue
            if recording is not None:
                recording.queued(request, event)
            if not self._queue.add(request, priority=priority, reason=event.reason, may_refuse=True):
                if recording is not None:
                    recording.refused(request)
                self._note_refusal(request, change)

    def _is_there(self, request: Request) -> bool:
        """Whether the controller works on the other cluster that a function has named; if not, it is asked again."""
        if not request.cluster:
            return True  # The hub neither leaves nor comes.
        self._inlet.retellings.names(self._retelling, request.cluster)
        if self._inlet.works_on(request.cluster):  # After the note: if it joins from now on, all is told again.
            return True
        self._inlet.dropped()
        say = _log.debug if self._said else _log.info
        self._said = True
        say(
            "dropped a request of cluster %r, which is not engaged; it is made again when that one joins",
            request.cluster,
            controller=self._queue.name,
            cluster=self._cluster.name,
        )
        return False

    def _note_refusal(self, request: Request, change: Change) -> None:
        if self._retelling.refused(change.entry.key, resync=change.resync):
            _log.warning(
                "the queue is full: more requests will be told again when there is room",
                controller=self._queue.name,
                cluster=self._cluster.name,
            )
        self._inlet.retellings.owes(self._retelling)
        if not self._queue.is_full(request.cluster):  # There was room between the refusal and the note.
            self._inlet.retellings.room()


def _is_routine(change: Change) -> bool:
    """Part of a first list or a resync, or an update that changed nothing, as after the server went back in time."""
    if change.new is None:
        return False
    return change.initial or change.resync or (change.old is not None and change.old.version == change.new.version)

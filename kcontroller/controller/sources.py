"""A declaration at work in one cluster: its subscription, its filter, its way into the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.controller.event import Event
from kcontroller.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import Request
    from kcontroller.cache.store import Change
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.builder import Declaration
    from kcontroller.controller.mapping import Lane
    from kcontroller.workqueue import WorkQueue


class KindSource:
    """Feeds a queue with the changes of one kind in one cluster.

    Args:
        declaration: what counts and whom it concerns.
        cluster: where.
        queue: gets the requests.
        lane: runs the user's functions.
        on_synced: called once, when every object that there was at the start is in the queue.
    """

    def __init__(
        self,
        declaration: Declaration,
        cluster: Cluster,
        *,
        queue: WorkQueue[Request],
        lane: Lane,
        on_synced: Callable[[], None],
    ) -> None:
        self._declaration = declaration
        self._cluster = cluster
        self._queue = queue
        self._lane = lane
        self._on_synced = on_synced
        self._stopped = False
        cached = cluster.cache(declaration.kind)
        self._subscription = cached.subscribe(self._hear, self._heard_all)

    def stop(self) -> None:
        """Hear nothing more; what waits on the lane is dropped."""
        self._stopped = True
        self._subscription.close()

    def _hear(self, change: Change) -> None:
        event = Event(self._cluster.name, self._declaration.kind, change)
        if self._declaration.user_code:
            self._lane.submit(lambda: self._take(event))
        else:
            self._take(event)

    def _heard_all(self) -> None:
        if self._declaration.user_code:
            self._lane.submit(self._synced)  # Behind the jobs of the first list.
        else:
            self._synced()

    def _synced(self) -> None:
        if not self._stopped:
            self._on_synced()

    def _take(self, event: Event) -> None:
        if self._stopped or not all(predicate.admits(event) for predicate in self._declaration.predicates):
            return
        priority = LOW_PRIORITY if _is_routine(event.change) else 0
        for request in self._declaration.handler.requests(event, self._cluster):
            self._queue.add(request, priority=priority, reason=event.reason)


def _is_routine(change: Change) -> bool:
    """Part of a first list, or an update that changed nothing, as after the server went back in time."""
    if change.new is None:
        return False
    return change.initial or (change.old is not None and change.old.version == change.new.version)

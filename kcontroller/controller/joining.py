"""What concerns a controller when a cluster joins, leaves or gets other labels: `Builder.watches_clusters`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kcontroller.controller.event import Event
from kcontroller.controller.handlers import request_of
from kcontroller.controller.selecting import FLEET, Clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.api.keys import Key, Request
    from kcontroller.cluster.view import ClusterView
    from kcontroller.controller.inlet import Inlet
    from kcontroller.controller.lanes import Lane
    from kcontroller.controller.predicates import Predicate


class JoinDeclaration(msgspec.Struct, frozen=True, eq=False):
    """A function that names what a cluster concerns, and which of its words count."""

    to: Callable[[ClusterView], Iterable[Key | Request]]
    predicates: tuple[Predicate, ...] = ()
    clusters: Clusters = FLEET


class JoinSource:
    """Asks one such function about one cluster; any thread.

    Args:
        declaration: the function.
        view: of the cluster, whose clients outlive its leaving: only those of other clusters are of use then.
        inlet: gets the requests.
        lane: runs the function.
    """

    def __init__(self, declaration: JoinDeclaration, view: ClusterView, *, inlet: Inlet, lane: Lane) -> None:
        self._declaration = declaration
        self._view = view
        self._inlet = inlet
        self._lane = lane

    def ask(self, reason: str, *, ended: Callable[[], None] | None = None) -> None:
        """Queue what the function names; one that fails is asked again, and `ended` is called when that is over."""
        self._lane.submit(lambda: self._take(reason), key=self, ended=ended)

    def _take(self, reason: str) -> None:
        named: Iterable[Any] = self._declaration.to(self._view)
        for request in dict.fromkeys(request_of(each, self._view) for each in named):
            event = Event.generic(self._view.name, request, reason)
            is_there = not request.cluster or self._inlet.works_on(request.cluster)  # Who leaves is named, too.
            if is_there and all(predicate.admits(event) for predicate in self._declaration.predicates):
                self._inlet.queue.add(request, reason=reason)

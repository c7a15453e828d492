"""What concerns a controller when a cluster joins, leaves or gets other labels: `Builder.watches_clusters`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

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


JOINED: Final = "cluster joined"
RELABELLED: Final = "cluster relabelled"
LEFT: Final = "cluster left"
"""Why something is queued that a function of `Builder.watches_clusters` has named."""


class JoinDeclaration(msgspec.Struct, frozen=True, eq=False):
    """A function that names what a cluster concerns, and which of its words count."""

    to: Callable[[ClusterView], Iterable[Key | Request]]
    predicates: tuple[Predicate, ...] = ()
    clusters: Clusters = FLEET


class JoinSources:
    """Asks such functions about one cluster; any thread.

    What they name in a cluster on which the controller does not work is dropped, and asked for again when that one
    joins.

    Args:
        cluster: its name.
        view: makes what one call is given, and what ends that. Its clients must outlive the leaving of the cluster:
            those of other clusters are of use then.
        wanted: which functions are asked now.
        inlet: gets the requests.
        lane: runs the functions.
    """

    def __init__(
        self,
        cluster: str,
        view: Callable[[], tuple[ClusterView, Callable[[], None]]],
        *,
        wanted: Callable[[], tuple[JoinDeclaration, ...]],
        inlet: Inlet,
        lane: Lane,
    ) -> None:
        self._cluster = cluster
        self._view = view
        self._wanted = wanted
        self._inlet = inlet
        self._lane = lane
        self._stopped = False

    def ask(self, reason: str, *, also: Iterable[JoinDeclaration] = ()) -> None:
        """Queue what the functions name, also that of further ones; one that fails is asked again."""
        for each in dict.fromkeys((*also, *self._wanted())):
            view, end = self._view()
            self._lane.submit(partial(self._take, each, view, reason), key=object(), ended=end)

    def again(self) -> None:
        """See `Naming`."""
        if not self._stopped:
            self.ask(JOINED)

    def stop(self) -> None:
        """Let go of what was named in other clusters; whoever asks now asks for the last time."""
        self._stopped = True
        self._inlet.retellings.stopped(self)

    def _take(self, declaration: JoinDeclaration, view: ClusterView, reason: str) -> None:
        named: Iterable[Any] = declaration.to(view)
        for request in dict.fromkeys(request_of(each, view) for each in named):
            event = Event.generic(self._cluster, request, reason)
            if self._is_there(request) and all(predicate.admits(event) for predicate in declaration.predicates):
                self._inlet.queue.add(request, reason=reason)

    def _is_there(self, request: Request) -> bool:
        if not request.cluster:
            return True
        other = request.cluster != self._cluster
        if other and not self._stopped:
            self._inlet.retellings.names(self, request.cluster)
        if self._inlet.works_on(request.cluster):  # After the note: if it joins from now on, all is asked again.
            return True
        if other:  # Who leaves is named, too.
            self._inlet.dropped()
        return False

"""From a change to the requests that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from kcontroller.api.keys import Key, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.api.keys import GVK
    from kcontroller.cache.projection import Entry
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.event import Event


class Handler(Protocol):
    """Names the requests of an event; `user_code` as for predicates."""

    user_code: bool

    def requests(self, event: Event, cluster: Cluster) -> Iterable[Request]:
        """What to reconcile."""
        ...


class ForObject:
    """The object itself."""

    user_code = False

    def requests(self, event: Event, cluster: Cluster) -> Iterable[Request]:
        """Name the object that changed."""
        newest = event.sides[-1]
        return (Request(cluster.name, newest.namespace, newest.name),)


class ForOwner:
    """The owners of the object, before and after the change, so that an owner that lost a child hears of it.

    Args:
        owner: the kind of owner; group and kind are compared, the version is not.
        every_owner: any owner, not only the controller.
    """

    user_code = False

    def __init__(self, owner: GVK, *, every_owner: bool = False) -> None:
        self._owner = owner
        self._every_owner = every_owner

    def requests(self, event: Event, cluster: Cluster) -> Iterable[Request]:
        """Name the owners, each once."""
        return dict.fromkeys(request for side in event.sides for request in self._owners(side, cluster))

    def _owners(self, child: Entry, cluster: Cluster) -> Iterable[Request]:
        for owner in child.owners:
            group = owner.api_version.rpartition("/")[0]
            if (group, owner.kind) == (self._owner.group, self._owner.kind) and (self._every_owner or owner.controller):
                # An owner lives in its child's namespace or in none.
                namespaced = cluster.is_namespaced(self._owner) is not False
                yield Request(cluster.name, child.key.namespace if namespaced else "", owner.name)


class Mapped:
    """What a function of the user's says, of the object before and after the change.

    Args:
        function: gets the cluster and the object, returns keys (of the same cluster) or requests (of any).
    """

    user_code = True

    def __init__(self, function: Callable[[Cluster, Any], Iterable[Key | Request]]) -> None:
        self._function = function

    def requests(self, event: Event, cluster: Cluster) -> Iterable[Request]:
        """Call the function for both sides; each request once. What fails for one side does not lose the other's."""
        found: dict[Request, None] = {}
        failure: Exception | None = None
        for side in ("old", "new"):
            try:
                obj = getattr(event, side)
                if obj is not None:
                    found |= dict.fromkeys(request_of(each, cluster) for each in self._function(cluster, obj))
            except Exception as error:  # noqa: BLE001 - user code; raised again when the other side has been heard
                failure = error
        yield from found
        if failure is not None:
            raise failure


def request_of(target: Key | Request | Any, cluster: Cluster) -> Request:
    """Make a request of what a user's function names: a key is of the function's cluster.

    Raises:
        TypeError: it is neither a Key nor a Request.
    """
    if isinstance(target, Request):
        return target
    if isinstance(target, Key):
        return Request(cluster.name, target.namespace, target.name)
    msg = f"a map function must return Key or Request objects, got {type(target).__name__}"
    raise TypeError(msg)

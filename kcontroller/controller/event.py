"""One change, or one word of a raw source, as predicates, handlers and map functions see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kcontroller.api import codec
from kcontroller.api.keys import GVK

if TYPE_CHECKING:
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Request
    from kcontroller.cache.projection import Entry
    from kcontroller.cache.store import Change

EventType = Literal["added", "updated", "deleted", "generic"]


class Event:
    """A change of one object in one cluster; the objects are decoded when they are looked at.

    What a raw source says is an event too, of type ``generic`` as in controller-runtime: it has no object, but a
    `request`.

    Attributes:
        cluster: the cluster's name.
        change: the header of the object before and after; None if it is of a raw source.
        request: what a raw source asks for; None for a change.
    """

    __slots__ = ("_decoded", "_kind", "_said", "change", "cluster", "request")

    def __init__(self, cluster: str, kind: KindRef | None, change: Change | None) -> None:
        self.cluster = cluster
        self.change = change
        self.request: Request | None = None
        self._kind = kind
        self._said = ""
        self._decoded: dict[str, Any] = {}

    @classmethod
    def generic(cls, cluster: str, request: Request, reason: str) -> Self:
        """What a raw source says."""
        event = cls(cluster, None, None)
        event.request, event._said = request, reason
        return event

    @property
    def type(self) -> EventType:
        """What happened."""
        if self.change is None:
            return "generic"
        if self.change.new is None:
            return "deleted"
        return "added" if self.change.old is None else "updated"

    @property
    def sides(self) -> tuple[Entry, ...]:
        """The headers of the object before and after the change, as far as there are any."""
        match self.change:
            case None:
                return ()
            case change if change.old is None or change.new is None:
                return (change.entry,)
            case change:
                return change.old, change.new

    @property
    def old(self) -> Any:
        """The object before, of the kind that was declared; None if it is new."""
        return self._object("old", None if self.change is None else self.change.old)

    @property
    def new(self) -> Any:
        """The object after; None if it is gone."""
        return self._object("new", None if self.change is None else self.change.new)

    @property
    def reason(self) -> str:
        """A few words for people: ``Deployment updated``, ``Deployment resync``, or what a raw source said."""
        if self.change is None or self._kind is None:
            return self._said
        kind = self._kind if isinstance(self._kind, GVK) else codec.gvk_of(self._kind)
        return f"{kind.kind} {'resync' if self.change.resync else self.type}"

    def _object(self, side: str, entry: Entry | None) -> Any:
        if entry is not None and self._kind is not None and side not in self._decoded:
            self._decoded[side] = codec.decode(entry.raw, self._kind)
        return self._decoded.get(side)

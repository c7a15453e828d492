"""One change as predicates, handlers and map functions see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kcontroller.api import codec
from kcontroller.api.keys import GVK

if TYPE_CHECKING:
    from kcontroller.api.codec import KindRef
    from kcontroller.cache.projection import Entry
    from kcontroller.cache.store import Change

EventType = Literal["added", "updated", "deleted"]


class Event:
    """A change of one object in one cluster; the objects are decoded when they are looked at.

    Attributes:
        cluster: the cluster's name.
        change: the header of the object before and after.
    """

    __slots__ = ("_decoded", "_kind", "change", "cluster")

    def __init__(self, cluster: str, kind: KindRef, change: Change) -> None:
        self.cluster = cluster
        self.change = change
        self._kind = kind
        self._decoded: dict[str, Any] = {}

    @property
    def type(self) -> EventType:
        """What happened."""
        if self.change.new is None:
            return "deleted"
        return "added" if self.change.old is None else "updated"

    @property
    def old(self) -> Any:
        """The object before, of the kind that was declared; None if it is new."""
        return self._object("old", self.change.old)

    @property
    def new(self) -> Any:
        """The object after; None if it is gone."""
        return self._object("new", self.change.new)

    @property
    def reason(self) -> str:
        """A few words for people: ``Deployment updated``, ``Deployment resync``."""
        kind = self._kind if isinstance(self._kind, GVK) else codec.gvk_of(self._kind)
        return f"{kind.kind} {'resync' if self.change.resync else self.type}"

    def _object(self, side: str, entry: Entry | None) -> Any:
        if entry is not None and side not in self._decoded:
            self._decoded[side] = codec.decode(entry.raw, self._kind)
        return self._decoded.get(side)

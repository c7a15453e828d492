"""What a builder has collected, for the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kcontroller.api.codec import gvk_of
from kcontroller.controller.declarations import Declaration, Kept, Owned
from kcontroller.controller.handlers import ForOwner
from kcontroller.controller.marks import OWNER_INDEX
from kcontroller.controller.options import ControllerOptions
from kcontroller.controller.selecting import FLEET, Clusters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK
    from kcontroller.cache.scope import Holding
    from kcontroller.controller.joining import JoinDeclaration
    from kcontroller.controller.predicates import Predicate
    from kcontroller.controller.raw import RawDeclaration


class Collected:
    """What `setup` has said, put together; the builder fills it."""

    def __init__(self) -> None:
        self._for: KindRef | None = None
        self._at: Clusters = FLEET
        self._declarations: list[Declaration] = []
        self._owned: list[Owned] = []
        self._holdings: dict[GVK, Holding] = {}
        self._kept: dict[GVK, KindRef] = {}  # As they were named.
        self._kept_in: dict[GVK, Clusters] = {}
        self._indexes: list[tuple[KindRef, str]] = []
        self._raw: list[tuple[RawDeclaration, Clusters | None]] = []
        self._joins: list[JoinDeclaration] = []
        self._predicates: tuple[Predicate, ...] = ()
        self._options = ControllerOptions()

    @property
    def reconciled(self) -> GVK | None:
        """The kind of `for_`."""
        return None if self._for is None else gvk_of(self._for)

    @property
    def for_kind(self) -> KindRef | None:
        """The kind of `for_` as it was given."""
        return self._for

    @property
    def owned_kinds(self) -> tuple[KindRef, ...]:
        """The kinds of `owns`, as they were given."""
        return tuple(each.kind for each in self._owned)

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The kinds that are kept for reads: `index` or `cache` names them, and nothing hears of their changes."""
        heard = {gvk_of(kind) for kind in (*(each.kind for each in self._declarations), *self.owned_kinds)}
        named = {gvk_of(kind): kind for kind in (*self._kept.values(), *(kind for kind, _path in self._indexes))}
        return tuple(Kept(kind, self._kept_in.get(gvk, self._at)) for gvk, kind in named.items() if gvk not in heard)

    @property
    def raw_sources(self) -> tuple[RawDeclaration, ...]:
        """What `source` said, with the predicates of all sources."""
        return tuple(
            replace(each, predicates=self._predicates + each.predicates, clusters=at or self._at)
            for each, at in self._raw
        )

    @property
    def joins(self) -> tuple[JoinDeclaration, ...]:
        """What `watches_clusters` said, with the predicates of all sources."""
        return tuple(replace(each, predicates=self._predicates) for each in self._joins)

    @property
    def holdings(self) -> Mapping[GVK, Holding]:
        """What `cache` said."""
        return dict(self._holdings)

    def build(self) -> tuple[tuple[Declaration, ...], tuple[tuple[KindRef, str], ...], ControllerOptions]:
        """Give all declarations, indexes and options.

        Raises:
            ValueError: nothing is watched, `owns` was used without `for_`, or an index or a predicate is of what is not
                kept.
        """
        owner = self.reconciled
        if self._owned and owner is None:
            msg = "owns needs for_: it reconciles the owner of what changed"
            raise ValueError(msg)
        if not any((self._declarations, self._owned, self._raw, self._joins)):
            msg = "setup watches nothing; call builder.for_(kind), builder.watches(kind, to=...) or builder.source(...)"
            raise ValueError(msg)
        owned = tuple(self._owned_by(owner, each) for each in self._owned if owner is not None)
        indexes = (*self._indexes, *((kind, OWNER_INDEX) for kind in self.owned_kinds))
        for kind, path in self._indexes:
            self._require(kind, path, "indexed by")
        declarations = tuple(
            replace(each, predicates=self._predicates + each.predicates) for each in (*self._declarations, *owned)
        )
        for each in declarations:
            for path in (path for predicate in each.predicates for path in predicate.paths):
                self._require(each.kind, path, "filtered by")
        return declarations, indexes, self._options

    def _owned_by(self, owner: GVK, each: Owned) -> Declaration:
        at = each.clusters or self._at
        if at.hub is not self._at.hub:
            msg = (
                f"owns watches {gvk_of(each.kind)} {at}, and for_ {owner} {self._at}: an owner is in the cluster of "
                "what it owns; use watches, whose function may name requests of another cluster"
            )
            raise ValueError(msg)
        handler = ForOwner(owner, every_owner=each.every_owner)
        return Declaration(each.kind, each.predicates, handler, each.resync, at)

    def _require(self, kind: KindRef, path: str, what_for: str) -> None:
        gvk = gvk_of(kind)
        holding = self._holdings.get(gvk)
        if holding is not None and not holding.keeps(path):
            msg = f"{gvk} is {what_for} {path!r}, which cache leaves out of it; drop one or the other"
            raise ValueError(msg)

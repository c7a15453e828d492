"""What a Reconciler's `setup` has said, as its controller goes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.controller.builder import Builder
from kcontroller.controller.reconciler import refuse_metadata_only
from kcontroller.controller.selecting import Wanted
from kcontroller.errors import ConfigError
from kcontroller.process.logs import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK
    from kcontroller.cache.scope import Holding
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.declarations import Declaration, Kept
    from kcontroller.controller.joining import JoinDeclaration
    from kcontroller.controller.options import ControllerOptions
    from kcontroller.controller.raw import RawDeclaration
    from kcontroller.controller.reconciler import Reconciler
    from kcontroller.controller.selecting import Clusters


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `setup` has said.

    Attributes:
        name: the controller's.
        for_kind: the kind of `for_` as it was given.
        owned: the kinds of `owns`.
        declarations: what is watched.
        kept: further kinds, for reads.
        raw: the raw sources.
        joins: what is asked when clusters come and go.
        paths: by what each kind is indexed.
        holdings: what of kinds is kept.
        options: how the controller works.
    """

    name: str
    for_kind: KindRef | None
    owned: tuple[KindRef, ...]
    declarations: tuple[Declaration, ...]
    kept: tuple[Kept, ...]
    raw: tuple[RawDeclaration, ...]
    joins: tuple[JoinDeclaration, ...]
    paths: Mapping[GVK, tuple[str, ...]]
    holdings: Mapping[GVK, Holding]
    options: ControllerOptions

    @classmethod
    def of(cls, reconciler: Reconciler) -> Self:
        """Ask a Reconciler.

        Raises:
            ConfigError: its `setup` declares nothing, or something impossible, or fails.
        """
        builder = Builder()
        try:
            reconciler.setup(builder)
            refuse_metadata_only(reconciler, builder)
            declarations, indexes, options = builder.build()
        except (TypeError, ValueError) as error:
            msg = f"{type(reconciler).__name__}.setup: {error}"
            raise ConfigError(msg) from error
        except (Exception, SystemExit) as error:
            msg = f"{type(reconciler).__name__}.setup failed: {described(error)}"
            raise ConfigError(msg) from error
        return cls(
            name=name_of(reconciler, builder),
            for_kind=builder.for_kind,
            owned=builder.owned_kinds,
            declarations=declarations,
            kept=builder.kept,
            raw=builder.raw_sources,
            joins=builder.joins,
            paths=_by_kind(indexes),
            holdings=builder.holdings,
            options=options,
        )

    @property
    def gvk(self) -> GVK | None:
        """The kind of `for_`."""
        return None if self.for_kind is None else gvk_of(self.for_kind)

    @property
    def wants_hub(self) -> bool:
        """Whether something of it is on the hub."""
        chosen: list[Clusters] = [each.clusters for each in self.declarations]
        chosen += [each.clusters for each in self.raw]
        chosen += [each.clusters for each in self.joins]
        return any(each.hub for each in chosen)

    def wanted(self, cluster: Cluster, *, alone: bool) -> Wanted:
        """Say what is wanted of a cluster, as its labels are now.

        Args:
            cluster: which.
            alone: see `Clusters.admit`.

        Raises:
            Exception: whatever a function raises that chooses clusters.
        """
        declarations = tuple(each for each in self.declarations if each.clusters.admit(cluster, alone=alone))
        raw = tuple(each for each in self.raw if each.clusters.admit(cluster, alone=alone))
        joins = tuple(each for each in self.joins if each.clusters.admit(cluster, alone=alone))
        if not declarations and not raw:
            return Wanted(joins=joins)
        kept = tuple(each.kind for each in self.kept if each.clusters.admit(cluster, alone=alone))
        return Wanted(declarations, kept, raw, joins)


def name_of(reconciler: Reconciler, builder: Builder) -> str:
    """The controller's name: what the Reconciler says, else the lower-case kind of `for_`, else the class's name."""
    if reconciler.name:
        return reconciler.name
    gvk = builder.reconciled
    return gvk.kind.lower() if gvk is not None else type(reconciler).__name__.lower()


def _by_kind(indexes: Iterable[tuple[KindRef, str]]) -> dict[GVK, tuple[str, ...]]:
    found: dict[GVK, tuple[str, ...]] = {}
    for kind, path in indexes:
        gvk = gvk_of(kind)
        found[gvk] = (*found.get(gvk, ()), path)
    return found

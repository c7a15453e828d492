"""What `Reconciler.setup` declares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from kcontroller.api.codec import gvk_of, mapping_of
from kcontroller.cache.scope import Holding
from kcontroller.controller.handlers import ForObject, ForOwner, Mapped
from kcontroller.controller.marks import OWNER_INDEX
from kcontroller.controller.predicates import Predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.api.selectors import FieldSelector, LabelSelector
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.handlers import Handler

SHORTEST_RESYNC: Final = 1.0
"""Seconds; client-go's minimum."""


class Declaration(msgspec.Struct, frozen=True):
    """One kind to watch: which changes count, whom they concern, and after how many seconds all is told again."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    handler: Handler
    resync: float = 0.0

    @property
    def user_code(self) -> bool:
        """Whether deciding runs functions of the user's."""
        return self.handler.user_code or any(predicate.user_code for predicate in self.predicates)


class _Owned(msgspec.Struct, frozen=True):
    """What `owns` said; whose objects they are is known when `for_` has been called."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    every_owner: bool
    resync: float


class ControllerOptions(msgspec.Struct, frozen=True):
    """How a controller works.

    Attributes:
        max_concurrent_reconciles: workers; None takes the manager's figure.
        reconcile_timeout: seconds one reconcile may take; None takes the manager's figure, 0 is no limit.
        needs_leader_election: whether it works only in the process that leads, where one is elected.
    """

    max_concurrent_reconciles: int | None = None
    reconcile_timeout: float | None = None
    needs_leader_election: bool = True


class Builder:
    """Collects what a Reconciler watches. Every method returns the builder."""

    def __init__(self) -> None:
        self._for: KindRef | None = None
        self._declarations: list[Declaration] = []
        self._owned: list[_Owned] = []
        self._holdings: dict[GVK, Holding] = {}
        self._kept: dict[GVK, KindRef] = {}  # As they were named.
        self._indexes: list[tuple[KindRef, str]] = []
        self._options = ControllerOptions()

    def for_(self, kind: KindRef, *, predicates: Iterable[Predicate] = (), resync: float | None = None) -> Self:
        """Reconcile this kind; once per Reconciler.

        Args:
            kind: ``"apps/v1 Deployment"`` or a `Resource` class.
            predicates: which changes count.
            resync: after so many seconds (10 % more or less) every object counts as if it were new, and so on, without
                a request to the server; None for never. It is for what changes outside of the cluster.

        Raises:
            ValueError: it was called before, the kind is malformed, or `resync` is shorter than a second.
        """
        if self._for is not None:
            msg = f"for_ was called twice: {gvk_of(self._for)} and {gvk_of(kind)}; use watches for further kinds"
            raise ValueError(msg)
        self._for = kind
        return self._declare(kind, predicates, ForObject(), resync)

    def owns(
        self,
        kind: KindRef,
        *,
        predicates: Iterable[Predicate] = (),
        every_owner: bool = False,
        resync: float | None = None,
    ) -> Self:
        """Reconcile the owner when an object of this kind changes.

        Args:
            kind: of the children.
            predicates: which changes count.
            every_owner: also owners that are not the controller.
            resync: as for `for_`.

        Raises:
            ValueError: the kind is malformed, or `resync` is shorter than a second.
        """
        gvk_of(kind)
        self._owned.append(_Owned(kind, _checked(predicates), every_owner, _seconds(resync)))
        return self

    def watches(
        self,
        kind: KindRef,
        to: Callable[[Cluster, Any], Iterable[Key | Request]],
        *,
        predicates: Iterable[Predicate] = (),
        resync: float | None = None,
    ) -> Self:
        """Reconcile what a function names when an object of this kind changes.

        Args:
            kind: of the objects.
            to: gets the cluster and an object, and returns keys in that cluster, or requests in any. It runs on a
                mapper thread for the object before and after the change, and should read from the cache only.
            predicates: which changes count.
            resync: as for `for_`.

        Raises:
            ValueError: the kind is malformed, or `resync` is shorter than a second.
        """
        if not callable(to):
            msg = f"watches needs a function that names what to reconcile, got {type(to).__name__}"
            raise TypeError(msg)
        return self._declare(kind, predicates, Mapped(to), resync)

    def cache(
        self,
        kind: KindRef,
        *,
        namespaces: Iterable[str] | None = None,
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        metadata_only: bool = False,
        drop: Iterable[str] = (),
        any_version: bool = False,
        compress: bool | None = None,
    ) -> Self:
        r"""Say what of a kind this controller keeps in memory, if it is not everything; once for each kind.

        Controllers that want the same share it, others have their own. What a controller does not keep, it does not
        hear of. A kind that nothing else declares is kept for reads.

        Args:
            kind: the kind.
            namespaces: keep only these; [] for all, None for those of the manager.
            labels: keep only objects whose labels match, in any form that `Client.list` takes.
            fields: keep only objects whose fields match, by the server's rules: metadata.name and metadata.namespace
                of every kind, others of some.
            metadata_only: keep nothing but the metadata, which is then read with `Client.metadata`.
            drop: JSON paths that are cut before objects are kept, such as ``spec.template`` or
                ``metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration``. What is read lacks them, so
                write by `patch`, never by `update`.
            any_version: let the first list be of any age, which spares etcd; the cache may start in the past.
            compress: keep objects compressed; None decides by their number and size.

        Raises:
            ValueError: the kind was given before or is cluster-scoped and has namespaces, or a selector or path is
                malformed.
        """
        gvk = gvk_of(kind)
        if gvk in self._holdings:
            msg = f"cache was called twice for {gvk}; say everything in one call"
            raise ValueError(msg)
        holding = Holding.of(
            namespaces=namespaces,
            labels=labels,
            fields=fields,
            metadata_only=metadata_only,
            drop=drop,
            any_version=any_version,
            compress=compress,
        )
        stated = mapping_of(kind)
        if stated is not None and not stated.namespaced and holding.namespaces:
            msg = f"{gvk} is cluster-scoped, so that it cannot be cached by namespace; leave namespaces= out"
            raise ValueError(msg)
        self._holdings[gvk] = holding
        self._kept[gvk] = kind
        return self

    def index(self, kind: KindRef, path: str) -> Self:
        r"""Index a kind by a JSON path such as ``spec.nodeName``, for ``client.list(kind, index=(path, value))``.

        A dot inside of a name is written ``\.``, as kubectl has it: ``metadata.labels.app\.kubernetes\.io/name``.
        """
        gvk_of(kind)
        if not all(path.split(".")):
            msg = f"{path!r} is not a path to index by; write it like 'spec.nodeName'"
            raise ValueError(msg)
        self._indexes.append((kind, path))
        return self

    def options(
        self,
        *,
        max_concurrent_reconciles: int | None = None,
        reconcile_timeout: float | None = None,
        needs_leader_election: bool | None = None,
    ) -> Self:
        """Set how the controller works; what is not given stays as it is.

        Args:
            max_concurrent_reconciles: workers.
            reconcile_timeout: seconds one reconcile may take; 0 is no limit.
            needs_leader_election: False lets it work in every replica; for controllers that only read, or whose writes
                cannot disturb one another.
        """
        if max_concurrent_reconciles is not None and max_concurrent_reconciles < 1:
            msg = f"max_concurrent_reconciles must be at least 1, got {max_concurrent_reconciles}"
            raise ValueError(msg)
        if reconcile_timeout is not None and not 0 <= reconcile_timeout < math.inf:
            msg = f"reconcile_timeout must be a number of seconds, or 0 for no limit, got {reconcile_timeout}"
            raise ValueError(msg)
        if max_concurrent_reconciles is not None:
            self._options = replace(self._options, max_concurrent_reconciles=max_concurrent_reconciles)
        if reconcile_timeout is not None:
            self._options = replace(self._options, reconcile_timeout=reconcile_timeout)
        if needs_leader_election is not None:
            self._options = replace(self._options, needs_leader_election=needs_leader_election)
        return self

    # ---- for the controller --------------------------------------------------------------------------------------

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
    def read_only_kinds(self) -> tuple[KindRef, ...]:
        """The kinds that are kept for reads: `index` or `cache` names them, and nothing hears of their changes."""
        heard = {gvk_of(kind) for kind in (*(each.kind for each in self._declarations), *self.owned_kinds)}
        named = {gvk_of(kind): kind for kind in (*self._kept.values(), *(kind for kind, _path in self._indexes))}
        return tuple(kind for gvk, kind in named.items() if gvk not in heard)

    @property
    def holdings(self) -> Mapping[GVK, Holding]:
        """What `cache` said."""
        return dict(self._holdings)

    def build(self) -> tuple[tuple[Declaration, ...], tuple[tuple[KindRef, str], ...], ControllerOptions]:
        """Give all declarations, indexes and options.

        Raises:
            ValueError: nothing is watched, `owns` was used without `for_`, or an index is of what is not kept.
        """
        owner = self.reconciled
        if self._owned and owner is None:
            msg = "owns needs for_: it reconciles the owner of what changed"
            raise ValueError(msg)
        if not self._declarations and not self._owned:
            msg = "setup watches nothing; call builder.for_(kind) or builder.watches(kind, to=...)"
            raise ValueError(msg)
        owned = tuple(
            Declaration(each.kind, each.predicates, ForOwner(owner, every_owner=each.every_owner), each.resync)
            for each in self._owned
            if owner is not None
        )
        indexes = (*self._indexes, *((kind, OWNER_INDEX) for kind in self.owned_kinds))
        for kind, path in self._indexes:
            holding = self._holdings.get(gvk_of(kind))
            if holding is not None and not holding.keeps(path):
                msg = f"{gvk_of(kind)} is indexed by {path!r}, which cache leaves out of it; drop one or the other"
                raise ValueError(msg)
        return (*self._declarations, *owned), indexes, self._options

    def _declare(self, kind: KindRef, predicates: Iterable[Predicate], handler: Handler, resync: float | None) -> Self:
        gvk_of(kind)
        self._declarations.append(Declaration(kind, _checked(predicates), handler, _seconds(resync)))
        return self


def _seconds(resync: float | None) -> float:
    if resync is not None and not SHORTEST_RESYNC <= resync < math.inf:
        msg = f"resync must be at least {SHORTEST_RESYNC:g} second, or None for never, got {resync}"
        raise ValueError(msg)
    return resync or 0.0


def _checked(predicates: Iterable[Predicate]) -> tuple[Predicate, ...]:
    given = tuple(predicates) if isinstance(predicates, Iterable) else (predicates,)
    wrong = [each for each in given if not isinstance(each, Predicate)]
    if wrong or not isinstance(predicates, Iterable):
        shown = ", ".join(getattr(each, "__name__", type(each).__name__) for each in wrong or given)
        msg = f"predicates takes a list, such as [predicates.generation_changed()], got {shown}"
        raise TypeError(msg)
    return given

"""What `Reconciler.setup` declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from kcontroller.api.codec import gvk_of, mapping_of
from kcontroller.cache.scope import Holding
from kcontroller.controller.declarations import Declaration, Owned, checked, resync_seconds
from kcontroller.controller.handlers import ForObject, ForOwner, Mapped
from kcontroller.controller.marks import OWNER_INDEX
from kcontroller.controller.options import ControllerOptions
from kcontroller.controller.raw import RawDeclaration, RawSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key, Request
    from kcontroller.api.selectors import FieldSelector, LabelSelector
    from kcontroller.cluster.budgets import Budget
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.handlers import Handler
    from kcontroller.controller.predicates import Predicate
    from kcontroller.process.backoff import Backoff


class Builder:
    """Collects what a Reconciler watches. Every method returns the builder."""

    def __init__(self) -> None:
        self._for: KindRef | None = None
        self._declarations: list[Declaration] = []
        self._owned: list[Owned] = []
        self._holdings: dict[GVK, Holding] = {}
        self._kept: dict[GVK, KindRef] = {}  # As they were named.
        self._indexes: list[tuple[KindRef, str]] = []
        self._raw: list[RawDeclaration] = []
        self._predicates: tuple[Predicate, ...] = ()
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
        self._owned.append(Owned(kind, checked(predicates), every_owner, resync_seconds(resync)))
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

    def source(self, source: RawSource, *, predicates: Iterable[Predicate] = ()) -> Self:
        """Reconcile what something asks for that is no kind: a `Channel`, or a timer, `Every` or `Cron`.

        It begins when the kinds of this controller are synced.

        Args:
            source: `Channel`, `Every` or `Cron` of `kcontroller.controller`.
            predicates: which of its words count; see `Event.request`.
        """
        if not isinstance(source, RawSource):
            msg = f"source takes a Channel, an Every or a Cron, got {source!r:.80}"
            raise TypeError(msg)
        self._raw.append(RawDeclaration(source, checked(predicates)))
        return self

    def predicates(self, *each: Predicate) -> Self:
        """Let only those events count, of any source, that these admit too; further calls add further ones.

        They hold for `owns`, `watches` and raw sources as well (controller-runtime's WithEventFilter leaves the last
        out), so that a filter for one kind belongs to its own call.
        """
        self._predicates += checked(each)
        return self

    def options(
        self,
        *,
        max_concurrent_reconciles: int | None = None,
        reconcile_timeout: float | None = None,
        needs_leader_election: bool | None = None,
        delete_budget: Budget | str | None = None,
        write_budget: Budget | str | None = None,
        backoff: Backoff | None = None,
        retry_rate: tuple[float, int] | None = None,
    ) -> Self:
        """Set how the controller works; what is not given stays as it is.

        Args:
            max_concurrent_reconciles: workers.
            reconcile_timeout: seconds one reconcile may take; 0 is no limit.
            needs_leader_election: False lets it work in every replica; for controllers that only read, or whose writes
                cannot disturb one another.
            delete_budget: so many objects in so much time, in each cluster, such as ``100/10m``; ``0`` is no limit. One
                delete more, and the controller is paused there until somebody resumes it; see `budgets`.
            write_budget: likewise for all other writes.
            backoff: seconds between the retries of one request that fails, such as ``Backoff(initial=1, cap=300,
                jitter=0.1)`` of `kcontroller.process.backoff`; by default 5 ms, 10 ms, ... 1000 s.
            retry_rate: retries a second of all requests together and how many may come at once, such as ``(10, 100)``,
                client-go's default; by default there is no limit, since a cluster that fails must not delay another.

        Raises:
            ValueError: one of them cannot be; the text names it.
        """
        given = {
            "max_concurrent_reconciles": max_concurrent_reconciles,
            "reconcile_timeout": reconcile_timeout,
            "needs_leader_election": needs_leader_election,
            "delete_budget": delete_budget,
            "write_budget": write_budget,
            "backoff": backoff,
            "retry_rate": retry_rate,
        }
        said = {name: value for name, value in given.items() if value is not None}
        self._options = replace(self._options, **said)
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
    def raw_sources(self) -> tuple[RawDeclaration, ...]:
        """What `source` said, with the predicates of all sources."""
        return tuple(replace(each, predicates=self._predicates + each.predicates) for each in self._raw)

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
        if not self._declarations and not self._owned and not self._raw:
            msg = "setup watches nothing; call builder.for_(kind), builder.watches(kind, to=...) or builder.source(...)"
            raise ValueError(msg)
        owned = tuple(
            Declaration(each.kind, each.predicates, ForOwner(owner, every_owner=each.every_owner), each.resync)
            for each in self._owned
            if owner is not None
        )
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

    def _require(self, kind: KindRef, path: str, what_for: str) -> None:
        gvk = gvk_of(kind)
        holding = self._holdings.get(gvk)
        if holding is not None and not holding.keeps(path):
            msg = f"{gvk} is {what_for} {path!r}, which cache leaves out of it; drop one or the other"
            raise ValueError(msg)

    def _declare(self, kind: KindRef, predicates: Iterable[Predicate], handler: Handler, resync: float | None) -> Self:
        gvk_of(kind)
        self._declarations.append(Declaration(kind, checked(predicates), handler, resync_seconds(resync)))
        return self

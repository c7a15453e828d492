"""What `Reconciler.setup` declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from kcontroller.api.codec import gvk_of, mapping_of
from kcontroller.cache.scope import Holding
from kcontroller.controller.collected import Collected
from kcontroller.controller.declarations import Declaration, Owned, checked, function_of, resync_seconds
from kcontroller.controller.handlers import ForObject, Mapped
from kcontroller.controller.joining import JoinDeclaration
from kcontroller.controller.raw import RawDeclaration, RawSource
from kcontroller.controller.selecting import FLEET, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key, Request
    from kcontroller.api.selectors import FieldSelector, LabelSelector
    from kcontroller.cluster.budgets import Budget
    from kcontroller.cluster.view import ClusterView
    from kcontroller.controller.handlers import Handler
    from kcontroller.controller.predicates import Predicate
    from kcontroller.controller.selecting import ClusterSelector
    from kcontroller.process.backoff import Backoff


class Builder(Collected):
    """Collects what a Reconciler watches. Every method returns the builder.

    Where it watches is said by ``clusters``: `HUB` is the manager's own cluster, `FLEET` all that its provider finds
    (without a provider: all that it has). A label selector such as ``tier=prod``, in any form that `Client.list` takes,
    or a function of a `ClusterInfo`, chooses among the fleet, and is asked again when a cluster's labels change: a
    source begins there with all objects that there are, or ends and gives its memory back. What it has queued by then
    is still worked on. A function runs on the thread that engages clusters and must not block.
    """

    def for_(
        self,
        kind: KindRef,
        *,
        predicates: Iterable[Predicate] = (),
        resync: float | None = None,
        clusters: ClusterSelector = FLEET,
    ) -> Self:
        """Reconcile this kind; once per Reconciler.

        Args:
            kind: ``"apps/v1 Deployment"`` or a `Resource` class.
            predicates: which changes count.
            resync: after so many seconds (10 % more or less) every object counts as if it were new, and so on, without
                a request to the server; None for never. It is for what changes outside of the cluster.
            clusters: where.

        Raises:
            ValueError: it was called before, the kind or a selector is malformed, or `resync` is shorter than a second.
        """
        if self._for is not None:
            msg = f"for_ was called twice: {gvk_of(self._for)} and {gvk_of(kind)}; use watches for further kinds"
            raise ValueError(msg)
        self._declare(kind, predicates, ForObject(), resync, clusters)
        self._for, self._at = kind, selected(clusters)
        return self

    def owns(
        self,
        kind: KindRef,
        *,
        predicates: Iterable[Predicate] = (),
        every_owner: bool = False,
        resync: float | None = None,
        clusters: ClusterSelector | None = None,
    ) -> Self:
        """Reconcile the owner when an object of this kind changes.

        Args:
            kind: of the children.
            predicates: which changes count.
            every_owner: also owners that are not the controller.
            resync: as for `for_`.
            clusters: where; by default where `for_` is.

        Raises:
            ValueError: the kind or a selector is malformed, or `resync` is shorter than a second.
        """
        gvk_of(kind)
        at = None if clusters is None else selected(clusters)
        self._owned.append(Owned(kind, checked(predicates), every_owner, resync_seconds(resync), at))
        return self

    def watches(
        self,
        kind: KindRef,
        to: Callable[[ClusterView, Any], Iterable[Key | Request]],
        *,
        predicates: Iterable[Predicate] = (),
        resync: float | None = None,
        clusters: ClusterSelector = FLEET,
    ) -> Self:
        """Reconcile what a function names when an object of this kind changes.

        Args:
            kind: of the objects.
            to: gets the cluster and an object, and returns keys in that cluster, or requests in any. It runs on a
                mapper thread for the object before and after the change, and should read from the cache only. It finds
                the other clusters as ``cluster.clusters``. A request of one on which this controller does not work is
                dropped, and made again when that one joins.
            predicates: which changes count.
            resync: as for `for_`.
            clusters: where.

        Raises:
            ValueError: the kind or a selector is malformed, or `resync` is shorter than a second.
        """
        return self._declare(kind, predicates, Mapped(function_of(to, "watches")), resync, clusters)

    def watches_clusters(
        self, to: Callable[[ClusterView], Iterable[Key | Request]], *, clusters: ClusterSelector = FLEET
    ) -> Self:
        """Reconcile what a function names when a cluster joins, leaves, or gets other labels.

        It is how a hub's objects come to a cluster that joins later.

        Args:
            to: gets the cluster, and returns keys in that cluster, or requests in any. It runs on a mapper thread when
                this controller knows the cluster's first objects, when labels have changed, and when the cluster has
                left: then its own requests are dropped, and those of others count. It is asked again when a
                cluster joins that was not there when it was named.
            clusters: about which it is asked, before or after the change.

        Raises:
            ValueError: a selector is malformed.
        """
        self._joins.append(JoinDeclaration(function_of(to, "watches_clusters"), clusters=selected(clusters)))
        return self

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
        clusters: ClusterSelector | None = None,
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
            clusters: where to keep a kind that nothing else declares; by default where `for_` is. What declares it says
                where otherwise.

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
        if clusters is not None:
            self._kept_in[gvk] = selected(clusters)
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

    def source(
        self,
        source: RawSource,
        *,
        predicates: Iterable[Predicate] = (),
        clusters: ClusterSelector | None = None,
    ) -> Self:
        """Reconcile what something asks for that is no kind: a `Channel`, or a timer, `Every` or `Cron`.

        It begins when the kinds of this controller are synced.

        Args:
            source: `Channel`, `Every` or `Cron` of `kcontroller.controller`.
            predicates: which of its words count; see `Event.request`.
            clusters: where; by default where `for_` is.

        Raises:
            ValueError: a selector is malformed.
        """
        if not isinstance(source, RawSource):
            msg = f"source takes a Channel, an Every or a Cron, got {source!r:.80}"
            raise TypeError(msg)
        at = None if clusters is None else selected(clusters)
        self._raw.append((RawDeclaration(source, checked(predicates)), at))
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
        max_per_cluster: int | None = None,
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
            max_per_cluster: so many of them may be in one cluster at the same time, also where no other one has work,
                such as 1 for clusters that bear no more. One that is stuck and was replaced does not count. By default
                a quarter of the workers where several clusters have work.
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
            "max_per_cluster": max_per_cluster,
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

    def _declare(
        self,
        kind: KindRef,
        predicates: Iterable[Predicate],
        handler: Handler,
        resync: float | None,
        clusters: ClusterSelector,
    ) -> Self:
        gvk_of(kind)
        at = selected(clusters)
        self._declarations.append(Declaration(kind, checked(predicates), handler, resync_seconds(resync), at))
        return self

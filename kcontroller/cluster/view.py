"""Clusters as one reconcile sees them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from kcontroller.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kcontroller.api.keys import GVK
    from kcontroller.cache.scope import Holding
    from kcontroller.client.client import Client
    from kcontroller.cluster.rails import Rail
    from kcontroller.cluster.tracked import Tracker
    from kcontroller.process.stop import Deadline, StopToken


class Terms(msgspec.Struct, frozen=True):
    """What every client of one reconcile keeps to.

    Attributes:
        field_owner: the controller's name.
        stop: ends its requests.
        deadline: no request takes longer.
        guard: called right before each write is sent; may refuse it.
        tracker: takes note of tracked reads.
        holdings: what `builder.cache` said is kept of kinds, which is what they read.
        rails: look at each write, and may refuse it.
    """

    field_owner: str
    stop: StopToken | None = None
    deadline: Deadline | None = None
    guard: Callable[[], None] | None = None
    tracker: Tracker | None = None
    holdings: Mapping[GVK, Holding] = msgspec.field(default_factory=dict)
    rails: tuple[Rail, ...] = ()


class ClusterGetter(Protocol):
    """Finds the clusters of the process."""

    def get(self, name: str) -> Cluster:
        """Return an engaged cluster.

        Raises:
            ClusterNotFound: there is none of that name.
        """
        ...

    def __iter__(self) -> Iterator[Cluster]:
        """Iterate over the clusters of the fleet that there are now."""
        ...


class AtWork:
    """Finds every cluster of the process, and iterates over those on which one controller works.

    Args:
        clusters: finds them.
        at_work: those of the fleet whose first objects the controller knows, as they are now.
    """

    def __init__(self, clusters: ClusterGetter, at_work: Callable[[], Iterable[Cluster]]) -> None:
        self._at_work = at_work
        self.get = clusters.get

    def __iter__(self) -> Iterator[Cluster]:
        """Iterate over those that there are now."""
        return iter(self._at_work())


class ClusterView(Cluster):
    """A cluster whose clients keep to the terms of one reconcile: a lost lease stops writes to every cluster.

    All else is the cluster's own.

    Args:
        cluster: the cluster.
        terms: of the reconcile.
        others: finds the other clusters; None where nobody asks for them.
    """

    def __init__(self, cluster: Cluster, terms: Terms, others: ClusterGetter | None = None) -> None:
        # Not that of the base: the state stays where it is, see __getattr__.
        self._cluster = cluster
        self.name = cluster.name  # Asked for again and again.
        self._terms = terms
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    @cached_property
    def client(self) -> Client:
        """Reads from the cache."""
        return self.client_for(self._terms.field_owner)

    @cached_property
    def api_reader(self) -> Client:
        """Reads from the server."""
        return self.client_for(self._terms.field_owner, cached=False)

    @property
    def clusters(self) -> ClustersView:
        """The other clusters, for a function of a source; a reconcile has them in its context.

        Raises:
            AttributeError: this is the view of a reconcile.
        """
        if self._others is None:
            msg = "a reconcile finds the other clusters as ctx.clusters"
            raise AttributeError(msg)
        return ClustersView(self._others, self._terms)

    @property
    def itself(self) -> Cluster:
        """The cluster that this is a view of."""
        return self._cluster

    def client_for(
        self,
        field_owner: str,
        *,
        cached: bool = True,
        stop: StopToken | None = None,
        deadline: Deadline | None = None,
        guard: Callable[[], None] | None = None,
        tracker: Tracker | None = None,
        holdings: Mapping[GVK, Holding] | None = None,
        rails: tuple[Rail, ...] = (),
    ) -> Client:
        """Make a client that keeps to the terms where it is not told otherwise."""
        terms = self._terms
        return self._cluster.client_for(
            field_owner,
            cached=cached,
            stop=stop or terms.stop,
            deadline=deadline or terms.deadline,
            guard=guard or terms.guard,
            tracker=tracker or terms.tracker,
            holdings=holdings or terms.holdings,
            rails=rails or terms.rails,
        )


class ClustersView(msgspec.Struct, frozen=True):
    """Finds clusters, as views.

    Attributes:
        clusters: finds them.
        terms: of the reconcile.
    """

    clusters: ClusterGetter
    terms: Terms

    def get(self, name: str) -> Cluster:
        """Return a cluster.

        Raises:
            ClusterNotFound: there is none of that name.
        """
        return ClusterView(self.clusters.get(name), self.terms)

    def __iter__(self) -> Iterator[Cluster]:
        """Iterate over the clusters of the fleet whose first objects the controller knows, as views.

        Each has a ``name`` and ``labels``. The hub is not among them, unless it is all there is.
        """
        return (ClusterView(each, self.terms) for each in self.clusters)

"""Clusters as one reconcile sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from kcontroller.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


class ClusterView(Cluster):
    """A cluster whose clients keep to the terms of one reconcile: a lost lease stops writes to every cluster.

    All else is the cluster's own.

    Args:
        cluster: the cluster.
        terms: of the reconcile.
    """

    def __init__(self, cluster: Cluster, terms: Terms) -> None:
        # Not that of the base: the state stays where it is, see __getattr__.
        self._cluster = cluster
        self._terms = terms

    def __getattr__(self, name: str) -> Any:
        # A reconcile is given both clients, and asks for one of them at most.
        if name == "client":
            self.client = self.client_for(self._terms.field_owner)
            return self.client
        if name == "api_reader":
            self.api_reader = self.client_for(self._terms.field_owner, cached=False)
            return self.api_reader
        return getattr(self._cluster, name)

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


class ClustersView:
    """Finds clusters, as views.

    Args:
        clusters: finds them.
        terms: of the reconcile.
    """

    def __init__(self, clusters: ClusterGetter, terms: Terms) -> None:
        self._clusters = clusters
        self._terms = terms

    def get(self, name: str) -> Cluster:
        """Return a cluster.

        Raises:
            ClusterNotFound: there is none of that name.
        """
        return ClusterView(self._clusters.get(name), self._terms)

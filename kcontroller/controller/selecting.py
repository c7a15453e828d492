"""In which clusters a source of a controller works: on the hub, in all of the fleet, or where the labels say so.

The *hub* is the manager's own cluster, named "". With a provider the *fleet* are the clusters that it finds; without
one the fleet is all that the manager was given, which then includes the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from kcontroller.api.selectors import LabelSelector

if TYPE_CHECKING:
    from kcontroller.api.codec import KindRef
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.declarations import Declaration
    from kcontroller.controller.joining import JoinDeclaration
    from kcontroller.controller.raw import RawDeclaration


class ClusterInfo(msgspec.Struct, frozen=True):
    """A cluster of the fleet, for a function that chooses.

    Attributes:
        name: of the cluster.
        uid: of what stands for it; "" if nothing does.
        labels: what its provider says of it.
    """

    name: str
    uid: str
    labels: Mapping[str, str]


class Clusters(msgspec.Struct, frozen=True):
    """A choice of clusters, as `selected` reads it.

    Attributes:
        hub: the hub, and nothing else.
        labels: which clusters of the fleet.
        function: says it instead; runs on the fleet's thread, must not block.
    """

    hub: bool = False
    labels: LabelSelector = LabelSelector()
    function: Callable[[ClusterInfo], bool] | None = None

    def admit(self, cluster: Cluster, *, alone: bool) -> bool:
        """Whether a cluster is one of them.

        Args:
            cluster: which.
            alone: whether the hub belongs to the fleet, as it does without a provider.

        Raises:
            Exception: whatever the function raises.
        """
        is_hub = not cluster.name
        if self.hub:
            return is_hub
        if is_hub and not alone:
            return False
        if self.function is not None:
            return bool(self.function(ClusterInfo(cluster.name, cluster.uid, cluster.labels)))
        return self.labels.matches(cluster.labels)

    def __str__(self) -> str:
        """Say it in a clause: ``on the hub``."""
        if self.hub:
            return "on the hub"
        if self.function is not None:
            return f"in the clusters of {getattr(self.function, '__name__', 'a function')}"
        return f"in the clusters of {self.labels}" if self.labels.requirements else "in the fleet"


HUB: Final = Clusters(hub=True)
"""The manager's own cluster, whose requests have the cluster name ""."""

FLEET: Final = Clusters()
"""Every cluster that the provider finds; without a provider every cluster of the manager."""

ClusterSelector: TypeAlias = "Clusters | LabelSelector | Mapping[str, Any] | str | Callable[[ClusterInfo], bool]"


def selected(clusters: ClusterSelector) -> Clusters:
    """Read a choice of clusters in any form that people write.

    Raises:
        TypeError: it is none.
        ValueError: the label selector is malformed.
    """
    match clusters:
        case Clusters():
            return clusters
        case str() | LabelSelector() | Mapping():
            return Clusters(labels=LabelSelector.of(clusters))
        case _ if callable(clusters):
            return Clusters(function=clusters)
    msg = (
        "clusters takes HUB, FLEET, a label selector such as 'tier=prod', or a function of a ClusterInfo, "
        f"got {type(clusters).__name__}"
    )
    raise TypeError(msg)


class Wanted(msgspec.Struct, frozen=True):
    """What a controller wants of one cluster; nothing, if no source of it is there.

    Attributes:
        declarations: the kinds that it hears of.
        kept: further kinds, for reads.
        raw: the raw sources.
        joins: what is asked when the cluster joins, leaves or gets other labels.
    """

    declarations: tuple[Declaration, ...] = ()
    kept: tuple[KindRef, ...] = ()
    raw: tuple[RawDeclaration, ...] = ()
    joins: tuple[JoinDeclaration, ...] = ()

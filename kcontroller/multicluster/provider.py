"""What finds clusters, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kcontroller.cluster import Cluster
    from kcontroller.transport.config import Config


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as a provider describes it; two that are equal are the same cluster.

    Attributes:
        name: unique per provider; it becomes `Request.cluster`.
        config: how to reach it.
        uid: of what stands for it, such as a Project: another uid under the same name is another cluster.
    """

    name: str
    config: Config
    uid: str = ""


class Sink(Protocol):
    """What a provider tells; any thread, never blocks."""

    def present(self, spec: ClusterSpec) -> None:
        """Say that a cluster is there and ready; said again it changes nothing, another spec replaces the cluster."""
        ...

    def absent(self, name: str, why: str) -> None:
        """Say that a cluster is gone, or not ready any more; of one that was never there it means nothing."""
        ...

    def listed(self) -> None:
        """Say that all clusters which were there at the start have been told."""
        ...


class Provider(Protocol):
    """Finds clusters.

    Attributes:
        name: for logs and the command line.
        patience: seconds after which a cluster of the first list that cannot be engaged keeps the process from being
            ready no more. None waits for every cluster, always: for a few that must be there.
    """

    name: str
    patience: float | None

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        """Begin to tell, and return at once.

        Args:
            sink: told from any thread.
            hub: the manager's own cluster, from which clusters may be discovered; it is started and stopped by the
                manager. None if it has none.
        """
        ...

    def stop(self) -> None:
        """Tell nothing more."""
        ...

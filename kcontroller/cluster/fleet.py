"""The clusters of a process, by name: a fixed set that is there from the start to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.errors import ClusterNotFound, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kcontroller.cluster.cluster import Cluster, Pending
    from kcontroller.process.threads import ThreadGroup


class Fleet:
    """Finds clusters by their names, and starts and stops all of them.

    Args:
        clusters: each with a name of its own; "" is the name of a single one.

    Raises:
        ConfigError: there is none, or two have one name.
    """

    def __init__(self, clusters: Iterable[Cluster]) -> None:
        self._clusters: dict[str, Cluster] = {}
        for cluster in clusters:
            if cluster.name in self._clusters:
                msg = f"two clusters are named {cluster.name!r}"
                raise ConfigError(msg)
            self._clusters[cluster.name] = cluster
        if not self._clusters:
            msg = "there is no cluster to work on; give at least one"
            raise ConfigError(msg)

    def __iter__(self) -> Iterator[Cluster]:
        """Iterate in the order in which they were given."""
        return iter(self._clusters.values())

    def get(self, name: str) -> Cluster:
        """Return the cluster of that name.

        Raises:
            ClusterNotFound: there is none.
        """
        cluster = self._clusters.get(name)
        if cluster is None:
            msg = f"no cluster {name!r} is engaged"
            raise ClusterNotFound(msg)
        return cluster

    def start(self, threads: ThreadGroup) -> None:
        """Start every cluster's thread."""
        for cluster in self:
            cluster.start(threads)

    def stop(self) -> None:
        """End every thread and every running request at once."""
        for cluster in self:
            cluster.stop()

    def pending(self) -> tuple[Pending, ...]:
        """The kinds that are not synced, in any cluster, and why."""
        return tuple(each for cluster in self for each in cluster.pending())

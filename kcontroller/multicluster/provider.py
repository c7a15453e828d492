"""What finds clusters, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster import Cluster
    from kcontroller.cluster.source import Source
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config

Check: TypeAlias = "Callable[[ClusterSpec, StopToken], str]"
"""Looks whether what a spec leads to is what it stands for: "" if so, else why not.

It may wait for the server, until its token is stopped: after ten seconds, or when nobody asks any more. What it raises
is a reason, too.
"""

Identity: TypeAlias = "tuple[str, str, Config, tuple[str, ...] | None]"
"""The name, uid, configuration and namespaces of a cluster: whatever else is told of it may change while it goes on."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as a provider describes it; two of the same `identity` are the same connection of the same cluster.

    Another configuration swaps the connection, and nothing is lost or told twice; another uid is another cluster.

    Attributes:
        name: unique per provider; it becomes `Request.cluster`.
        config: how to reach it.
        uid: of what stands for it, such as a Project: another uid under the same name is another cluster.
        labels: (key, value) pairs that cluster filters ask for, kept sorted; they may change.
        source: the object on the hub that stands for it, for events; None if there is none.
        weight: its share of the workers where several clusters have work, against 1 of the others.
        namespaces: cache only these; () caches all, None leaves it to the manager's options.
        check: asked before each connection is used; None trusts the configuration.

    Raises:
        ConfigError: the weight is below 1.
    """

    name: str
    config: Config
    uid: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    source: Source | None = None
    weight: int = 1
    namespaces: tuple[str, ...] | None = None
    check: Check | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Bring the labels into one order."""
        object.__setattr__(self, "labels", tuple(sorted(self.labels)))
        if self.weight < 1:
            msg = f"cluster {self.name!r} cannot have weight {self.weight}; give at least 1"
            raise ConfigError(msg)

    @property
    def identity(self) -> Identity:
        """What makes it this connection of this cluster."""
        return self.name, self.uid, self.config, self.namespaces


class Sink(Protocol):
    """What a provider tells; any thread, never blocks."""

    def present(self, spec: ClusterSpec) -> None:
        """Say that a cluster is there and ready; said again it changes nothing, another spec replaces the cluster."""
        ...

    def absent(self, name: str, why: str) -> None:
        """Say that a cluster is gone, or not ready any more; of one that was never there it means nothing."""
        ...

    def refused(self, name: str, why: str, source: Source | None = None) -> None:  # noqa: ARG002 - for those who show it
        """Say that what is there cannot be a cluster; that is shown until `present` or `absent` is said of its name.

        A cluster of this name leaves. Readiness does not wait for it. The provider says it in its log.

        Args:
            name: of the cluster, or of what may hold some and cannot be read, such as a file.
            why: in one line, without any credential.
            source: the object on the hub that is told of it with an event; None if there is none.
        """
        self.absent(name, why)

    def listed(self) -> None:
        """Say that all clusters which were there at the start have been told."""
        ...


class Provider(Protocol):
    """Finds clusters.

    One that has ``needs_hub = False`` too may be run where nothing leads to a hub.

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

"""Clusters that are given at the start and stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.errors import ConfigError
from kcontroller.multicluster.provider import ClusterSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.transport.config import Config


class StaticProvider:
    """A fixed set of clusters.

    Args:
        clusters: how each is reached, by name.

    Raises:
        ConfigError: there is none.
    """

    name = "static"
    patience: float | None = None

    def __init__(self, clusters: Mapping[str, Config]) -> None:
        if not clusters:
            msg = "there is no cluster to work on; give at least one"
            raise ConfigError(msg)
        self._specs = tuple(ClusterSpec(name, config) for name, config in clusters.items())

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Tell all of them."""
        for spec in self._specs:
            sink.present(spec)
        sink.listed()

    def stop(self) -> None:
        """Nothing to end."""

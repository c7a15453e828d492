"""Clusters that are given at the start and stay."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kcontroller.errors import ConfigError
from kcontroller.multicluster.provider import ClusterSpec
from kcontroller.multicluster.providers.names import name_problem
from kcontroller.multicluster.providers.options import Option, ProviderType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.multicluster.providers.options import ProviderContext
    from kcontroller.transport.config import Config


class StaticProvider:
    """A fixed set of clusters.

    Args:
        clusters: how each is reached, by name.

    Raises:
        ConfigError: there is none, or one that cannot have its name.
    """

    name = "static"
    patience: float | None = None
    needs_hub = False

    def __init__(self, clusters: Mapping[str, Config]) -> None:
        if not clusters:
            msg = "there is no cluster to work on; give at least one"
            raise ConfigError(msg)
        for name in clusters:
            if problem := name_problem(name):
                msg = f"no cluster can be named {name!r}: {problem}; give it another name"
                raise ConfigError(msg)
        self._specs = tuple(ClusterSpec(name, config) for name, config in clusters.items())

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:  # noqa: ARG002 - the protocol's
        """Tell all of them."""
        for spec in self._specs:
            sink.present(spec)
        sink.listed()

    def stop(self) -> None:
        """Nothing to end."""


def _make(options: Mapping[str, Any], context: ProviderContext) -> StaticProvider:
    from kcontroller.transport.loading import load_config  # noqa: PLC0415 - who makes it in Python needs no files

    kubeconfig = options.get("kubeconfig") or context.kubeconfig or None
    try:
        load = partial(load_config, kubeconfig=kubeconfig, clock=context.clock)
        return StaticProvider({name: load(context=name) for name in options["contexts"]})
    except ConfigError as error:
        msg = f"provider static: {error}"
        raise ConfigError(msg) from error


PROVIDER: Final = ProviderType(
    "Contexts of a kubeconfig, read once, each of which must be there",
    (
        Option("contexts", "the contexts, which become the clusters' names; a comma list", many=True, required=True),
        Option("kubeconfig", "the file; by default the one of --kubeconfig, or the usual one"),
    ),
    _make,
)

"""What works on every engaged cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster import Cluster


class Member(Protocol):
    """Works on every engaged cluster: a controller.

    Attributes:
        name: for logs.
        wants_hub: whether it works on the hub too, where a provider finds the clusters.
    """

    name: str

    @property
    def wants_hub(self) -> bool:  # noqa: D102 - see above
        ...

    def engage(self, cluster: Cluster, *, on_synced: Callable[[], None]) -> None:
        """Take a cluster on; `on_synced` is called once its first objects are known. Must not block."""
        ...

    def disengage(self, name: str, *, on_idle: Callable[[], None]) -> None:
        """Let a cluster go; `on_idle` is called once nothing works on it any more. Must not block.

        Harmless for a cluster that was not engaged, or only in part.
        """
        ...

    def relabel(self, cluster: Cluster) -> None:
        """Look again at the labels of a cluster that it has engaged. Must not block."""
        ...

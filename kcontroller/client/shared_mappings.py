"""How the kinds that Kubernetes brings along are served, learned from one server for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK, ResourceMapping

_BUILT_IN: Final = ".k8s.io"
_EXPERIMENTAL: Final = ".x-k8s.io"  # Groups of CRDs, whatever their name says.


class SharedMappings:
    """What one cluster of a fleet has discovered, so that the others need not ask; safe for all threads.

    Plural and scope of a built-in kind are the same on every server that serves it. One that does not answers its lists
    with 404, and is asked then. CRDs are each server's own.
    """

    def __init__(self) -> None:
        self._known: dict[GVK, ResourceMapping] = {}

    def get(self, gvk: GVK) -> ResourceMapping | None:
        """How a kind is served; None for one that nobody has asked for, or that may differ."""
        return self._known.get(gvk)

    def learn(self, mapping: ResourceMapping) -> None:
        """Remember what a server said of a kind, if the others would say the same."""
        group = mapping.gvk.group
        if "." not in group or (group.endswith(_BUILT_IN) and not group.endswith(_EXPERIMENTAL)):
            self._known[mapping.gvk] = mapping

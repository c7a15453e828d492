"""What stands for a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """The object on the hub that stands for a cluster, such as a Project: events about the cluster are about it.

    Attributes:
        api_version: such as ``resourcemanager.miloapis.com/v1alpha1``.
        kind: such as ``Project``.
        name: its name.
        namespace: "" for cluster-scoped kinds.
        uid: its identity, "" if it is not known.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    def __str__(self) -> str:
        """Write ``v1 Secret fleet/east``."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.api_version} {self.kind} {where}"

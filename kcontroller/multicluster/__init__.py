"""Many clusters: who finds them, and how each joins and leaves."""

from __future__ import annotations

from kcontroller.multicluster.provider import ClusterSpec, Provider, Sink
from kcontroller.multicluster.registry import Member, Registry

__all__ = ["ClusterSpec", "Member", "Provider", "Registry", "Sink"]

"""Many clusters: who finds them, and how each joins and leaves."""

from __future__ import annotations

from kcontroller.multicluster.engagement import State
from kcontroller.multicluster.fleet import ClusterState
from kcontroller.multicluster.member import Member
from kcontroller.multicluster.provider import ClusterSpec, Provider, Sink
from kcontroller.multicluster.registry import Registry

__all__ = ["ClusterSpec", "ClusterState", "Member", "Provider", "Registry", "Sink", "State"]

"""One leader among replicas, by a Lease."""

from __future__ import annotations

from kcontroller.leaderelection.elector import Elector
from kcontroller.leaderelection.options import LeaderElection

__all__ = ["Elector", "LeaderElection"]

"""Tries another configuration of a cluster beside the one in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kcontroller.multicluster.engagement import CHECK_SECONDS
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.stop import StopToken


@dataclass(slots=True)
class Proof:
    """The trial of a configuration for a cluster that is in use.

    Attributes:
        cluster: goes on with its own meanwhile.
        spec: has the one to try.
        same: when it does: whether it leads to the same cluster.
    """

    cluster: Cluster
    spec: ClusterSpec
    same: bool = False

    def __call__(self, stop: StopToken) -> str:
        """Say why the configuration does not do; "" if it does.

        Args:
            stop: ends it, as does the end of the cluster.

        Raises:
            Exception: it does not do.
        """
        spec = self.spec
        with stop.child(self.cluster.leaving) as own:
            self.same = self.cluster.prove(spec.config, stop=own)
            if spec.check is None:
                return ""
            with own.child(deadline=Deadline.after(CHECK_SECONDS, clock=own.clock)) as its_own:
                return spec.check(spec, its_own)

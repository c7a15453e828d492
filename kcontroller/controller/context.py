"""What a reconcile is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from kcontroller.api.keys import Request
    from kcontroller.client.client import Client
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.process.logs import Log
    from kcontroller.process.stop import Deadline, StopToken


class ClusterGetter(Protocol):
    """Finds the other clusters of the process."""

    def get(self, name: str) -> Cluster:
        """Return an engaged cluster.

        Raises:
            ClusterNotFound: there is none of that name.
        """
        ...


class Context(msgspec.Struct, frozen=True):
    """One call of a Reconciler.

    Attributes:
        request: what it is about.
        cluster: the cluster of the request: ``name``, ``client``, ``api_reader`` (always asks the server).
        client: reads from the cache of that cluster and writes to its server, in the controller's name.
        clusters: the other clusters.
        log: a logger; every line carries controller, cluster, namespace, name and reconcileID, as do the lines of plain
            ``logging`` calls.
        reasons: why this was queued, at most eight.
        deadline: when the reconcile's time is over; None without a time-out. Requests end with it; loops of your own
            should look.
        stop: stops at the deadline, and when the process does, after the drain time; waits and loops of your own should
            take it.
    """

    request: Request
    cluster: Cluster
    client: Client
    clusters: ClusterGetter
    log: Log
    reasons: tuple[str, ...]
    deadline: Deadline | None
    stop: StopToken

    def check(self) -> None:
        """Raise `Stopped` if the work should end; for long loops.

        Raises:
            Stopped: the process stops, or the reconcile's time is over.
        """
        self.stop.raise_if_stopped()

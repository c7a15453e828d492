"""The engaged clusters, by name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from kcontroller.errors import ClusterNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cluster import Cluster, Pending
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup


class Member(Protocol):
    """Works on every engaged cluster: a controller."""

    name: str

    def engage(self, cluster: Cluster, *, on_synced: Callable[[], None]) -> None:
        """Take a cluster on; `on_synced` is called once its first objects are known. Must not block."""
        ...

    def disengage(self, name: str, *, on_idle: Callable[[], None]) -> None:
        """Let a cluster go; `on_idle` is called once nothing works on it any more. Must not block."""
        ...


class Registry:
    """The clusters of a process; the `Sink` of its provider.

    Args:
        connect: makes the cluster of a spec; it is not started yet.
        clock: the time.
        metrics: where to count.
        hub: the manager's own cluster, found under its name "" and started and stopped here.
        engages_hub: whether members work on the hub as well.
        on_gone: told of a cluster that has left.
    """

    def __init__(
        self,
        *,
        connect: Callable[[ClusterSpec], Cluster],
        clock: Clock,
        metrics: Metrics,
        hub: Cluster | None = None,
        engages_hub: bool = False,
        on_gone: Callable[[Cluster], None] = lambda _cluster: None,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._hub = hub
        self._engages_hub = engages_hub
        self._on_gone = on_gone
        self._lock = threading.RLock()
        self._members: list[Member] = []
        self._clusters: dict[str, Cluster] = {}
        self._threads: ThreadGroup | None = None
        self._complete = engages_hub

    def get(self, name: str) -> Cluster:
        """Return the cluster of that name; its caches may still be filling.

        Raises:
            ClusterNotFound: there is none.
        """
        if self._hub is not None and name == self._hub.name:
            return self._hub
        cluster = self._clusters.get(name)
        if cluster is None:
            msg = f"no cluster {name!r} is engaged"
            raise ClusterNotFound(msg)
        return cluster

    def __iter__(self) -> Iterator[Cluster]:
        """The clusters that members work on, as they are now."""
        hub = (self._hub,) if self._hub is not None and self._engages_hub else ()
        return iter((*hub, *self._clusters.values()))

    def pending(self) -> tuple[Pending, ...]:
        """What is not synced, and why."""
        hub = () if self._hub is None or self._engages_hub else self._hub.pending()
        return (*hub, *(each for cluster in self for each in cluster.pending()))

    @property
    def complete(self) -> bool:
        """Whether the provider has told of every cluster that there was at the start."""
        return self._complete

    def join(self, member: Member) -> None:
        """Let a member work on every cluster from now on; any thread."""
        with self._lock:
            self._members.append(member)
            for cluster in self:
                member.engage(cluster, on_synced=lambda: None)

    def start(self, threads: ThreadGroup) -> None:
        """Begin."""
        self._threads = threads
        if self._hub is not None:
            self._hub.start(threads)

    def stop(self) -> None:
        """End every cluster's thread and every running request at once."""
        for cluster in (*self, *(() if self._hub is None else (self._hub,))):
            cluster.stop()

    # ---- the sink ------------------------------------------------------------------------------------------------

    def present(self, spec: ClusterSpec) -> None:
        """See `Sink`."""
        with self._lock:
            if spec.name in self._clusters or self._threads is None:
                return
            cluster = self._clusters[spec.name] = self._connect(spec)
            cluster.start(self._threads)
            for member in self._members:
                member.engage(cluster, on_synced=lambda: None)

    def absent(self, name: str, why: str) -> None:  # noqa: ARG002
        """See `Sink`."""
        with self._lock:
            cluster = self._clusters.pop(name, None)
            if cluster is None:
                return
            cluster.leaving.stop("it left")
            for member in self._members:
                member.disengage(name, on_idle=lambda: None)
            cluster.stop()
            self._on_gone(cluster)

    def listed(self) -> None:
        """See `Sink`."""
        self._complete = True

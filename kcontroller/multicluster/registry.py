"""The clusters of a process, by name: the hub, and those that a provider finds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.cluster import Pending
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster.fleet import Fleet
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.fleet import ClusterState
    from kcontroller.multicluster.member import Member
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup

_log: Final = Log("kcontroller.multicluster")


class Registry:
    """The clusters of a process; the `Sink` of its provider. Every method may be called from any thread.

    Args:
        connect: makes the cluster of a spec; it is not started yet. Must not wait for the network.
        clock: the time.
        metrics: where to count.
        hub: the manager's own cluster, found under its name "" and started and stopped here.
        engages_hub: whether members work on the hub, and on nothing else.
        patience: see `Provider.patience`.
        on_gone: told once of each cluster that was closed, on the fleet thread. Must not block.
    """

    def __init__(
        self,
        *,
        connect: Callable[[ClusterSpec], Cluster],
        clock: Clock,
        metrics: Metrics,
        hub: Cluster | None = None,
        engages_hub: bool = False,
        patience: float | None = None,
        on_gone: Callable[[Cluster], None] = lambda _cluster: None,
    ) -> None:
        self._clock = clock
        self._hub = hub
        self._engages_hub = engages_hub
        self._patience = patience
        self._fleet = Fleet(connect=connect, clock=clock, metrics=metrics, on_gone=on_gone)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._joining = 0

    def get(self, name: str) -> Cluster:
        """Return the cluster of that name; never waits.

        It is there from the moment it is connected until it begins to leave. While its caches fill, cached reads of it
        raise `NotSynced`.

        Raises:
            ClusterNotFound: there is none.
        """
        if self._hub is not None and name == self._hub.name:
            return self._hub
        cluster = self._fleet.clusters.get(name)
        if cluster is None:
            msg = f"no cluster {name!r} is engaged"
            raise ClusterNotFound(msg)
        return cluster

    def __iter__(self) -> Iterator[Cluster]:
        """The clusters that members work on, as they are now."""
        hub = (self._hub,) if self._hub is not None and self._engages_hub else ()
        return iter((*hub, *self._fleet.clusters.values()))

    def states(self) -> tuple[ClusterState, ...]:
        """Where each cluster that the provider found stands, by name."""
        return tuple(state for _name, state in sorted(self._fleet.states.items()))

    def pending(self) -> tuple[Pending, ...]:
        """What keeps the process from being ready.

        Of the hub: each kind that is not synced. Of a provider without `patience`: each kind of each cluster, and each
        cluster that is not connected. Of one that has it: only the clusters of its first list, each until it was
        engaged once, has failed, has troubles, or has been tried for that long.
        """
        found = [] if self._hub is None else [*self._hub.pending()]
        clusters = self._fleet.clusters
        for state in self.states():
            if self.awaits(state.name):
                cluster = clusters.get(state.name)
                absent = Pending(state.name, "", state.why or state.state.value)
                found += (absent,) if cluster is None else cluster.pending()
        return tuple(found)

    def awaits(self, name: str) -> bool:
        """Whether readiness waits for a cluster; `pending` has the rules."""
        if self._patience is None or (self._hub is not None and name == self._hub.name):
            return True
        since = self._fleet.awaited.get(name)
        if since is None or self._clock.monotonic() - since >= self._patience:
            return False
        cluster = self._fleet.clusters.get(name)
        return cluster is None or not cluster.troubles()

    @property
    def complete(self) -> bool:
        """Whether all clusters that there were at the start have been told, and every member works on them."""
        return self._engages_hub or (self._fleet.listed and not self._joining)

    def join(self, member: Member) -> None:
        """Let a member work on every cluster from now on."""
        if self._engages_hub and self._hub is not None:
            member.engage(self._hub, on_synced=lambda: None)
            return
        with self._lock:
            self._joining += 1
        self._fleet.post(lambda: self._join(member))

    def _join(self, member: Member) -> None:
        self._fleet.join(member)
        with self._lock:
            self._joining -= 1

    def start(self, threads: ThreadGroup) -> None:
        """Begin: the hub's thread and, unless the hub is all there is, the fleet's."""
        if self._hub is not None:
            self._hub.start(threads)
        if not self._engages_hub:
            self._thread = threads.spawn("fleet", "", self._fleet.run)

    def stop(self, timeout: float) -> tuple[str, ...]:
        """End every cluster and every running request at once, and wait for the threads of the fleet's clusters.

        Args:
            timeout: seconds to wait at most.

        Returns:
            The names of those that are left. The hub's thread belongs to the group that `start` was given.
        """
        deadline = Deadline.after(timeout, clock=self._clock)
        self._fleet.stop()
        if self._hub is not None:
            self._hub.stop()
        if self._thread is not None:
            self._thread.join(deadline.remaining())
        return tuple(name for each in self._fleet.close() for name in each.join(deadline.remaining()))

    # ---- the sink ------------------------------------------------------------------------------------------------

    def present(self, spec: ClusterSpec) -> None:
        """See `Sink`."""
        if self._hub is not None and spec.name == self._hub.name:
            _log.error("a provider named a cluster like the hub; it is left out", cluster=spec.name)
            return
        self._fleet.post(lambda: self._fleet.present(spec))

    def absent(self, name: str, why: str) -> None:
        """See `Sink`."""
        self._fleet.post(lambda: self._fleet.absent(name, why))

    def listed(self) -> None:
        """See `Sink`."""
        self._fleet.post(self._fleet.all_listed)

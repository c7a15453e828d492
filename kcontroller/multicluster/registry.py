"""The clusters of a process, by name: the hub, and those that a provider finds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.cluster import Pending
from kcontroller.errors import ClusterNotFound, ConfigError
from kcontroller.multicluster.engagement import CHECK_SECONDS, TRIAL_SECONDS
from kcontroller.multicluster.first_list import FirstList
from kcontroller.multicluster.fleet import Fleet
from kcontroller.multicluster.inquiries import Inquiries
from kcontroller.multicluster.listeners import Listeners
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.cluster import Cluster, Source
    from kcontroller.multicluster.first_list import ReadyWhen
    from kcontroller.multicluster.member import Member
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.multicluster.standings import ClusterState
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup

CHECKS: Final = 64
"""At once, as many as connections are opened by a fleet: a round of five hundred that hang takes a minute."""
PROOFS: Final = 32
"""At once."""

_log: Final = Log("kcontroller.multicluster")


class Registry:
    """The clusters of a process; the `Sink` of its provider. Every method may be called from any thread.

    Args:
        connect: makes the cluster of a spec; it is not started yet. Must not wait for the network.
        clock: the time.
        metrics: where to count.
        hub: the manager's own cluster, found under its name "" and started and stopped here.
        engages_hub: whether members work on the hub, and on nothing else; otherwise those do that want it. The hub does
            not come and go: nobody is told of it, and if its thread dies, the process ends.
        patience: see `Provider.patience`.
        ready_when: how many clusters readiness waits for.
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
        ready_when: ReadyWhen = "first-list",
        on_gone: Callable[[Cluster], None] = lambda _cluster: None,
    ) -> None:
        self._clock = clock
        self._hub = hub
        self._engages_hub = self._hub_engaged = engages_hub
        self._patient = patience is not None
        self._first = FirstList(clock=clock, policy=ready_when, patience=patience)
        self._listeners = Listeners(clock=clock)
        self._proofs = Inquiries("prove", limit=PROOFS, seconds=TRIAL_SECONDS, clock=clock)
        self._checks = Inquiries("check", limit=CHECKS, seconds=CHECK_SECONDS, clock=clock)
        self._fleet = Fleet(
            connect=connect,
            first=self._first,
            clock=clock,
            metrics=metrics,
            on_gone=on_gone,
            listeners=self._listeners,
            proofs=self._proofs,
            checks=self._checks,
        )
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
        hub = (self._hub,) if self._hub is not None and self._hub_engaged else ()
        return iter((*hub, *self._fleet.clusters.copy().values()))

    def states(self) -> tuple[ClusterState, ...]:
        """Where each cluster that the provider found stands, by name; also what it refused."""
        standings = self._fleet.standings
        states = {**standings.refused.copy(), **standings.states.copy()}
        return tuple(state for _name, state in sorted(states.items()))

    def pending(self) -> tuple[Pending, ...]:
        """What keeps the process from being ready.

        Of the hub: each kind that is not synced. Of the clusters that `ReadyWhen` names: each kind, and each cluster
        that is not connected.
        """
        return tuple(self.missing())

    def missing(self) -> Iterator[Pending]:
        """What `pending` gives, looked for as it is asked for: of a thousand clusters the first few may be enough."""
        if self._hub is not None:
            yield from self._hub.pending()
        states = self._fleet.standings.states.copy()
        for name in sorted(self._first.awaited(states)):
            state = states.get(name)
            if state is not None:
                yield from self._missing_of(state)

    def _missing_of(self, state: ClusterState) -> tuple[Pending, ...]:
        cluster = self._fleet.clusters.get(state.name)
        if cluster is None:
            return (Pending(state.name, "", state.last_error or state.why or state.state.value),)
        if self._is_excused(cluster):
            return ()
        kinds = cluster.pending()
        # Its caches are full and its map functions have not ended, for example.
        return kinds if kinds or self._first.lenient else (Pending(state.name, "", state.last_error or "syncing"),)

    def awaits(self, name: str) -> bool:
        """Whether readiness waits for a cluster; `ReadyWhen` has the rules."""
        if self._hub is not None and name == self._hub.name:
            return True
        cluster = self._fleet.clusters.get(name)
        return self._first.awaits(name) and (cluster is None or not self._is_excused(cluster))

    def _is_excused(self, cluster: Cluster) -> bool:
        return self._patient and self._first.lenient and bool(cluster.troubles())

    @property
    def complete(self) -> bool:
        """Whether all clusters that there were at the start have been told, and every member works on them."""
        return self._engages_hub or (self._first.told and not self._joining)

    def join(self, member: Member) -> None:
        """Let a member work on every cluster from now on.

        Raises:
            ConfigError: it wants the hub, and there is none.
        """
        if member.wants_hub and self._hub is None:
            msg = f"{member.name} watches the hub, and a manager of several clusters has none; leave clusters=HUB out"
            raise ConfigError(msg)
        if self._hub is not None and (self._engages_hub or member.wants_hub):
            self._hub_engaged = True
            member.engage(self._hub, on_synced=lambda: None)
        if self._engages_hub:
            return
        with self._lock:
            self._joining += 1
        self._fleet.post(lambda: self._join(member))

    def _join(self, member: Member) -> None:
        self._fleet.join(member)
        with self._lock:
            self._joining -= 1

    def listen(
        self,
        listener: object,
        *,
        view: Callable[[Cluster], Cluster] = lambda cluster: cluster,
        at_once: bool = False,
    ) -> None:
        """Tell somebody of the clusters that come and go from now on, and of those that are engaged.

        Args:
            listener: has some or all methods of a `ClusterListener`; one that is known already changes nothing.
            view: makes what it is given of a cluster; called on the fleet thread. Must not block.
            at_once: call it on the fleet thread; for one of ours that never blocks.
        """
        self._fleet.post(lambda: self._fleet.listen(listener, view, at_once=at_once))

    def start(self, threads: ThreadGroup) -> None:
        """Begin: the hub's thread and, unless the hub is all there is, the fleet's."""
        if self._hub is not None:
            self._hub.start(threads)
        if not self._engages_hub:
            self._listeners.start(threads)
            self._proofs.start(threads)
            self._checks.start(threads)
            self._thread = threads.spawn("fleet", "", self._fleet.run)

    def stop(self, timeout: float) -> tuple[str, ...]:
        """End every cluster and every running request at once, and wait for the threads of the fleet's clusters.

        Args:
            timeout: seconds to wait at most.

        Returns:
            The names of those that are left. The hub's thread belongs to the group that `start` was given.
        """
        deadline = Deadline.after(timeout, clock=self._clock)
        self._listeners.stop()
        self._fleet.stop()
        if self._hub is not None:
            self._hub.stop()
        if self._thread is not None:
            self._thread.join(deadline.remaining())
        self._checks.stop()
        self._proofs.stop()
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

    def refused(self, name: str, why: str, source: Source | None = None) -> None:
        """See `Sink`."""
        if self._hub is None or name != self._hub.name:
            self._fleet.post(lambda: self._fleet.refused(name, why, source))

    def listed(self) -> None:
        """See `Sink`."""
        self._fleet.post(self._fleet.all_listed)

"""One connection of a cluster: from its making to the end of its last thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.process.logs import Log, described
from kcontroller.process.threads import ThreadGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.listeners import Hearer
    from kcontroller.multicluster.member import Member
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.clock import Clock

_SETTLE_SECONDS: Final = 1.0  # A worker that has given its last item back still counts it.

_log: Final = Log("kcontroller.multicluster")


class Owner(Protocol):
    """Whom an incarnation tells what happened."""

    def post(self, job: Callable[[], None]) -> None:
        """Run a job on the fleet thread; any thread."""
        ...

    def synced(self, incarnation: Incarnation) -> None:
        """Every member has its first objects."""
        ...

    def idle(self, incarnation: Incarnation) -> None:
        """No member works on it any more, after `Incarnation.drain`."""
        ...

    def failed(self, incarnation: Incarnation, why: str) -> None:
        """Its thread has died."""
        ...


class Incarnation:
    """A cluster, its threads, and the members that work on it.

    Its methods are for the fleet thread. What the cluster's thread and the members tell is posted to that thread.

    Args:
        cluster: made, not started.
        generation: of its `Engagement`.
        owner: told what happens.
        clock: the time.

    Attributes:
        told: which listeners were told that it is engaged, and what they were given.
    """

    def __init__(self, cluster: Cluster, generation: int, *, owner: Owner, clock: Clock) -> None:
        self.cluster = cluster
        self.generation = generation
        self.began = clock.monotonic()
        self.why = ""
        self.told: dict[Hearer, Cluster] = {}
        self._started = False
        self._owner = owner
        self._threads = ThreadGroup(on_failure=self._thread_failed, clock=clock)
        self._members: list[Member] = []
        self._unsynced: set[str] = set()
        self._idle: set[str] = set()
        self._ended_at: float | None = None

    def start(self) -> None:
        """Start the cluster's thread, unless it runs.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        if not self._started:
            self.cluster.start(self._threads)
            self._started = True

    def engage(self, *members: Member) -> None:
        """Let members take the cluster on.

        Raises:
            Exception: whatever a member raises; those after it are not asked.
        """
        for member in members:
            self._members.append(member)
            self._unsynced.add(member.name)
            on_synced = partial(self._owner.post, partial(self._member_synced, member.name))
            member.engage(self.cluster, on_synced=on_synced)

    def refuse(self, member: Member) -> None:
        """Undo what a member has begun that could not take the cluster on."""
        self._members.remove(member)
        self._unsynced.discard(member.name)
        self._idle.discard(member.name)
        self._let_go(member, lambda: None)

    def drain(self, why: str) -> None:
        """Let every member let go of the cluster, and stop the reconciles that work on it."""
        self.why = why
        for member in self._members:
            self._disengage(member)
        if self.idle:
            self.cluster.leaving.stop(why)
            self._owner.post(self._tell_idle)
            return
        self._threads.apart("leave", self.cluster.name, lambda: self.cluster.leaving.stop(why))

    def relabel(self, spec: ClusterSpec) -> None:
        """Let every member look at what is said of the cluster now."""
        self.cluster.labels, self.cluster.source, self.cluster.weight = dict(spec.labels), spec.source, spec.weight
        for member in self._members:
            try:
                member.relabel(self.cluster)
            except BaseException as error:  # noqa: BLE001 - the others must look too
                why = described(error)
                _log.exception_of(error, "%s cannot look at labels: %s", member.name, why, cluster=self.cluster.name)

    def close(self) -> None:
        """End the cluster's thread and all requests; does not wait for them."""
        self.cluster.stop()

    def join(self, timeout: float) -> tuple[str, ...]:
        """Wait for the threads; returns the names of those that are left after `timeout` seconds."""
        return self._threads.join(timeout)

    @property
    def synced(self) -> bool:
        """Whether every member has its first objects."""
        return not self._unsynced

    @property
    def idle(self) -> bool:
        """Whether no member works on the cluster any more."""
        return len(self._idle) == len(self._members)

    @property
    def busy(self) -> tuple[str, ...]:
        """The members that still work on it."""
        return tuple(member.name for member in self._members if member.name not in self._idle)

    def over(self, now: float) -> bool:
        """Whether its last thread and its last reconcile have ended, a moment ago."""
        if self._threads.alive() or not self.idle:
            return False
        self._ended_at = now if self._ended_at is None else self._ended_at
        return now - self._ended_at >= _SETTLE_SECONDS

    def _disengage(self, member: Member) -> None:
        def on_idle() -> None:
            self._idle.add(member.name)
            self._owner.post(self._tell_idle)

        self._let_go(member, on_idle)

    def _let_go(self, member: Member, on_idle: Callable[[], None]) -> None:
        try:
            member.disengage(self.cluster.name, on_idle=on_idle)
        except BaseException as error:  # noqa: BLE001 - the others must let go too
            why = described(error)
            _log.exception_of(error, "%s did not let go of a cluster: %s", member.name, why, cluster=self.cluster.name)
            on_idle()

    def _member_synced(self, name: str) -> None:
        self._unsynced.discard(name)
        if self.synced:
            self._owner.synced(self)

    def _tell_idle(self) -> None:
        if self.idle:
            self._owner.idle(self)

    def _thread_failed(self, name: str, error: BaseException) -> None:
        why = f"thread {name} failed: {described(error)}"
        _log.exception_of(error, "%s", why, cluster=self.cluster.name)
        self._owner.post(lambda: self._owner.failed(self, why))

"""The thread that engages clusters: it asks the `Engagement` of each name what to do, and does it.

It never waits for a network, a thread or a reconcile, so that one cluster that hangs holds up nothing: what must end is
told to, and looked at again later.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from kcontroller.multicluster.engagement import (
    Action,
    Announce,
    Close,
    Connect,
    Drain,
    Engage,
    Engagement,
    Failed,
    State,
)
from kcontroller.multicluster.incarnation import Incarnation
from kcontroller.multicluster.mailbox import Mailbox
from kcontroller.process.descriptors import no_room
from kcontroller.process.logs import Log, described
from kcontroller.process.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kcontroller.cluster import Cluster
    from kcontroller.multicluster.member import Member
    from kcontroller.multicluster.provider import ClusterSpec
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

V = TypeVar("V")

_OPENING_SECONDS: Final = 5.0  # A cluster that was made so long ago has opened its connections.
_LOOK_SECONDS: Final = 1.0  # Between two looks at the threads of clusters that were closed.

_log: Final = Log("kcontroller.multicluster")


class ClusterState(msgspec.Struct, frozen=True):
    """Where a cluster stands.

    Attributes:
        name: the provider's.
        uid: of what stands for it; "" if the provider has none.
        state: see there.
        since: wall time at which it came there.
        why: what brought it there, where that needs words.
    """

    name: str
    uid: str
    state: State
    since: datetime
    why: str = ""


class _Slot:
    """One cluster name."""

    __slots__ = ("engagement", "incarnation", "name")

    def __init__(self, name: str, engagement: Engagement) -> None:
        self.name = name
        self.engagement = engagement
        self.incarnation: Incarnation | None = None


class Fleet:
    """The clusters that a provider finds.

    `run` is the thread; everything else but `post`, `stop` and the attributes is for jobs that are posted to it.

    Args:
        connect: makes the cluster of a spec; it is not started yet. Must not wait for the network.
        clock: the time.
        metrics: where to count.
        on_gone: told once of each cluster that was closed. Must not block.

    Attributes:
        clusters: what is connected and not leaving. These dictionaries are read by any thread without a lock: they are
            never changed, a new one takes the place of the old.
        states: where each name stands; one that has left is not there.
        awaited: the monotonic times at which the clusters of the first list were told, unless they have been engaged or
            have failed since.
        listed: whether the provider has told its first list.
    """

    def __init__(
        self,
        *,
        connect: Callable[[ClusterSpec], Cluster],
        clock: Clock,
        metrics: Metrics,
        on_gone: Callable[[Cluster], None],
    ) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.states: dict[str, ClusterState] = {}
        self.awaited: dict[str, float] = {}
        self.listed = False
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._on_gone = on_gone
        self._mailbox = Mailbox(clock=clock, due=self._next_due, look=self._look)
        self._members: list[Member] = []
        self._slots: dict[str, _Slot] = {}
        self._resting: dict[str, Engagement] = {}
        self._closed = False
        self._due: dict[str, float] = {}
        self._departed: list[Incarnation] = []
        self._look_at = math.inf
        self._repeats = Repeats(clock=clock)

    def run(self) -> None:
        """Work until `stop`: the thread."""
        self._mailbox.run()

    def stop(self) -> None:
        """End the thread; any thread."""
        self._mailbox.stop()

    def post(self, job: Callable[[], None]) -> None:
        """Run a job on the thread soon; any thread. It must not block, and is dropped after `stop`."""
        self._mailbox.post(job)

    # ---- what the registry tells ---------------------------------------------------------------------------------

    def present(self, spec: ClusterSpec) -> None:
        """See `Sink`."""
        slot = self._slots.get(spec.name)
        if slot is None:
            slot = self._slots[spec.name] = _Slot(spec.name, self._engagement(spec.name))
            if not self.listed:
                self.awaited = {**self.awaited, spec.name: self._clock.monotonic()}
        self._do(slot, slot.engagement.present(spec, self._clock.monotonic()))

    def absent(self, name: str, why: str) -> None:
        """See `Sink`."""
        slot = self._slots.get(name)
        if slot is not None:
            self._do(slot, slot.engagement.absent(why, self._clock.monotonic()))

    def all_listed(self) -> None:
        """See `Sink`."""
        self.listed = True

    def join(self, member: Member) -> None:
        """Let a member work on every cluster from now on."""
        self._members.append(member)
        for slot in tuple(self._slots.values()):
            if slot.engagement.state in {State.SYNCING, State.ENGAGED}:
                self._do(slot, self._engage(slot, member))

    def close(self) -> tuple[Incarnation, ...]:
        """End every cluster after `stop`; returns all whose threads may still live.

        The thread may be making another one, if credentials hang: it closes that itself.
        """
        self._closed = True  # Before the look at what is there.
        live = [slot.incarnation for slot in tuple(self._slots.values()) if slot.incarnation is not None]
        for incarnation in live:
            incarnation.close()
        return (*live, *self._departed)

    # ---- what an incarnation tells -------------------------------------------------------------------------------

    def synced(self, incarnation: Incarnation) -> None:
        """Every member of an incarnation has its first objects."""
        self._tell(incarnation, lambda slot, now: slot.engagement.synced(incarnation.generation, now))

    def idle(self, incarnation: Incarnation) -> None:
        """Nothing works on an incarnation any more."""
        self._tell(incarnation, lambda slot, now: slot.engagement.idle(incarnation.generation, now))

    def failed(self, incarnation: Incarnation, why: str) -> None:
        """An incarnation's thread has died."""
        self._tell(incarnation, lambda slot, now: slot.engagement.failed(incarnation.generation, why, now))

    def _tell(self, incarnation: Incarnation, event: Callable[[_Slot, float], list[Action]]) -> None:
        slot = self._slots.get(incarnation.cluster.name)
        if slot is not None and slot.incarnation is incarnation:
            self._do(slot, event(slot, self._clock.monotonic()))

    # ---- what time brings ----------------------------------------------------------------------------------------

    def _next_due(self) -> float:
        return min(self._look_at, min(self._due.values(), default=math.inf))

    def _look(self) -> None:
        now = self._clock.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            slot = self._slots[name]
            self._do(slot, slot.engagement.tick(now))
        if now >= self._look_at:
            self._look_at_departed(now)

    def _look_at_departed(self, now: float) -> None:
        over = [incarnation for incarnation in self._departed if incarnation.over(now)]
        self._departed = [incarnation for incarnation in self._departed if incarnation not in over]
        self._look_at = now + _LOOK_SECONDS if self._departed else math.inf
        for incarnation in over:
            self._forget(incarnation.cluster.name)  # Its last reconcile may have counted after the first time.

    # ---- what an engagement answers ------------------------------------------------------------------------------

    def _do(self, slot: _Slot, actions: Iterable[Action]) -> None:
        waiting = deque(actions)
        while waiting:
            waiting.extend(self._act(slot, waiting.popleft()))
        self._due.pop(slot.name, None)
        if slot.engagement.due < math.inf:
            self._due[slot.name] = slot.engagement.due
        if slot.engagement.state is State.GONE and self._slots.pop(slot.name, None) is not None:
            self._forget(slot.name)
            self._rest(slot)

    def _rest(self, slot: _Slot) -> None:
        """Keep in mind, for as long as its pause lasts, what has failed: it may leave and come back at once."""
        now = self._clock.monotonic()
        while self._resting and (first := next(iter(self._resting))) and self._resting[first].retry_at <= now:
            del self._resting[first]
        if slot.engagement.retry_at > now:
            self._resting[slot.name] = slot.engagement

    def _engagement(self, name: str) -> Engagement:
        resting = self._resting.pop(name, None)
        return Engagement() if resting is None or resting.retry_at <= self._clock.monotonic() else resting

    def _act(self, slot: _Slot, action: Action) -> list[Action]:
        match action:
            case Connect(generation, spec):
                return self._make(slot, generation, spec)
            case Engage():
                return self._engage(slot, *self._members)
            case Drain(_, why):
                self.clusters = _without(self.clusters, slot.name)
                if slot.incarnation is not None:
                    slot.incarnation.drain(why)
            case Close():
                self._close(slot)
            case Failed(why, seconds):
                self.awaited = _without(self.awaited, slot.name)
                self._metrics.cluster_failures.labels(slot.name).inc()
                self._complain(slot.name, why, seconds)
            case Announce(state, why):
                self._announce(slot, state, why)
        return []

    def _complain(self, name: str, why: str, seconds: float) -> None:
        """Say why a cluster is not engaged."""
        told = self._repeats.told(why)
        say = _log.warning if told else _log.debug
        say("not engaged: %s; trying again in %.1f s", told or why, seconds, cluster=name)

    def _make(self, slot: _Slot, generation: int, spec: ClusterSpec) -> list[Action]:
        now = self._clock.monotonic()
        live = (each.incarnation for each in self._slots.values() if each.incarnation is not None)
        if why := no_room(1 + sum(each.began > now - _OPENING_SECONDS for each in live)):
            return slot.engagement.failed(generation, why, now)
        try:
            cluster = self._connect(spec)
        except Exception as error:  # noqa: BLE001 - credentials of users may raise anything
            return slot.engagement.failed(generation, described(error), now)
        incarnation = Incarnation(cluster, generation, owner=self, clock=self._clock)
        try:
            incarnation.start()
        except RuntimeError as error:  # The system gives no more threads.
            incarnation.close()
            return slot.engagement.failed(generation, described(error), now)
        slot.incarnation = incarnation
        if self._closed:  # While this one was made, and `close` may not have seen it.
            incarnation.close()
            return []
        self.clusters = {**self.clusters, slot.name: cluster}
        return slot.engagement.connected(generation, now)

    def _engage(self, slot: _Slot, *members: Member) -> list[Action]:
        incarnation, now = slot.incarnation, self._clock.monotonic()
        if incarnation is None:
            return []
        try:
            incarnation.engage(*members)
        except Exception as error:  # noqa: BLE001 - all or nothing
            return slot.engagement.failed(incarnation.generation, described(error), now)
        return slot.engagement.synced(incarnation.generation, now) if incarnation.synced else []

    def _close(self, slot: _Slot) -> None:
        incarnation, slot.incarnation = slot.incarnation, None
        if incarnation is None:
            return
        if incarnation.busy:
            busy = ", ".join(incarnation.busy)
            _log.warning("closed while reconciles still run: %s", busy, cluster=slot.name)
        incarnation.close()
        self._departed.append(incarnation)
        self._look_at = min(self._look_at, self._clock.monotonic() + _LOOK_SECONDS)
        _log.info("left: %s", incarnation.why, cluster=slot.name)
        self._on_gone(incarnation.cluster)

    def _announce(self, slot: _Slot, state: State, why: str) -> None:
        before = self.states.get(slot.name)
        if before is not None:
            self._metrics.clusters.labels(before.state.value).dec()
        if state is State.GONE:
            self.states = _without(self.states, slot.name)
            self.awaited = _without(self.awaited, slot.name)
            return
        self._metrics.clusters.labels(state.value).inc()
        uid = "" if slot.engagement.spec is None else slot.engagement.spec.uid
        now = ClusterState(slot.name, uid, state, self._clock.now(), why)
        self.states = {**self.states, slot.name: now}
        if state is State.ENGAGED and slot.incarnation is not None:
            self.awaited = _without(self.awaited, slot.name)
            seconds = self._clock.monotonic() - slot.incarnation.began
            _log.info("engaged", cluster=slot.name, seconds=round(seconds, 3))

    def _forget(self, name: str) -> None:
        if name not in self._slots:
            self._metrics.forget_cluster(name)


def _without(values: dict[str, V], name: str) -> dict[str, V]:
    return {key: value for key, value in values.items() if key != name} if name in values else values

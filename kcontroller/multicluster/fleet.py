"""The thread that engages clusters: it asks the `Engagement` of each name what to do, and does it.

It never waits for a network, a thread or a reconcile, so that one cluster that hangs holds up nothing: what must end is
told to, and looked at again later. What it does for one cluster costs the same whether there are ten or a thousand.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.multicluster.actions import (
    Action,
    Adopt,
    Announce,
    Close,
    Connect,
    Drain,
    Engage,
    Failed,
    Keep,
    Overdue,
    Prove,
    Relabel,
    State,
)
from kcontroller.multicluster.departed import Departed
from kcontroller.multicluster.engagement import CHECK_SECONDS, TRIAL_SECONDS
from kcontroller.multicluster.incarnation import Incarnation
from kcontroller.multicluster.mailbox import Mailbox
from kcontroller.multicluster.proofs import Proof
from kcontroller.multicluster.reports import Reports
from kcontroller.multicluster.slots import Slot, Slots
from kcontroller.multicluster.standings import Standings
from kcontroller.process.descriptors import no_room
from kcontroller.process.logs import Log, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.cluster import Cluster, Source
    from kcontroller.multicluster.first_list import FirstList
    from kcontroller.multicluster.inquiries import Inquiries
    from kcontroller.multicluster.listeners import Listeners
    from kcontroller.multicluster.member import Member
    from kcontroller.multicluster.provider import Check, ClusterSpec
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_OPENING_SECONDS: Final = 5.0  # A cluster that was made so long ago has opened its connections.

_log: Final = Log("kcontroller.multicluster")


class Fleet:
    """The clusters that a provider finds.

    `run` is the thread; everything else but `post`, `stop` and the attributes is for jobs that are posted to it.

    Args:
        connect: makes the cluster of a spec; it is not started yet. Must not wait for the network.
        first: for which of them readiness waits.
        clock: the time.
        metrics: where to count.
        on_gone: told once of each cluster that was closed. Must not block.
        listeners: told of the clusters that come and go.
        proofs: try configurations.
        checks: look at clusters before they are connected.

    Attributes:
        clusters: what is connected and not leaving; changed in place, see `Standings` for what a reader may do.
        standings: where each of them stands.
    """

    def __init__(
        self,
        *,
        connect: Callable[[ClusterSpec], Cluster],
        first: FirstList,
        clock: Clock,
        metrics: Metrics,
        on_gone: Callable[[Cluster], None],
        listeners: Listeners,
        proofs: Inquiries,
        checks: Inquiries,
    ) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.standings = Standings(first=first, clock=clock, metrics=metrics)
        self._connect = connect
        self._clock = clock
        self._metrics = metrics
        self._on_gone = on_gone
        self._listeners = listeners
        self._reports = Reports(self.standings, listeners, clock=clock, metrics=metrics)
        self._proofs = proofs
        self._checks = checks
        self._mailbox = Mailbox(clock=clock, due=self._next_due, look=self._look)
        self._members: list[Member] = []
        self._slots = Slots(clock=clock)
        self._departed = Departed()
        self._openings: deque[float] = deque()
        self._closed = False

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
        self.standings.accept(spec.name)
        slot = self._slots.get(spec.name)
        if slot is None:
            slot = self._slots.made(spec.name)
            self.standings.first.present(spec.name)
        self._do(slot, slot.engagement.present(spec, self._clock.monotonic()))

    def absent(self, name: str, why: str) -> None:
        """See `Sink`."""
        self.standings.accept(name)
        self._leave(name, why)

    def refused(self, name: str, why: str, source: Source | None) -> None:
        """See `Sink`."""
        self._reports.unusable(name, why, source)
        self._leave(name, why)

    def _leave(self, name: str, why: str) -> None:
        slot = self._slots.get(name)
        if slot is not None:
            self._do(slot, slot.engagement.absent(why, self._clock.monotonic()))

    def all_listed(self) -> None:
        """See `Sink`."""
        self.standings.first.all_told()

    def join(self, member: Member) -> None:
        """Let a member work on every cluster from now on."""
        self._members.append(member)
        for slot in self._slots:
            match slot.engagement.state:
                case State.SYNCING:
                    self._do(slot, self._engage(slot, member))
                case State.ENGAGED:
                    self._join(slot, member)

    def listen(self, listener: object, view: Callable[[Cluster], Cluster], *, at_once: bool = False) -> None:
        """Tell a listener of every cluster from now on, and of those that are engaged."""
        self._reports.listen(listener, view, self._slots, at_once=at_once)

    def close(self) -> tuple[Incarnation, ...]:
        """End every cluster after `stop`; returns all whose threads may still live.

        The thread may be making another one, if `connect` hangs: it closes that itself.
        """
        self._closed = True  # Before the look at what is there.
        live = [slot.incarnation for slot in self._slots if slot.incarnation is not None]
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

    def _tell(self, incarnation: Incarnation, event: Callable[[Slot, float], list[Action]]) -> None:
        slot = self._slots.get(incarnation.cluster.name)
        if slot is not None and slot.incarnation is incarnation:
            self._do(slot, event(slot, self._clock.monotonic()))

    # ---- what time brings ----------------------------------------------------------------------------------------

    def _next_due(self) -> float:
        return min(self._slots.next_at, self._departed.next_at, self._listeners.next_at)

    def _look(self) -> None:
        now = self._clock.monotonic()
        for slot in self._slots.due(now):
            self._do(slot, slot.engagement.tick(now))
        self._listeners.look(now)
        for incarnation in self._departed.over(now):
            self._forget(incarnation.cluster.name)  # Its last reconcile may have counted after the first time.

    # ---- what an engagement answers ------------------------------------------------------------------------------

    def _do(self, slot: Slot, actions: Iterable[Action]) -> None:
        waiting = deque(actions)
        while waiting:
            waiting.extend(self._act(slot, waiting.popleft()))
        if self._slots.settle(slot):
            self._forget(slot.name)

    def _act(self, slot: Slot, action: Action) -> list[Action]:
        match action:
            case Connect(generation, spec):
                return self._make(slot, generation, spec) if spec.check is None else self._check(slot, spec.check)
            case Engage():
                return self._engage(slot, *self._members)
            case Adopt(spec):
                return self._adopt(slot, spec)
            case _:
                self._obey(slot, action)
                return []

    def _obey(self, slot: Slot, action: Action) -> None:
        """Do what asks for no answer, or for one that comes later."""
        match action:
            case Prove(generation, spec):
                self._prove(slot, generation, spec)
            case Keep():
                self._proofs.forget(slot.name)
                self._reports.kept(slot)
            case Relabel(spec):
                self._relabel(slot, spec)
            case Drain(_, why):
                self._drain(slot, why)
            case Close():
                self._close(slot)
            case Failed(why, seconds):
                self._proofs.forget(slot.name)
                self._reports.failed(slot, why, f"trying again in {seconds:.1f} s")
            case Overdue():
                self._reports.overdue(slot)
            case Announce(_, why):
                self._checks.forget(slot.name)
                self._proofs.forget(slot.name)
                self._reports.entered(slot, why)

    def _check(self, slot: Slot, check: Check) -> list[Action]:
        """Look at a cluster first; it is made when it has proved to be the one that is meant."""
        generation, spec = slot.engagement.generation, slot.engagement.spec
        assert spec is not None  # noqa: S101 - it is being connected
        self._checks.ask(
            slot.name,
            partial(check, spec),
            again=slot.engagement.failures > 0,
            on_begun=partial(self._begun, slot, generation, CHECK_SECONDS),
            on_answer=lambda why: self.post(lambda: self._checked(slot, generation, why)),
        )
        return []

    def _begun(self, slot: Slot, generation: int, seconds: float) -> None:
        """Say that a question is asked now; any thread."""

        def begun() -> None:
            if self._slots.get(slot.name) is slot:
                self._do(slot, slot.engagement.begun(generation, seconds, self._clock.monotonic()))

        self.post(begun)

    def _checked(self, slot: Slot, generation: int, why: str) -> None:
        engagement = slot.engagement
        if self._slots.get(slot.name) is not slot or engagement.generation != generation or engagement.spec is None:
            return
        if why:
            self._do(slot, engagement.failed(generation, why, self._clock.monotonic()))
        else:
            self._do(slot, self._make(slot, generation, engagement.spec))

    def _make(self, slot: Slot, generation: int, spec: ClusterSpec) -> list[Action]:
        now = self._clock.monotonic()
        while self._openings and self._openings[0] <= now - _OPENING_SECONDS:
            self._openings.popleft()
        if why := no_room(1 + len(self._openings)):
            return slot.engagement.failed(generation, why, now)
        try:
            cluster = self._connect(spec)
        except BaseException as error:  # noqa: BLE001 - credentials of users may raise anything, also what exits
            return slot.engagement.failed(generation, described(error), now)
        slot.incarnation = Incarnation(cluster, generation, owner=self, clock=self._clock)
        if self._closed:  # While this one was made, and `close` may not have seen it.
            slot.incarnation.close()
            return []
        if cluster.opens_connections:
            self._openings.append(now)
        self.clusters[slot.name] = cluster
        return slot.engagement.connected(generation, now)

    def _engage(self, slot: Slot, *members: Member) -> list[Action]:
        incarnation, now = slot.incarnation, self._clock.monotonic()
        if incarnation is None:
            return []
        try:
            incarnation.engage(*members)
            incarnation.start()  # What they want is asked for in one turn of its thread then.
        except BaseException as error:  # noqa: BLE001 - all or nothing, whatever a function of a user raises
            return slot.engagement.failed(incarnation.generation, described(error), now)
        return slot.engagement.synced(incarnation.generation, now) if incarnation.synced else []

    def _join(self, slot: Slot, member: Member) -> None:
        """Let a member take on a cluster that others work on; if it cannot, they must not pay for it."""
        incarnation = slot.incarnation
        if incarnation is None:
            return
        try:
            incarnation.engage(member)
        except BaseException as error:  # noqa: BLE001 - whatever it is, also what exits
            incarnation.refuse(member)
            self._reports.refused(slot, member.name, error)

    def _prove(self, slot: Slot, generation: int, spec: ClusterSpec) -> None:
        incarnation = slot.incarnation
        if incarnation is None:
            return
        proof = Proof(incarnation.cluster, spec)

        def answer(slot: Slot, now: float, why: str) -> list[Action]:
            if why:
                return slot.engagement.failed(generation, why, now)
            return (slot.engagement.proved if proof.same else slot.engagement.another)(generation, now)

        self._proofs.ask(
            slot.name,
            proof,
            again=slot.engagement.failures > 0,
            on_begun=partial(self._begun, slot, generation, TRIAL_SECONDS),
            on_answer=lambda why: self.post(lambda: self._tell(incarnation, partial(answer, why=why))),
        )

    def _adopt(self, slot: Slot, spec: ClusterSpec) -> list[Action]:
        incarnation, now = slot.incarnation, self._clock.monotonic()
        if incarnation is None:
            return []
        try:
            incarnation.cluster.adopt(spec.config)
        except BaseException as error:  # noqa: BLE001 - nobody knows what it uses now
            return slot.engagement.failed(incarnation.generation, described(error), now)
        self._reports.adopted(slot)
        return []

    def _relabel(self, slot: Slot, spec: ClusterSpec) -> None:
        if slot.incarnation is not None:
            slot.incarnation.relabel(spec)
        self._reports.relabelled(slot)

    def _drain(self, slot: Slot, why: str) -> None:
        self.clusters.pop(slot.name, None)
        if slot.incarnation is not None:
            self._reports.leaves(slot.incarnation, why)
            slot.incarnation.drain(why)

    def _close(self, slot: Slot) -> None:
        incarnation, slot.incarnation = slot.incarnation, None
        if incarnation is None:
            return
        if incarnation.busy:
            busy = ", ".join(incarnation.busy)
            _log.warning("closed while reconciles still run: %s", busy, cluster=slot.name)
        incarnation.close()
        self._departed.add(incarnation, self._clock.monotonic())
        self._on_gone(incarnation.cluster)
        self._reports.left(incarnation)

    def _forget(self, name: str) -> None:
        if name not in self._slots:
            self._metrics.forget_cluster(name)

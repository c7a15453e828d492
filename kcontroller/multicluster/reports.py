"""Says what happens to clusters: in the log and the metrics, to who asks where they stand, and to who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from kcontroller.multicluster import listeners as hooks
from kcontroller.multicluster.actions import State
from kcontroller.process.logs import Log, described
from kcontroller.process.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.cluster import Cluster, Source
    from kcontroller.multicluster.incarnation import Incarnation
    from kcontroller.multicluster.listeners import Hearer, Listeners
    from kcontroller.multicluster.slots import Slot, Slots
    from kcontroller.multicluster.standings import ClusterState, Standings
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_FLIPS: Final = "; it comes and goes, which is not said for now"

_log: Final = Log("kcontroller.multicluster")


class Reports:
    """For the fleet thread.

    Args:
        standings: where each cluster stands.
        listeners: told of those that come and go.
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, standings: Standings, listeners: Listeners, *, clock: Clock, metrics: Metrics) -> None:
        self._standings = standings
        self._listeners = listeners
        self._clock = clock
        self._metrics = metrics
        self._repeats = Repeats(clock=clock)
        self._flips = Repeats(clock=clock, more=_FLIPS)

    def listen(
        self, listener: object, view: Callable[[Cluster], Cluster], slots: Slots, *, at_once: bool = False
    ) -> None:
        """Tell a listener of every cluster from now on, and of those that are engaged."""
        hearers = self._listeners.add(listener, view, at_once=at_once)
        for slot in slots:
            if slot.incarnation is not None and slot.engagement.state is State.ENGAGED:
                self._welcome(slot.incarnation, hearers)

    def _welcome(self, incarnation: Incarnation, hearers: Iterable[Hearer]) -> None:
        for hearer in hearers:
            cluster = incarnation.told[hearer] = hearer.view(incarnation.cluster)
            self._listeners.tell(hearer, hooks.ENGAGED, cluster.name, cluster)

    def entered(self, slot: Slot, why: str) -> None:
        """It has come to another state."""
        self._standings.enter(slot.name, slot.engagement, why)
        incarnation = slot.incarnation
        if slot.engagement.state is State.ENGAGED and incarnation is not None:
            seconds = self._clock.monotonic() - incarnation.began
            self._metrics.cluster_sync_seconds.labels(slot.name).set(seconds)
            self._say_flip(slot.name, "engaged", seconds=round(seconds, 3))
            self._welcome(incarnation, self._listeners)

    def failed(self, slot: Slot, why: str, then: str) -> None:
        """Something goes wrong with it."""
        state = self._standings.failed(slot.name, why, attempts=slot.engagement.failures)
        told = self._repeats.told(why)
        say = _log.warning if told else _log.debug
        goes_on = slot.engagement.state is State.ENGAGED and slot.incarnation is not None
        what = "its new configuration does not work, the one in use goes on" if goes_on else "not engaged"
        say("%s: %s; %s", what, told or why, then, cluster=slot.name)
        if state is not None:
            self._tell_failed(replace(state, state=slot.engagement.state))

    def unusable(self, name: str, why: str, source: Source | None) -> None:
        """Its provider refuses what is there, and has said so in the log."""
        state = self._standings.refuse(name, why, source)
        if state is not None:
            self._tell_failed(state)

    def _tell_failed(self, state: ClusterState) -> None:
        for hearer in self._listeners:
            self._listeners.tell(hearer, hooks.FAILED, state.name, state)

    def overdue(self, slot: Slot) -> None:
        """Its caches do not fill, or nobody has looked at it yet."""
        if slot.incarnation is None:
            self.failed(slot, "its check waits for others to end", "it keeps its place")
            return
        troubles = slot.incarnation.cluster.troubles()
        why = next((f"{kind}: {text}" for kind, text in troubles.items()), "its first lists are under way")
        self.failed(slot, why, "its informers go on trying")

    def refused(self, slot: Slot, member: str, error: BaseException) -> None:
        """A member that came later cannot take it on."""
        why = described(error)
        self._standings.failed(slot.name, f"{member}: {why}", attempts=slot.engagement.failures)
        text = "%s cannot take it on, and will try when it is engaged anew: %s"
        _log.exception_of(error, text, member, why, cluster=slot.name)

    def adopted(self, slot: Slot) -> None:
        """Its configuration is another one."""
        self._standings.note(slot.name, last_error="", attempts=0)
        _log.info("its configuration is another one from now on", cluster=slot.name)

    def kept(self, slot: Slot) -> None:
        """The configuration in use is the one that is wished for again."""
        before = self._standings.states.get(slot.name)
        if before is not None and before.last_error:
            self._say_flip(slot.name, "the configuration in use is the one that is wanted again")
        self._standings.note(slot.name, last_error="", attempts=0)

    def relabelled(self, slot: Slot) -> None:
        """What is said of it is other."""
        spec = slot.engagement.spec
        if spec is not None:
            self._standings.note(slot.name, labels=spec.labels, source=spec.source)

    def leaves(self, incarnation: Incarnation, why: str) -> None:
        """It drains."""
        for hearer, cluster in incarnation.told.items():
            self._listeners.tell(hearer, hooks.DRAINING, cluster.name, cluster, why)

    def left(self, incarnation: Incarnation) -> None:
        """It was closed."""
        cluster = incarnation.cluster
        self._say_flip(cluster.name, f"left: {incarnation.why}")
        for hearer in incarnation.told:
            self._listeners.tell(hearer, hooks.GONE, cluster.name, cluster.name, cluster.uid)

    def _say_flip(self, cluster: str, text: str, **fields: object) -> None:
        told = self._flips.told(text, of=cluster)
        (_log.info if told else _log.debug)("%s", told or text, cluster=cluster, **fields)

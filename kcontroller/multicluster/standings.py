"""Where each cluster stands, for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from kcontroller.multicluster.actions import State

if TYPE_CHECKING:
    from datetime import datetime

    from prometheus_client import Gauge

    from kcontroller.cluster import Source
    from kcontroller.multicluster.engagement import Engagement
    from kcontroller.multicluster.first_list import FirstList
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics

_NUMBERS: Final = {state: number for number, state in enumerate(State)}
"""The values of ``kcontroller_cluster_state``."""


class ClusterState(msgspec.Struct, frozen=True):
    """Where a cluster stands.

    Attributes:
        name: the provider's.
        uid: of what stands for it; "" if the provider has none.
        state: see there.
        since: wall time at which it came there.
        why: what brought it there, where that needs words.
        last_error: what went wrong last, also of a configuration that was to take the place of the one in use; "" when
            it is over.
        attempts: how many tries have failed in a row.
        labels: what its provider says of it, as sorted pairs.
        source: the object on the hub that stands for it.
        generation: of its connection.
    """

    name: str
    uid: str
    state: State
    since: datetime
    why: str = ""
    last_error: str = ""
    attempts: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    source: Source | None = None
    generation: int = 0


class Standings:
    """Written by the fleet's thread, read by any.

    Its dictionaries are changed in place. That is safe without a lock as long as readers do nothing but get one value
    or copy the whole: each is one step of the interpreter. To iterate over them is not.

    Args:
        first: for which of them readiness waits.
        clock: the time.
        metrics: where to count.

    Attributes:
        states: by name; one that has left is not there.
        refused: what the provider cannot use, by name; a cluster of that name may still leave.
        first: for which of them readiness waits.
    """

    def __init__(self, *, first: FirstList, clock: Clock, metrics: Metrics) -> None:
        self.states: dict[str, ClusterState] = {}
        self.refused: dict[str, ClusterState] = {}
        self.first = first
        self._clock = clock
        self._metrics = metrics
        self._counts: dict[State, Gauge] = {
            state: metrics.clusters.labels(state.value) for state in State if state is not State.GONE
        }

    def enter(self, name: str, engagement: Engagement, why: str) -> None:
        """It has come to another state."""
        before, spec = self.states.get(name), engagement.spec
        if before is not None:
            self._counts[before.state].dec()
        if engagement.state is State.GONE or spec is None:
            self.states.pop(name, None)
            self.first.gone(name)
            return
        if engagement.state is State.ENGAGED:
            self.first.engaged(name)
        self._counts[engagement.state].inc()
        self._metrics.cluster_state.labels(name).set(_NUMBERS[engagement.state])
        self.states[name] = ClusterState(
            name,
            spec.uid,
            engagement.state,
            self._clock.now(),
            why,
            last_error=engagement.failure,
            attempts=engagement.failures if engagement.failure else 0,
            labels=spec.labels,
            source=spec.source,
            generation=engagement.generation,
        )

    def refuse(self, name: str, why: str, source: Source | None) -> ClusterState | None:
        """The provider cannot use what is there; returns where it stands now, None if that was known."""
        before = self.refused.get(name)
        if before is not None and (before.why, before.source) == (why, source):
            return None
        uid = "" if source is None else source.uid
        since = self._clock.now() if before is None else before.since
        state = ClusterState(name, uid, State.REFUSED, since, why, last_error=why, source=source)
        self.refused[name] = state
        self._counts[State.REFUSED].set(len(self.refused))
        return state

    def accept(self, name: str) -> None:
        """It is not refused, or not any more."""
        if self.refused.pop(name, None) is not None:
            self._counts[State.REFUSED].set(len(self.refused))

    def failed(self, name: str, why: str, *, attempts: int) -> ClusterState | None:
        """Something went wrong; returns where it stands now, None if that is nowhere."""
        self.first.failed(name)
        self._metrics.cluster_failures.labels(name).inc()
        return self.note(name, last_error=why, attempts=attempts)

    def note(self, name: str, **changes: Any) -> ClusterState | None:
        """Something about it has changed, but not its state."""
        before = self.states.get(name)
        if before is not None:
            self.states[name] = replace(before, **changes)
        return self.states.get(name)

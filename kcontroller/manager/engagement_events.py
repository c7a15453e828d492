"""Tells people with events where it can be seen: on the Project, or whatever stands for a cluster on the hub."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache, TTLCache

from kcontroller.api.objects import Object
from kcontroller.multicluster import State
from kcontroller.process.logs import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.cluster import Cluster, Source
    from kcontroller.controller.leadership import Leadership
    from kcontroller.events import Broadcaster
    from kcontroller.multicluster import ClusterState
    from kcontroller.process.clock import Clock

COMPONENT: Final = "kcontroller"
QUIET_SECONDS: Final = 1800.0
"""So long the same is not said again of a cluster: an API server keeps events for an hour."""
LOOK_SECONDS: Final = 30.0
"""Between two looks for what has not been said: it happened before this process led, or a while ago."""
FAILED: Final = "EngagementFailed"
ENGAGED: Final = "Engaged"

_SAID: Final = {
    State.ENGAGED: "its new configuration does not work, the one in use goes on",
    State.REFUSED: "it cannot be used",
}
_CLUSTERS: Final = 10_000  # What has left is not told of: the oldest make room.


class EngagementEvents:
    """A `ClusterListener`: an event when a cluster cannot be engaged, and one when it is after all.

    Every replica engages clusters; only the one that leads speaks.

    Args:
        events: sends them.
        hub: where the objects are that stand for clusters.
        leadership: whether this process leads.
        states: tells where each cluster stands.
        clock: the time.
    """

    def __init__(
        self,
        events: Broadcaster,
        hub: Cluster,
        leadership: Leadership,
        *,
        states: Callable[[], Iterable[ClusterState]],
        clock: Clock,
    ) -> None:
        self._events = events
        self._hub = hub
        self._leadership = leadership
        self._states = states
        self._lock = threading.Lock()  # The fleet's thread tells, the watchdog's looks.
        self._look_at = 0.0
        self._failed: LRUCache[tuple[str, str], int] = LRUCache(_CLUSTERS)
        self._said: TTLCache[tuple[str, str], str] = TTLCache(_CLUSTERS, QUIET_SECONDS, timer=clock.monotonic)

    def look(self, now: float) -> float:
        """Say what holds and was not said; for a `Watchdog`."""
        if now < self._look_at:  # It is called whenever another look is due.
            return self._look_at
        self._look_at = now + LOOK_SECONDS
        for state in self._states() if self._leadership.leads else ():
            if state.last_error:
                self.on_failed(state)
        return self._look_at

    def on_failed(self, state: ClusterState) -> None:
        """Say why, unless that was said a moment ago."""
        if state.source is None or not self._leadership.leads:
            return
        with self._lock:
            self._failed[state.name, state.uid] = max(state.attempts, 1)
            if self._said.get((state.name, state.uid)) == state.last_error:
                return
            self._said[state.name, state.uid] = state.last_error
        what = _SAID.get(state.state, "it cannot be engaged")
        self._tell(state.source, "Warning", FAILED, f"{what}: {redact(state.last_error)}")

    def on_engaged(self, cluster: Cluster) -> None:
        """Say that a failure is over, if one was told."""
        with self._lock:
            failures = self._failed.pop((cluster.name, cluster.uid), 0)
            self._said.pop((cluster.name, cluster.uid), None)
        if failures and cluster.source is not None:
            times = f"{failures} failures" if failures > 1 else "a failure"
            self._tell(cluster.source, "Normal", ENGAGED, f"engaged after {times}")

    def _tell(self, source: Source, type_: str, reason: str, message: str) -> None:
        metadata = {"name": source.name, "namespace": source.namespace, "uid": source.uid}
        regarding = Object({"apiVersion": source.api_version, "kind": source.kind, "metadata": metadata})
        recorder = self._events.recorder(self._hub, COMPONENT, guard=self._leadership.guard)
        recorder.event(regarding, type_, reason, message)

"""Takes events from any thread and sends them from its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.events.bodies import Names
from kcontroller.events.lane import Lane, Occurrence
from kcontroller.events.patience import Patience
from kcontroller.events.recorded import recorded
from kcontroller.events.sink import Sink
from kcontroller.events.turns import Turns
from kcontroller.process.stop import Deadline, StopToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.objects import KubeObject
    from kcontroller.events.recorded import RecordedEvent, Recorder
    from kcontroller.events.sink import Target
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup

THREADS: Final = 2
LANE_LIMIT: Final = 1000
"""Events of a cluster that wait. client-go: maxQueuedEvents."""
TOTAL_LIMIT: Final = 16_000
"""Events of all clusters that wait, shared out among them; each may have `_LEAST` in any case."""
_LEAST: Final = 16


class Broadcaster:
    """Sends events of all controllers to all clusters.

    A lane of its own keeps each cluster's events in order, on two threads for all lanes. Where a lane is full its
    oldest event makes room for the newest. What is lost is counted in ``kcontroller_events_total``.

    Args:
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._names = Names()
        self._changed = threading.Condition()
        self._lanes: dict[Target, Lane] = {}
        self._turns = Turns()
        self._patience = Patience()
        self._threads: ThreadGroup | None = None
        self._begun = False
        self._closing = False
        self._ended = False
        self._stop = StopToken(clock=clock)

    def start(self, threads: ThreadGroup) -> None:
        """Allow threads; they begin with the first event."""
        with self._changed:
            self._threads = threads
            begin = bool(self._lanes)
        if begin:
            self._begin()

    def stop(self, timeout: float) -> None:
        """Take nothing more, send what waits for at most `timeout` seconds, and end the running requests.

        Each event gets one more try, and each series its last count. The threads end soon after; whoever gave them
        joins them.
        """
        deadline = Deadline.after(timeout, clock=self._clock)
        with self._changed:
            self._closing = True
            self._turns.hurry()
            for lane in self._lanes.values():
                self._turns.wake(lane)
            self._changed.notify_all()
            while self._begun and self._busy() and not deadline.expired:
                self._clock.wait(self._changed, deadline.remaining())
            self._ended = True
            self._changed.notify_all()
        self._stop.stop("the event broadcaster is stopped")
        self._abandon_rest()

    def recorder(self, target: Target, component: str, *, guard: Callable[[], None] | None = None) -> Recorder:
        """Give the recorder of a controller in a cluster; cheap.

        `guard` is called right before each sending, and refuses it by what it raises.
        """
        return _Recorder(self, target, component, guard)

    def forget(self, target: Target) -> None:
        """Drop what waits for a cluster that has left; nothing more is taken for it."""
        with self._changed:
            lane = self._lanes.pop(target, None)
            if lane is not None:
                lane.gone = True
                if not lane.working:  # Else the thread does it that works on the lane.
                    lane.abandon()

    # ---- the recorders' side -------------------------------------------------------------------------------------

    def take(self, target: Target, event: RecordedEvent, component: str, guard: Callable[[], None] | None) -> None:
        """Keep an event; never waits."""
        occurrence = Occurrence(event, component, self._clock.now(), guard)
        with self._changed:
            # Under the lock: what is forgotten has left before, and must not come back.
            if target.leaving.stopped or self._closing:
                self._count("dropped", 1)
                return
            lane = self._lanes.get(target)
            if lane is None:
                lane = self._lanes[target] = self._lane_of(target)
            if len(lane.waiting) >= max(_LEAST, min(LANE_LIMIT, TOTAL_LIMIT // len(self._lanes))):
                lane.waiting.popleft()
                self._count("dropped", 1)
            lane.waiting.append(occurrence)
            if self._turns.wake(lane):
                self._changed.notify()
        if not self._begun:
            self._begin()

    def _lane_of(self, target: Target) -> Lane:
        sink = Sink(target, self._names, hostname=socket.gethostname(), clock=self._clock)
        return Lane(sink, clock=self._clock, count=self._count, take=self._next_of)

    def _begin(self) -> None:
        with self._changed:
            threads = self._threads
            if threads is None or self._begun or self._closing:
                return
            self._begun = True
        for number in range(THREADS):
            try:
                threads.spawn("events", str(number), self._work)
            except RuntimeError:  # The system gives no more threads; one is enough.
                self._begun = number > 0
                return

    # ---- the threads' side ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (lane := self._await_turn()) is not None:
            began, was_well = self._clock.monotonic(), not lane.failures
            due = lane.turn(self._stop, closing=self._closing)
            with self._changed:
                now = self._clock.monotonic()
                if was_well and lane.failures:
                    self._patience.spend(now - began, now)
                missed = lane.waiting and not lane.backing_off  # What came when the lane had looked for the last time.
                if missed or (self._closing and due is not None):
                    due = now
                self._turns.over(lane, due, now)
                if self._ended or lane.gone:
                    lane.abandon()
                if self._closing:
                    self._changed.notify_all()
                else:
                    self._changed.notify()  # Another thread may wait for a later moment than this lane's.
            del lane  # A waiting thread keeps nothing alive.

    def _await_turn(self) -> Lane | None:
        with self._changed:
            while not self._ended:
                now = self._clock.monotonic()
                lane = self._turns.next(now)
                if lane is not None:
                    lane.patience = self._patience.of(lane, now)
                    return lane
                self._clock.wait(self._changed, self._turns.seconds(now))
        return None

    def _next_of(self, lane: Lane) -> Occurrence | None:
        with self._changed:
            return lane.waiting.popleft() if lane.waiting else None

    def _busy(self) -> bool:
        return any(lane.queued for lane in self._lanes.values())

    def _abandon_rest(self) -> None:
        with self._changed:
            for lane in self._lanes.values():
                if not lane.working:
                    lane.abandon()

    def _count(self, result: str, number: int) -> None:
        if self._metrics is not None and number:
            self._metrics.events.labels(result).inc(number)


class _Recorder(msgspec.Struct, frozen=True):
    """One reconcile's way to the broadcaster."""

    broadcaster: Broadcaster
    target: Target
    component: str
    guard: Callable[[], None] | None

    def event(self, obj: KubeObject, type_: str, reason: str, message: str, *, action: str = "") -> None:
        """See `Recorder`."""
        event = recorded(obj, type_, reason, message, action=action)
        self.broadcaster.take(self.target, event, self.component, self.guard)

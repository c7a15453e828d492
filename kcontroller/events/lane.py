"""The events of one cluster: what waits, what is being sent, and how it goes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcontroller.errors import (
    ApiError,
    ClusterError,
    KControllerError,
    NotLeader,
    Stopped,
    TransportError,
    Treatment,
)
from kcontroller.events.correlation import FINISH_SECONDS, Correlator, Verdict
from kcontroller.process.backoff import Backoff
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kcontroller.events.correlation import Record
    from kcontroller.events.recorded import RecordedEvent
    from kcontroller.events.sink import Sink
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken

REQUEST_SECONDS: Final = 5.0
"""How long one try may take at most, waits that the server asks for included."""
TRIES: Final = 4
BACKOFF: Final = Backoff(initial=0.5, cap=30.0, jitter=0.5)
_FADING: Final = 0.9
"""What is left, with each answer, of the time that a slower one took before."""
_BATCH: Final = 100
"""Events of a turn, of which at most one costs a request."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event that waits.

    Attributes:
        event: what was recorded.
        component: the controller that did.
        at: when.
        guard: may refuse the write.
    """

    event: RecordedEvent
    component: str
    at: datetime
    guard: Callable[[], None] | None


@dataclass(slots=True)
class _Sending:
    """A record on its way; `result` is what it counts for when it arrives, "" where nothing waits to be counted."""

    record: Record
    guard: Callable[[], None] | None
    result: str = "sent"
    tries: int = 0


class Lane:
    """One cluster's events; `waiting` and the fields of the schedule are under the broadcaster's lock.

    Attributes:
        waiting: what was recorded and not looked at.
        queued: it has or awaits a turn; see `Turns`.
        ticket: of its moment in the schedule.
        working: a thread has its turn.
        backing_off: it waits after a failure, whatever comes.
        failures: tries in a row that failed.
        patience: seconds that its next try may take.
        answered_in: seconds that a recent answer took, of the slower ones.
        gone: its cluster has left.

    Args:
        sink: sends.
        clock: the time.
        count: told of a result and how often.
        take: pops from `waiting` under the lock.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        clock: Clock,
        count: Callable[[str, int], None],
        take: Callable[[Lane], Occurrence | None],
    ) -> None:
        self.waiting: deque[Occurrence] = deque()
        self.queued = False
        self.ticket = 0
        self.working = False
        self.backing_off = False
        self.failures = 0
        self.patience = REQUEST_SECONDS
        self.answered_in = 0.0
        self.gone = False
        self._sink = sink
        self._clock = clock
        self._count = count
        self._take = take
        self._correlator = Correlator()
        self._sendings: deque[_Sending] = deque()
        self._guards: dict[str, Callable[[], None] | None] = {}
        self._swept_at = clock.monotonic()
        self._pause = 0.0

    def turn(self, stop: StopToken, *, closing: bool = False) -> float | None:
        """Work for a moment: at most one request.

        Args:
            stop: ends the request.
            closing: this is the end: try once, and tell of every count.

        Returns:
            When it wants its next turn; None if it needs none until an event comes.
        """
        self.backing_off = False
        self._sweep(closing=closing)
        for _ in range(_BATCH):
            if not self._sendings:
                occurrence = self._take(self)
                if occurrence is None:
                    break
                self._look_at(occurrence)
            if self._sendings:
                return self._attempt(self._sendings[0], stop, closing=closing)
        else:
            return self._clock.monotonic()
        return self._swept_at + FINISH_SECONDS if self._correlator.remembered else None

    def abandon(self) -> None:
        """Drop what waits, and count it; under the broadcaster's lock, while nobody works on the lane."""
        lost = len(self.waiting) + sum(1 for each in self._sendings if each.result)
        self.waiting.clear()
        self._sendings.clear()
        self._count("dropped", lost)

    def _sweep(self, *, closing: bool) -> None:
        now = self._clock.monotonic()
        ending = closing and not self.waiting and not self._sendings
        if not ending and now - self._swept_at < FINISH_SECONDS:
            return
        self._swept_at = now
        for record in self._correlator.sweep(now=now, series=self._sink.series, ending=ending):
            self._sendings.append(_Sending(record, self._guards.get(record.component), result=""))

    def _look_at(self, occurrence: Occurrence) -> None:
        component = occurrence.component
        self._guards[component] = occurrence.guard
        verdict, record = self._correlator.observe(
            occurrence.event, component, at=occurrence.at, now=self._clock.monotonic(), series=self._sink.series
        )
        if verdict is Verdict.FILTERED:
            self._count("filtered", 1)
        elif verdict is Verdict.COUNTED or record is None:
            self._count("aggregated", 1)
        else:
            self._sendings.append(_Sending(record, occurrence.guard))

    def _attempt(self, sending: _Sending, stop: StopToken, *, closing: bool) -> float | None:
        record, count = sending.record, sending.record.count
        began = self._clock.monotonic()
        deadline = Deadline.after(self.patience, clock=self._clock)
        sending.tries += 1
        try:
            with stop.child(deadline=deadline) as token:
                result = self._sink.send(record, stop=token, deadline=deadline, guard=sending.guard)
            self._answered(began)
        except NotLeader:
            result = "dropped"
        except (KControllerError, ValueError) as error:
            result = "dropped" if stop.stopped else self._failed(sending, error, began, closing=closing)
        if result:
            self._settle(sending, result, count)
        self.backing_off = self.failures > 0 and not closing
        return self._clock.monotonic() + (self._pause if self.backing_off else 0.0)

    def _answered(self, began: float) -> None:
        self.failures = 0
        self.answered_in = max(self._clock.monotonic() - began, self.answered_in * _FADING)

    def _failed(self, sending: _Sending, error: Exception, began: float, *, closing: bool) -> str:
        """Choose the result; "" for another try."""
        if not _may_pass(error):
            self._answered(began)  # The cluster is well.
        else:
            self.failures += 1
            self._pause = max(BACKOFF.delay(self.failures), _asked_for(error))
            if sending.tries < TRIES and not closing:
                return ""
        self._sink.complain(error)
        return "failed"

    def _settle(self, sending: _Sending, result: str, count: int) -> None:
        self._sendings.popleft()
        record = sending.record
        if result == "sent":
            self._correlator.told(record, count, now=self._clock.monotonic())
        elif not record.told:
            self._correlator.forget(record)
        if sending.result:
            self._count(result, 1)


def _may_pass(error: Exception) -> bool:
    """Whether the same write may succeed later."""
    if isinstance(error, ApiError):
        return error.treatment in {Treatment.RETRY, Treatment.REAUTHENTICATE}
    return isinstance(error, TransportError | ClusterError | Stopped)


def _asked_for(error: Exception) -> float:
    seconds = error.retry_after if isinstance(error, ApiError) else None
    return min(seconds or 0.0, BACKOFF.cap)

"""The circuit breaker of a cluster: whether its server answers, and who is kept from asking while it does not.

A server that is away costs each who asks it a connection, a time-out and a worker. So after `FAILURES` failures in a
row nobody asks: requests are refused at once with `ClusterUnavailable`, and the queues hold the cluster back. Once a
backoff step a probe goes out from the cluster's own thread. Its answer lets the requests on again, on probation: the
next success closes the breaker, a failure opens it for another step.

What counts is what says something of the server: no connection, no answer in time, and an answer of 5xx if a probe
fails as well: one object, or one kind, that the server cannot serve is no dead server. A 4xx is an answer like any
other; a 429, or a 503 with Retry-After, says neither. Nor does what failed in this process, was stopped, or was given
less than `OWN_SECONDS`. A list or watch counts only while no other one stands. ADR 0029 has the reasons.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.cluster.circuit import CLOSED, FAILURES, HALF_OPEN, OPEN, Circuit
from kcontroller.errors import ClusterUnavailable, RequestTimeout, TransportError
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from kcontroller.cache.feed import Closable, Feed, Stoppable
    from kcontroller.client.discovery import Sender
    from kcontroller.cluster.circuit import State
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.repeats import Repeats
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.messages import HttpRequest, HttpResponse

PROBE_SECONDS: Final = 10.0
OWN_SECONDS: Final = 1.0
"""A request that was given less time says nothing when it runs out."""

BREAKER: Final = "breaker"
"""Holds a cluster's requests back in the queue; see `WorkQueue.pause`."""

_TOO_MANY: Final = 429
SERVER_ERROR: Final = 500
_OVERLOADED: Final = 503

_log: Final = Log("kcontroller.cluster")


class Breaker:
    """The circuit breaker of one cluster; any thread.

    Args:
        cluster: its name.
        feed: its loop, on whose thread the probes are sent.
        target: what to ask the server, by the number of the probe.
        clock: the time.
        repeats: shared with other clusters, which may meet the same dead server.
        metrics: where to count.

    Attributes:
        circuit: its rules; another one takes its place at a `reset`.
        opened_at: wall time at which it was opened; None while it is closed.
    """

    def __init__(
        self,
        cluster: str,
        *,
        feed: Feed,
        target: Callable[[int], str],
        clock: Clock,
        repeats: Repeats | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._cluster = cluster
        self._feed = feed
        self._target = target
        self._clock = clock
        self._repeats = repeats
        self._metrics = metrics
        self._lock = threading.Lock()
        self._why = ""
        self._said = False
        self._ended = False
        self._hearers: tuple[_Hearer, ...] = ()
        self.circuit = Circuit()
        self.opened_at: datetime | None = None
        # Of the loop's thread:
        self._timer: Stoppable | None = None
        self._probe: Closable | None = None
        self._probes = 0

    @property
    def state(self) -> State:
        """Whether requests may go."""
        return self.circuit.state

    @property
    def in_doubt(self) -> bool:
        """Whether requests may go although the server may be away: on probation, or after two failures in a row."""
        return self.circuit.in_doubt

    @property
    def failures(self) -> int:
        """How many requests and streams have failed in a row."""
        return self.circuit.failures

    @property
    def trouble(self) -> str:
        """Why it is not closed, in words; "" while it is."""
        return "" if self.state is CLOSED else f"the circuit breaker is {self.state}: {self._why}"

    def subscribe(self, hear: Callable[[], None], *, doubts: bool = False) -> Callable[[], None]:
        """Have every change of `state` told, on any thread; returns how to end that.

        Args:
            hear: must not block, and looks itself: two changes in a row may be told in any order.
            doubts: whether to tell of every change of `in_doubt`, too.
        """
        hearer = _Hearer(hear, doubts)
        with self._lock:
            self._hearers += (hearer,)

        def leave() -> None:
            with self._lock:
                self._hearers = tuple(each for each in self._hearers if each is not hearer)

        return leave

    def unavailable(self) -> ClusterUnavailable:
        """What to raise instead of sending a request while it is open."""
        where = f"cluster {self._cluster}" if self._cluster else "the cluster"
        seconds = max(0.0, self.circuit.retry_at - self._clock.monotonic())
        return ClusterUnavailable(f"{where} is unavailable, nothing was sent; {self.trouble}", retry_after=seconds)

    def answered(self, status: int, *, waits: bool, stands: bool = False) -> None:
        """The server answered a request or a stream.

        Args:
            status: with that.
            waits: whether it said when to come again.
            stands: whether another stream of the cluster is answered, and goes on.
        """
        if _says_neither(status, waits=waits):
            return
        if why := _complaint(status):
            if not stands:
                self._note(Circuit.refused, why)
        elif self.circuit.watchful:
            self._note(Circuit.succeeded)

    def unanswered(self, error: TransportError, *, stands: bool = False) -> None:
        """A request or a stream got no answer; see `answered`."""
        # On probation any failure counts.
        if not error.ours and (not stands or self.circuit.state is HALF_OPEN):
            self._note(Circuit.failed, str(error))

    def reset(self) -> None:
        """Begin anew: the cluster is reached in another way from now on."""
        with self._lock:
            before, self.circuit = self.circuit.state, Circuit()
            self._enter(before)
        self._say(before, CLOSED)
        self._tell(state=before is not CLOSED, doubts=True)

    def end(self) -> None:
        """Tell and count nothing more: the cluster has ended."""
        with self._lock:
            self._ended, self._hearers = True, ()
            self._count(self.circuit.state, -1)

    def _note(self, step: Callable[[Circuit, float], None], why: str = "") -> None:
        with self._lock:
            if self._ended:
                return
            before, doubted = self.circuit.state, self.circuit.in_doubt
            step(self.circuit, self._clock.monotonic())
            after, doubts = self.circuit.state, self.circuit.in_doubt
            if after is OPEN and before is not OPEN:
                row = f"{FAILURES} failures in a row, the last" if before is CLOSED else "the server failed again"
                self._why = f"{row}: {why}"
            self._enter(before)
        self._say(before, after)
        if (after, doubts) != (before, doubted) and (doubts or after is OPEN):
            self._feed.call(self._set_timer)
        self._tell(state=after is not before, doubts=doubts is not doubted)

    def _enter(self, before: State) -> None:
        after = self.circuit.state
        if after is before:
            return
        if after is CLOSED:
            self.opened_at = None
        elif before is CLOSED:
            self.opened_at = self._clock.now()
        self._count(before, -1)
        self._count(after, 1)

    def _count(self, state: State, step: int) -> None:
        if self._metrics is not None and state is not CLOSED:
            self._metrics.cluster_breakers.labels(state).inc(step)

    def _say(self, before: State, after: State) -> None:
        if after is before:
            return
        if before is CLOSED:
            text = f"the circuit breaker is open: {self._why}"
            told = text if self._repeats is None else self._repeats.told(text)
            self._said = bool(told)
            say = _log.warning if told else _log.debug
            say("%s; requests wait until the server answers", told or text, cluster=self._cluster)
        elif after is CLOSED:
            say = _log.info if self._said else _log.debug
            say("the circuit breaker is closed: the server answers", cluster=self._cluster)

    def _tell(self, *, state: bool, doubts: bool) -> None:
        for hearer in self._hearers if state or doubts else ():
            if state or hearer.doubts:
                hearer.hear()

    # ---- on the loop's thread ------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        seconds = self.circuit.retry_at - self._clock.monotonic()
        self._timer = self._feed.call_later(max(0.0, seconds), self._send_probe)

    def _send_probe(self) -> None:
        self._timer = None
        if self.circuit.asks and self._probe is None:
            self._probes += 1
            target = self._target(self._probes)
            # How it ends is heard as of any stream.
            self._probe = self._feed.open(target, _Probe(self._probed), timeout=PROBE_SECONDS)

    def _probed(self, why: str | None) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close()
        self._note(partial(Circuit.probed, well=None if why is None else not why), why or "")
        if self.circuit.asks:
            self._set_timer()


class _Hearer(msgspec.Struct, frozen=True, eq=False):
    hear: Callable[[], None]
    doubts: bool


class _Probe:
    """The receiver of a probe; tells why it failed, "" if it did not, None if that says nothing."""

    def __init__(self, ended: Callable[[str | None], None]) -> None:
        self._ended = ended

    def on_response(self, status: int, headers: Mapping[str, str]) -> None:
        self._ended(None if _says_neither(status, waits="retry-after" in headers) else _complaint(status))

    def on_data(self, chunk: bytes) -> None:
        """It is closed by then."""

    def on_end(self, error: TransportError | None) -> None:
        self._ended(None if error is None or error.ours else str(error))


def _says_neither(status: int, *, waits: bool) -> bool:
    return status == _TOO_MANY or (status == _OVERLOADED and waits)


def _complaint(status: int) -> str:
    return f"the server answered {status}" if status >= SERVER_ERROR else ""


class GuardedSender(msgspec.Struct, frozen=True):
    """A `Sender` behind a breaker, which hears how the requests end.

    Attributes:
        sender: sends the requests.
        breaker: the cluster's.
    """

    sender: Sender
    breaker: Breaker

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = 30.0,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send a request and wait for its answer; see `Requester.send`.

        Raises:
            ClusterUnavailable: the breaker is open; nothing was sent.
        """
        breaker = self.breaker
        circuit = breaker.circuit
        if circuit.state is OPEN:
            raise breaker.unavailable()
        try:
            answer = self.sender.send(request, timeout=timeout, stop=stop, guard=guard)
        except TransportError as error:
            if timeout >= OWN_SECONDS or not isinstance(error, RequestTimeout):
                breaker.unanswered(error)
            raise
        if answer.status >= SERVER_ERROR or circuit.failures or circuit.state is not CLOSED:
            breaker.answered(answer.status, waits=answer.retry_after is not None)
        return answer

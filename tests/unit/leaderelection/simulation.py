"""Candidates with real decision code, and a server and a network made of events: true time is a number.

What happens here to candidates: requests and answers that are late or lost (a write may arrive long after its sender
gave up), one at a time or all for a while, in one direction or both; pauses, before a request leaves and after; wall
clocks that are wrong by an hour, clocks that run at another rate; ends, starts (with the old identity too), leases
given back; and two processes that were given the same identity.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kcontroller.leaderelection.decision import Decision, Look, Lost, Wait, Write
from kcontroller.leaderelection.record import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.leaderelection.options import LeaderElection

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SKEW = 3600.0
TWIN = "twin"


@dataclass(frozen=True)
class Weather:
    """What goes wrong.

    Attributes:
        loss: probability that a request, and again that an answer, is lost.
        late: probability that one of them takes up to `latest` seconds.
        cut: probability, per step, that all requests or answers of the process are lost for up to `longest` seconds.
        pause: probability, per step, that the process stands still for up to `longest` seconds.
        end: probability, per step, that it is killed.
        release: probability, per step, that it gives the lease back and ends.
        drift: greatest deviation of a clock's rate.
    """

    loss: float = 0.0
    late: float = 0.0
    latest: float = 0.0
    cut: float = 0.0
    pause: float = 0.0
    longest: float = 0.0
    end: float = 0.0
    release: float = 0.0
    drift: float = 0.05


STORM = Weather(loss=0.05, late=0.15, latest=20.0, cut=0.02, pause=0.02, longest=40.0, end=0.005, release=0.005)
CALM = Weather()


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass
class Server:
    """One Lease with optimistic concurrency; every successful write is checked against the one before."""

    lease: dict[str, Any] | None = None
    version: int = 0
    takeovers: int = 0

    def read(self) -> Lease | None:
        return None if self.lease is None else Lease.of(self.lease)

    def write(self, wanted: Lease, *, create: bool) -> Lease | None:
        """The new Lease; None for a conflict."""
        if create != (self.lease is None):
            return None
        before = self.read()
        if before is not None and wanted.version != before.version:
            return None
        self._check_transitions(before, wanted)
        if before is not None and wanted.same_content(before):
            return before  # As the real server: a write that changes nothing makes no version.
        self.version += 1
        metadata = {**wanted.document["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**wanted.document, "metadata": metadata}
        return Lease.of(self.lease)

    def _check_transitions(self, before: Lease | None, wanted: Lease) -> None:
        # A takeover is a new time of acquisition under a holder; giving back stamps that time too.
        def taken(lease: Lease) -> Any:
            return lease.document["spec"].get("acquireTime")

        took = before is not None and wanted.holder != "" and taken(wanted) != taken(before)
        expected = 0 if before is None else before.transitions + took
        if wanted.transitions != expected:
            msg = f"transitions went to {wanted.transitions}, not {expected}"
            raise Violation(msg)
        self.takeovers += took


@dataclass(eq=False)
class Process:
    """One candidate: its clocks, and whether it is alive."""

    name: str
    decision: Decision
    rate: float
    offset: float
    skew: float
    alive: bool = True
    awake_at: float = 0.0
    mute_until: float = 0.0
    deaf_until: float = 0.0
    ready_at: float = 0.0

    def elapsed(self, true: float) -> float:
        return self.offset + self.rate * true

    def wall(self, true: float) -> datetime:
        return EPOCH + timedelta(seconds=true + self.skew)

    def true(self, seconds: float) -> float:
        """How long so many of its seconds take."""
        return seconds / self.rate

    def guard_passes(self, true: float) -> bool:
        return self.alive and self.decision.holds(self.elapsed(true))


@dataclass
class World:
    """Runs `candidates` processes; raises `Violation`.

    Attributes:
        steps: decisions taken and messages delivered.
        elections: how often a candidate began to lead.
    """

    options: LeaderElection
    seed: int
    candidates: int = 4
    make: Callable[..., Decision] = Decision
    weather: Weather = STORM
    now: float = 0.0
    steps: int = 0
    elections: int = 0
    server: Server = field(default_factory=Server)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        names = (TWIN, TWIN, *(f"p{number}" for number in range(2, self.candidates)))
        self.processes = [self._new(name) for name in names]

    # ---- running -------------------------------------------------------------------------------------------------

    def run(self, *, steps: int = 0, until: float = float("inf")) -> None:
        """Let things happen until there were so many more steps, or until a moment."""
        end = self.steps + steps if steps else float("inf")
        while self.steps < end and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        if until < float("inf"):
            self.now = until

    def leaders(self) -> list[str]:
        return [each.name for each in self.processes if each.guard_passes(self.now)]

    def calm_down(self) -> None:
        """Let nothing go wrong from now on; clocks keep their rates, and what is under way arrives when it does."""
        self.weather = replace(CALM, drift=self.weather.drift)
        for process in self.processes:
            process.awake_at = process.mute_until = process.deaf_until = self.now

    def _at(self, true: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (true, next(self._order), event))

    # ---- processes -----------------------------------------------------------------------------------------------

    def _new(self, name: str) -> Process:
        rng, number = self.rng, next(self._numbers)
        # Some come back under their old name, as the pods of a StatefulSet do.
        identity = name if name == TWIN or rng.random() < 0.5 else f"{name}-{number}"
        drift = self.weather.drift
        process = Process(
            name,
            self.make(self.options, identity, rng=random.Random(rng.random())),  # noqa: S311 - as above
            rate=rng.choice([1 - drift, 1 + drift, rng.uniform(1 - drift, 1 + drift)]),
            offset=rng.uniform(0, 1e5),
            skew=rng.uniform(-SKEW, SKEW),
            ready_at=self.now + rng.choice([0.0, 0.0, 0.0, rng.uniform(0, 40.0)]),
        )
        self._at(self.now + rng.random(), lambda: self._turn(process))
        return process

    def _end(self, process: Process) -> None:
        process.alive = False
        index = self.processes.index(process)

        def restart() -> None:
            self.processes[index] = self._new(process.name)

        self._at(self.now + self.rng.uniform(0.1, 5.0), restart)

    def _when_awake(self, process: Process, event: Callable[[], None]) -> None:
        """Let a process do something, now or after its pause."""

        def try_it() -> None:
            if not process.alive:
                return
            if process.awake_at > self.now:
                # In slices, since a calm may end the pause.
                self._at(min(process.awake_at, self.now + 1.0), try_it)
            else:
                event()

        try_it()

    def _maybe_pause(self, process: Process) -> None:
        rng = self.rng
        if rng.random() < self.weather.pause:
            process.awake_at = self.now + rng.uniform(0, self.weather.longest)
            process.skew = rng.choice([process.skew, rng.uniform(-SKEW, SKEW)])

    def _maybe_cut(self, process: Process) -> None:
        rng = self.rng
        if rng.random() < self.weather.cut:
            until = self.now + rng.uniform(0, self.weather.longest)
            process.mute_until, process.deaf_until = rng.choice([(until, until), (until, 0.0), (0.0, until)])

    def _turn(self, process: Process) -> None:
        self._when_awake(process, lambda: self._step(process))

    def _step(self, process: Process) -> None:
        self.steps += 1
        drawn = self.rng.random()
        if drawn < self.weather.end:
            self._end(process)
            return
        if drawn < self.weather.end + self.weather.release and process.decision.leading:
            self._release(process)
            return
        step = process.decision.step(
            process.elapsed(self.now), process.wall(self.now), ready=self.now >= process.ready_at
        )
        if isinstance(step, Lost):
            self._end(process)
        elif isinstance(step, Wait):
            self._at(self.now + process.true(step.seconds), lambda: self._turn(process))
        else:
            self._maybe_cut(process)
            self._maybe_pause(process)
            sent = process.elapsed(self.now)
            self._when_awake(process, lambda: self._send(process, step, sent))

    # ---- requests ------------------------------------------------------------------------------------------------

    def _delay(self, cut_until: float = 0.0) -> float | None:
        """Seconds that a message takes; None if it is lost."""
        rng, weather = self.rng, self.weather
        if self.now < cut_until or rng.random() < weather.loss:
            return None
        if rng.random() < weather.late:
            return rng.uniform(0, rng.choice([weather.latest / 20, weather.latest / 4, weather.latest]))
        return 0.01

    def _send(self, process: Process, step: Look | Write, sent: float) -> None:
        decision = process.decision
        open_ = [True]

        def finish(tell: Callable[[float], None]) -> None:
            """Whatever comes first: the answer or the time-out."""

            def told() -> None:
                if open_:
                    open_.clear()
                    before = decision.leading
                    tell(process.elapsed(self.now))
                    self.elections += decision.leading and not before
                    self._check_leaders()
                    self._turn(process)

            self._when_awake(process, told)

        def arrive() -> None:
            self.steps += 1
            tell = self._serve(decision, step, sent)
            delay = self._delay(process.deaf_until)
            if delay is not None:
                self._at(self.now + delay, lambda: finish(tell))

        delay = self._delay(process.mute_until)
        if delay is not None:
            self._at(self.now + delay, arrive)
        self._maybe_pause(process)
        self._at(self.now + process.true(step.timeout), lambda: finish(decision.failed))

    def _serve(self, decision: Decision, step: Look | Write, sent: float) -> Callable[[float], None]:
        if isinstance(step, Look):
            found = self.server.read()
            return lambda now: decision.looked(found, now)
        stored = self.server.write(step.lease, create=step.create)
        if stored is None:
            return decision.refused
        return lambda now: decision.written(stored, sent=sent, now=now)

    def _release(self, process: Process) -> None:
        """Give the lease back as the elector does: lead no longer, read, write; then end."""
        process.decision.resign()
        found, wall = self.server.read(), process.wall(self.now)
        given = None if found is None else process.decision.returned(found, wall)
        delay = self._delay()
        if given is not None and delay is not None:
            self._at(self.now + delay, lambda: self._given(given))
        self._end(process)

    def _given(self, lease: Lease) -> None:
        self.steps += 1
        self.server.write(lease, create=False)

    # ---- invariants ----------------------------------------------------------------------------------------------

    def _check_leaders(self) -> None:
        # A guard begins to pass only when an answer is told, so that this sees every overlap.
        leaders = self.leaders()
        if len(leaders) > 1:
            msg = f"at {self.now:.3f} s {' and '.join(leaders)} lead, after {self.steps} steps of seed {self.seed}"
            raise Violation(msg)

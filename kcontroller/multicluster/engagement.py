"""How one cluster joins and leaves: a step machine without I/O.

::

    discovered -> connecting -> syncing -> engaged -> draining -> gone
         ^____________ a failure, with backoff ___________|

A provider says what it wishes (`present`, `absent`); the newest wish counts and is acted on as soon as what is there
has gone. Each connection is a *generation*: whatever is told of an older one changes nothing. Nothing waits for ever:
a connection that comes too late is closed when it comes, and a draining cluster is closed when its time is over.

Another configuration of an engaged cluster is proved beside the one in use and takes its place only then; the cluster
stays engaged all the while (ADR 0028). Another uid is another cluster, and so is what the proof finds to be one: the
old one leaves before it comes.
"""

from __future__ import annotations

import math
from dataclasses import replace
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
from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    import random

    from kcontroller.multicluster.provider import ClusterSpec

DRAIN_SECONDS: Final = 10.0
"""How long a cluster that leaves waits for its reconciles, whose tokens have stopped."""

ENGAGEMENT: Final = Backoff(initial=0.5, cap=30.0, jitter=0.5)
"""Between the tries to engage a cluster."""

SYNC_SECONDS: Final = 30.0
"""How long the caches of a cluster may fill before that is called a failure; its informers go on trying.

Also how long its check may wait for its turn, likewise.
"""

CHECK_SECONDS: Final = 10.0
"""How long a check may take; see `ClusterSpec.check`."""

TRIAL_SECONDS: Final = 60.0
"""How long the trial of a configuration may take, with its check."""

PATIENCE_SECONDS: Final = 5.0
"""How much longer an answer is waited for: who does not heed a token that is stopped has failed then."""

STABLE_SECONDS: Final = ENGAGEMENT.cap
"""A cluster that was engaged for so long begins with the shortest backoff when it fails."""


class Engagement:
    """The steps of one cluster name.

    Each method takes an event and the time (`now`, monotonic seconds) and returns what is to be done, in this order.

    Args:
        backoff: between tries.
        rng: spreads them; for tests.

    Attributes:
        state: where it stands.
        spec: what is connected, or is tried next.
        due: when `tick` must be called; infinite if nothing but an event can go on.
        retry_at: what was tried has failed and is not tried again before; also if it leaves and comes back meanwhile.
        generation: of the connection.
        failures: how many tries have failed in a row.
        failure: what went wrong in the last of them; "" when that is over.
    """

    def __init__(self, *, backoff: Backoff = ENGAGEMENT, rng: random.Random | None = None) -> None:
        self.state = State.GONE
        self.spec: ClusterSpec | None = None
        self.due = math.inf
        self.retry_at = -math.inf
        self._backoff = backoff
        self._rng = rng
        self.generation = 0
        self.failures = 0
        self.failure = ""
        self._wish: ClusterSpec | None = None
        self._asked: ClusterSpec | None = None  # What the connection was made of, or is being made.
        self._trial = 0
        self._seconds = 0.0  # For what has begun; 0 while it waits for its turn.
        self._generations = 0
        self._why = ""
        self._engaged_at = math.inf

    # ---- the provider's wishes -----------------------------------------------------------------------------------

    def present(self, spec: ClusterSpec, now: float) -> list[Action]:
        """The cluster is there; the same again changes nothing, and what does not belong to its identity little."""
        if self._wish is not None and spec.identity == self._wish.identity:
            self._wish = spec
            return self._describe(spec)
        self._wish = spec
        match self.state:
            case State.ENGAGED if _goes_on(self.spec, spec) and self.spec is not None:
                return [*self._describe(spec), *self._exchange(self.spec, spec)]
            case State.SYNCING | State.ENGAGED:
                return self._drain(_difference(self.spec, spec), now)
            case State.DRAINING:
                return []
            case _:  # Nothing is there; a connection that is under way belongs to an older generation from now on.
                return self._begin(now)

    def absent(self, why: str, now: float) -> list[Action]:
        """The cluster is gone or not ready."""
        if self._wish is None:
            return []
        self._wish = None
        match self.state:
            case State.SYNCING | State.ENGAGED:
                return self._drain(why, now)
            case State.DRAINING:
                return []
            case _:
                self._why = why
                return self._end()

    # ---- what became of the actions ------------------------------------------------------------------------------

    def begun(self, generation: int, seconds: float, now: float) -> list[Action]:
        """What a `Connect` or `Prove` asks of others has begun: without an answer in so many seconds it has failed."""
        if generation == self._question:
            self._seconds = seconds + PATIENCE_SECONDS
            self.due = now + self._seconds
        return []

    def connected(self, generation: int, now: float) -> list[Action]:
        """The cluster is made, and its thread runs."""
        if generation != self.generation:
            return [Close(generation)]
        announce = self._enter(State.SYNCING)
        self.due = now + SYNC_SECONDS
        described = [] if self.spec is None or self.spec == self._asked else [Relabel(self.spec)]
        return [announce, *described, Engage(generation)]

    def synced(self, generation: int, now: float) -> list[Action]:
        """Every member has its first objects."""
        if generation != self.generation or self.state is not State.SYNCING:
            return []
        self._engaged_at, self.failure = now, ""
        return [self._enter(State.ENGAGED)]

    def proved(self, generation: int, now: float) -> list[Action]:  # noqa: ARG002 - as all events
        """The configuration of a `Prove` works, and leads to the same cluster."""
        if generation != self._trial or self._wish is None:
            return []
        self._end_trial()
        self.failures, self.failure = 0, ""
        self.spec = self._wish
        return [Adopt(self.spec)]

    def another(self, generation: int, now: float) -> list[Action]:
        """The configuration of a `Prove` works, and leads to what is not, or cannot be known to be, the same cluster.

        Nothing that is known of this one holds there: a purge of the queue tells no deletions.
        """
        if generation != self._trial or self._wish is None:
            return []
        return self._drain("its new configuration leads to another cluster", now)

    def failed(self, generation: int, why: str, now: float) -> list[Action]:
        """It could not be made, a member did not take it, or its thread has died: all of it is undone.

        Of a `Prove`: it does not work, and what is in use goes on.
        """
        if generation == self._trial:
            seconds = self._count_failure(why)
            self._end_trial(retry_at=now + seconds)
            return [Failed(why, seconds)]
        if generation != self.generation:
            return []
        match self.state:
            case State.CONNECTING:
                return [self._fail(why, now), *self._begin(now)]
            case State.SYNCING | State.ENGAGED:
                return [self._fail(why, now), *self._drain(why, now)]
            case _:
                return []

    def idle(self, generation: int, now: float) -> list[Action]:
        """Nothing works on it any more."""
        if generation != self.generation or self.state is not State.DRAINING:
            return []
        return self._close(now)

    def tick(self, now: float) -> list[Action]:
        """Look at the time."""
        if now < self.due:
            return []
        match self.state:
            case State.DRAINING:
                return self._close(now)
            case State.CONNECTING | State.ENGAGED if self._seconds:
                return self.failed(self._question, f"there was no answer in {self._seconds:g} s", now)
            case State.CONNECTING | State.SYNCING:
                self.due = math.inf
                return [Overdue()]
            case State.ENGAGED:
                return self._prove()
            case _:
                return self._begin(now)

    # ---- steps ---------------------------------------------------------------------------------------------------

    def _describe(self, spec: ClusterSpec) -> list[Action]:
        """Take on what does not belong to the identity."""
        if self.spec is None or not _goes_on(self.spec, spec):
            return []
        described = replace(spec, config=self.spec.config)
        if described == self.spec:
            return []
        self.spec = described
        return [Relabel(described)] if self.state in {State.SYNCING, State.ENGAGED} else []

    def _exchange(self, used: ClusterSpec, wanted: ClusterSpec) -> list[Action]:
        self._end_trial()
        self.failures, self.failure = 0, ""
        return [Keep()] if used.identity == wanted.identity else self._prove()

    def _prove(self) -> list[Action]:
        assert self._wish is not None  # noqa: S101 - an engaged cluster is wished for
        self._end_trial()
        self._trial = self._next()
        return [Prove(self._trial, self._wish)]

    def _end_trial(self, *, retry_at: float = math.inf) -> None:
        self._trial, self._seconds, self.due = 0, 0.0, retry_at

    @property
    def _question(self) -> int:
        """The generation of what others are asked now."""
        return self.generation if self.state is State.CONNECTING else self._trial

    def _begin(self, now: float) -> list[Action]:
        assert self._wish is not None  # noqa: S101 - every caller has one
        if self.spec is None or self._wish.identity != self.spec.identity:
            self.failures, self.failure, self.retry_at = 0, "", -math.inf
        self.spec = self._wish
        self.generation = self._next()
        if now < self.retry_at:
            announce = self._enter(State.DISCOVERED, self.failure)
            self.due = self.retry_at
            return [announce]
        self._asked = self.spec
        announce = self._enter(State.CONNECTING)
        self.due = now + SYNC_SECONDS
        return [announce, Connect(self.generation, self.spec)]

    def _drain(self, why: str, now: float) -> list[Action]:
        self._why = why
        announce = self._enter(State.DRAINING, why)
        self.due = now + DRAIN_SECONDS
        return [announce, Drain(self.generation, why)]

    def _close(self, now: float) -> list[Action]:
        close = Close(self.generation)
        return [close, *self._end(), *(() if self._wish is None else self._begin(now))]

    def _end(self) -> list[Action]:
        self.generation = self._next()
        return [self._enter(State.GONE, self._why)]

    def _next(self) -> int:
        self._generations += 1
        return self._generations

    def _fail(self, why: str, now: float) -> Failed:
        if self.state is State.ENGAGED and now - self._engaged_at >= STABLE_SECONDS:
            self.failures = 0
        self._why = why
        seconds = self._count_failure(why)
        self.retry_at = now + seconds
        return Failed(why, seconds)

    def _count_failure(self, why: str) -> float:
        self.failure = why
        self.failures += 1
        return self._backoff.delay(self.failures, rng=self._rng)

    def _enter(self, state: State, why: str = "") -> Announce:
        self.state = state
        self._end_trial()
        return Announce(state, why)


def _goes_on(old: ClusterSpec | None, new: ClusterSpec) -> bool:
    """Whether both are the same cluster with the same in memory, however it is reached."""
    return old is not None and (old.uid, old.namespaces) == (new.uid, new.namespaces)


def _difference(old: ClusterSpec | None, new: ClusterSpec) -> str:
    if old is not None and old.uid != new.uid:
        return "it was replaced by one with another uid"
    if old is not None and old.namespaces != new.namespaces:
        return "it was replaced by one with other namespaces"
    return "it was replaced by one with another configuration"

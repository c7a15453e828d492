"""How one cluster joins and leaves: a step machine without I/O.

::

    discovered -> connecting -> syncing -> engaged -> draining -> gone
         ^____________ a failure, with backoff ___________|

A provider says what it wishes (`present`, `absent`); the newest wish counts and is acted on as soon as what is there
has gone. Each connection is a *generation*: whatever is told of an older one changes nothing. Nothing waits for ever:
a connection that comes too late is closed when it comes, and a draining cluster is closed when its time is over.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    import random

    from kcontroller.multicluster.provider import ClusterSpec

DRAIN_SECONDS: Final = 10.0
"""How long a cluster that leaves waits for its reconciles, whose tokens have stopped."""

ENGAGEMENT: Final = Backoff(initial=0.5, cap=30.0, jitter=0.5)
"""Between the tries to engage a cluster."""

STABLE_SECONDS: Final = ENGAGEMENT.cap
"""A cluster that was engaged for so long begins with the shortest backoff when it fails."""


class State(enum.Enum):
    """Where a cluster stands.

    Attributes:
        DISCOVERED: told of, and waiting for the next try.
        CONNECTING: being made.
        SYNCING: its caches fill.
        ENGAGED: every member has its first objects.
        DRAINING: it leaves; its last reconciles end.
        GONE: it has left, or never was there.
    """

    DISCOVERED = "discovered"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    ENGAGED = "engaged"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Connect:
    """Make the cluster; answer with `connected` or `failed`."""

    generation: int
    spec: ClusterSpec


@dataclass(frozen=True, slots=True)
class Engage:
    """Let the members take it on; answer with `synced` when all of them are, or `failed`."""

    generation: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let the members let go of it and stop its reconciles; answer with `idle` when nothing works on it any more."""

    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Close:
    """End it, whatever still runs. Nothing is to be answered."""

    generation: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Tell people; it is tried again in so many seconds."""

    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Announce:
    """The state is another one."""

    state: State
    why: str = ""


Action: TypeAlias = Connect | Engage | Drain | Close | Failed | Announce


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
        retry_at: `spec` has failed and is not tried again before; also if it leaves and comes back meanwhile.
    """

    def __init__(self, *, backoff: Backoff = ENGAGEMENT, rng: random.Random | None = None) -> None:
        self.state = State.GONE
        self.spec: ClusterSpec | None = None
        self.due = math.inf
        self.retry_at = -math.inf
        self._backoff = backoff
        self._rng = rng
        self._wish: ClusterSpec | None = None
        self._generation = 0
        self._why = ""
        self._failures = 0
        self._failure = ""
        self._engaged_at = math.inf

    # ---- the provider's wishes -----------------------------------------------------------------------------------

    def present(self, spec: ClusterSpec, now: float) -> list[Action]:
        """The cluster is there; the same again changes nothing."""
        if spec == self._wish:
            return []
        self._wish = spec
        match self.state:
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

    def connected(self, generation: int, now: float) -> list[Action]:  # noqa: ARG002 - as all events
        """The cluster is made, and its thread runs."""
        if generation != self._generation:
            return [Close(generation)]
        return [self._enter(State.SYNCING), Engage(generation)]

    def synced(self, generation: int, now: float) -> list[Action]:
        """Every member has its first objects."""
        if generation != self._generation or self.state is not State.SYNCING:
            return []
        self._engaged_at = now
        return [self._enter(State.ENGAGED)]

    def failed(self, generation: int, why: str, now: float) -> list[Action]:
        """It could not be made, a member did not take it, or its thread has died: all of it is undone."""
        if generation != self._generation:
            return []
        match self.state:
            case State.CONNECTING:
                failure = self._count_failure(why, now)
                return [failure, *self._begin(now)]
            case State.SYNCING | State.ENGAGED:
                failure = self._count_failure(why, now)
                return [failure, *self._drain(why, now)]
            case _:
                return []

    def idle(self, generation: int, now: float) -> list[Action]:
        """Nothing works on it any more."""
        if generation != self._generation or self.state is not State.DRAINING:
            return []
        return self._close(now)

    def tick(self, now: float) -> list[Action]:
        """Look at the time."""
        if now < self.due:
            return []
        return self._close(now) if self.state is State.DRAINING else self._begin(now)

    # ---- steps ---------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> list[Action]:
        assert self._wish is not None  # noqa: S101 - every caller has one
        if self._wish != self.spec:
            self._failures, self.retry_at = 0, -math.inf
        self.spec = self._wish
        self._generation += 1
        if now < self.retry_at:
            announce = self._enter(State.DISCOVERED, self._failure)
            self.due = self.retry_at
            return [announce]
        return [self._enter(State.CONNECTING), Connect(self._generation, self.spec)]

    def _drain(self, why: str, now: float) -> list[Action]:
        self._why = why
        announce = self._enter(State.DRAINING, why)
        self.due = now + DRAIN_SECONDS
        return [announce, Drain(self._generation, why)]

    def _close(self, now: float) -> list[Action]:
        close = Close(self._generation)
        return [close, *self._end(), *(() if self._wish is None else self._begin(now))]

    def _end(self) -> list[Action]:
        self._generation += 1
        return [self._enter(State.GONE, self._why)]

    def _count_failure(self, why: str, now: float) -> Failed:
        if self.state is State.ENGAGED and now - self._engaged_at >= STABLE_SECONDS:
            self._failures = 0
        self._why = self._failure = why
        self._failures += 1
        seconds = self._backoff.delay(self._failures, rng=self._rng)
        self.retry_at = now + seconds
        return Failed(why, seconds)

    def _enter(self, state: State, why: str = "") -> Announce:
        self.state = state
        self.due = math.inf
        return Announce(state, why)


def _difference(old: ClusterSpec | None, new: ClusterSpec) -> str:
    another = "another uid" if old is not None and old.uid != new.uid else "another configuration"
    return f"it was replaced by one with {another}"

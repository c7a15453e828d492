"""When a new version has been well on a few clusters for long enough: a step machine without I/O.

::

    waiting -> clean -> released
       ^         |^
       |         v|
       +----- failing

*Waiting*: no canary is at work yet, or none any more, or a controller is at work in none of them. *Clean*: nothing has
failed since then. *Failing*: something in a canary has failed and not gone well since. However that ends, the time
begins anew. *Released*: it has been clean for long enough; nothing is held back any more, whatever fails later.

The time since the last failure alone would not do: what always fails is tried every 1000 s at last. What nobody tries
again can never go well; it counts for the time of a trial, or one broken object would hold the others back for good.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TypeAlias

from kcontroller.api.keys import Request

Place: TypeAlias = tuple[str, str]
"""A controller and a cluster."""
Failure: TypeAlias = tuple[str, str, Request | str]
"""What failed there."""


class State(enum.Enum):
    """How a trial stands; see the module."""

    WAITING = "waiting"
    CLEAN = "clean"
    FAILING = "failing"
    RELEASED = "released"


@dataclass(slots=True)
class _Failing:
    """One failure that stands.

    Attributes:
        why: in words.
        given_up: since when nobody tries it again.
    """

    why: str
    given_up: float = math.inf


class Trial:
    """The steps of a trial. Each takes the time (`now`, monotonic seconds) and returns whether `state` is another one.

    Args:
        seconds: how long it must be clean.

    Attributes:
        state: see the module.
        since: when it came to be so.
        why: the first failure since it was clean last.
    """

    def __init__(self, seconds: float) -> None:
        self.state = State.WAITING
        self.since = -math.inf
        self.why = ""
        self._seconds = seconds
        self._controllers: set[str] = set()
        self._at_work: set[Place] = set()
        self._failing: dict[Failure, _Failing] = {}

    @property
    def due(self) -> float:
        """When it is released if nothing fails; infinite if the time does not run."""
        return self.since + self._seconds if self.state is State.CLEAN else math.inf

    @property
    def failing(self) -> tuple[Failure, ...]:
        """What has failed and not gone well since."""
        return tuple(self._failing)

    @property
    def missing(self) -> tuple[str, ...]:
        """The controllers that are at work in no canary, so that nothing is known of them."""
        return tuple(sorted(self._controllers - {controller for controller, _cluster in self._at_work}))

    def expects(self, controller: str, now: float) -> bool:
        """A controller must be at work in one canary at least."""
        self._controllers.add(controller)
        return self._settle(now)

    def joined(self, canary: Place, now: float) -> bool:
        """A canary is at work."""
        self._at_work.add(canary)
        return self._settle(now)

    def left(self, canary: Place, now: float) -> bool:
        """It is no more, or not for now."""
        self._at_work.discard(canary)
        return self._settle(now)

    def failed(self, what: Failure, why: str, now: float) -> bool:
        """Something in a canary has failed: once more, or for the first time."""
        self._failing.setdefault(what, _Failing(why)).given_up = math.inf
        return self._settle(now)

    def given_up(self, what: Failure, now: float) -> bool:
        """Nobody tries again what has failed: once told so for the time of a trial, it counts no more."""
        failing = self._failing[what]
        failing.given_up = min(failing.given_up, now)
        return now - failing.given_up >= self._seconds and self.passed(what, now)

    def passed(self, what: Failure, now: float) -> bool:
        """It went well now, or is there no more."""
        return self._failing.pop(what, None) is not None and self._settle(now)

    def forget(self, canary: Place) -> None:
        """What has failed in a canary counts no more, for it leaves."""
        self._failing = {what: failing for what, failing in self._failing.items() if what[:2] != canary}

    def tick(self, now: float) -> bool:
        """Look at the time."""
        if now < self.due:
            return False
        self.state, self.since = State.RELEASED, now
        return True

    def _settle(self, now: float) -> bool:
        if self.state is State.RELEASED:
            return False
        state = State.CLEAN
        if not self._at_work:
            state = State.WAITING
        elif self._failing:
            state = State.FAILING
            self.why = next(iter(self._failing.values())).why
        elif self.missing:
            state = State.WAITING
        changed = state is not self.state
        if changed:
            self.state, self.since = state, now
        return changed

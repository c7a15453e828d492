"""A new version works on a few clusters first; on the others when it has been well there for a while.

A reconcile that raises or does not return fails, and so does a budget that is spent. A canary that is paused, or whose
server does not answer, proves nothing: it is not at work for as long. What is new is not known here: a trial begins
with the process, or where a leader is elected with its leading.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.api.keys import Request
from kcontroller.cluster.breaker import BREAKER
from kcontroller.cluster.budgets import BUDGET
from kcontroller.controller.pauses import COMMAND
from kcontroller.controller.trial import State, Trial
from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from kcontroller.api.selectors import LabelSelector
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.controller.seat import Stuck
    from kcontroller.controller.trial import Failure, Place
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.workqueue import WorkQueue


CANARY: Final = "canary"
"""Holds a cluster's requests back in the queue until those that go first have been well."""

LOOK_SECONDS: Final = 5.0
"""Between two looks at what tells nobody: budgets that are spent, and reconciles that do not return."""

_LOOKS: Final = 10  # Within a trial, at least.
_QUIET_SECONDS: Final = 60.0  # After a failure was said.
_AGAIN_SECONDS: Final = 600.0  # Between two lines that say that there is no canary.
_RESTING: Final = frozenset((BREAKER, COMMAND))

_log: Final = Log("kcontroller.controller")


class Tried(Protocol):
    """What a canary asks of a controller."""

    name: str
    queue: WorkQueue[Request]

    @property
    def stuck(self) -> Collection[Stuck]:
        """The reconciles that do not return."""
        ...


class Canary:
    """Holds the clusters of a fleet back until a trial on some of them is over. Any thread.

    The hub is neither held back nor a canary: its requests are often what a canary waits for.

    Args:
        selector: the labels of the clusters that go first.
        seconds: how long nothing may fail there.
        clock: the time.
        metrics: where to count.
        found: the labels of each cluster that there is, or None until the first ones are listed. Must not block.
    """

    def __init__(
        self,
        selector: LabelSelector,
        seconds: float,
        *,
        clock: Clock,
        metrics: Metrics,
        found: Callable[[], Collection[Mapping[str, str]] | None] = lambda: None,
    ) -> None:
        self._selector = selector
        self._seconds = seconds
        self._clock = clock
        self._found = found
        self._gauge = metrics.canary_held_clusters
        self._lock = threading.Lock()
        self._trial = Trial(seconds)
        self._held: dict[Place, Tried] = {}
        self._canaries: dict[Place, Tried] = {}
        self._synced: set[Place] = set()
        self._standing_by: set[str] = set()
        self._since = math.inf  # No controller stands by any more.
        self._remind_at = -math.inf
        self._said_at = -math.inf
        self._loud = True  # What follows a line that people saw is one that they see.
        self._news: list[tuple[Callable[..., None], str, tuple[object, ...]]] = []

    @property
    def state(self) -> State:
        """How the trial stands."""
        return self._trial.state

    @property
    def held(self) -> tuple[str, ...]:
        """The clusters that are held back."""
        with self._lock:
            return self._held_clusters()

    # ---- what controllers tell -----------------------------------------------------------------------------------

    def add(self, controller: Tried) -> None:
        """There is a controller; the trial begins when all that there are have begun to work."""
        with self._told():
            self._standing_by.add(controller.name)
            self._say(changed=self._trial.expects(controller.name, self._clock.monotonic()))

    def start(self, controller: Tried) -> None:
        """The workers of a controller begin."""
        with self._told():
            self._standing_by.discard(controller.name)
            if not self._standing_by:
                self._since = min(self._since, self._clock.monotonic())
                self._weigh_all()

    def engage(self, controller: Tried, cluster: Cluster) -> None:
        """A controller takes a cluster on, while its queue hands out nothing of it yet; or its labels are others."""
        place = (controller.name, cluster.name)
        with self._told():
            if not cluster.name:
                return
            first = self._selector.matches(cluster.labels)
            if first and place not in self._canaries:
                self._canaries[place] = controller
                self._weigh(place, controller)
                if self._held.pop(place, None) is not None:
                    controller.queue.resume(cluster.name, holder=CANARY)
            elif not first and place not in self._held and self._trial.state is not State.RELEASED:
                controller.queue.pause(cluster.name, holder=CANARY)
                self._held[place] = controller
                self._drop(place)
            self._publish()

    def synced(self, controller: Tried, cluster: str) -> None:
        """A controller knows the first objects of a cluster: from now on it is at work there."""
        place = (controller.name, cluster)
        with self._told():
            if place in self._canaries or place in self._held:  # It may have left meanwhile.
                self._synced.add(place)
            if place in self._canaries:
                self._weigh(place, controller)

    def leave(self, controller: Tried, cluster: str) -> None:
        """A controller lets a cluster go, and its queue forgets it."""
        place = (controller.name, cluster)
        with self._told():
            self._held.pop(place, None)
            self._synced.discard(place)
            self._drop(place)
            self._publish()

    def ended(self, controller: Tried, request: Request, *, failed: bool) -> None:
        """A reconcile has ended."""
        place = (controller.name, request.cluster)
        if self._trial.state is State.RELEASED or place not in self._canaries:
            return
        with self._told():
            if place in self._canaries:  # It may have left meanwhile.
                why = f"{controller.name} failed on {request}"
                self._note((*place, request), why, self._clock.monotonic(), failed=failed)

    # ---- what time brings ----------------------------------------------------------------------------------------

    def look(self, now: float) -> float:
        """Release the others if it is time; returns when to look again. For the `Watchdog`."""
        with self._told():
            if self._trial.state is State.RELEASED:
                return math.inf
            self._weigh_all()
            for (name, cluster), controller in self._canaries.items():
                spent = BUDGET in controller.queue.holders(cluster)
                self._note((name, cluster, BUDGET), f"{name} has spent a budget in {cluster}", now, failed=spent)
                stuck = next((each for each in controller.stuck if each.request.cluster == cluster), None)
                why = f"a reconcile of {name} does not return: {stuck}"
                self._note((name, cluster, "stuck"), why, now, failed=stuck is not None)
            self._give_up(now)
            if self._trial.tick(now):
                self._release()
                return math.inf
            self._remind(now)
            return min(now + min(LOOK_SECONDS, self._seconds / _LOOKS), self._trial.due)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Take the lock, and log when it is free again."""
        with self._lock:
            yield
            news, self._news = self._news, []
        for say, text, values in news:
            say(text, *values)

    # ---- under the lock ------------------------------------------------------------------------------------------

    def _note(self, what: Failure, why: str, now: float, *, failed: bool) -> None:
        changed = self._trial.failed(what, why, now) if failed else self._trial.passed(what, now)
        self._say(changed=changed)

    def _weigh_all(self) -> None:
        for place, controller in self._canaries.items():
            self._weigh(place, controller)

    def _weigh(self, place: Place, controller: Tried) -> None:
        """Look whether a canary is at work."""
        works = not self._standing_by and place in self._synced
        works = works and _RESTING.isdisjoint(controller.queue.holders(place[1]))
        change = self._trial.joined if works else self._trial.left
        self._say(changed=change(place, self._clock.monotonic()))

    def _give_up(self, now: float) -> None:
        """Let what nobody tries again not count for ever: its error was terminal, or its object is paused since."""
        for what in self._trial.failing:
            name, cluster, request = what
            if isinstance(request, Request) and self._canaries[name, cluster].queue.standing(request) is None:
                changed = self._trial.given_up(what, now)
                if what not in self._trial.failing:
                    text = "%s failed on %s, and nobody tries it again: from now on it does not count"
                    self._news.append((_log.warning, text, (name, request)))
                self._say(changed=changed)

    def _remind(self, now: float) -> None:
        """Say that nothing will be released unless somebody does something."""
        if self._trial.state is not State.WAITING or self._standing_by or now < max(self._since, self._remind_at):
            return
        found = self._found()
        if found is not None and not any(map(self._selector.matches, found)):
            some = "label those that are to go first, or start without canaries"
            none = "no cluster has any labels, so start without canaries if the provider gives none"
            text, remedy = "no cluster has the labels %s: %s; %s", some if any(found) else none
            self._news.append((_log.warning, text, (self._selector, self._others("stay held back"), remedy)))
        elif now - self._since >= self._seconds:
            self._say_missing()
        else:
            return
        self._remind_at = now + _AGAIN_SECONDS

    def _drop(self, place: Place) -> None:
        if self._canaries.pop(place, None) is not None:
            self._trial.forget(place)
            self._say(changed=self._trial.left(place, self._clock.monotonic()))

    def _release(self) -> None:
        text = "the canaries have been well for %g min: %s"
        self._news.append((_log.info, text, (self._seconds / 60, self._others("begin to work"))))
        for (_name, cluster), controller in self._held.items():
            controller.queue.resume(cluster, holder=CANARY)
        self._held.clear()
        self._publish()

    def _say(self, *, changed: bool) -> None:
        if not changed:
            return
        now, held = self._clock.monotonic(), self._others("stay held back")
        match self._trial.state:
            case State.CLEAN:
                text = "canaries are at work and well: %s after %g min without a failure"
                say = _log.info if self._loud else _log.debug
                self._news.append((say, text, (self._others("follow"), self._seconds / 60)))
                self._loud = False
            case State.FAILING if now - self._said_at >= _QUIET_SECONDS:
                self._said_at, self._loud = now, True
                self._news.append((_log.error, "a canary fails: %s; %s", (self._trial.why, held)))
            case State.WAITING if now - self._said_at >= _QUIET_SECONDS:
                self._said_at, self._loud = now, True
                self._say_missing()

    def _say_missing(self) -> None:
        text = "at work in no cluster with the labels %s: %s; %s"
        missing = ", ".join(self._trial.missing)
        self._news.append((_log.warning, text, (self._selector, missing, self._others("stay held back"))))

    def _others(self, what: str) -> str:
        count = len(self._held_clusters())
        verb, _, rest = what.partition(" ")
        return f"1 other cluster {verb}s {rest}".rstrip() if count == 1 else f"{count} other clusters {what}"

    def _held_clusters(self) -> tuple[str, ...]:
        return tuple(sorted({cluster for _controller, cluster in self._held}))

    def _publish(self) -> None:
        self._gauge.set(len(self._held_clusters()))

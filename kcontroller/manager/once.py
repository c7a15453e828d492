"""One round: reconcile what there is to do now, and find out how it went.

The round is over when everything is synced, no request is ready or in work, no function of a source runs, and what was
written here has come back as events, all of that for `QUIET_SECONDS` on end. A request that fails is tried `TRIES`
times in a row, so that a conflict is no failure of the round. What asks to be called later (a ``requeue_after``, a
timer) is left for the next one.

What a pause or a spent budget holds back is not waited for, since nobody may come to end that: the round ends when
nothing else is left, and was not done.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.cluster.budgets import BUDGET
from kcontroller.controller.pauses import COMMAND
from kcontroller.multicluster import State
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.api.keys import Request
    from kcontroller.controller import Controller
    from kcontroller.controller.outcomes import Verdict
    from kcontroller.manager.parts import Parts

TRIES: Final = 5
QUIET_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.02
_NAMED: Final = 10

_log: Final = Log("kcontroller.manager")


class _Open(msgspec.Struct, frozen=True):
    """A request whose last reconcile was no success.

    Attributes:
        tries: in a row.
        again: it is tried again.
        failed: it was an error, and no wait for something.
    """

    tries: int
    again: bool
    failed: bool


class Round:
    """Made before the manager starts, which it watches.

    Args:
        parts: of the manager.
        missing: says why the manager is not ready; None if it is.
    """

    def __init__(self, parts: Parts, missing: Callable[[], str | None]) -> None:
        self._parts = parts
        self._missing = missing
        self._lock = threading.Lock()
        self._ended = 0
        self._open: dict[tuple[str, Request], _Open] = {}
        self._dropped_before = self._dropped_in_all()
        for controller in parts.controllers:
            controller.on_ended(partial(self._note, controller.name))

    def run(self, timeout: float | None, *, ends: Callable[[], object]) -> bool:
        """Wait until there is nothing left to do now, and log what is left, or has failed.

        Args:
            timeout: seconds to wait at most; None for no limit.
            ends: says whether to wait no longer.

        Returns:
            Whether nothing is left, and nothing has failed.
        """
        left = self._wait(None if timeout is None else Deadline.after(timeout, clock=self._parts.clock), ends)
        undone = [each for each in (left, self._refused(), *self._stopped(), self._dropped()) if each]
        for each in undone:
            _log.error("not all was reconciled: %s", each)
        failed = self._failed()
        for controller, request in failed[:_NAMED]:
            _log.error("failed: %s", request, controller=controller)
        if len(failed) > _NAMED:
            _log.error("and %d other requests failed", len(failed) - _NAMED)
        return not (undone or failed)

    def _wait(self, deadline: Deadline | None, ends: Callable[[], object]) -> str:
        """Wait; returns what is left, "" for nothing but what is held back."""
        stop, clock = self._parts.supervisor.stop, self._parts.clock
        seen, since = -1, 0.0
        while True:
            left, now = self._left(), clock.monotonic()
            if left or seen != self._ended:
                seen, since = self._ended, now
            elif now - since >= QUIET_SECONDS:
                return ""
            if (deadline is not None and deadline.expired) or ends() or stop.wait(_LOOK_SECONDS):
                return left or "it does not come to rest"

    def _left(self) -> str:
        return next(filter(None, self._all_left()), "")

    def _all_left(self) -> Iterator[str]:
        parts = self._parts
        yield self._missing() or ""
        away = (each.name for each in parts.clusters.states() if each.state not in {State.ENGAGED, State.REFUSED})
        yield _names("clusters that are not engaged", away)
        if any(each.needs_leader_election for each in parts.controllers) and not parts.leadership.leads:
            yield "another replica leads"
        held = {each.name: self._held(each) for each in parts.controllers}
        busy = (each.name for each in parts.controllers if _is_busy(each, held[each.name]))
        yield _names("controllers with requests", busy)
        again = (str(request) for name, request in self._again() if request.cluster not in held.get(name, ()))
        yield _names("requests that are tried again", again)
        if not parts.mappers.idle:
            yield "functions of sources"
        behind = (each.name or "of the cluster" for each in parts.clusters if not each.shows_own_writes)
        yield _names("own writes that caches do not show yet", behind)

    def _held(self, controller: Controller) -> frozenset[str]:
        """The clusters that somebody must say a word for."""
        names = (each.name for each in self._parts.clusters)
        return frozenset(each for each in names if controller.queue.holders(each) & {COMMAND, BUDGET})

    def _refused(self) -> str:
        """What the provider cannot use; to wait for that would be in vain."""
        states = self._parts.clusters.states()
        return _names("what cannot be used as a cluster", (each.name for each in states if each.state is State.REFUSED))

    def _stopped(self) -> Iterator[str]:
        """What holds something back, each with its remedy."""
        again = {(name, request.cluster) for name, request in self._again()}
        held = {
            (each.name, cluster)
            for each in self._parts.controllers
            for cluster in self._held(each)
            if each.queue.depth(cluster) or (each.name, cluster) in again
        }
        for pause in self._parts.pauses.all():
            if any(pause.holds(*where) for where in held):
                yield f"{pause}; run it again without the pause"
        for controller in self._parts.controllers:
            for spent in controller.safety.budgets.spent():
                option = f"--{spent.what.removesuffix('s')}-budget"
                yield f"{spent}; look at what was written, then run it again, or with a larger {option}"

    def _dropped(self) -> str:
        count = self._dropped_in_all() - self._dropped_before
        return f"functions of sources dropped {count} event{'s' * (count != 1)}" if count else ""

    def _dropped_in_all(self) -> int:
        families = self._parts.metrics.mapper_failures.collect()
        return int(sum(each.value for family in families for each in family.samples if each.name.endswith("_total")))

    def _again(self) -> list[tuple[str, Request]]:
        return [key for key, each in self._unsettled() if each.again and each.tries < TRIES]

    def _failed(self) -> list[tuple[str, Request]]:
        return [key for key, each in self._unsettled() if each.failed]

    def _unsettled(self) -> list[tuple[tuple[str, Request], _Open]]:
        """Those of clusters that are still there."""
        there = {cluster.name for cluster in self._parts.clusters}
        with self._lock:
            return [(key, each) for key, each in self._open.items() if key[1].cluster in there]

    def _note(self, controller: str, request: Request, verdict: Verdict) -> None:
        key, again, failed = (controller, request), verdict.outcome.fails, verdict.label == "error"
        with self._lock:
            self._ended += 1
            before = self._open.pop(key, None)
            if again or failed:
                self._open[key] = _Open(1 if before is None else before.tries + 1, again, failed)


def _is_busy(controller: Controller, held: frozenset[str]) -> bool:
    queue = controller.queue
    if queue.wait_idle(0.0):
        return False
    return not held or queue.in_flight > 0 or len(queue) > sum(map(queue.depth, held))


def _names(what: str, names: Iterable[str]) -> str:
    found = [*names]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{what}: {', '.join(found[:_NAMED])}{more}" if found else ""

"""The sentences in which `explain` says what a request waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.marks import PAUSED
from kcontroller.controller.explanation import Waiting
from kcontroller.process.spans import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kcontroller.controller.seat import Stuck


def no_cluster(name: str, why: str) -> Waiting:
    """Its cluster is not there."""
    return Waiting("cluster", f"waits for cluster {name}, which is not engaged: {why or 'it has left'}")


def standing_by(holder: str) -> Waiting:
    """Another replica works."""
    who = f"{holder} leads" if holder else "nobody leads yet"
    return Waiting("leader", f"this replica stands by; {who}", remedy="ask the replica that leads")


def not_synced(pending: Sequence[str]) -> Waiting:
    """The first objects are not all there."""
    why = "; ".join(pending) or "map functions have not named what the first objects concern"
    return Waiting("sync", f"waits for the first list: {why}")


def paused(clause: str, remedy: str) -> Waiting:
    """Somebody has paused its controller or its cluster."""
    return Waiting("paused", f"waits: {clause}", remedy=remedy)


def annotated() -> Waiting:
    """Somebody has annotated the object."""
    return Waiting("paused", f"is paused by its annotation {PAUSED}", remedy=f"remove the annotation {PAUSED}")


def budget(clause: str, remedy: str) -> Waiting:
    """Its controller has spent what it may write or delete there."""
    return Waiting("budget", f"waits for a word: {clause}", remedy=remedy)


def no_room() -> Waiting:
    """Its queue is full."""
    return Waiting("queue", "waits for room in the queue, which is full; it is told again then")


def stopping() -> Waiting:
    """Its process ends."""
    why = "is left as it is: this process ends, and hands nothing out any more"
    return Waiting("stopping", why, remedy="ask the process that follows it")


def running(seconds: float) -> Waiting:
    """It is being reconciled."""
    return Waiting("running", f"is being reconciled, for {span(seconds)} now")


def stuck(run: Stuck) -> Waiting:
    """Its reconcile does not return."""
    late = f"{span(run.seconds - run.timeout)} over its time-out" if run.timeout else "and it has no time-out"
    at = f", at {run.place}" if run.place else ""
    call = f"the call at {run.place}" if run.place else "each of its calls"
    return Waiting(
        "stuck",
        f"is stuck: its reconcile does not return, for {span(run.seconds)} now, {late}{at}",
        remedy=f"give {call} a time-out of its own, or end it by ctx.stop; a restart frees the object",
    )


def own_write(until: datetime) -> Waiting:
    """What its last reconcile wrote has not come back."""
    return Waiting("own-write", "waits until the cache shows what its last reconcile wrote", until)


def backoff(seconds: float, failures: int, until: datetime) -> Waiting:
    """It failed."""
    times = f"{failures} failure{'s' if failures > 1 else ''}"
    return Waiting(
        "backoff",
        f"waits for its backoff, {span(seconds)} more ({times})",
        until,
        "any change that concerns it ends the wait",
    )


def later(seconds: float, until: datetime) -> Waiting:
    """Its reconciler asked for it."""
    return Waiting("requeue_after", f"is done, and comes again in {span(seconds)} as its reconciler asked", until)


def cap(cluster: str) -> Waiting:
    """Its cluster has its share."""
    where = f"cluster {cluster}" if cluster else "its cluster"
    return Waiting("cap", f"is ready, but {where} holds as many workers as it may while others have work")


def worker(busy: int, workers: int, ready: int) -> Waiting:
    """It is next, or one of the next."""
    return Waiting("worker", f"is ready and waits for a worker: {busy} of {workers} are busy, {ready:,} requests wait")

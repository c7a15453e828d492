"""Why a request is where it is, as a value: what ``kcontroller explain -o json`` prints and its text is made of."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any, Literal

import msgspec

VERSION = "kcontroller.dev/explain/v1"

For = Literal[
    "backoff",
    "budget",
    "cap",
    "cluster",
    "leader",
    "own-write",
    "paused",
    "queue",
    "requeue_after",
    "running",
    "stopping",
    "stuck",
    "sync",
    "worker",
]


class Waiting(msgspec.Struct, frozen=True, rename={"what": "for"}, omit_defaults=True):
    """One thing that keeps a request from being reconciled now, or from being done.

    Attributes:
        what: a word for programs.
        why: a sentence for people.
        until: when it is over, where that is known.
        remedy: what ends it sooner; "" if nothing does, or nothing needs to.
    """

    what: For
    why: str
    until: datetime | None = None
    remedy: str = ""


class Queued(msgspec.Struct, frozen=True):
    """Where the request stands in its queue; see `workqueue.Standing`."""

    state: str
    since: datetime
    priority: int
    failures: int
    reasons: tuple[str, ...]


class Cached(msgspec.Struct, frozen=True):
    """The object as the cache shows it."""

    version: int
    generation: int
    deleting: bool


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the last reconcile that failed ended, and those before it that failed alike.

    Attributes:
        at: when.
        error: class and text.
        place: file and line of the innermost frame of the user's; "" if there is none.
        reconcile_id: what its lines in the log carry.
        then: what came next, such as ``retry 3``.
        times: how many failed so.
        first: when the first of several did.
    """

    at: datetime
    error: str
    place: str
    reconcile_id: str
    then: str
    times: int = 1
    first: datetime | None = None


class WriteShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One write of its reconciles, or several that sent the same.

    Attributes:
        at: when it was answered; of several the last.
        verb: ``create``, ``update``, ``patch``, ``apply`` or ``delete``.
        target: such as ``v1 ConfigMap default/web``, with the subresource behind it.
        answer: the resourceVersion that it made, or the refusal.
        refused: whether it is a refusal.
        change: what was sent, of an update what it changes; without the values of Secrets.
        times: how many there were.
        first: when the first of several was answered.
    """

    at: datetime
    verb: str
    target: str
    answer: str
    refused: bool
    change: Any
    times: int = 1
    first: datetime | None = None


class StepShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the trace, or several in the same place of rounds that are alike.

    Attributes:
        at: when; of several the last.
        what: a word for programs.
        text: in words; of a refusal or failure that is told elsewhere the name alone.
        times: how many there were.
        first: when the first of several was.
    """

    at: datetime
    what: str
    text: str
    times: int = 1
    first: datetime | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What one controller knows of one request.

    Attributes:
        controller: its name.
        cluster: "" for a single one, and for a hub.
        where: what people call the cluster; "" where there is one only.
        kind: such as ``example.com/v1 Widget``; "" for a controller without `for_`.
        key: ``namespace/name``.
        verdict: one sentence: what it waits for, or that it waits for nothing.
        known: whether anything is known of it.
        settled: whether it is done: it waits for nothing but a time that its reconciler chose.
        waiting: all that keeps it, the one that decides first.
        cached: the object; None if the cache does not show it.
        queue: where it stands; None if it neither waits nor is in work.
        last_error: of the last reconcile, if that failed.
        writes: the last ones, newest last.
        steps: what happened, newest last.
        complete: whether no older step was dropped.
        notes: what is missing here, and why.
        now: the daemon's time.
        version: of this form.
    """

    controller: str
    cluster: str
    kind: str
    key: str
    verdict: str
    known: bool
    settled: bool
    waiting: tuple[Waiting, ...]
    cached: Cached | None
    queue: Queued | None
    last_error: Failure | None
    writes: tuple[WriteShown, ...]
    steps: tuple[StepShown, ...]
    complete: bool
    notes: tuple[str, ...]
    now: datetime
    where: str = ""
    version: str = VERSION

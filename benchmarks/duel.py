"""The runs: every contender a process of its own, taking turns, the first round discarded."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.usage import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders import Contender, Pair

MODES: Final = ("sync", "reconcile")

_SECONDS: Final = 400


class Failed(Exception):
    """A contender did not do its work; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process reported.

    Attributes:
        synced: until the cache was synced.
        done: until the work was done.
        objects: how many it saw.
    """

    synced: Point
    done: Point
    objects: int


@dataclass(frozen=True, slots=True)
class Work:
    """What every contender does: ``sync`` or ``reconcile``, on so many objects, with so many workers."""

    mode: str
    objects: int
    workers: int


def race(
    pairs: Sequence[Pair], work: Work, *, runs: int, environment: Mapping[str, str], report: Callable[[str], None]
) -> dict[str, list[Outcome]]:
    """Let the contenders take turns; returns their outcomes, of each round one.

    The order turns with every round, so that none always runs after the same other. Round 0 warms up the server and
    the page cache, and does not count.

    Raises:
        Failed: one did not do its work.
    """
    order = [contender for pair in pairs for contender in (pair.ours, pair.peer)]
    outcomes: dict[str, list[Outcome]] = {contender.name: [] for contender in order}
    for number in range(runs + 1):
        for contender in order if number % 2 else reversed(order):
            outcome = run(contender, work, environment)
            if number:
                outcomes[contender.name].append(outcome)
            title = f"{work.mode} {number}/{runs} {contender.name}"
            report(f"{title}: {outcome.done.cpu_s:.2f} s CPU, {outcome.done.peak_mb:.0f} MiB")
    return outcomes


def run(contender: Contender, work: Work, environment: Mapping[str, str]) -> Outcome:
    """Run one contender to its end.

    Raises:
        Failed: it took too long, said nothing usable, or did not see every object.
    """
    arguments = (work.mode, contender.form, str(work.objects), str(work.workers), repr(time.time()))
    try:
        done = subprocess.run(  # noqa: S603 - our own programs
            [*contender.command, *arguments],
            env=environment,
            timeout=_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        msg = f"{contender.name}: {work.mode} took longer than {_SECONDS} s"
        raise Failed(msg) from None
    try:
        said = json.loads(done.stdout)
        outcome = Outcome(Point(**said["synced"]), Point(**said["done"]), said["objects"])
    except (ValueError, KeyError, TypeError):
        msg = f"{contender.name}: {work.mode} ended with {done.returncode}\n{done.stderr.strip()[-2000:]}"
        raise Failed(msg) from None
    if outcome.objects != work.objects:
        msg = f"{contender.name}: saw {outcome.objects:,} of {work.objects:,} objects"
        raise Failed(msg)
    return outcome

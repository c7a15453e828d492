"""What a queue tells of itself: for the metrics, and of one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a queue at one moment, for its metrics.

    Attributes:
        depths: ready items by priority.
        adds: items that became ready since the reading before.
        retries: items added with a delay since the reading before.
        refused: adds refused for want of room since the reading before.
        unfinished: seconds, the ages of all items in work together.
        longest: seconds, the age of the oldest item in work.
    """

    depths: Mapping[int, int]
    adds: int
    retries: int
    refused: int
    unfinished: float
    longest: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands in its queue at one moment.

    Attributes:
        state: ``delayed`` (it waits for its time), ``held`` (a worker found it too early), ``ready`` or ``processing``.
        since: when it came into this state, in seconds of the queue's clock.
        due: when it is ready, or was; of one in work, when it is wanted again, infinite if it is not.
        priority: the level it waits on, or was taken from.
        failures: failures in a row so far.
        reasons: why it waits, or is in work; at most eight, oldest first.
    """

    state: Literal["delayed", "held", "ready", "processing"]
    since: float
    due: float
    priority: int
    failures: int
    reasons: tuple[str, ...]

"""What the queue knows of one request, and what it hands out."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from kcontroller.workqueue.share import ClusterShare

MAX_REASONS: Final = 8

NEVER: Final = math.inf


class ClusterRequest(Protocol):
    """What the queue asks of a request: a hashable value that names its cluster ("" for a single one)."""

    @property
    def cluster(self) -> str:
        """The cluster whose share of the queue the request belongs to."""
        ...


R = TypeVar("R", bound=ClusterRequest)


class State(enum.Enum):
    """Where a request is; see the drawing in the package's docstring."""

    IDLE = "idle"
    DELAYED = "delayed"
    READY = "ready"
    PROCESSING = "processing"


# Members by way of the class cost a metaclass lookup on Python 3.11, several times per add.
IDLE: Final = State.IDLE
DELAYED: Final = State.DELAYED
READY: Final = State.READY
PROCESSING: Final = State.PROCESSING


class Item(msgspec.Struct, Generic[R], frozen=True):
    """A request in the hands of a worker; give this same object back to `WorkQueue.done`.

    Attributes:
        request: what to reconcile.
        priority: the level it was taken from.
        failures: failures in a row before this time.
        reasons: at most eight different reasons of the adds it answers, oldest first.
        adds: how many adds (and requeues) it answers.
        waited: seconds it was ready before it was handed out.
    """

    request: R
    priority: int
    failures: int
    reasons: tuple[str, ...]
    adds: int
    waited: float


class Entry:
    """The one record of a request.

    `due` depends on the state. READY: since when it waits. DELAYED: when it becomes ready. PROCESSING: when it is
    wanted again, `NEVER` if no add came meanwhile; `priority`, `reasons` and `adds` then belong to that next time.
    `since` is when it became DELAYED or PROCESSING. It is typed loosely because it never leaves the package;
    `WorkQueue` gives the types back.
    """

    __slots__ = (
        "adds",
        "aside",
        "due",
        "failures",
        "item",
        "left_over",
        "priority",
        "purged",
        "reasons",
        "request",
        "share",
        "since",
        "state",
        "ticket",
    )

    def __init__(self, request: Any, share: ClusterShare) -> None:
        """Know nothing but whose it is."""
        self.request = request
        self.share = share
        self.state = IDLE
        self.priority = 0
        self.due = NEVER
        self.ticket = 0
        self.failures = 0
        self.reasons: tuple[str, ...] = ()
        self.adds = 0
        self.item: Item[Any] | None = None
        self.since = 0.0
        self.aside = False
        self.left_over = False
        self.purged = False

    def note(self, reason: str) -> None:
        """Count an add and keep its reason unless it is known or there are enough."""
        self.adds += 1
        if reason and reason not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons = (*self.reasons, reason)

    def want(self, due: float, priority: int) -> None:
        """Merge a wish for a time that is not scheduled yet: the earliest time, the higher priority."""
        self.priority = priority if self.due == NEVER else max(priority, self.priority)
        self.due = min(due, self.due)

    def hand_out(self, now: float) -> Item[Any]:
        """Turn what was collected into an item and begin to collect for the next time."""
        self.state = PROCESSING
        self.since = now
        self.item = item = Item(self.request, self.priority, self.failures, self.reasons, self.adds, now - self.due)
        self.clear()
        return item

    def recall(self, item: Item[Any]) -> None:
        """Add the reasons of an item that failed, behind what has come since."""
        before = [reason for reason in item.reasons if reason not in self.reasons]
        self.reasons = (*self.reasons, *before)[:MAX_REASONS]

    def take_back(self, item: Item[Any]) -> None:
        """Add what an item had, before what has come since."""
        since = [reason for reason in self.reasons if reason not in item.reasons]
        self.reasons = (*item.reasons, *since)[:MAX_REASONS]
        self.adds += item.adds

    def clear(self) -> None:
        """Forget what was collected for the next time."""
        self.due = NEVER
        self.priority = 0
        self.reasons = ()
        self.adds = 0

"""What the tests of the queue do again and again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from kcontroller.api.keys import Request
from kcontroller.workqueue import Item, Outcome, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Queue = WorkQueue[Request]


def take(queue: Queue) -> Item[Request]:
    """Get an item that must be there."""
    item = queue.get(timeout=0)
    assert item is not None
    return item


def serve(queue: Queue, count: int = 1_000_000) -> list[str]:
    """Work a queue off, at most `count` items; the answer is what it gave, in order."""
    names: list[str] = []
    while len(names) < count and (item := queue.get(timeout=0)) is not None:
        names.append(str(item.request))
        queue.done(item, Outcome.forget())
    return names


class Call(Generic[T]):
    """A call on a thread of its own, and its answer."""

    def __init__(self, target: Callable[[], T]) -> None:
        self._answers: list[T] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(target()), daemon=True)
        self._thread.start()

    def answer(self) -> T:
        self._thread.join(30)
        assert self._answers, "the call still waits, or failed"
        return self._answers[0]

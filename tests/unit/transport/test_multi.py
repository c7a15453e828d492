from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from kcontroller.transport.multi import Multi

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakePoller:
    """Sees nothing, and notes for how long it was to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def watch(self, fd: int, what: int) -> None:
        """Nothing comes."""

    def forget(self, fd: int) -> None:
        """Nothing came."""

    def wait(self, seconds: float) -> Sequence[tuple[int, int]]:
        self.waits.append(seconds)
        return ()

    def close(self) -> None:
        """Nothing is open."""


def due_after(multi: Multi, poller: FakePoller, milliseconds: int) -> float:
    """When a turn ends after libcurl has set its timer."""
    multi._on_timer(milliseconds)
    now = time.monotonic()
    multi.turn(100.0)
    return now + poller.waits[-1]


def test_time_outs_that_are_near_each_other_end_one_turn() -> None:
    poller, began = FakePoller(), time.monotonic()
    with contextlib.closing(Multi(poller)) as multi:
        dues = [due_after(multi, poller, milliseconds) for milliseconds in range(10_000, 11_000, 10)]
        ended = time.monotonic()
    assert len({round(due, 1) for due in dues}) <= 6 + 4 * (ended - began)  # 100 if each had its own.
    assert all(began + 10 <= due <= ended + 11.25 for due in dues)


def test_a_short_timer_of_libcurl_is_kept() -> None:
    poller, began = FakePoller(), time.monotonic()
    with contextlib.closing(Multi(poller)) as multi:
        due = due_after(multi, poller, 20)
    assert began + 0.019 <= due <= time.monotonic() + 0.021

"""How many workers a pool replaces at a look; the test works in their place, and the watchdog's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Request
from kcontroller.controller.pool import UNLIMITED_SECONDS, WorkerPool
from kcontroller.controller.seat import Run, Seat
from kcontroller.process.stop import StopToken
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import Outcome, WorkQueue
from kcontroller.workqueue.paces import LAG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 4
CLUSTERS = [f"c{number}" for number in range(20)]


class Threads:
    """Takes note of the workers that it should start, or has no more."""

    def __init__(self) -> None:
        self.asked = 0
        self.full = False
        self.most = 1000
        self.seats: list[Seat] = []

    def spawn(self, _role: str, _key: str, target: Any) -> None:
        self.asked += 1
        if self.full or len(self.seats) >= self.most:
            raise RuntimeError("can't start new thread")
        self.seats.append(target.args[0])

    def apart(self, *_args: Any) -> None:
        raise AssertionError("nothing here has a time-out")


class Tally:
    def stuck(self, _count: int) -> None: ...

    def timed_out(self) -> None: ...


class World:
    def __init__(self, *, timeout: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.queue: WorkQueue[Request] = WorkQueue("t", clock=self.clock, workers=SIZE, compares=True)
        self.threads = Threads()
        threads: Any = self.threads
        tally: Any = Tally()
        self.pool = WorkerPool(
            "t",
            lambda _seat: None,
            size=SIZE,
            timeout=timeout,
            queue=self.queue,
            tally=tally,
            threads=threads,
            clock=self.clock,
            hurry=lambda: None,
            fleet=lambda: len(CLUSTERS),
        )
        self.pool.start()
        for name in CLUSTERS:
            self.queue.add(Request(name, "n", "before"))
            item = self.queue.get(timeout=0)
            assert item is not None
            self.queue.done(item, Outcome.forget())

    def look(self) -> float:
        return self.pool.look(self.clock.monotonic())

    def work_everywhere(self) -> list[tuple[Seat, Run]]:
        """Let each worker begin with an item of a cluster of its own."""
        runs = []
        for seat, name in zip((seat for seat in self.threads.seats if not seat.surplus), CLUSTERS, strict=False):
            self.queue.add(Request(name, "n", "a"))
            item = self.queue.get(timeout=0)
            assert item is not None
            run = Run(item, self.clock.monotonic(), StopToken(clock=self.clock), {})
            seat.begin(run)
            runs.append((seat, run))
        return runs


@pytest.fixture
def world() -> World:
    return World()


def test_workers_that_lag_are_replaced_once_something_waits_for_one(world: World) -> None:
    world.work_everywhere()
    world.clock.advance(LAG_SECONDS * 1.5)
    world.look()
    assert world.threads.asked == SIZE
    world.queue.add(Request(CLUSTERS[-1], "n", "a"))
    world.look()
    assert world.threads.asked == 2 * SIZE
    world.look()
    assert world.threads.asked == 2 * SIZE


def test_a_system_without_threads_is_asked_once_a_second(
    world: World, records: Callable[[], list[dict[str, Any]]]
) -> None:
    world.work_everywhere()
    for name in CLUSTERS[SIZE:]:
        world.queue.add(Request(name, "n", "a"))
    world.threads.full = True
    until = world.clock.monotonic() + 3.0
    while world.clock.monotonic() < until:
        world.clock.advance(max(0.001, world.look() - world.clock.monotonic()))

    assert world.threads.asked - SIZE == pytest.approx(3, abs=1)
    assert len(records()) == world.threads.asked - SIZE
    world.threads.full = False
    world.clock.advance(1.0)
    world.look()
    assert len(world.threads.seats) > SIZE


def test_those_that_rest_are_called_also_where_there_are_no_threads_for_more_of_them(
    world: World, records: Callable[[], list[dict[str, Any]]]
) -> None:
    idle = threading.Thread(target=world.queue.get, daemon=True)
    idle.start()
    world.clock.wait_for_waiters(1)
    world.threads.most = SIZE + 3
    world.look()
    resting = world.threads.seats[SIZE:]
    assert [seat.surplus for seat in resting] == [True] * 3
    world.queue.add(Request(CLUSTERS[-1], "n", "a"))
    idle.join(5)
    world.work_everywhere()
    for name in CLUSTERS[-4:]:
        world.queue.add(Request(name, "n", "b"))
    world.clock.advance(LAG_SECONDS * 1.5)
    world.look()

    assert [seat.surplus for seat in resting] == [False] * 3
    assert [each for each in records() if each["level"] != "debug"] == [], "it is no fault that nobody more can rest"


@pytest.mark.parametrize(
    ("timeout", "then"),
    [
        (10.0, "another worker takes its place"),
        (0.0, "without a reconcile_timeout nothing ends it; another worker takes its place"),
    ],
)
def test_one_that_was_replaced_before_it_got_stuck_is_said_to_be(
    records: Callable[[], list[dict[str, Any]]], timeout: float, then: str
) -> None:
    world = World(timeout=timeout)
    runs = world.work_everywhere()
    for name in CLUSTERS[SIZE:]:
        world.queue.add(Request(name, "n", "a"))
    world.clock.advance(LAG_SECONDS * 1.5)
    world.look()
    assert len(world.threads.seats) == 2 * SIZE
    world.clock.advance(5.0)
    for _seat, run in runs:
        run.late = True  # Their tokens are told elsewhere.
    world.clock.advance(timeout or UNLIMITED_SECONDS)
    world.look()

    messages = [record["msg"] for record in records()]
    assert messages == [f"a reconcile does not return: {then}"] * SIZE

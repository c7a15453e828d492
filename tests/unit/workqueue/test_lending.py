"""Whose worker is replaced: that of an item that takes far longer than those of the other clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.workqueue.outcome import Outcome
from kcontroller.workqueue.paces import LAG_SECONDS, LOOK_SECONDS, SLOW, SLOW_SECONDS, UNKNOWN_SECONDS
from tests.unit.workqueue.steps import Queue, take

if TYPE_CHECKING:
    from kcontroller.testing.clock import VirtualClock
    from kcontroller.workqueue import Item

QUICK = 0.001


def request(cluster: str, name: str = "a") -> Request:
    return Request(cluster, "default", name)


@pytest.fixture
def queue(clock: VirtualClock) -> Queue:
    """A queue of three clusters whose items are quick."""
    made = Queue("test", clock=clock, workers=8, compares=True)
    work(made, clock, QUICK)
    return made


def work(queue: Queue, clock: VirtualClock, seconds: float) -> None:
    for name in ("a", "b", "c"):
        queue.add(request(name))
        item = take(queue)
        clock.advance(seconds)
        queue.done(item, Outcome.forget())


def held(queue: Queue, clock: VirtualClock, seconds: float) -> Item[Request]:
    queue.add(request("far"))
    item = take(queue)
    clock.advance(seconds)
    return item


def aside(queue: Queue, item: Item[Request]) -> bool:
    return queue.set_aside([item], room=1) == [item]


def test_an_item_lags_that_takes_far_longer_than_most_while_something_is_ready(
    queue: Queue, clock: VirtualClock
) -> None:
    item = held(queue, clock, LAG_SECONDS * 1.1)
    assert not aside(queue, item), "nobody waits for its worker"
    queue.add(request("a"))
    assert aside(queue, item)


def test_an_item_that_has_just_begun_does_not_lag(queue: Queue, clock: VirtualClock) -> None:
    item = held(queue, clock, LAG_SECONDS * 0.9)
    queue.add(request("a"))
    assert not aside(queue, item)


def test_no_item_lags_where_all_take_that_long(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    work(queue, clock, LAG_SECONDS)
    clock.advance(1.0)
    item = held(queue, clock, LAG_SECONDS * 3.5)
    queue.add(request("a"))
    assert not aside(queue, item)


def test_an_item_that_lags_counts_against_the_cap_of_its_cluster_and_nothing_is_wrong_with_that(
    queue: Queue, clock: VirtualClock
) -> None:
    for name in ("a", "b", "c"):
        queue.add(request("far", name))
    queue.add(request("a"))
    taken = [take(queue) for _ in range(3)]
    far = [item for item in taken if item.request.cluster == "far"]
    queue.add(request("a", "b"))
    clock.advance(LAG_SECONDS * 1.1)

    assert len(far) == 2, "a quarter of the workers"
    assert all(aside(queue, item) for item in far)
    assert queue.capped("far")
    assert queue.degraded("far") == frozenset()
    assert take(queue).request.cluster == "a"


def test_nothing_lags_where_nobody_compares(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    item = held(queue, clock, 60.0)
    queue.add(request("a"))
    assert not aside(queue, item)


def test_what_is_over_its_delay_is_ready_although_no_worker_looks(queue: Queue, clock: VirtualClock) -> None:
    item = held(queue, clock, 0.0)
    queue.add(request("a"), after=0.005)
    clock.advance(LAG_SECONDS * 1.1)
    assert aside(queue, item)


def test_those_that_hang_do_not_say_what_is_quick(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4, compares=True)
    names = list("abcdef")
    for name in names:
        queue.add(request(name))
        queue.done(take(queue), Outcome.forget())
    for name in names:
        queue.add(request(name, "b"))
    hanging = [take(queue) for _ in range(4)]
    clock.advance(SLOW_SECONDS * 2)
    assert all(aside(queue, item) for item in hanging)
    assert [name for name in names if queue.degraded(name)] == [item.request.cluster for item in hanging]


def test_until_anything_is_finished_a_second_is_long(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4, compares=True)
    item = held(queue, clock, UNKNOWN_SECONDS * 0.9)
    queue.add(request("a"))
    assert not aside(queue, item)
    clock.advance(UNKNOWN_SECONDS * 0.2)
    assert aside(queue, item)


def test_a_cluster_of_which_one_object_hangs_while_others_are_quick_is_well(queue: Queue, clock: VirtualClock) -> None:
    held(queue, clock, LAG_SECONDS)
    for _ in range(5):
        clock.advance(1.0)
        queue.add(request("far", "another"))
        item = take(queue)
        clock.advance(QUICK)
        queue.done(item, Outcome.forget())
        work(queue, clock, QUICK)
    assert queue.degraded("far") == frozenset()


def test_what_a_predecessor_left_in_work_says_nothing_of_a_cluster(queue: Queue, clock: VirtualClock) -> None:
    held(queue, clock, LAG_SECONDS)
    queue.purge("far")
    clock.advance(60.0)
    work(queue, clock, QUICK)
    assert queue.degraded("far") == frozenset()


@pytest.mark.parametrize("unworked", [Outcome.drop(), Outcome.hold(60.0)])
def test_items_that_nobody_worked_on_say_nothing_of_a_cluster(clock: VirtualClock, unworked: Outcome) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    for _ in range(10):
        for name in ("a", "b", "c"):
            queue.add(request(name, "paused"))
            queue.done(take(queue), unworked)
        work(queue, clock, 0.3)
    assert [queue.degraded(name) for name in "abc"] == [frozenset()] * 3


def test_items_that_are_set_aside_count_against_the_cap_of_their_cluster(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, per_cluster=1, compares=True)
    work(queue, clock, QUICK)
    for name in ("x", "y", "z"):
        queue.add(request(name))
        queue.add(request(name, "b"))
    items = [take(queue) for _ in range(3)]
    clock.advance(SLOW_SECONDS * 2)

    assert [aside(queue, item) for item in items] == [True, False, False], "two of eight workers are the quarter"
    queue.check_invariants()
    queue.done(items[1], Outcome.forget())
    queue.check_invariants()
    assert take(queue).request == request("y", "b")
    queue.done(items[2], Outcome.forget())
    queue.check_invariants()
    assert take(queue).request == request("z", "b")
    assert queue.get(timeout=0) is None, "x has its one worker"
    queue.done(items[0], Outcome.forget())
    queue.check_invariants()


def test_a_degraded_cluster_that_hangs_does_not_hold_up_the_others_that_are(clock: VirtualClock) -> None:
    small = Queue("test", clock=clock, workers=4, compares=True)
    work(small, clock, QUICK)
    for name in ("x", "y"):
        small.degrade(name, why="stale")
        small.add(request(name))
        small.add(request(name, "b"))
    item = take(small)
    assert small.get(timeout=0) is None, "together they have one of four workers"
    clock.advance(UNKNOWN_SECONDS * 1.1)

    assert aside(small, item)
    small.check_invariants()
    assert take(small).request.cluster == "y"
    assert small.get(timeout=0) is None
    small.recover("x", why="stale")
    small.check_invariants()
    small.done(item, Outcome.forget())
    small.check_invariants()


def test_a_cluster_may_leave_while_an_item_of_it_is_set_aside(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4, compares=True)
    work(queue, clock, QUICK)
    for name in ("x", "y"):
        queue.degrade(name, why="stale")
        queue.add(request(name))
    item = take(queue)
    clock.advance(UNKNOWN_SECONDS * 1.1)
    assert aside(queue, item)
    queue.purge("x")
    queue.check_invariants()
    queue.abandon(item)
    queue.done(item, Outcome.forget())
    queue.check_invariants()
    assert take(queue).request.cluster == "y"


def test_a_storm_that_is_over_makes_nobody_slow(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)

    def finish(name: str, seconds: float) -> None:
        queue.add(request(name))
        item = take(queue)
        clock.advance(seconds)
        queue.done(item, Outcome.forget())

    for name in ("a", "b", "c", "x") * 3:
        finish(name, 1.0)
    finish("x", QUICK)
    for _ in range(8):
        clock.advance(LOOK_SECONDS)
        work(queue, clock, QUICK)
    assert queue.degraded("x") == frozenset(), "on average it takes half a second, but it did so when all did"
    finish("x", 1.0)
    clock.advance(LOOK_SECONDS)
    work(queue, clock, QUICK)
    assert queue.degraded("x") == {SLOW}


def test_no_more_are_set_aside_than_there_is_room_for_and_what_is_replaced_needs_none(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    work(queue, clock, QUICK)
    names = ("v", "w", "x", "y", "z")
    for name in names:
        queue.degrade(name, why="stale")
        queue.add(request(name))
        queue.add(request(name, "b"))
    first = [take(queue), take(queue)]
    assert queue.get(timeout=0) is None, "a quarter of eight"
    clock.advance(UNKNOWN_SECONDS * 1.1)

    assert queue.set_aside(first, room=1) == first[:1]
    assert take(queue).request.cluster == "x"
    assert queue.get(timeout=0) is None
    assert queue.set_aside([], room=0, replaced=first) == []
    assert take(queue).request.cluster == "y"
    queue.check_invariants()


def test_more_than_half_that_turn_slow_are_slow_and_the_new_pace_is_got_used_to(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    quick, slow = ("a", "b", "c", "d"), ("u", "v", "w", "x", "y", "z")

    def finish(names: tuple[str, ...], seconds: float) -> None:
        for name in names:
            queue.add(request(name))
        items = [item for _ in names if (item := queue.get(timeout=0)) is not None]
        clock.advance(seconds)
        for item in items:
            queue.done(item, Outcome.forget())

    for _ in range(3):
        finish(quick, QUICK)
        finish(slow, QUICK)
        clock.advance(LOOK_SECONDS)
    for _ in range(3):
        for name in slow:
            finish((name,), 0.5)
        finish(quick, QUICK)
    assert [queue.degraded(name) for name in slow] == [{SLOW}] * 6
    assert [queue.degraded(name) for name in quick] == [frozenset()] * 4
    for _ in range(180):
        clock.advance(5.0)
        finish(quick, QUICK)
        finish(slow[:1], 0.5)
    assert [queue.degraded(name) for name in slow] == [frozenset()] * 6


def test_where_everything_turns_slow_nobody_is(queue: Queue, clock: VirtualClock) -> None:
    for _ in range(4):
        clock.advance(LOOK_SECONDS)
        work(queue, clock, 0.5)
    assert [queue.degraded(name) for name in "abc"] == [frozenset()] * 3

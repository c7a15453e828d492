"""The order of hand-outs: levels, aging, turns of the clusters and their caps."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.workqueue import LOW_PRIORITY, Outcome
from tests.unit.workqueue.steps import Queue, serve, take

if TYPE_CHECKING:
    from kcontroller.testing.clock import VirtualClock


def request(cluster: str, number: int = 0) -> Request:
    return Request(cluster, "", str(number))


def fill(queue: Queue, cluster: str, count: int, *, priority: int = 0) -> None:
    for number in range(count):
        queue.add(request(cluster, number), priority=priority)


def held(queue: Queue, count: int) -> list[str]:
    """Take up to `count` items without giving them back; the answer is their clusters."""
    items = [queue.get(timeout=0) for _ in range(count)]
    return [item.request.cluster for item in items if item]


@pytest.mark.parametrize("workers", [1, 16])
def test_clusters_take_turns(clock: VirtualClock, workers: int) -> None:
    queue = Queue("test", clock=clock, workers=workers)
    fill(queue, "a", 3)
    fill(queue, "b", 2)
    fill(queue, "c", 1)

    assert serve(queue) == ["a:0", "b:0", "c:0", "a:1", "b:1", "a:2"]


@pytest.mark.parametrize("crowd", [1, 5])
def test_a_flood_in_some_clusters_delays_a_single_key_by_one_turn_only(queue: Queue, crowd: int) -> None:
    for number in range(crowd):
        fill(queue, f"flood{number}", 10_000 // crowd)
    serve(queue, 7)
    queue.add(request("quiet"))

    assert "quiet:0" in serve(queue, crowd + 1)


def test_every_hot_cluster_gets_the_same_share(queue: Queue) -> None:
    fill(queue, "a", 1000)
    fill(queue, "b", 1000)

    clusters = [name[0] for name in serve(queue, 1000)]

    assert all(one != other for one, other in pairwise(clusters))


def test_a_single_cluster_may_hold_all_workers(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    fill(queue, "a", 20)

    assert held(queue, 8) == ["a"] * 8


@pytest.mark.parametrize(("workers", "held_by_one"), [(1, 1), (2, 1), (8, 7)])
def test_a_queue_that_reserves_keeps_the_last_worker_from_a_cluster_that_is_alone(
    clock: VirtualClock, workers: int, held_by_one: int
) -> None:
    queue = Queue("test", clock=clock, workers=workers, reserves=True)
    fill(queue, "a", 20)
    assert held(queue, 20) == ["a"] * held_by_one
    fill(queue, "b", 20)

    assert held(queue, 1) == ["b"]


@pytest.mark.parametrize(("workers", "cap"), [(1, 1), (3, 1), (4, 1), (8, 2), (16, 4), (19, 4)])
def test_of_two_clusters_each_may_hold_a_quarter_of_the_workers(clock: VirtualClock, workers: int, cap: int) -> None:
    queue = Queue("test", clock=clock, workers=workers)
    fill(queue, "a", 20)
    fill(queue, "b", 20)

    assert held(queue, 20) == ["a", "b"] * cap


def test_a_cluster_above_its_cap_waits_until_it_is_below(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    fill(queue, "a", 20)
    items = [queue.get(timeout=0) for _ in range(4)]
    queue.add(request("b"))
    assert held(queue, 8) == ["b"]
    for item in items[:2]:
        assert item is not None
        queue.done(item, Outcome.forget())
    assert held(queue, 8) == []
    assert items[2] is not None
    queue.done(items[2], Outcome.forget())

    assert held(queue, 8) == ["a"]


def test_a_cap_is_gone_with_the_other_clusters_work(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    queue.add(request("b"))
    other = take(queue)
    fill(queue, "a", 20)
    assert held(queue, 8) == ["a"] * 2
    queue.done(other, Outcome.forget())

    assert held(queue, 6) == ["a"] * 6


def test_a_busy_single_key_keeps_its_clusters_place_when_it_is_requeued(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    queue.add(request("b"))
    other = take(queue)
    fill(queue, "a", 3)
    assert held(queue, 2) == ["a"]
    queue.done(other, Outcome.after(0))

    assert held(queue, 4) == ["b"]


@pytest.mark.parametrize("outcome", [Outcome.forget(), Outcome.after(0)])
def test_a_hot_key_delays_cold_ones_by_one_turn_only(queue: Queue, outcome: Outcome) -> None:
    """It is wanted again whenever anything is handed out, and always while it is in work itself."""
    hot, cold = Request("", "", "hot"), [Request("", "", str(number)) for number in range(999)]
    for request in (hot, *cold):
        queue.add(request)
    picked = []
    while set(cold) - set(picked):
        item = take(queue)
        picked.append(item.request)
        queue.add(hot)
        queue.done(item, outcome if item.request == hot else Outcome.forget())

    assert picked == [hot, *cold]


def test_a_paused_cluster_does_not_compete(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    fill(queue, "a", 8)
    fill(queue, "b", 8)
    queue.pause("b")

    assert held(queue, 8) == ["a"] * 8


def test_a_capped_cluster_does_not_hide_lower_levels(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    fill(queue, "a", 5, priority=10)
    fill(queue, "b", 5)

    assert held(queue, 3) == ["a", "b"]


def test_every_sixteenth_pick_goes_one_level_lower(queue: Queue) -> None:
    fill(queue, "low", 100, priority=LOW_PRIORITY)
    fill(queue, "high", 100)

    low = [place for place, name in enumerate(serve(queue, 64), start=1) if name.startswith("low")]

    assert low == [16, 32, 48, 64]


def test_a_busy_second_level_does_not_starve_the_third(queue: Queue) -> None:
    fill(queue, "third", 10, priority=-2)
    fill(queue, "second", 600, priority=-1)
    fill(queue, "first", 600)

    third = [place for place, name in enumerate(serve(queue, 600), start=1) if name.startswith("third")]

    assert third == [256, 512]


def test_a_raised_entry_leaves_its_old_level(queue: Queue) -> None:
    queue.add(request("a", 1))
    for priority in range(1, 6):
        queue.add(request("a", 1), priority=priority)
    queue.check_invariants()

    assert serve(queue) == ["a:1"]


def test_the_check_finds_an_entry_in_a_wrong_lane(queue: Queue) -> None:
    queue.add(request("a"))
    queue._schedule._shares["a"].entries[request("a")].priority = 4

    with pytest.raises(AssertionError, match="READY in its lane"):
        queue.check_invariants()

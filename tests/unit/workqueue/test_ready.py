"""The order of hand-outs: levels, aging, turns of the clusters and their caps."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.workqueue import LOW_PRIORITY, Outcome
from kcontroller.workqueue.paces import SLOW
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


@pytest.mark.parametrize(("workers", "most", "alone", "contended"), [(4, 1, 1, 1), (16, 3, 3, 3), (16, 6, 6, 4)])
def test_a_cluster_never_gets_more_workers_than_one_may_have(
    clock: VirtualClock, workers: int, most: int, alone: int, contended: int
) -> None:
    queue = Queue("test", clock=clock, workers=workers, per_cluster=most)
    fill(queue, "a", 20)
    assert held(queue, workers) == ["a"] * alone

    queue = Queue("test", clock=clock, workers=workers, per_cluster=most)
    fill(queue, "a", 20)
    fill(queue, "b", 20)
    assert held(queue, workers) == ["a", "b"] * contended


def test_a_limit_of_workers_for_one_cluster_leaves_those_that_are_ill_their_quarter(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=16, per_cluster=1)
    for name in "abcdef":
        queue.degrade(name, why="slow")
        fill(queue, name, 10)

    assert sorted(held(queue, 16)) == ["a", "b", "c", "d"]


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


# ---- clusters that are ill, or weigh more ----------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "quarter"), [(4, 1), (8, 2), (16, 4)])
def test_clusters_that_are_ill_share_one_quarter_of_the_workers(
    clock: VirtualClock, workers: int, quarter: int
) -> None:
    queue = Queue("test", clock=clock, workers=workers)
    for number in range(10):
        queue.degrade(f"bad{number}", why="slow")
        fill(queue, f"bad{number}", 10)
    for number in range(2):
        fill(queue, f"good{number}", 10)

    assert sum(name.startswith("bad") for name in held(queue, workers)) == quarter


def test_one_that_is_ill_does_not_keep_the_others_of_the_quarter_from_it(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=16)
    for name in "abcd":
        queue.degrade(name, why="slow")
        fill(queue, name, 10)
    fill(queue, "well", 10)

    assert sorted(set(held(queue, 16)) - {"well"}) == ["a", "b", "c", "d"]


def test_what_is_ill_gets_no_more_than_a_quarter_where_nobody_else_has_work(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4, reserves=True)
    for name in "abcd":
        queue.degrade(name, why="stale")
        fill(queue, name, 10)

    assert len(held(queue, 4)) == 1


def test_a_cluster_is_ill_until_nobody_says_so(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    queue.degrade("a", why="slow")
    queue.degrade("a", why="breaker")
    queue.purge("a")
    queue.recover("a", why="slow")
    assert queue.degraded("a") == {"breaker"}
    queue.recover("a", why="breaker")
    assert queue.degraded("a") == frozenset()


def test_a_cluster_gets_as_many_turns_as_it_weighs(queue: Queue) -> None:
    queue.weigh("a", 4)
    fill(queue, "a", 1000)
    fill(queue, "b", 1000)

    clusters = [name[0] for name in serve(queue, 1000)]

    assert (clusters.count("a"), clusters.count("b")) == (800, 200)
    assert clusters[:10] == list("aaaabaaaab")


def test_a_cluster_at_its_cap_goes_on_with_its_turn_as_soon_as_it_is_below_it(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    queue.weigh("a", 4)
    for cluster in "abcdefgh":
        fill(queue, cluster, 40)
    busy = [take(queue) for _ in range(4)]
    picked = [item.request.cluster for item in busy]
    while len(picked) < 200:
        queue.done(busy.pop(0), Outcome.forget())
        busy.append(take(queue))
        picked.append(busy[-1].request.cluster)

    assert "".join(picked[:16]) == "abcdaefgahbcadef"
    others = [picked.count(name) for name in "bcdefgh"]
    assert picked.count("a") > 1.5 * max(others)
    assert max(others) - min(others) <= 1


def test_a_weight_is_at_least_1(queue: Queue) -> None:
    with pytest.raises(ValueError, match="give at least 1"):
        queue.weigh("a", 0)


def test_a_cluster_that_takes_far_longer_than_the_others_is_ill_until_it_does_no_more(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)

    def work(cluster: str, seconds: float) -> None:
        queue.add(request(cluster))
        item = take(queue)
        clock.advance(seconds)
        queue.done(item, Outcome.forget())

    for name in ("a", "b", "c"):
        work(name, 0.01)
    work("slow", 2.0)
    assert queue.degraded("slow") == {SLOW}
    for _ in range(20):
        work("slow", 0.01)
        work("a", 0.25)
    assert queue.degraded("slow") == frozenset()


def test_a_cluster_whose_item_does_not_come_back_is_ill_before_it_does(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    queue.add(request("hangs"))
    take(queue)
    for name in ("a", "b", "c"):
        queue.add(request(name))
        item = take(queue)
        clock.advance(0.1)
        queue.done(item, Outcome.forget())
    clock.advance(1.0)
    queue.add(request("a"))
    queue.done(take(queue), Outcome.forget())
    assert queue.degraded("hangs") == {SLOW}


def test_where_every_cluster_is_slow_none_is(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    for _ in range(3):
        for name in ("a", "b", "c"):
            queue.add(request(name))
            item = take(queue)
            clock.advance(2.0)
            queue.done(item, Outcome.forget())
    assert [queue.degraded(name) for name in "abc"] == [frozenset()] * 3

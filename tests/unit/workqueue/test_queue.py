from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.process.backoff import Backoff
from kcontroller.process.bucket import Bucket
from kcontroller.workqueue import Outcome, Standing
from tests.unit.workqueue.steps import Queue, serve, take

if TYPE_CHECKING:
    from kcontroller.testing.clock import VirtualClock

A, B = (Request("", "default", name) for name in "ab")
NORTH, SOUTH = (Request(cluster, "default", "a") for cluster in ("north", "south"))


def test_a_queue_without_workers_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="'test' cannot have 0 workers"):
        Queue("test", clock=clock, workers=0)


def test_an_empty_queue_is_true(queue: Queue) -> None:
    assert queue


def test_requests_with_the_same_key_in_two_clusters_are_two(queue: Queue) -> None:
    queue.add(NORTH)
    queue.add(SOUTH)

    assert serve(queue) == ["north:default/a", "south:default/a"]


def test_len_counts_what_is_ready_and_not_what_is_in_work_or_delayed(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    take(queue)
    queue.add(A)
    queue.add(B, after=5)
    before = len(queue)
    clock.advance(5)

    assert (before, len(queue), queue.in_flight) == (0, 1, 1)


def test_the_depth_of_a_cluster_counts_what_is_ready_of_it(queue: Queue, clock: VirtualClock) -> None:
    queue.add(SOUTH)
    queue.add(NORTH, after=5)
    before = queue.depth("north"), queue.depth("south"), queue.depth("east")
    clock.advance(5)
    take(queue)

    assert before == (0, 1, 0)
    assert (queue.depth("north"), queue.depth("south")) == (1, 0)


# Delays


def test_an_immediate_add_cancels_the_delayed_one(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=10)
    queue.add(A)
    assert serve(queue) == ["default/a"]
    clock.advance(10)

    assert serve(queue) == []


def test_a_delay_changes_nothing_for_a_ready_request_but_its_priority(queue: Queue) -> None:
    queue.add(B)
    queue.add(A)
    queue.add(A, after=10, priority=1)

    assert serve(queue) == ["default/a", "default/b"]


def test_a_delayed_request_keeps_the_highest_priority(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=1)
    queue.add(A, after=2, priority=9)
    queue.add(A, after=0.5, priority=3)
    clock.advance(1)

    assert take(queue).priority == 9


@pytest.mark.parametrize("after", [-1.0, math.nan])
def test_a_delay_that_is_not_positive_means_now(queue: Queue, after: float) -> None:
    queue.add(A, after=after)

    assert serve(queue) == ["default/a"]


def test_an_infinite_delay_is_refused(queue: Queue) -> None:
    with pytest.raises(ValueError, match="default/a cannot be added after inf seconds"):
        queue.add(A, after=math.inf)
    queue.check_invariants()


def test_a_flood_of_due_requests_is_moved_in_slices(queue: Queue, clock: VirtualClock) -> None:
    for number in range(2500):
        queue.add(Request("", "", str(number)), after=1)
    clock.advance(1)
    assert len(queue) == 1000

    assert serve(queue) == [str(number) for number in range(2500)]


# Done


def test_an_add_during_work_beats_a_later_requeue(queue: Queue) -> None:
    queue.add(A)
    item = take(queue)
    queue.add(A)
    queue.done(item, Outcome.after(60))

    assert take(queue).request == A


def test_a_delayed_add_during_work_beats_a_later_requeue(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    item = take(queue)
    queue.add(A, after=5)
    queue.done(item, Outcome.after(60))
    assert serve(queue) == []
    clock.advance(5)
    assert serve(queue) == ["default/a"]
    clock.advance(60)

    assert serve(queue) == []


def test_an_earlier_requeue_beats_a_delayed_add_during_work(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    item = take(queue)
    queue.add(A, after=60)
    queue.done(item, Outcome.after(5))
    clock.advance(5)

    assert serve(queue) == ["default/a"]


def test_an_add_during_work_brings_its_own_priority(queue: Queue) -> None:
    queue.add(A, priority=10)
    item = take(queue)
    queue.add(A, priority=2)
    queue.done(item, Outcome.forget())

    assert take(queue).priority == 2


def test_the_backoff_is_the_one_that_was_given(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, backoff=Backoff(initial=3, cap=3))
    queue.add(A)
    queue.done(take(queue), Outcome.retry())
    clock.advance(2.9)
    assert queue.get(timeout=0) is None
    clock.advance(0.2)

    assert take(queue).failures == 1


def test_the_jitter_comes_from_the_randomness_that_was_given(clock: VirtualClock) -> None:
    def delays(seed: int) -> list[float]:
        backoff = Backoff(initial=1, cap=8, jitter=0.5)
        queue = Queue("test", clock=clock, backoff=backoff, rng=random.Random(seed))  # noqa: S311 - not a secret
        found = []
        queue.add(A)
        for _ in range(5):
            queue.done(take(queue), Outcome.retry())
            standing = queue.standing(A)
            assert standing is not None
            found.append(standing.due - clock.monotonic())
            clock.advance(found[-1])
        return found

    first = delays(1)
    assert first == pytest.approx(delays(1))
    assert first != pytest.approx(delays(2))
    assert all(base <= delay < 1.5 * base for delay, base in zip(first, [1, 2, 4, 8, 8], strict=True))


def test_a_bucket_keeps_the_failures_of_all_requests_to_a_rate(clock: VirtualClock) -> None:
    """The longer of backoff and bucket counts, as in client-go's MaxOfRateLimiter."""
    queue = Queue("test", clock=clock, backoff=Backoff(initial=0.5, cap=8), bucket=Bucket(qps=2, burst=3))
    requests = [Request("", "", str(number)) for number in range(6)]
    for request in requests:
        queue.add(request)
    for _ in requests:
        queue.done(take(queue), Outcome.retry())
    standings = [queue.standing(request) for request in requests]

    now = clock.monotonic()
    assert [each.due - now for each in standings if each] == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0, 1.5])


@pytest.mark.parametrize("outcome", [Outcome.forget(), Outcome.after(1), Outcome.hold(1)])
def test_only_failures_take_from_the_bucket(clock: VirtualClock, outcome: Outcome) -> None:
    queue = Queue("test", clock=clock, bucket=Bucket(qps=0.001, burst=1))
    for _ in range(5):
        queue.add(A)
        queue.done(take(queue), outcome)
        clock.advance(1)
    queue.add(A)
    queue.done(take(queue), Outcome.retry())
    standing = queue.standing(A)

    assert standing is not None
    assert standing.due - clock.monotonic() == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [(Outcome.forget(), 0), (Outcome.after(1), 0), (Outcome.retry(), 2), (Outcome.hold(1), 1)],
)
def test_what_an_outcome_does_to_the_failures(
    queue: Queue, clock: VirtualClock, outcome: Outcome, failures: int
) -> None:
    queue.add(A)
    queue.done(take(queue), Outcome.retry())
    clock.advance(1)
    queue.done(take(queue), outcome)

    assert queue.failures(A) == failures
    queue.check_invariants()


def test_done_twice_is_refused(queue: Queue) -> None:
    queue.add(A)
    item = take(queue)
    queue.done(item, Outcome.forget())

    with pytest.raises(ValueError, match="default/a is not in work"):
        queue.done(item, Outcome.forget())


def test_an_old_item_of_a_request_that_is_in_work_again_is_refused(queue: Queue) -> None:
    queue.add(A)
    old = take(queue)
    queue.done(old, Outcome.after(0))
    new = take(queue)

    with pytest.raises(ValueError, match="call done once"):
        queue.done(old, Outcome.forget())
    queue.done(new, Outcome.forget())


def test_nothing_is_left_of_finished_requests(queue: Queue) -> None:
    for request in (A, B, NORTH, SOUTH):
        queue.add(request)
    serve(queue)

    assert queue._schedule._shares == {}


# Reasons


def test_an_item_tells_the_reasons_of_its_adds(queue: Queue) -> None:
    for reason in ("Widget created", "Pod updated", "Widget created", ""):
        queue.add(A, reason=reason)
    item = take(queue)

    assert (item.reasons, item.adds) == (("Widget created", "Pod updated"), 4)


def test_at_most_eight_reasons_are_kept_and_all_adds_are_counted(queue: Queue) -> None:
    for number in range(20):
        queue.add(A, reason=f"reason {number}")
    item = take(queue)

    assert (item.reasons, item.adds) == (tuple(f"reason {number}" for number in range(8)), 20)


def test_reasons_during_work_belong_to_the_next_time(queue: Queue) -> None:
    queue.add(A, reason="first")
    item = take(queue)
    queue.add(A, reason="second")
    queue.done(item, Outcome.forget())

    assert (item.reasons, take(queue).reasons) == (("first",), ("second",))


@pytest.mark.parametrize(
    ("outcome", "reasons"), [(Outcome.retry(), ("retry", "Widget created")), (Outcome.after(1), ("requeue",))]
)
def test_a_requeue_is_a_reason_and_what_failed_keeps_its_own(
    queue: Queue, clock: VirtualClock, outcome: Outcome, reasons: tuple[str, ...]
) -> None:
    queue.add(A, reason="Widget created")
    queue.done(take(queue), outcome)
    clock.advance(1)

    assert take(queue).reasons == reasons


# Idle


def test_a_cluster_without_work_is_idle_at_once(queue: Queue) -> None:
    idle: list[str] = []
    queue.add(SOUTH)
    take(queue)

    queue.when_idle("north", lambda: idle.append("north"))

    assert idle == ["north"]


def test_idle_is_told_once_when_the_last_item_of_the_cluster_is_given_back(queue: Queue) -> None:
    idle: list[str] = []
    queue.add(NORTH)
    queue.add(Request("north", "default", "b"))
    first, last = take(queue), take(queue)
    queue.purge("north")
    queue.when_idle("north", lambda: idle.append("north"))

    queue.done(first, Outcome.retry())
    assert idle == []
    queue.done(last, Outcome.retry())
    assert idle == ["north"]

    queue.add(NORTH)
    queue.done(take(queue), Outcome.forget())
    assert idle == ["north"]


def test_idle_may_be_followed_by_any_call_of_the_queue(queue: Queue) -> None:
    queue.add(NORTH)
    item = take(queue)
    queue.when_idle("north", lambda: queue.add(SOUTH))

    queue.done(item, Outcome.forget())

    assert serve(queue) == ["south:default/a"]


# Standing


def test_a_request_that_nobody_asked_for_has_no_standing(queue: Queue) -> None:
    queue.add(A)
    queue.done(take(queue), Outcome.forget())

    assert (queue.standing(A), queue.standing(NORTH)) == (None, None)


def test_the_standing_of_a_request_from_its_add_to_its_end(queue: Queue, clock: VirtualClock) -> None:
    began = clock.monotonic()
    queue.add(A, after=5, priority=3, reason="Widget created")
    delayed = queue.standing(A)
    clock.advance(6)
    ready = queue.standing(A)
    clock.advance(1)
    item = take(queue)
    queue.add(A, after=60, reason="Widget updated")
    clock.advance(2)
    processing = queue.standing(A)
    queue.done(item, Outcome.hold(1))
    held = queue.standing(A)

    why = ("Widget created",)
    assert delayed == Standing("delayed", began, began + 5, 3, 0, why)
    assert ready == Standing("ready", began + 5, began + 5, 3, 0, why)
    assert processing == Standing("processing", began + 7, began + 67, 3, 0, why)
    assert held == Standing("held", began + 9, began + 10, 3, 0, (*why, "Widget updated"))


def test_the_standing_of_a_request_that_failed_tells_of_its_backoff(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    queue.done(take(queue), Outcome.retry())
    now = clock.monotonic()

    assert queue.standing(A) == Standing("delayed", now, now + 0.005, 0, 1, ("retry",))


def test_a_cluster_at_its_cap_is_told_from_one_without_work_and_from_a_paused_one(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    for name in "abc":
        queue.add(Request("north", "", name))
        queue.add(Request("south", "", name))
    taken = [take(queue).request.cluster for _ in range(2)]
    queue.pause("south")

    assert sorted(taken) == ["north", "south"]
    assert [queue.capped(cluster) for cluster in ("north", "south", "east")] == [False, False, False]
    queue.resume("south")
    assert [queue.capped(cluster) for cluster in ("north", "south", "east")] == [True, True, False]


# The bound


def test_a_cluster_keeps_no_more_than_its_bound_and_says_when_there_is_room(clock: VirtualClock) -> None:
    told: list[str] = []
    queue = Queue("test", clock=clock, limit=4, on_room=told.append)
    taken = [queue.add(Request("north", "", str(number)), may_refuse=True) for number in range(6)]
    queue.add(SOUTH)
    assert taken == [True] * 4 + [False] * 2
    assert len(queue) == 5
    serve(queue, 2)
    assert told == []
    serve(queue, 1)
    assert told == ["north"]
    serve(queue)

    assert told == ["north"], "once, until somebody is refused again"


def test_what_a_full_cluster_knows_already_is_not_refused(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, limit=1)
    ready, working, later, failed = (Request("north", "", name) for name in ("ready", "working", "later", "failed"))
    queue.add(failed)
    queue.done(take(queue), Outcome.retry())
    queue.add(working)
    taken = take(queue)
    queue.add(later, after=5)
    queue.add(ready)

    assert [queue.add(request, priority=9, may_refuse=True) for request in (ready, working, later, failed)] == [
        True
    ] * 4
    assert not queue.add(NORTH, may_refuse=True), "a new one is"
    assert not queue.add(NORTH, after=5, may_refuse=True), "also one for later"
    queue.done(taken, Outcome.forget())
    assert {item.request for item in (take(queue), take(queue), take(queue), take(queue))} == {
        ready,
        working,
        later,
        failed,
    }
    queue.check_invariants()


def test_who_hears_of_room_may_add_at_once(clock: VirtualClock) -> None:
    queue = Queue(
        "test", clock=clock, limit=2, on_room=lambda _cluster: added.append(queue.add(NORTH, may_refuse=True))
    )
    added: list[bool] = []
    for name in "bcd":
        queue.add(Request("north", "", name), may_refuse=True)

    assert sorted(serve(queue)) == ["north:b", "north:c", "north:default/a"]
    assert added == [True]


def test_a_worker_that_exchanges_its_item_tells_of_room_too(clock: VirtualClock) -> None:
    told: list[str] = []
    queue = Queue("test", clock=clock, limit=2, on_room=told.append)
    queue.add(SOUTH)
    item = take(queue)
    for name in "bcd":
        queue.add(Request("north", "", name), may_refuse=True)
    queue.exchange(item, Outcome.forget())

    assert told == ["north"]


def test_a_purge_forgets_that_a_cluster_was_full(clock: VirtualClock) -> None:
    told: list[str] = []
    queue = Queue("test", clock=clock, limit=1, on_room=told.append)
    queue.add(NORTH)
    queue.add(Request("north", "", "b"), may_refuse=True)
    queue.purge("north")
    queue.add(NORTH)
    serve(queue)

    assert told == []


def test_who_cannot_ask_again_is_not_refused(clock: VirtualClock) -> None:
    told: list[str] = []
    queue = Queue("test", clock=clock, limit=1, on_room=told.append)

    assert [queue.add(request) for request in (NORTH, Request("north", "", "b"))] == [True, True]
    assert len(serve(queue)) == 2
    assert told == []


def test_a_queue_that_may_hold_nothing_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="'test' cannot be limited to 0 requests"):
        Queue("test", clock=clock, limit=0)


# Purge, pause, resume


def test_purge_drops_ready_delayed_and_failures_of_one_cluster(queue: Queue, clock: VirtualClock) -> None:
    failed = Request("north", "", "failed")
    queue.add(failed)
    queue.done(take(queue), Outcome.retry())
    queue.add(NORTH)
    queue.add(Request("north", "", "later"), after=1)
    queue.add(SOUTH)
    queue.purge("north")
    queue.check_invariants()
    clock.advance(10)

    assert serve(queue) == ["south:default/a"]
    assert queue.failures(failed) == 0


@pytest.mark.parametrize("outcome", [Outcome.retry(), Outcome.after(1), Outcome.hold(1), Outcome.forget()])
def test_the_outcome_of_an_item_purged_meanwhile_is_ignored(
    queue: Queue, clock: VirtualClock, outcome: Outcome
) -> None:
    queue.add(NORTH)
    item = take(queue)
    queue.add(NORTH)
    queue.purge("north")
    queue.done(item, outcome)
    clock.advance(10)

    assert (serve(queue), queue.failures(NORTH), queue._schedule._shares) == ([], 0, {})


def test_the_hold_of_an_item_purged_meanwhile_is_ignored_too(queue: Queue) -> None:
    queue.add(NORTH)
    item = take(queue)
    queue.purge("north")
    queue.add(NORTH, after=60)
    queue.done(item, Outcome.hold(1))

    standing = queue.standing(NORTH)
    assert standing is not None
    assert standing.state == "delayed"
    assert queue.wait_idle(0)


def test_a_request_added_after_a_purge_waits_for_the_worker_that_still_has_it(queue: Queue) -> None:
    queue.add(NORTH)
    item = take(queue)
    queue.purge("north")
    queue.add(NORTH)
    assert queue.get(timeout=0) is None
    queue.done(item, Outcome.retry())

    again = take(queue)
    assert (again.request, again.priority, again.failures) == (NORTH, 0, 0)


def test_what_a_purge_left_in_work_takes_nothing_from_the_successor(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=2, reserves=True)
    queue.add(Request("north", "", "stuck"))
    stuck = take(queue)
    queue.purge("north")
    queue.add(SOUTH)
    queue.add(NORTH)
    queue.check_invariants()

    assert {take(queue).request, take(queue).request} == {SOUTH, NORTH}
    assert not queue.wait_in_flight(0, cluster="north")
    queue.done(stuck, Outcome.forget())
    queue.check_invariants()


def test_purge_ends_a_pause(queue: Queue) -> None:
    queue.pause("north")
    queue.purge("north")
    queue.add(NORTH)

    assert serve(queue) == ["north:default/a"]


def test_a_purge_leaves_the_pause_by_command(queue: Queue) -> None:
    for holder in ("", "sync", "budget", "command"):
        queue.pause("north", holder=holder)
    queue.purge("north")
    queue.add(NORTH)
    assert (serve(queue), queue.holders("north")) == ([], frozenset({"command"}))
    queue.resume("north", holder="command")

    assert serve(queue) == ["north:default/a"]


def test_a_cluster_is_handed_out_when_no_holder_is_left(queue: Queue) -> None:
    queue.add(NORTH)
    queue.pause("north", holder="sync")
    queue.pause("north", holder="command")
    queue.pause("north", holder="command")
    queue.resume("north", holder="sync")
    queue.resume("north", holder="budget")
    assert (serve(queue), queue.holders("north")) == ([], frozenset({"command"}))
    queue.resume("north", holder="command")

    assert (serve(queue), queue.holders("north")) == (["north:default/a"], frozenset())


def test_purge_of_an_unknown_cluster_does_nothing(queue: Queue) -> None:
    queue.add(SOUTH)
    queue.purge("north")

    assert serve(queue) == ["south:default/a"]


def test_a_paused_cluster_is_skipped_and_keeps_its_requests(queue: Queue) -> None:
    queue.add(NORTH)
    queue.pause("north")
    queue.add(SOUTH)
    assert serve(queue) == ["south:default/a"]
    queue.resume("north")

    assert serve(queue) == ["north:default/a"]


def test_a_pause_before_the_first_request_counts(queue: Queue) -> None:
    queue.pause("north")
    queue.add(NORTH)

    assert (serve(queue), len(queue)) == ([], 1)


def test_resume_of_a_cluster_that_is_not_paused_does_nothing(queue: Queue) -> None:
    queue.resume("north")
    queue.add(SOUTH)
    queue.resume("south")
    queue.check_invariants()

    assert len(queue) == 1


# Stop


def test_stop_drops_what_is_ready_or_delayed(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    queue.add(B, after=1)
    queue.stop()
    queue.stop()
    clock.advance(1)

    assert (queue.get(), len(queue), queue.stopped) == (None, 0, True)


def test_adds_after_stop_are_ignored(queue: Queue) -> None:
    queue.stop()
    queue.add(A)
    queue.pause("north")

    assert queue._schedule._shares == {}


def test_an_item_may_be_done_after_stop_and_is_not_requeued(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    item = take(queue)
    queue.stop()
    queue.done(item, Outcome.retry())
    clock.advance(1)

    assert (len(queue), queue.in_flight, queue._schedule._shares) == (0, 0, {})


def test_an_item_that_is_held_comes_again_as_it_was(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, reason="one")
    queue.done(take(queue), Outcome.retry())
    clock.advance(1)
    queue.add(A, priority=7, reason="two")
    item = take(queue)
    queue.add(A, priority=3, after=60, reason="three")
    queue.done(item, Outcome.hold(5))
    assert queue.get(timeout=0) is None
    clock.advance(5)
    again = take(queue)

    assert (again.priority, again.failures) == (7, 1)
    assert again.reasons == (*item.reasons, "three")
    assert again.adds == item.adds + 1

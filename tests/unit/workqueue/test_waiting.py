"""Threads that wait: who is woken, by what, and that nobody is forgotten."""

from __future__ import annotations

import functools
import itertools
import random
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import Item, Outcome
from kcontroller.workqueue.entry import NEVER
from tests.unit.workqueue.steps import Call, Queue, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDS = 1_000_000  # Half of them without the relay, half with it.

A, B = (Request("", "default", name) for name in "ab")
NORTH = Request("north", "default", "a")


def answered(call: Call[Item[Request] | None]) -> Request | None:
    item = call.answer()
    return None if item is None else item.request


def wait_for_alarm(queue: Queue, at: float) -> None:
    """Wait until a timekeeper waits for this time: with the queue's lock free it has begun to wait."""
    while True:
        with queue._lock:
            if queue._waiters.keeping and queue._waiters.alarm == at:
                return


def waiting_gets(queue: Queue, clock: VirtualClock, count: int) -> list[Call[Item[Request] | None]]:
    calls = [Call(queue.get) for _ in range(count)]
    clock.wait_for_waiters(count)
    return calls


def test_an_add_wakes_a_waiting_get(queue: Queue, clock: VirtualClock) -> None:
    call = Call(queue.get)
    clock.wait_for_waiters(1)
    queue.add(A)

    assert answered(call) == A


def test_a_delay_wakes_a_waiting_get_when_it_is_over(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=5)
    call = Call(queue.get)
    clock.wait_for_waiters(1)
    clock.advance(5)

    assert answered(call) == A


def test_a_shorter_delay_wakes_the_timekeeper_to_look_again(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=500)
    call = Call(queue.get)
    clock.wait_for_waiters(1)
    queue.add(B, after=5)
    wait_for_alarm(queue, clock.monotonic() + 5)
    clock.advance(5)

    assert answered(call) == B


def test_delays_that_end_together_wake_as_many_workers(queue: Queue, clock: VirtualClock) -> None:
    for number in range(3):
        queue.add(Request("", "", str(number)), after=5)
    calls = waiting_gets(queue, clock, 3)
    clock.advance(5)

    assert len({answered(call) for call in calls} - {None}) == 3


def test_the_timekeeping_is_passed_on(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=5)
    keeper = Call(queue.get)
    clock.wait_for_waiters(1)
    sleeper = Call(queue.get)
    clock.wait_for_waiters(2)
    queue.add(B, after=8)
    clock.advance(5)
    assert answered(keeper) == A
    wait_for_alarm(queue, clock.monotonic() + 3)
    clock.advance(3)

    assert answered(sleeper) == B


def test_a_timekeeper_whose_time_is_over_passes_the_timekeeping_on(queue: Queue, clock: VirtualClock) -> None:
    keeper = Call(lambda: queue.get(timeout=1))
    clock.wait_for_waiters(1)
    sleeper = Call(queue.get)
    clock.wait_for_waiters(2)
    queue.add(A, after=3)
    clock.advance(1)
    assert answered(keeper) is None
    wait_for_alarm(queue, clock.monotonic() + 2)
    clock.advance(2)

    assert answered(sleeper) == A


@pytest.mark.parametrize("others", [0, 1])
def test_a_get_returns_none_when_its_time_is_over(queue: Queue, clock: VirtualClock, others: int) -> None:
    rest = [Call(queue.get) for _ in range(others)]
    clock.wait_for_waiters(others)
    call = Call(lambda: queue.get(timeout=2))
    clock.wait_for_waiters(others + 1)
    clock.advance(2)

    assert call.answer() is None
    queue.stop()
    assert [other.answer() for other in rest] == [None] * others


def test_resume_wakes_workers_for_everything_that_was_held_back(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=3)
    queue.pause("north")
    for number in range(3):
        queue.add(Request("north", "", str(number)))
    calls = waiting_gets(queue, clock, 3)
    queue.resume("north")

    assert len({answered(call) for call in calls} - {None}) == 3


def test_done_wakes_a_worker_for_a_cluster_that_was_at_its_cap(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    queue.add(A)
    queue.add(NORTH)
    items = [queue.get(timeout=0), queue.get(timeout=0)]
    queue.add(B)
    call = Call(queue.get)
    clock.wait_for_waiters(1)
    assert items[0] is not None
    queue.done(items[0], Outcome.forget())

    assert answered(call) == B


def test_the_pause_of_the_other_cluster_wakes_a_worker_because_there_is_no_cap_any_more(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=4)
    queue.add(A)
    queue.add(NORTH)
    take(queue)
    take(queue)
    queue.add(B)
    call = Call(queue.get)
    clock.wait_for_waiters(1)
    queue.pause("north")

    assert answered(call) == B


def test_an_interrupted_wait_leaves_the_timekeeping_to_another(clock: VirtualClock) -> None:
    class Interrupting(VirtualClock):
        def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
            if threading.current_thread() is threading.main_thread():
                sleeper.append(Call(queue.get))
                condition.release()
                super().wait_for_waiters(1)
                condition.acquire()
                raise KeyboardInterrupt
            return super().wait(condition, timeout)

    sleeper: list[Call[Item[Request] | None]] = []
    own = Interrupting()
    queue = Queue("test", clock=own)
    with pytest.raises(KeyboardInterrupt):
        queue.get()
    wait_for_alarm(queue, NEVER)
    queue.add(A, after=1)
    wait_for_alarm(queue, own.monotonic() + 1)
    own.advance(1)

    assert answered(sleeper[0]) == A


# Waiting for the end


def test_an_empty_queue_is_idle(queue: Queue) -> None:
    assert queue.wait_idle(0)


def test_running_delays_do_not_keep_a_queue_from_being_idle(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=5)
    running = queue.wait_idle(0)
    clock.advance(5)

    assert (running, queue.wait_idle(0)) == (True, False)


def test_a_paused_request_keeps_a_queue_from_being_idle(queue: Queue) -> None:
    queue.pause("north")
    queue.add(NORTH)

    assert not queue.wait_idle(0)


def test_a_queue_is_idle_when_the_last_item_is_done(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    item = take(queue)
    call = Call(lambda: queue.wait_idle(10))
    clock.wait_for_waiters(1)
    queue.done(item, Outcome.retry())

    assert call.answer() is True


def test_waiting_for_idle_gives_up(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    call = Call(lambda: queue.wait_idle(10))
    clock.wait_for_waiters(1)
    clock.advance(10)

    assert call.answer() is False


def test_a_purge_makes_a_queue_idle(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    call = Call(lambda: queue.wait_idle(10))
    clock.wait_for_waiters(1)
    queue.purge("")

    assert call.answer() is True


def test_an_item_that_is_held_keeps_a_queue_from_being_idle(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    queue.done(take(queue), Outcome.hold(5))
    call = Call(lambda: queue.wait_idle(10))
    clock.wait_for_waiters(1)
    clock.advance(5)
    queue.done(take(queue), Outcome.forget())

    assert call.answer() is True


@pytest.mark.parametrize("wait", [Queue.wait_idle, Queue.drain])
@pytest.mark.parametrize("work", ["ready", "in work", "held", "none"])
def test_of_a_stopped_queue_the_answer_is_whether_it_was_idle(
    queue: Queue, clock: VirtualClock, wait: Callable[[Queue, float], bool], work: str
) -> None:
    if work != "none":
        queue.add(A)
    item = take(queue) if work in {"in work", "held"} else None
    if item and work == "held":
        queue.done(item, Outcome.hold(5))
    call = Call(lambda: wait(queue, 10))
    if work != "none":
        clock.wait_for_waiters(1)
    else:
        assert call.answer()
    queue.stop()

    assert call.answer() is (work == "none")
    assert wait(queue, 0) is (work == "none")


# Drain


def test_a_drain_waits_for_what_items_add_and_then_stops_the_queue(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    item = take(queue)
    call = Call(lambda: queue.drain(10))
    clock.wait_for_waiters(1)
    queue.add(B)
    queue.done(item, Outcome.after(3600))
    queue.done(take(queue), Outcome.forget())

    assert call.answer() is True
    assert queue.stopped
    assert queue.drain(0) is True, "once more"


def test_a_drain_that_takes_too_long_drops_the_rest(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    call = Call(lambda: queue.drain(10))
    clock.wait_for_waiters(1)
    clock.advance(10)

    assert call.answer() is False
    assert queue.get() is None
    assert queue.drain(0) is False, "once more"


def test_in_flight_is_awaited_through_stop_and_purge(queue: Queue, clock: VirtualClock) -> None:
    queue.add(NORTH)
    item = take(queue)
    queue.purge("north")
    queue.stop()
    call = Call(lambda: queue.wait_in_flight(10))
    clock.wait_for_waiters(1)
    queue.done(item, Outcome.forget())

    assert call.answer() is True


def test_in_flight_of_one_cluster_does_not_wait_for_another(queue: Queue) -> None:
    queue.add(A)
    queue.add(NORTH)
    local = take(queue)
    take(queue)
    queue.done(local, Outcome.forget())

    assert [queue.wait_in_flight(0, cluster=cluster) for cluster in ("", "unknown", "north")] == [True, True, False]


# Everything at once


def at_rest(queue: Queue) -> bool:
    """Whether nothing is ready, in work or delayed."""
    with queue._lock:
        schedule = queue._schedule
        return not schedule.ready and not schedule.in_flight and schedule.next_due() == NEVER


@pytest.fixture
def restless() -> Iterator[None]:
    """Let the interpreter change threads 500 times as often as usual, so that races happen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00001)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("relay", [False, True])
@pytest.mark.usefixtures("restless")
def test_of_a_million_adds_sixteen_threads_lose_none_and_never_share_a_key(relay: bool) -> None:  # noqa: FBT001
    producers, workers, keys, adds = 8, 8, 1000, ADDS // 2 // 8
    queue = Queue("test", clock=SYSTEM_CLOCK, workers=workers, relay=relay)
    requests = [Request(f"cluster{number % 7}", "", str(number)) for number in range(keys)]
    written = [[0] * keys for _ in range(producers)]
    seen: list[tuple[int, ...]] = [()] * keys
    busy: set[Request] = set()
    overlaps: list[Request] = []
    outcomes = itertools.cycle(
        [Outcome.forget()] * 30 + [Outcome.retry(), Outcome.after(0), Outcome.after(0.001), Outcome.hold(0.001)]
    )

    def produce(producer: int) -> None:
        for count in range(1, adds + 1):
            number = (count * 7 + producer * 131) % keys
            written[producer][number] = count
            queue.add(requests[number], priority=count % 3, after=0.0005 if count % 50 == 0 else 0.0)

    def work() -> None:
        item = queue.get()
        while item is not None:
            if item.request in busy:
                overlaps.append(item.request)
            busy.add(item.request)
            number = int(item.request.name)
            if number % 100 == 0:
                queue.let_others(item)
            seen[number] = tuple(row[number] for row in written)
            busy.discard(item.request)
            if relay:
                item = queue.exchange(item, next(outcomes))
            else:
                queue.done(item, next(outcomes))
                item = queue.get()

    working = [Call(work) for _ in range(workers)]
    producing = [Call(functools.partial(produce, producer)) for producer in range(producers)]
    for call in producing:
        call.answer()
    while not at_rest(queue):
        assert queue.wait_idle(30)
    queue.check_invariants()
    queue.stop()
    for call in working:
        call.answer()

    assert overlaps == []
    assert seen == list(zip(*written, strict=True))


@pytest.mark.usefixtures("restless")
def test_workers_that_come_and_go_leave_no_one_asleep_beside_work() -> None:
    queue = Queue("test", clock=SYSTEM_CLOCK, workers=4)
    total = 3000
    done: list[Request] = []

    def work(patience: float | None) -> None:
        while not queue.stopped:
            item = queue.get(timeout=patience)
            if item is not None:
                done.append(item.request)
                queue.done(item, Outcome.forget())

    calls = [Call(functools.partial(work, patience)) for patience in (None, None, 0.0005, 0.002)]
    for number in range(total):
        queue.add(Request("", "", str(number)), after=(number % 10) * 0.0005)
    while not at_rest(queue):
        assert queue.wait_idle(10)
    queue.stop()
    for call in calls:
        call.answer()

    assert len(done) == total


@pytest.mark.parametrize("relay", [False, True])
def test_at_whatever_moment_a_queue_is_stopped_nothing_is_handed_out_any_more(relay: bool) -> None:  # noqa: FBT001
    for seed in range(500):
        stop_at_a_random_moment(random.Random(seed), relay=relay)  # noqa: S311 - not a secret


def stop_at_a_random_moment(rng: random.Random, *, relay: bool) -> None:
    clock = VirtualClock()
    queue = Queue("test", clock=clock, workers=2, relay=relay)
    outcomes = [Outcome.forget(), Outcome.retry(), Outcome.after(0), Outcome.after(0.1), Outcome.hold(0.1)]
    late: list[object] = []
    take = queue._schedule.take

    def watched(now: float) -> Item[Request] | None:
        item = take(now)
        if item is not None and queue.stopped:
            late.append(item)
        return item

    queue._schedule.take = watched  # type: ignore[method-assign]

    def work() -> None:
        item = queue.get()
        while item is not None:
            item = queue.exchange(item, rng.choice(outcomes))

    calls = [Call(work) for _ in range(2)]
    for _ in range(rng.randrange(40)):
        queue.add(Request(rng.choice("abc"), "", rng.choice("xyz")), after=rng.choice([0, 0, 0.1]))
        if rng.random() < 0.2:
            clock.advance(0.1)
    queue.stop()
    queue.add(A)
    for call in calls:
        call.answer()

    assert late == []
    assert (queue.get(), len(queue), queue.in_flight, queue._schedule._shares) == (None, 0, 0, {})


def test_a_purge_wakes_who_may_take_what_the_cap_kept_back(clock: VirtualClock) -> None:
    """The cluster that is left is alone with work, and no longer capped."""
    queue: Queue = Queue("purged", clock=clock, workers=4)
    for number in range(3):
        queue.add(Request("south", "default", str(number)))
    queue.add(NORTH)
    taken = [take(queue), take(queue)]  # One of each cluster: a quarter of four workers is one.
    assert {item.request.cluster for item in taken} == {"north", "south"}
    (call,) = waiting_gets(queue, clock, 1)
    queue.purge("north")

    assert getattr(answered(call), "cluster", None) == "south"

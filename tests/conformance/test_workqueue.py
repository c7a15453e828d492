"""Rows 24 to 31 and 36 of the conformance list: what controllers rely on in the queues they know from Go."""

from __future__ import annotations

import threading

import pytest

from kcontroller.api.keys import Request
from kcontroller.process.backoff import RECONCILE
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import LOW_PRIORITY, Item, Outcome, WorkQueue

Queue = WorkQueue[Request]

A, B, C = (Request("", "default", name) for name in "abc")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> Queue:
    return WorkQueue("test", clock=clock)


def take(queue: Queue) -> Item[Request]:
    item = queue.get(timeout=0)
    assert item is not None
    return item


def served(queue: Queue) -> list[Request]:
    """Work the queue off and return what it gave, in order."""
    requests = []
    while (item := queue.get(timeout=0)) is not None:
        requests.append(item.request)
        queue.done(item, Outcome.forget())
    return requests


def test_24_many_adds_while_queued_give_one_get(queue: Queue) -> None:
    for _ in range(10):
        queue.add(A)

    assert served(queue) == [A]


def test_25_adds_during_processing_give_exactly_one_later_get_after_done(queue: Queue) -> None:
    queue.add(A)
    item = take(queue)
    queue.add(A)
    queue.add(A)
    assert queue.get(timeout=0) is None
    queue.done(item, Outcome.forget())

    assert served(queue) == [A]


def test_26_the_same_key_is_never_with_two_workers(queue: Queue) -> None:
    queue.add(A)
    take(queue)
    queue.add(A, priority=100)
    queue.add(B)

    assert take(queue).request == B
    assert queue.get(timeout=0) is None


def test_27_earlier_add_after_wins(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A, after=10)
    queue.add(A, after=2)
    queue.add(A, after=20)

    clock.advance(1.9)
    assert served(queue) == []
    clock.advance(0.2)
    assert served(queue) == [A]
    clock.advance(60)
    assert served(queue) == []


def test_28_failures_delay_5_ms_doubling_up_to_1000_s(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    delays = []
    for _ in range(20):
        item = take(queue)
        queue.done(item, Outcome.retry())
        delay = RECONCILE.delay(queue.failures(A))
        delays.append(delay)
        clock.advance(delay * 0.99)
        assert queue.get(timeout=0) is None
        clock.advance(delay * 0.02)

    assert delays == pytest.approx([min(1000.0, 0.005 * 2**n) for n in range(20)])


def test_28_forget_resets_the_failures(queue: Queue, clock: VirtualClock) -> None:
    queue.add(A)
    queue.done(take(queue), Outcome.retry())
    clock.advance(1)
    queue.done(take(queue), Outcome.forget())

    assert queue.failures(A) == 0


def test_29_higher_priority_comes_first(queue: Queue) -> None:
    queue.add(A, priority=LOW_PRIORITY)
    queue.add(B)
    queue.add(C, priority=1)

    assert served(queue) == [C, B, A]


def test_29_order_of_arrival_counts_within_a_priority(queue: Queue) -> None:
    for request in (B, C, A):
        queue.add(request)

    assert served(queue) == [B, C, A]


def test_29_a_re_add_never_lowers_the_priority(queue: Queue) -> None:
    queue.add(A)
    queue.add(B, priority=1)
    queue.add(B, priority=LOW_PRIORITY)

    assert served(queue) == [B, A]


def test_30_a_raised_priority_joins_the_tail_of_its_new_level(queue: Queue) -> None:
    queue.add(A)
    queue.add(B, priority=5)
    queue.add(C, priority=5)
    queue.add(A, priority=5)

    assert served(queue) == [B, C, A]


def test_31_stop_wakes_every_blocked_get(queue: Queue, clock: VirtualClock) -> None:
    answers: list[Item[Request] | None] = []
    threads = [threading.Thread(target=lambda: answers.append(queue.get()), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    clock.wait_for_waiters(4)
    queue.stop()
    for thread in threads:
        thread.join(10)

    assert answers == [None] * 4


@pytest.mark.parametrize("outcome", [Outcome.retry(), Outcome.after(1)])
def test_36_a_requeue_keeps_the_priority(queue: Queue, clock: VirtualClock, outcome: Outcome) -> None:
    queue.add(A, priority=7)
    queue.done(take(queue), outcome)
    clock.advance(1)

    assert take(queue).priority == 7


@pytest.mark.parametrize("outcome", [Outcome.retry(priority=3), Outcome.after(1, priority=3)])
def test_36_an_outcome_can_set_another_priority(queue: Queue, clock: VirtualClock, outcome: Outcome) -> None:
    queue.add(A, priority=7)
    queue.done(take(queue), outcome)
    clock.advance(1)

    assert take(queue).priority == 3

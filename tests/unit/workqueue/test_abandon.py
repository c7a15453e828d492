"""Items whose worker is stuck and has been replaced."""

from __future__ import annotations

import pytest

from kcontroller.api.keys import Request
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import Item, Outcome, WorkQueue

EU = Request("eu", "default", "a")
EU_TOO = Request("eu", "default", "b")
US = Request("us", "default", "a")


@pytest.fixture
def queue() -> WorkQueue[Request]:
    """A queue in which no cluster may have more than one of the two workers."""
    return WorkQueue("q", clock=VirtualClock(), workers=2, reserves=True)


def take(queue: WorkQueue[Request], request: Request) -> Item[Request]:
    queue.add(request)
    item = queue.get(timeout=0)
    assert item is not None
    assert item.request == request
    queue.check_invariants()
    return item


def test_what_is_abandoned_counts_against_no_cap(queue: WorkQueue[Request]) -> None:
    item = take(queue, EU)
    queue.add(EU_TOO)
    assert queue.get(timeout=0) is None

    queue.abandon(item)
    queue.check_invariants()
    following = queue.get(timeout=0)
    assert following is not None
    assert following.request == EU_TOO


def test_it_is_still_in_work_and_waited_for(queue: WorkQueue[Request]) -> None:
    idle: list[str] = []
    item = take(queue, EU)
    queue.abandon(item)
    queue.add(EU)
    queue.when_idle("eu", lambda: idle.append("eu"))

    assert queue.get(timeout=0) is None
    assert not queue.wait_in_flight(0, cluster="eu")
    assert queue.in_flight == 1
    queue.done(item, Outcome.forget())
    queue.check_invariants()
    assert queue.wait_in_flight(0)
    assert idle == ["eu"]


def test_its_outcome_counts(queue: WorkQueue[Request]) -> None:
    item = take(queue, EU)
    queue.abandon(item)
    queue.done(item, Outcome.retry())
    queue.check_invariants()

    assert queue.failures(EU) == 1


def test_its_next_time_is_an_ordinary_one(queue: WorkQueue[Request]) -> None:
    item = take(queue, EU)
    queue.abandon(item)
    queue.done(item, Outcome.forget())
    take(queue, EU)
    queue.add(EU_TOO)

    assert queue.get(timeout=0) is None  # Capped by the new one.


def test_abandoning_twice_or_too_late_changes_nothing(queue: WorkQueue[Request]) -> None:
    item = take(queue, EU)
    queue.abandon(item)
    queue.abandon(item)
    queue.check_invariants()
    queue.done(item, Outcome.forget())
    queue.abandon(item)
    again = take(queue, EU)
    queue.abandon(item)
    queue.check_invariants()
    queue.add(EU_TOO)
    assert queue.get(timeout=0) is None

    queue.done(again, Outcome.forget())


@pytest.mark.parametrize("first", ["purge", "abandon"])
def test_a_cluster_may_leave_before_and_after(queue: WorkQueue[Request], first: str) -> None:
    item = take(queue, EU)
    steps = [lambda: queue.purge("eu"), lambda: queue.abandon(item)]
    for step in steps if first == "purge" else reversed(steps):
        step()
        queue.check_invariants()
    take(queue, EU_TOO)
    queue.done(item, Outcome.retry())
    queue.check_invariants()

    assert queue.failures(EU) == 0
    assert queue.in_flight == 1


def test_who_waits_for_an_item_gets_it_when_its_cluster_has_room_again(queue: WorkQueue[Request]) -> None:
    item = take(queue, US)
    queue.add(Request("us", "default", "b"))
    queue.abandon(item)

    assert queue.get(timeout=0) is not None

"""Whose worker is replaced: that of an item that takes far longer than those of the other clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.workqueue.outcome import Outcome
from kcontroller.workqueue.paces import LAG_SECONDS
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


def test_an_item_lags_that_takes_far_longer_than_most_while_something_is_ready(
    queue: Queue, clock: VirtualClock
) -> None:
    item = held(queue, clock, LAG_SECONDS * 1.1)
    assert not queue.set_aside(item), "nobody waits for its worker"
    queue.add(request("a"))
    assert queue.set_aside(item)


def test_an_item_that_has_just_begun_does_not_lag(queue: Queue, clock: VirtualClock) -> None:
    item = held(queue, clock, LAG_SECONDS * 0.9)
    queue.add(request("a"))
    assert not queue.set_aside(item)


def test_no_item_lags_where_all_take_that_long(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8, compares=True)
    work(queue, clock, LAG_SECONDS)
    clock.advance(1.0)
    item = held(queue, clock, LAG_SECONDS * 7)
    queue.add(request("a"))
    assert not queue.set_aside(item)


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
    assert all(queue.set_aside(item) for item in far)
    assert queue.capped("far")
    assert queue.degraded("far") == frozenset()
    assert take(queue).request.cluster == "a"


def test_nothing_lags_where_nobody_compares(clock: VirtualClock) -> None:
    queue = Queue("test", clock=clock, workers=8)
    item = held(queue, clock, 60.0)
    queue.add(request("a"))
    assert not queue.set_aside(item)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cluster.breaker import BREAKER
from kcontroller.cluster.circuit import CLOSED, HALF_OPEN, OPEN
from kcontroller.controller.availability import STALE, STALE_SECONDS, Availability
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import WorkQueue
from tests.unit.controller.fakes import FakeCluster

if TYPE_CHECKING:
    from kcontroller.api.keys import Request


@pytest.fixture
def queue() -> WorkQueue[Request]:
    return WorkQueue("widget", clock=VirtualClock())


def test_a_cluster_is_held_back_while_its_breaker_is_open(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    Availability(queue, doubts=True).engage(cluster)
    for state, held in ((OPEN, True), (HALF_OPEN, False), (OPEN, True), (HALF_OPEN, False), (CLOSED, False)):
        cluster.breaker.turn(state)
        assert (BREAKER in queue.holders("p1")) is held


def test_a_breaker_that_is_open_when_the_cluster_comes_holds_it_too(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    cluster.breaker.state = OPEN
    Availability(queue, doubts=True).engage(cluster)
    assert queue.holders("p1") == {BREAKER}


def test_a_cluster_that_has_left_holds_its_successor_back_no_more(queue: WorkQueue[Request]) -> None:
    availability = Availability(queue, doubts=True)
    first: Any = FakeCluster("p1")
    second: Any = FakeCluster("p1")
    availability.engage(first)
    availability.leave("p1")
    queue.purge("p1")
    availability.engage(second)
    first.breaker.turn(OPEN)
    assert first.breaker.hearers == []
    assert queue.holders("p1") == frozenset()


def test_a_cluster_on_probation_and_one_whose_watches_fail_are_degraded(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    availability = Availability(queue, doubts=True)
    availability.engage(cluster)
    cluster.breaker.turn(HALF_OPEN)
    assert queue.degraded("p1") == {BREAKER}
    cluster.troubled_since = 100.0
    availability.look(100.0 + STALE_SECONDS / 2)
    assert queue.degraded("p1") == {BREAKER}
    availability.look(100.0 + STALE_SECONDS)
    assert queue.degraded("p1") == {BREAKER, STALE}
    cluster.breaker.turn(CLOSED)
    cluster.troubled_since = None
    availability.look(200.0)
    assert queue.degraded("p1") == frozenset()


def test_a_cluster_in_doubt_is_degraded_before_its_breaker_opens(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    Availability(queue, doubts=True).engage(cluster)
    cluster.breaker.turn(CLOSED, in_doubt=True)
    assert queue.degraded("p1") == {BREAKER}
    cluster.breaker.turn(CLOSED)
    assert queue.degraded("p1") == frozenset()


def test_one_that_is_alone_is_not_degraded_for_a_doubt(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    Availability(queue, doubts=False).engage(cluster)
    assert not cluster.breaker.doubts
    cluster.breaker.turn(CLOSED, in_doubt=True)
    assert queue.degraded("p1") == frozenset()
    cluster.breaker.turn(HALF_OPEN)
    assert queue.degraded("p1") == {BREAKER}


def test_what_was_said_of_a_cluster_leaves_with_it(queue: WorkQueue[Request]) -> None:
    cluster: Any = FakeCluster("p1")
    availability = Availability(queue, doubts=True)
    availability.engage(cluster)
    cluster.breaker.turn(HALF_OPEN)
    cluster.troubled_since = 0.0
    availability.look(STALE_SECONDS)
    availability.leave("p1")
    queue.purge("p1")
    assert queue.degraded("p1") == frozenset()

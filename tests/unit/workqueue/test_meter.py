from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.process.metrics import Metrics
from kcontroller.workqueue import Outcome
from tests.unit.workqueue.steps import Queue, serve, take

if TYPE_CHECKING:
    from kcontroller.testing.clock import VirtualClock

A = Request("", "default", "a")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue(clock: VirtualClock, metrics: Metrics) -> Queue:
    return Queue("widgets", clock=clock, metrics=metrics)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"name": "widgets", "controller": "widgets", **labels})


def test_all_series_are_there_from_the_start(queue: Queue, metrics: Metrics) -> None:
    names = (
        "workqueue_adds_total",
        "workqueue_retries_total",
        "workqueue_queue_duration_seconds_count",
        "workqueue_work_duration_seconds_count",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
    )

    assert [value(metrics, name) for name in names] == [0] * 6
    assert value(metrics, "workqueue_depth", priority="0") == 0


def test_depth_is_counted_by_priority(queue: Queue, metrics: Metrics) -> None:
    for number in range(5):
        queue.add(Request("", "", str(number)), priority=number // 3)
    queue.observe()
    depths = [value(metrics, "workqueue_depth", priority=priority) for priority in "01"]
    serve(queue)
    queue.observe()

    assert depths == [3, 2]
    assert [value(metrics, "workqueue_depth", priority=priority) for priority in "01"] == [0, 0]


def test_past_25_priorities_the_others_share_a_series(queue: Queue, metrics: Metrics) -> None:
    for number in range(30):
        queue.add(Request("", "", str(number)), priority=number)
    queue.observe()
    rest = value(metrics, "workqueue_depth", priority="exceeded_cardinality_limit")
    serve(queue)
    queue.observe()

    assert rest == 5
    assert value(metrics, "workqueue_depth", priority="exceeded_cardinality_limit") == 0


def test_adds_count_when_an_item_becomes_ready(queue: Queue, metrics: Metrics, clock: VirtualClock) -> None:
    queue.add(A)
    queue.add(A)
    queue.add(Request("", "", "b"), after=1)
    queue.observe()
    before = value(metrics, "workqueue_adds_total")
    clock.advance(1)
    queue.observe()

    assert (before, value(metrics, "workqueue_adds_total")) == (1, 2)


def test_every_add_with_a_delay_is_a_retry(queue: Queue, metrics: Metrics, clock: VirtualClock) -> None:
    queue.add(A, after=1)
    for outcome in (Outcome.retry(), Outcome.after(1), Outcome.forget()):
        clock.advance(1)
        queue.done(take(queue), outcome)
    queue.observe()

    assert value(metrics, "workqueue_retries_total") == 3


def test_what_is_refused_is_counted(clock: VirtualClock, metrics: Metrics) -> None:
    queue = Queue("widgets", clock=clock, metrics=metrics, limit=1)
    for name in "abc":
        queue.add(Request("", "", name), may_refuse=True)
    queue.observe()

    assert metrics.registry.get_sample_value("kcontroller_queue_refused_total", {"controller": "widgets"}) == 2


def test_queue_time_counts_from_ready_and_work_time_from_hand_out(
    queue: Queue, metrics: Metrics, clock: VirtualClock
) -> None:
    queue.add(A, after=10)
    clock.advance(12)
    item = take(queue)
    clock.advance(5)
    queue.done(item, Outcome.forget())

    assert item.waited == pytest.approx(2)
    assert value(metrics, "workqueue_queue_duration_seconds_sum") == pytest.approx(2)
    assert value(metrics, "workqueue_work_duration_seconds_sum") == pytest.approx(5)


def test_unfinished_and_longest_tell_the_ages_of_what_is_in_work(
    queue: Queue, metrics: Metrics, clock: VirtualClock
) -> None:
    queue.add(A)
    queue.add(Request("", "", "b"))
    take(queue)
    clock.advance(3)
    take(queue)
    clock.advance(4)
    queue.observe()

    assert value(metrics, "workqueue_unfinished_work_seconds") == pytest.approx(11)
    assert value(metrics, "workqueue_longest_running_processor_seconds") == pytest.approx(7)


def test_a_queue_without_metrics_can_be_observed(clock: VirtualClock) -> None:
    Queue("test", clock=clock).observe()

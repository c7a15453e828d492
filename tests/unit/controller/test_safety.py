"""A controller that has spent a budget: what becomes of its requests, and who hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.cluster.budgets import BUDGET, Budget
from kcontroller.cluster.contests import Contest
from kcontroller.controller import Context, Controller
from kcontroller.controller.loops import LINKS, SUSPECT
from kcontroller.errors import BudgetSpent, ConfigError
from kcontroller.workqueue import Outcome
from tests.unit.controller.fakes import CONFIG_MAP, FakeCluster, FakeHost, Scripted, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = ("a", "b", "c")


@pytest.fixture
def clusters() -> tuple[FakeCluster, FakeCluster]:
    return FakeCluster("eu"), FakeCluster("us")


@pytest.fixture
def host(clusters: tuple[FakeCluster, FakeCluster]) -> Iterator[FakeHost]:
    for cluster in clusters:
        for name in NAMES:
            cluster.server.put(document(name))
    made = FakeHost(*clusters)
    yield made
    made.end()
    assert made.failures == []


def sweeping(host: FakeHost, where: str = "", **options: Any) -> tuple[Controller, Scripted]:
    """A controller that deletes the object in its request's cluster, or in another, and may delete one."""

    def act(ctx: Context, request: Request) -> None:
        ctx.clusters.get(where or ctx.cluster.name).client.delete(CONFIG_MAP, request.key)

    scripted = Scripted(act)
    controller = host.run(Controller(scripted, host, **{"delete_budget": Budget(1, 600.0), **options}))
    for cluster in host.known.values():
        cluster.synced()
    return controller, scripted


def settled(controller: Controller, host: FakeHost) -> None:
    host.clock.wait_for_waiters(1)
    assert controller.queue.wait_in_flight(10)


def test_who_hits_a_spent_budget_waits_in_the_queue_and_is_no_error(
    host: FakeHost, records: Callable[[], list[dict[str, Any]]]
) -> None:
    controller, scripted = sweeping(host)
    for name in NAMES:
        controller.queue.add(Request("eu", "default", name))
    scripted.wait_for_calls(2)
    settled(controller, host)
    host.clock.advance(600)

    assert len(scripted.calls) == 2, "the third was not even begun"
    assert controller.queue.holders("eu") == {BUDGET}
    assert controller.queue.depth("eu") == 2
    assert host.metric("controller_runtime_reconcile_total", controller="scripted", result="requeue") == 1
    assert host.metric("controller_runtime_reconcile_errors_total", controller="scripted") == 0
    [line] = [line["msg"] for line in records() if line["level"] == "error"]
    assert line == (
        "scripted has spent its 1 delete in 10m in cluster eu; it is paused there until you say: kcontroller resume "
        "scripted --cluster eu"
    )


def test_the_other_clusters_have_budgets_of_their_own_and_go_on(host: FakeHost) -> None:
    controller, scripted = sweeping(host)
    for name in ("a", "b"):
        controller.queue.add(Request("eu", "default", name))
    scripted.wait_for_calls(2)
    controller.queue.add(Request("us", "default", "a"))
    scripted.wait_for_calls(3)

    assert [(each.verb, each.key) for each in host.known["us"].server.writes] == [("delete", Key("default", "a"))]


def test_a_budget_that_is_spent_in_another_cluster_is_asked_ever_more_rarely(
    host: FakeHost, clusters: tuple[FakeCluster, FakeCluster]
) -> None:
    controller, scripted = sweeping(host, where="us")
    controller.queue.add(Request("eu", "default", "a"))
    scripted.wait_for_calls(1)
    controller.queue.add(Request("eu", "default", "b"))
    scripted.wait_for_calls(2)
    settled(controller, host)
    assert controller.queue.holders("us") == {BUDGET}
    assert controller.queue.holders("eu") == frozenset()

    for calls, seconds in ((3, 0.005), (4, 0.01), (5, 0.02)):
        host.clock.advance(seconds)
        scripted.wait_for_calls(calls)
        settled(controller, host)
    assert len(clusters[1].server.writes) == 1

    controller.safety.budgets.resume()
    host.clock.advance(0.04)
    scripted.wait_for_calls(6)
    settled(controller, host)
    assert len(clusters[1].server.writes) == 2


def test_a_word_lets_what_waited_go_on(host: FakeHost) -> None:
    controller, scripted = sweeping(host)
    for name in ("a", "b"):
        controller.queue.add(Request("eu", "default", name))
    scripted.wait_for_calls(2)
    settled(controller, host)

    controller.safety.budgets.resume("eu")
    host.clock.advance(0.005)
    scripted.wait_for_calls(3)
    settled(controller, host)
    assert len(host.known["eu"].server.writes) == 2


def test_a_reconciler_has_its_say_over_the_figure_of_the_manager(host: FakeHost) -> None:
    def setup(builder: Any) -> None:
        builder.for_(CONFIG_MAP).options(delete_budget="0", write_budget="7/1m")

    controller = Controller(Scripted(setup=setup), host, delete_budget=Budget(1, 1.0))
    client = host.known["eu"].client_for("x", stop=None, deadline=None, rails=controller.safety.rails)
    for name in NAMES:
        client.delete(CONFIG_MAP, Key("default", name))
    found = client.get(CONFIG_MAP, Key("default", "a"))
    for number in range(7):
        found["data"] = {"x": str(number)}
        client.patch(found)
    found["data"] = {"x": "one too many"}
    with pytest.raises(BudgetSpent, match="its 7 writes in 1m"):
        client.patch(found)


def test_a_budget_that_is_none_is_refused_where_it_was_written() -> None:
    def setup(builder: Any) -> None:
        builder.for_(CONFIG_MAP).options(delete_budget="many")

    with pytest.raises(ConfigError, match=r"Scripted.setup: 'many' is no budget; write it like '100/10m'"):
        Controller(Scripted(setup=setup), FakeHost())


def test_the_metrics_count_what_stopped_and_where_it_still_is(host: FakeHost) -> None:
    controller, scripted = sweeping(host)
    for cluster in host.known:
        for name in ("a", "b"):
            controller.queue.add(Request(cluster, "default", name))
    scripted.wait_for_calls(4)
    settled(controller, host)

    def spent() -> float:
        host.metrics.render()
        return host.metric("kcontroller_budgets_spent", controller="scripted", budget="deletes")

    assert host.metric("kcontroller_budget_trips_total", controller="scripted", budget="deletes") == 2
    assert spent() == 2
    controller.safety.budgets.resume("eu")
    assert spent() == 1


# ---- what is only said -----------------------------------------------------------------------------------------------


def said(records: Callable[[], list[dict[str, Any]]]) -> list[str]:
    return [line["msg"] for line in records() if line["logger"] == "kcontroller.safety"]


def looping(controller: Controller, name: str, *, now: float) -> None:
    """End so many reconciles of an object that each asks for the next one."""
    request = Request("eu", "default", name)
    for _ in range(SUSPECT + LINKS + 2):
        controller.safety.loops.began(request)  # type: ignore[union-attr]
        controller.safety.loops.ended(request, ("requeue",), Outcome.after(0.01), None, now=now)  # type: ignore[union-attr]


def test_objects_that_loop_together_are_counted_each_and_said_once_in_ten_minutes(
    host: FakeHost, records: Callable[[], list[dict[str, Any]]]
) -> None:
    controller = Controller(Scripted(), host)
    for name in NAMES:
        looping(controller, name, now=host.clock.monotonic())
    assert host.metric("kcontroller_hot_requests_total", controller="scripted", cause="requeue") == 3
    assert len(said(records)) == 1

    host.clock.advance(601)
    looping(controller, "a", now=host.clock.monotonic())
    assert len(said(records)) == 2


def contest(path: str, name: str = "a") -> Contest:
    return Contest("scripted", "hpa", "eu", gvk_of(CONFIG_MAP), Key("default", name), path, 60.0)


def test_a_contest_is_said_once_for_each_field_and_manager(
    host: FakeHost, records: Callable[[], list[dict[str, Any]]]
) -> None:
    controller = Controller(Scripted(), host)
    for name in NAMES:
        for path in ("data.x", "data.y"):
            controller.safety._contested(contest(path, name))

    assert host.metric("kcontroller_contested_fields_total", controller="scripted") == 6
    assert [line.partition(" of ")[0] for line in said(records)] == [
        "scripted and hpa fight over data.x",
        "scripted and hpa fight over data.y",
    ]


def test_what_is_said_of_a_cluster_that_has_left_is_said_in_the_log_alone(
    host: FakeHost, records: Callable[[], list[dict[str, Any]]]
) -> None:
    controller = Controller(Scripted(), host)
    host.known.clear()
    controller.safety._contested(contest("data.x"))

    assert len(said(records)) == 1
    assert controller.safety._host.events._lanes == {}  # type: ignore[attr-defined]


def test_who_wants_no_detectors_has_none(host: FakeHost) -> None:
    controller = Controller(Scripted(), host, detect_loops=False, delete_budget=None)
    assert (controller.safety.loops, controller.safety.rails) == (None, ())

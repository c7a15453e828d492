from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Request
from kcontroller.api.selectors import LabelSelector
from kcontroller.cluster.breaker import BREAKER
from kcontroller.cluster.budgets import BUDGET
from kcontroller.controller.canary import CANARY, LOOK_SECONDS, Canary
from kcontroller.controller.pauses import COMMAND
from kcontroller.controller.seat import Stuck
from kcontroller.controller.trial import State
from kcontroller.process.metrics import Metrics
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import WorkQueue
from tests.unit.controller.fakes import FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 60.0

# ---- what is held ----------------------------------------------------------------------------------------------------


class FakeController:
    def __init__(self, clock: VirtualClock, name: str = "widget") -> None:
        self.name = name
        self.queue: WorkQueue[Request] = WorkQueue(name, clock=clock)
        self.stuck: tuple[Stuck, ...] = ()


class Fleet:
    """A canary of ten minutes, and controllers on clusters whose names say what they are."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.found: list[dict[str, str]] | None = None
        self.canary = Canary(
            LabelSelector.parse("tier=canary"),
            10 * MINUTES,
            clock=self.clock,
            metrics=self.metrics,
            found=lambda: self.found,
        )
        self.widget = self.new("widget")

    def new(self, name: str) -> FakeController:
        controller = FakeController(self.clock, name)
        self.canary.add(controller)
        return controller

    def engage(self, name: str, controller: FakeController | None = None, **labels: str) -> None:
        tier = {"tier": "canary"} if name.startswith("canary") else {}
        cluster: Any = FakeCluster(name, labels=labels or tier)
        self.canary.engage(controller or self.widget, cluster)
        self.canary.synced(controller or self.widget, name)

    def ended(self, cluster: str, *, failed: bool) -> None:
        self.canary.ended(self.widget, Request(cluster, "", "a"), failed=failed)

    def advance(self, minutes: float) -> float:
        self.clock.advance(minutes * MINUTES)
        return self.canary.look(self.clock.monotonic()) - self.clock.monotonic()

    def holds(self, name: str, controller: FakeController | None = None) -> bool:
        return CANARY in (controller or self.widget).queue.holders(name)


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet()
    for name in ("", "canary-1", "eu", "us"):
        made.engage(name)
    made.canary.start(made.widget)
    return made


def test_the_others_are_held_back_until_the_canaries_have_been_well(fleet: Fleet) -> None:
    assert [name for name in ("", "canary-1", "eu", "us") if fleet.holds(name)] == ["eu", "us"]
    assert fleet.canary.held == ("eu", "us")
    held = fleet.metrics.registry.get_sample_value
    assert held("kcontroller_canary_held_clusters") == 2

    assert fleet.advance(5) == LOOK_SECONDS
    fleet.ended("canary-1", failed=False)
    assert fleet.holds("eu")
    assert fleet.advance(5) == math.inf
    assert not fleet.holds("eu")
    assert fleet.canary.state is State.RELEASED
    assert held("kcontroller_canary_held_clusters") == 0


def test_who_joins_meanwhile_is_held_and_who_joins_later_is_not(fleet: Fleet) -> None:
    fleet.engage("late")
    assert fleet.holds("late")
    fleet.advance(10)
    assert not fleet.holds("late")

    fleet.engage("later")
    assert not fleet.holds("later")


def test_a_failing_canary_holds_the_others_and_says_so_once(
    fleet: Fleet, records: Callable[[], list[dict[str, Any]]]
) -> None:
    for _ in range(3):
        fleet.advance(9)
        fleet.ended("canary-1", failed=True)
    fleet.advance(100)

    assert fleet.holds("eu")
    said = [each["msg"] for each in records() if each["level"] == "error"]
    assert said == ["a canary fails: widget failed on canary-1:a; 2 other clusters stay held back"]

    fleet.ended("canary-1", failed=False)
    fleet.advance(9)
    assert fleet.holds("eu")
    fleet.advance(1)
    assert not fleet.holds("eu")


def test_what_fails_elsewhere_does_not_count(fleet: Fleet) -> None:
    fleet.ended("", failed=True)
    fleet.advance(10)

    assert not fleet.holds("eu")


def test_a_budget_that_is_spent_in_a_canary_is_a_failure(fleet: Fleet) -> None:
    fleet.widget.queue.pause("canary-1", holder=BUDGET)
    fleet.advance(60)
    assert (fleet.canary.state, fleet.holds("eu")) == (State.FAILING, True)

    fleet.widget.queue.resume("canary-1", holder=BUDGET)
    fleet.advance(0)
    fleet.advance(10)
    assert not fleet.holds("eu")


def test_a_reconcile_of_a_canary_that_does_not_return_is_a_failure(fleet: Fleet) -> None:
    fleet.widget.stuck = (Stuck(Request("canary-1", "", "a"), 301.0, 300.0, "widget.py:42"),)
    fleet.advance(60)
    assert fleet.holds("eu")

    fleet.widget.stuck = ()
    fleet.advance(0)
    fleet.advance(10)
    assert not fleet.holds("eu")


def test_without_a_canary_nothing_is_released_and_that_is_said(
    fleet: Fleet, records: Callable[[], list[dict[str, Any]]]
) -> None:
    fleet.canary.leave(fleet.widget, "canary-1")
    for _ in range(3):
        fleet.advance(10)

    assert fleet.holds("eu")
    said = [each["msg"] for each in records() if each["level"] == "warning"]
    assert said == ["at work in no cluster with the labels tier=canary: widget; 2 other clusters stay held back"] * 4


def test_labels_make_a_canary_and_unmake_it(fleet: Fleet) -> None:
    fleet.engage("eu", tier="canary")
    assert not fleet.holds("eu")

    fleet.engage("canary-1", tier="none")
    assert fleet.holds("canary-1")
    fleet.advance(10)
    assert not fleet.holds("canary-1"), "eu was clean all the while"


def test_the_time_begins_when_every_controller_works(fleet: Fleet) -> None:
    """One that needs no lease works in every replica: what it does there says nothing of the others."""
    fresh = Fleet()
    for name in ("canary-1", "eu"):
        fresh.engage(name)
    leader = fresh.new("leader")
    fresh.engage("canary-1", leader)
    fresh.engage("eu", leader)
    fresh.canary.start(fresh.widget)
    fresh.advance(60)
    assert fresh.holds("eu")

    fresh.canary.start(leader)
    fresh.advance(9)
    assert fresh.holds("eu", leader)
    fresh.advance(1)
    assert not fresh.holds("eu")
    assert not fresh.holds("eu", leader)


# ---- who counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", [BREAKER, COMMAND])
def test_a_canary_that_is_paused_or_not_reached_proves_nothing(fleet: Fleet, holder: str) -> None:
    fleet.widget.queue.pause("canary-1", holder=holder)
    fleet.advance(60)
    assert (fleet.canary.state, fleet.holds("eu")) == (State.WAITING, True)

    fleet.widget.queue.resume("canary-1", holder=holder)
    fleet.advance(0)
    fleet.advance(9)
    assert fleet.holds("eu")
    fleet.advance(1)
    assert not fleet.holds("eu")


def test_one_canary_that_rests_does_not_stop_the_others(fleet: Fleet) -> None:
    fleet.engage("canary-2")
    fleet.widget.queue.pause("canary-1", holder=BREAKER)
    fleet.advance(9)
    fleet.advance(1)

    assert not fleet.holds("eu")


def test_every_controller_must_have_worked_in_a_canary(
    fleet: Fleet, records: Callable[[], list[dict[str, Any]]]
) -> None:
    gadget = fleet.new("gadget")
    for name, labels in (("canary-1", {"tier": "canary"}), ("eu", {})):
        cluster: Any = FakeCluster(name, labels=labels)
        fleet.canary.engage(gadget, cluster)  # Its first lists do not end, for a new right is missing, say.
    fleet.canary.start(gadget)
    fleet.advance(60)
    assert (fleet.canary.state, fleet.holds("eu", gadget)) == (State.WAITING, True)
    lacks = "at work in no cluster with the labels tier=canary: gadget; 2 other clusters stay held back"
    assert lacks in [each["msg"] for each in records()]

    fleet.canary.synced(gadget, "canary-1")
    fleet.advance(10)
    assert not fleet.holds("eu", gadget)


def test_a_first_list_that_ends_when_its_cluster_has_left_counts_nowhere(fleet: Fleet) -> None:
    fleet.canary.leave(fleet.widget, "canary-1")
    fleet.canary.synced(fleet.widget, "canary-1")
    cluster: Any = FakeCluster("canary-1", labels={"tier": "canary"})
    fleet.canary.engage(fleet.widget, cluster)
    fleet.advance(60)

    assert (fleet.canary.state, fleet.holds("eu")) == (State.WAITING, True)


def test_what_nobody_tries_again_does_not_hold_the_others_for_good(
    fleet: Fleet, records: Callable[[], list[dict[str, Any]]]
) -> None:
    fleet.ended("canary-1", failed=True)
    fleet.advance(5)
    fleet.advance(9)
    assert fleet.canary.state is State.FAILING
    fleet.advance(1)
    assert (fleet.canary.state, fleet.holds("eu")) == (State.CLEAN, True)
    said = "widget failed on canary-1:a, and nobody tries it again: from now on it does not count"
    assert said in [each["msg"] for each in records() if each["level"] == "warning"]

    fleet.advance(10)
    assert not fleet.holds("eu")


def test_what_is_tried_again_holds_the_others_until_it_goes_well(fleet: Fleet) -> None:
    fleet.widget.queue.add(Request("canary-1", "", "a"))
    fleet.ended("canary-1", failed=True)
    for _ in range(100):
        fleet.advance(10)

    assert (fleet.canary.state, fleet.holds("eu")) == (State.FAILING, True)


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        ([{"tier": "other"}, {}], "label those that are to go first, or start without canaries"),
        ([{}, {}], "no cluster has any labels, so start without canaries if the provider gives none"),
    ],
)
def test_labels_that_no_cluster_has_are_said_when_the_first_list_has_ended_and_now_and_then(
    records: Callable[[], list[dict[str, Any]]], found: list[dict[str, str]], remedy: str
) -> None:
    fresh = Fleet()
    fresh.engage("eu")
    fresh.canary.start(fresh.widget)
    fresh.advance(1)
    assert not records(), "not all are listed"

    fresh.found = found
    for _ in range(22):
        fresh.advance(1)
    text = f"no cluster has the labels tier=canary: 1 other cluster stays held back; {remedy}"
    assert [(each["level"], each["msg"]) for each in records()] == [("warning", text)] * 3

    fresh.found = [{"tier": "canary"}]
    fresh.engage("canary-1")
    fresh.advance(10)
    assert not fresh.holds("eu")

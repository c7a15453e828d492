from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Request
from kcontroller.api.marks import PAUSED, paused_by, pauses
from kcontroller.client.ports import Write
from kcontroller.cluster.budgets import BUDGET, Budget
from kcontroller.controller import Context, Controller, predicates
from kcontroller.controller.controller import SYNC
from kcontroller.controller.pauses import COMMAND, Pauses, check_controller, target_of
from kcontroller.errors import BudgetSpent, ConfigError
from kcontroller.process.metrics import Metrics
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import WorkQueue
from tests.unit.controller.fakes import (
    CONFIG_MAP,
    POD,
    FakeCluster,
    FakeHost,
    FakeServer,
    Scripted,
    added,
    deleted,
    entry,
    owner,
    updated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

A = Request("", "default", "a")


# ---- by command ------------------------------------------------------------------------------------------------------


class House:
    """Queues of controllers in clusters, without controllers."""

    def __init__(self, *paused: str) -> None:
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.pauses = Pauses(clock=self.clock, metrics=self.metrics, paused=paused, fleet=True)
        self.queues = {name: WorkQueue[Request](name, clock=self.clock) for name in ("widget", "gadget")}
        for name in self.queues:
            for cluster in ("eu", "us"):
                self.engage(name, cluster)

    def engage(self, name: str, cluster: str) -> None:
        self.pauses.engage(name, cluster, self.queues[name])

    def held(self) -> set[str]:
        return {
            f"{name}@{cluster}"
            for name, queue in self.queues.items()
            for cluster in ("eu", "us", "new")
            if COMMAND in queue.holders(cluster)
        }


ALL = {"widget@eu", "widget@us", "gadget@eu", "gadget@us"}


@pytest.mark.parametrize(
    ("target", "held"),
    [
        (("widget", "eu"), {"widget@eu"}),
        (("widget", "*"), {"widget@eu", "widget@us"}),
        (("*", "eu"), {"widget@eu", "gadget@eu"}),
        (("*", "*"), ALL),
    ],
)
def test_a_pause_holds_what_it_names_and_its_end_frees_it(target: tuple[str, str], held: set[str]) -> None:
    house = House()
    house.pauses.pause(*target)
    assert house.held() == held

    house.pauses.resume(*target)
    assert house.held() == set()


def test_pauses_from_the_start_hold_before_there_is_anything() -> None:
    assert House("widget@eu", "gadget").held() == {"widget@eu", "gadget@eu", "gadget@us"}


def test_a_cluster_that_comes_later_is_paused_too() -> None:
    house = House()
    house.pauses.pause("widget")
    house.engage("widget", "new")
    house.engage("gadget", "new")

    assert house.held() == {"widget@eu", "widget@us", "widget@new"}


def test_a_cluster_that_leaves_and_comes_back_is_still_paused() -> None:
    house = House()
    house.pauses.pause("widget", "eu")
    house.pauses.leave("widget", "eu")
    assert house.held() == set()

    house.engage("widget", "eu")
    assert house.held() == {"widget@eu"}


def test_a_pause_that_ends_while_its_cluster_is_away_is_over() -> None:
    house = House()
    house.pauses.pause("widget", "eu")
    house.pauses.leave("widget", "eu")
    house.pauses.resume("widget", "eu")
    house.engage("widget", "eu")

    assert house.held() == set()


def test_who_is_paused_twice_goes_on_when_both_have_ended() -> None:
    house = House()
    house.pauses.pause("*", "eu", why="a storm")
    house.pauses.pause("widget")
    house.pauses.resume("widget")
    assert house.held() == {"widget@eu", "gadget@eu"}

    house.pauses.resume("*", "eu")
    assert house.held() == set()


def test_a_narrow_word_does_not_end_a_wide_pause_and_what_holds_is_named() -> None:
    house = House()
    house.pauses.pause(why="the release")

    assert house.pauses.resume("widget", "eu") == ()
    assert house.held() == ALL
    assert [str(each) for each in house.pauses.holding("widget", "eu")] == ["every controller is paused (the release)"]


def test_a_wide_word_ends_every_narrow_pause() -> None:
    house = House()
    house.pauses.pause("widget", "eu")
    house.pauses.pause("gadget", "us")

    assert [str(each) for each in house.pauses.resume()] == [
        "widget is paused in cluster eu",
        "gadget is paused in cluster us",
    ]
    assert house.pauses.all() == ()


def test_the_metric_counts_the_clusters_in_which_a_controller_is_paused() -> None:
    house = House()
    house.pauses.pause("widget")
    house.pauses.pause("gadget", "us")
    house.pauses.leave("widget", "us")

    def gauge(name: str) -> float | None:
        return house.metrics.registry.get_sample_value("kcontroller_paused_clusters", {"controller": name})

    assert (gauge("widget"), gauge("gadget")) == (1, 1)
    house.pauses.resume()
    assert (gauge("widget"), gauge("gadget")) == (0, 0)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("widget", ("widget", "*")),
        ("widget@eu", ("widget", "eu")),
        ("*@eu", ("*", "eu")),
        ("*", ("*", "*")),
        ("widget@a@b", ("widget", "a@b")),
    ],
)
def test_a_target_is_written_as_controller_at_cluster(text: str, target: tuple[str, str]) -> None:
    assert target_of(text) == target


@pytest.mark.parametrize("text", ["", "@eu", "widget@", "wid get"])
def test_what_is_no_target_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="write it like 'widget', 'widget@my-cluster'"):
        target_of(text)


@pytest.mark.parametrize(("fleet", "word"), [(True, "(hub)"), (False, "local")])
def test_the_cluster_of_the_process_is_called_as_the_table_of_clusters_calls_it(*, fleet: bool, word: str) -> None:
    pauses = Pauses(clock=VirtualClock(), metrics=Metrics(), paused=[f"widget@{word}"], fleet=fleet)

    (pause,) = pauses.all()

    assert (pause.controller, pause.cluster) == ("widget", "")
    assert str(pause) == f"widget is paused in cluster {word} (from the start)"


@pytest.mark.parametrize(
    ("target", "command"),
    [
        (("widget", "eu"), "kcontroller resume widget --cluster eu"),
        (("widget", "*"), "kcontroller resume widget"),
        (("widget", ""), "kcontroller resume widget --cluster '(hub)'"),
        (("*", "eu"), "kcontroller resume --cluster eu"),
        (("*", "arn:aws/my;cluster"), "kcontroller resume --cluster 'arn:aws/my;cluster'"),
        (("*", "*"), "kcontroller resume --all"),
    ],
)
def test_a_pause_names_the_command_that_takes_it_back(target: tuple[str, str], command: str) -> None:
    assert House().pauses.pause(*target).remedy == command


@pytest.mark.parametrize(
    ("word", "fleet", "text"),
    [
        ("eu", False, r"^paused '\*@eu': no cluster 'eu' can be here: .* its one cluster is called local$"),
        ("(hub)", False, r"no cluster '\(hub\)' can be here: .* is called local$"),
        ("prod-*", False, r"'prod-\*' is a pattern; name one cluster, or leave it out for all"),
        ("prod-*", True, r"'prod-\*' is a pattern; name one cluster, or leave it out for all"),
    ],
)
def test_a_cluster_that_can_never_come_is_refused_since_it_would_pause_nothing(
    word: str, *, fleet: bool, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        Pauses(clock=VirtualClock(), metrics=Metrics(), paused=[f"*@{word}"], fleet=fleet)


def test_a_name_that_was_mistyped_is_refused_since_it_would_pause_nothing() -> None:
    with pytest.raises(ConfigError, match="there is no controller 'wigdet' to pause; there are: gadget, widget"):
        House("wigdet").pauses.refuse_unknown(["widget", "gadget"])
    check_controller("*", [])


def test_what_begins_after_the_pause_had_been_handed_out_before_it(host: FakeHost) -> None:
    """Sixteen workers, and requests that come again at once: a pause is whole when its call returns."""
    begun = 0
    guarded = threading.Lock()

    def act(_ctx: Context, request: Request) -> None:
        nonlocal begun
        with guarded:
            begun += 1
        made.queue.add(request)

    made = Controller(Scripted(act), host, max_concurrent_reconciles=16)
    host.run(made)
    for cluster in host.known.values():
        cluster.synced()
    for number in range(64):
        made.queue.add(Request("", "default", f"n{number}"))

    for _round in range(100):
        host.pauses.pause("scripted")
        running, before = made.queue.in_flight, begun
        assert made.queue.wait_in_flight(10)
        assert begun - before <= running
        quiet = begun
        made.queue.add(Request("", "default", "one more"))
        assert made.queue.in_flight == 0
        assert begun == quiet
        host.pauses.resume("scripted")
    host.pauses.pause()
    assert made.queue.wait_in_flight(10)


def test_the_other_clusters_go_on_while_one_is_paused() -> None:
    host = FakeHost(FakeCluster("eu"), FakeCluster("us"))
    try:
        scripted = Scripted()
        controller = host.run(Controller(scripted, host))
        for cluster in host.known.values():
            cluster.synced()
        host.pauses.pause("scripted", "eu")
        controller.queue.add(Request("eu", "default", "a"))
        controller.queue.add(Request("us", "default", "b"))
        scripted.wait_for_calls(1)
        assert scripted.calls == [Request("us", "default", "b")]

        host.pauses.resume()
        scripted.wait_for_calls(2)
        assert scripted.calls[1] == Request("eu", "default", "a")
    finally:
        host.end()


@pytest.mark.parametrize("seed", range(20))
def test_pauses_of_all_holders_survive_each_other_in_any_order(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    cluster = FakeCluster("eu")
    host = FakeHost(cluster)
    controller = Controller(Scripted(), host, delete_budget=Budget(1, 600.0))
    is_in = synced = paused = spent = False
    steps = ("engage", "sync", "leave", "pause", "resume", "spend", "give back")
    try:
        for _ in range(60):
            match chance.choice(steps):
                case "engage" if not is_in:
                    cluster.kinds.clear()
                    controller.engage(cluster)  # type: ignore[arg-type]
                    is_in, synced = True, False
                case "sync" if is_in:
                    cluster.synced()
                    synced = True
                case "leave" if is_in:
                    controller.disengage("eu")
                    is_in = False
                case "pause":
                    host.pauses.pause(chance.choice(["scripted", "*"]), chance.choice(["eu", "*"]))
                    paused = True
                case "resume":
                    host.pauses.resume()
                    paused = False
                case "spend":
                    spend(controller)
                    spent = True
                case "give back":
                    controller.safety.budgets.resume("eu")
                    spent = False
            if is_in:
                expected = {SYNC: not synced, COMMAND: paused, BUDGET: spent}
                assert controller.queue.holders("eu") == {name for name, holds in expected.items() if holds}
    finally:
        host.controllers.append(controller)
        host.end()


def spend(controller: Controller) -> None:
    """Delete until the budget of one is spent."""
    with contextlib.suppress(BudgetSpent):
        for name in ("a", "b"):
            delete = Write("delete", CONFIG_MAP, Request("eu", "default", name).key)
            controller.safety.budgets.before("eu", delete, FakeServer())  # type: ignore[arg-type]
    assert controller.safety.budgets.spent()


# ---- by annotation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "True", "", " ", "widget", "gadget, widget"])
def test_the_annotation_pauses_by_being_there_by_true_or_by_name(value: str) -> None:
    assert pauses(paused_by(value), "widget")


@pytest.mark.parametrize("value", [None, "false", "False"])
def test_without_it_or_with_false_nobody_is_paused(value: str | None) -> None:
    assert paused_by(value) == ""


@pytest.mark.parametrize("value", ["gadget", "widgets", "widget-2"])
def test_it_pauses_no_controller_that_it_does_not_name(value: str) -> None:
    assert not pauses(paused_by(value), "widget")


def paused(name: str = "a", value: str = "true", **metadata: Any) -> Any:
    return entry(name, annotations={PAUSED: value}, **metadata)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(
        setup=lambda builder: builder.for_(CONFIG_MAP, predicates=[predicates.generation_changed()]).owns(POD)
    )


@pytest.fixture
def controller(host: FakeHost, cluster: FakeCluster, scripted: Scripted) -> Controller:
    made = host.run(Controller(scripted, host))
    cluster.synced()
    return made


def settled(controller: Controller, host: FakeHost) -> None:
    assert controller.queue.wait_idle(10)
    host.clock.wait_for_waiters(1)


@pytest.mark.usefixtures("controller")
def test_a_paused_object_is_left_alone_and_called_once_when_the_pause_ends(
    host: FakeHost, cluster: FakeCluster, scripted: Scripted, controller: Controller
) -> None:
    old = paused(generation=1)
    cluster.tell(CONFIG_MAP, added(old))
    cluster.tell(CONFIG_MAP, updated(old, later := paused(generation=2)))
    cluster.tell(POD, added(entry("pod", kind=POD, ownerReferences=[owner(CONFIG_MAP, "a")])))
    settled(controller, host)
    assert scripted.calls == []

    cluster.tell(CONFIG_MAP, updated(later, entry("a", generation=2)))  # A predicate takes it for no news.
    scripted.wait_for_calls(1)
    settled(controller, host)
    assert scripted.calls == [A]
    assert scripted.contexts[0].reasons == ("resumed",)


def test_others_are_worked_on_meanwhile(
    host: FakeHost, cluster: FakeCluster, scripted: Scripted, controller: Controller
) -> None:
    cluster.tell(CONFIG_MAP, added(paused("a")), added(entry("b")))
    scripted.wait_for_calls(1)
    settled(controller, host)
    assert scripted.names == ["b"]


def test_a_pause_holds_what_was_to_come_later(
    host: FakeHost, cluster: FakeCluster, controller: Controller, scripted: Scripted
) -> None:
    controller.queue.add(A, after=5)
    cluster.tell(CONFIG_MAP, added(paused()))
    host.clock.advance(5)
    settled(controller, host)

    assert scripted.calls == []
    assert len(controller.queue) == 0


def test_a_paused_object_that_is_being_deleted_is_left_alone_too(
    host: FakeHost, cluster: FakeCluster, scripted: Scripted, controller: Controller
) -> None:
    going = paused(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/x"])
    cluster.tell(CONFIG_MAP, added(first := paused()), updated(first, going))
    settled(controller, host)
    assert scripted.calls == []

    cluster.tell(CONFIG_MAP, deleted(going))  # Somebody has taken the finalizer off: the pause went with the object.
    scripted.wait_for_calls(1)
    assert A not in controller.safety.objects


def test_a_pause_for_another_controller_is_none(
    cluster: FakeCluster, scripted: Scripted, controller: Controller
) -> None:
    cluster.tell(CONFIG_MAP, added(paused(value="somebody")))
    scripted.wait_for_calls(1)
    assert len(controller.safety.objects) == 0


def test_objects_that_are_owned_know_no_pause(cluster: FakeCluster, scripted: Scripted, controller: Controller) -> None:
    pod = entry("pod", kind=POD, annotations={PAUSED: "true"}, ownerReferences=[owner(CONFIG_MAP, "a")])
    cluster.tell(POD, added(pod))
    scripted.wait_for_calls(1)
    assert len(controller.safety.objects) == 0


def test_a_pause_leaves_with_its_cluster(cluster: FakeCluster, controller: Controller, host: FakeHost) -> None:
    cluster.tell(CONFIG_MAP, added(paused()))
    assert A in controller.safety.objects
    controller.disengage("")

    assert len(controller.safety.objects) == 0
    assert host.metric("kcontroller_paused_objects", controller="scripted") == 0


def test_a_pause_is_said_once_but_not_for_what_the_first_list_holds(
    host: FakeHost, cluster: FakeCluster, controller: Controller, records: Callable[[], list[dict[str, Any]]]
) -> None:
    cluster.tell(CONFIG_MAP, added(paused("old"), initial=True))
    cluster.tell(CONFIG_MAP, added(first := paused()), updated(first, second := paused()))
    cluster.tell(CONFIG_MAP, updated(second, entry("a")))

    said = [(line["msg"], line["name"]) for line in records() if line["logger"] == "kcontroller.safety"]
    assert said == [("paused by annotation", "a"), ("no longer paused by annotation", "a")]
    assert host.metric("kcontroller_paused_objects", controller="scripted") == 1

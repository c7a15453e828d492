from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.api.models import Model, Resource
from kcontroller.api.objects import Object
from kcontroller.cache.scope import Holding
from kcontroller.cache.store import Change
from kcontroller.controller import Builder, Controller, predicates
from kcontroller.controller.controller import SYNC
from kcontroller.controller.mapping import BOUND
from kcontroller.errors import NotSynced
from kcontroller.process.backoff import Backoff
from kcontroller.testing.polling import eventually
from kcontroller.workqueue import LOW_PRIORITY, Outcome
from kcontroller.workqueue.relay import PATIENCE
from tests.unit.controller.fakes import (
    CONFIG_MAP,
    POD,
    FakeCluster,
    FakeHost,
    FakeSubscription,
    Scripted,
    added,
    deleted,
    entry,
    owner,
    updated,
)

if TYPE_CHECKING:
    from kcontroller.controller.event import Event
    from kcontroller.controller.lanes import Lane

DEPLOYMENT = "apps/v1 Deployment"
CONFIG_MAP_KIND = gvk_of(CONFIG_MAP)


def queued(controller: Controller) -> list[Request]:
    """Requests that are ready, in the order a worker would get them; the queue is resumed."""
    for cluster in controller._host.known:  # type: ignore[attr-defined]
        controller.queue.resume(cluster, holder=SYNC)
    found = []
    while (item := controller.queue.get(timeout=0)) is not None:
        found.append(item.request)
    return found


def engaged(host: FakeHost, setup: Any) -> Controller:
    controller = Controller(Scripted(setup=setup), host)
    host.controllers.append(controller)
    for cluster in host.known.values():
        controller.engage(cluster)  # type: ignore[arg-type]
    return controller


# ---- sources ---------------------------------------------------------------------------------------------------------


def test_what_the_informer_tells_is_queued_with_its_reason(host: FakeHost, cluster: FakeCluster) -> None:
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP))
    old, new = entry("a"), entry("a")
    cluster.tell(CONFIG_MAP, added(old), updated(old, new), deleted(new))
    controller.queue.resume("", holder=SYNC)
    item = controller.queue.get(timeout=0)

    assert item is not None
    assert (item.request, item.reasons) == (
        Request("", "default", "a"),
        ("ConfigMap added", "ConfigMap updated", "ConfigMap deleted"),
    )


A = entry("a")


@pytest.mark.parametrize(
    ("change", "priority"),
    [
        (added(A, initial=True), LOW_PRIORITY),
        (added(A), 0),
        (updated(A, entry("a")), 0),
        (updated(A, A), LOW_PRIORITY),
        (Change(None, A, resync=True), LOW_PRIORITY),
        (deleted(A), 0),
    ],
)
def test_the_first_list_and_updates_that_change_nothing_have_low_priority(
    host: FakeHost, cluster: FakeCluster, change: Any, priority: int
) -> None:
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP))
    cluster.tell(CONFIG_MAP, change)
    controller.queue.resume("", holder=SYNC)
    item = controller.queue.get(timeout=0)

    assert item is not None
    assert item.priority == priority


class Anything(predicates.Predicate):
    """Somebody's own."""

    def admits(self, event: Event) -> bool:
        return True


SOURCES: dict[str, Any] = {
    "owns": lambda builder: builder.for_(DEPLOYMENT).owns(POD),
    "owns with a function predicate": lambda builder: builder.for_(DEPLOYMENT).owns(
        POD, predicates=[predicates.function(lambda _event: True)]
    ),
    "watches": lambda builder: builder.watches(POD, lambda _cluster, _obj: [Key("default", "owner")]),
    "an own predicate": lambda builder: builder.for_(DEPLOYMENT).owns(POD, predicates=[Anything()]),
    "predicates of all sources": lambda builder: builder.predicates(Anything()).for_(DEPLOYMENT).owns(POD),
}
CHILD = entry("child", kind=POD, ownerReferences=[owner(DEPLOYMENT, "owner")])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("change", "priority"),
    [
        (added(CHILD, initial=True), LOW_PRIORITY),
        (Change(None, CHILD, resync=True), LOW_PRIORITY),
        (added(CHILD), 0),
        (deleted(CHILD), 0),
    ],
    ids=["initial", "resync", "added", "deleted"],
)
def test_every_source_knows_what_is_routine(
    host: FakeHost, cluster: FakeCluster, source: str, change: Change, priority: int
) -> None:
    """Trap of controller-runtime: a handler or predicate of one's own loses the low priority."""
    controller = engaged(host, SOURCES[source])
    cluster.tell(POD, change)
    cluster.synced()
    eventually(lambda: controller.waiting_for() == ())  # What is on the lane has run.
    item = controller.queue.get(timeout=0)

    assert item is not None
    assert (item.request, item.priority) == (Request("", "default", "owner"), priority)


def test_all_predicates_of_a_source_must_admit(host: FakeHost, cluster: FakeCluster) -> None:
    both = [predicates.generation_changed(), predicates.selector("app=web")]
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP, predicates=both))
    for name, generation, app in (("none", 1, "db"), ("spec", 2, "db"), ("label", 1, "web"), ("both", 2, "web")):
        cluster.tell(
            CONFIG_MAP,
            updated(
                entry(name, generation=1, labels={"app": app}), entry(name, generation=generation, labels={"app": app})
            ),
        )

    assert [each.name for each in queued(controller)] == ["both"]


def test_predicates_of_one_source_do_not_touch_another(host: FakeHost, cluster: FakeCluster) -> None:
    controller = engaged(
        host, lambda builder: builder.for_(CONFIG_MAP, predicates=[predicates.selector("app=web")]).owns(POD)
    )
    cluster.tell(CONFIG_MAP, added(entry("unselected")))
    cluster.tell(POD, added(entry("pod", kind=POD, ownerReferences=[owner(CONFIG_MAP, "owner")])))

    assert [each.name for each in queued(controller)] == ["owner"]


def test_an_owned_object_that_changes_hands_names_both(host: FakeHost, cluster: FakeCluster) -> None:
    controller = engaged(host, lambda builder: builder.for_(DEPLOYMENT).owns(POD))
    old, new = (entry("pod", kind=POD, ownerReferences=[owner(DEPLOYMENT, name)]) for name in ("one", "other"))
    cluster.tell(POD, updated(old, new))

    assert [each.name for each in queued(controller)] == ["one", "other"]


# ---- user code and threads -------------------------------------------------------------------------------------------


def lane_of(controller: Controller, cluster: str = "") -> Lane:
    return controller._engaged[cluster].lane


def finish(lane: Lane) -> None:
    """Wait until everything that the lane had to do is done."""
    over = threading.Event()
    lane.submit(over.set)
    assert over.wait(10)


@pytest.mark.parametrize("kind", ["map function", "function predicate", "own predicate"])
def test_user_code_runs_on_a_mapper_thread_never_on_the_clusters(
    host: FakeHost, cluster: FakeCluster, kind: str
) -> None:
    ran: list[str] = []
    over = threading.Event()

    def note(*_arguments: Any) -> list[Key]:
        ran.append(threading.current_thread().name)
        over.set()
        return [Key("n", "a")]

    class Own(predicates.Predicate):
        def admits(self, event: Event) -> bool:
            return bool(note())

    setups = {
        "map function": lambda builder: builder.watches(CONFIG_MAP, note),
        "function predicate": lambda builder: builder.for_(CONFIG_MAP, predicates=[predicates.function(note)]),  # type: ignore[arg-type]
        "own predicate": lambda builder: builder.for_(CONFIG_MAP, predicates=[Own()]),
    }
    engaged(host, setups[kind])
    cluster.tell(CONFIG_MAP, added(entry("a")))
    assert over.wait(10)

    assert [name[:10] for name in ran] == ["kc-mapper-"]


def test_what_is_declarative_runs_where_it_is_told(host: FakeHost, cluster: FakeCluster) -> None:
    engaged(host, lambda builder: builder.for_(CONFIG_MAP, predicates=[~predicates.selector("a=b")]).owns(POD))
    cluster.tell(CONFIG_MAP, added(entry("a")))

    assert host.threads.alive() == ()


def test_map_functions_are_asked_in_the_order_of_events(host: FakeHost, cluster: FakeCluster) -> None:
    asked: list[str] = []
    controller = engaged(
        host, lambda builder: builder.watches(CONFIG_MAP, lambda _cluster, obj: asked.append(obj.metadata.name) or ())
    )
    for number in range(50):
        cluster.tell(CONFIG_MAP, added(entry(str(number))))
    cluster.synced()
    finish(lane_of(controller))

    assert asked == [str(number) for number in range(50)]
    assert queued(controller) == []


def test_reconciles_and_map_functions_read_what_their_controller_keeps(host: FakeHost, cluster: FakeCluster) -> None:
    def to(where: Any, obj: Any) -> list[Key]:
        assert where.client is not None
        return [Key("n", obj.metadata.name)]

    def setup(builder: Builder) -> None:
        builder.watches(CONFIG_MAP, to).cache(POD, labels="app=web")

    scripted = Scripted(lambda ctx, _request: ctx.client and None, setup=setup)
    host.run(Controller(scripted, host))
    cluster.tell(CONFIG_MAP, added(entry("a")))
    cluster.synced()
    scripted.wait_for_calls(1)

    assert cluster.holdings == [{gvk_of(POD): Holding.of(labels="app=web")}] * 2


def test_a_failing_map_function_costs_its_own_event_only(
    host: FakeHost, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    def to(_cluster: Any, obj: Any) -> list[Key]:
        if obj.metadata.name == "bad":
            raise KeyError("label")
        return [Key("n", obj.metadata.name)]

    controller = engaged(host, lambda builder: builder.watches(CONFIG_MAP, to))
    for name in ("one", "bad", "two"):
        cluster.tell(CONFIG_MAP, added(entry(name)))
    cluster.synced()
    finish(lane_of(controller))

    assert [each.name for each in queued(controller)] == ["one", "two"]
    assert "a function of a source failed: KeyError: 'label'" in caplog.text


class Spec(Model):
    size: int


class Widget(Resource[Spec, Model], group="example.com", version="v1", plural="widgets"):
    pass


def test_functions_get_what_is_kept_of_a_kind_that_is_metadata_only(host: FakeHost, cluster: FakeCluster) -> None:
    """Its class could not be made of that: the spec is missing."""
    seen: list[Any] = []

    def to(_cluster: Any, obj: Any) -> list[Key]:
        seen.append(obj)
        return [Key("n", obj.metadata.labels["of"])]

    def setup(builder: Builder) -> None:
        decide = predicates.function(lambda event: event.new.metadata.name == "a")
        builder.watches(Widget, to, predicates=[decide]).cache(Widget, metadata_only=True)

    controller = engaged(host, setup)
    for name in ("a", "b"):
        cluster.tell(Widget, added(entry(name, kind="example.com/v1 Widget", labels={"of": "owner"})))
    cluster.synced()
    finish(lane_of(controller))

    assert queued(controller) == [Request("", "n", "owner")]
    assert [(type(each), each.metadata.name) for each in seen] == [(Object, "a")]


def test_an_event_whose_map_function_could_not_read_yet_is_not_lost(host: FakeHost, cluster: FakeCluster) -> None:
    ready = threading.Event()

    def to(_cluster: Any, obj: Any) -> list[Key]:
        if not ready.is_set():
            raise NotSynced("v1 Pod has not seen its first list")
        return [Key("n", obj.metadata.name)]

    controller = engaged(host, lambda builder: builder.watches(CONFIG_MAP, to))
    cluster.tell(CONFIG_MAP, added(entry("a"), initial=True))
    cluster.synced()
    eventually(lambda: controller.waiting_for() == ())  # It does not keep the others from being worked on.
    assert queued(controller) == []
    ready.set()
    host.clock.wait_for_waiters(1)
    host.clock.advance(60)
    eventually(lambda: len(controller.queue) == 1)

    assert queued(controller) == [Request("", "n", "a")]


def test_a_map_function_may_name_another_cluster(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    controller = engaged(
        host, lambda builder: builder.watches(CONFIG_MAP, lambda _cluster, obj: [Request("us", "n", obj.metadata.name)])
    )
    host.known["eu"].tell(CONFIG_MAP, added(entry("a")))
    finish(lane_of(controller, "eu"))

    assert queued(controller) == [Request("us", "n", "a")]


# ---- synced ----------------------------------------------------------------------------------------------------------


def test_nothing_is_handed_out_before_every_source_is_synced(host: FakeHost, cluster: FakeCluster) -> None:
    scripted = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).owns(POD).owns(DEPLOYMENT))
    controller = host.run(Controller(scripted, host))
    cluster.tell(CONFIG_MAP, added(entry("a"), initial=True))
    cluster.cache(CONFIG_MAP).synced()
    cluster.cache(POD).synced()
    host.clock.wait_for_waiters(1)
    assert scripted.calls == []
    cluster.cache(DEPLOYMENT).synced()
    scripted.wait_for_calls(1)

    assert controller.queue.wait_idle(10)


def test_being_synced_waits_behind_the_jobs_of_the_first_list(host: FakeHost, cluster: FakeCluster) -> None:
    go_on = threading.Event()

    def to(_cluster: Any, obj: Any) -> list[Key]:
        go_on.wait(10)
        return [Key("n", obj.metadata.name)]

    scripted = Scripted(setup=lambda builder: builder.watches(CONFIG_MAP, to))
    controller = host.run(Controller(scripted, host))
    cluster.tell(CONFIG_MAP, added(entry("a"), initial=True), added(entry("b"), initial=True))
    cluster.synced()
    controller.queue.add(Request("", "n", "early"))
    host.clock.wait_for_waiters(1)
    assert scripted.calls == []
    go_on.set()
    scripted.wait_for_calls(3)

    assert sorted(scripted.names) == ["a", "b", "early"]


@pytest.mark.parametrize(("started", "state"), [(True, "reconciling"), (False, "standing by")])
def test_that_it_is_synced_is_said_with_whether_it_works(
    host: FakeHost, cluster: FakeCluster, caplog: pytest.LogCaptureFixture, *, started: bool, state: str
) -> None:
    caplog.set_level(logging.INFO)
    controller = Controller(Scripted(setup=lambda builder: builder.for_(CONFIG_MAP)), host)
    if started:
        host.run(controller)
    else:
        controller.engage(cluster)  # type: ignore[arg-type]
    cluster.synced()
    eventually(lambda: bool(caplog.messages))

    assert caplog.messages == [f"synced; {state}"]


def test_a_cluster_that_is_not_synced_does_not_hold_another(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    scripted = Scripted()
    host.run(Controller(scripted, host))
    for cluster in host.known.values():
        cluster.tell(CONFIG_MAP, added(entry("a"), initial=True))
    host.known["eu"].synced()
    scripted.wait_for_calls(1)
    host.clock.wait_for_waiters(1)

    assert scripted.calls == [Request("eu", "default", "a")]
    host.known["us"].synced()
    scripted.wait_for_calls(2)


def test_a_slow_lane_of_one_cluster_does_not_delay_another(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    go_on = threading.Event()

    def to(cluster: Any, obj: Any) -> list[Key]:
        if cluster.name == "eu":
            go_on.wait(10)
        return [Key("n", obj.metadata.name)]

    scripted = Scripted(setup=lambda builder: builder.watches(CONFIG_MAP, to))
    host.run(Controller(scripted, host))
    for cluster in host.known.values():
        cluster.tell(CONFIG_MAP, added(entry("a"), initial=True))
        cluster.synced()
    scripted.wait_for_calls(1)
    assert scripted.calls == [Request("us", "n", "a")]
    go_on.set()
    scripted.wait_for_calls(2)


def test_a_function_that_hangs_in_every_cluster_delays_no_other_controller(host: FakeHost) -> None:
    host.known = {str(number): FakeCluster(str(number)) for number in range(BOUND + 8)}
    go_on, inside = threading.Event(), []

    def hang(cluster: Any, _obj: Any) -> list[Key]:
        inside.append(cluster.name)
        go_on.wait(30)
        return []

    def to(_cluster: Any, obj: Any) -> list[Key]:
        return [Key("n", obj.metadata.name)]

    engaged(host, lambda builder: builder.watches(POD, hang))
    scripted = Scripted(setup=lambda builder: builder.watches(CONFIG_MAP, to))
    scripted.name = "other"  # type: ignore[misc]
    for cluster in host.known.values():
        cluster.tell(POD, added(entry("a", kind=POD)))

    def all_threads_hang() -> bool:
        host.clock.advance(0.1)  # Each one that lasts makes room for another.
        return len(inside) == BOUND

    eventually(all_threads_hang)
    host.run(Controller(scripted, host))
    for cluster in host.known.values():
        cluster.tell(CONFIG_MAP, added(entry("a")))
        cluster.synced()
    scripted.wait_for_calls(len(host.known))
    go_on.set()


# ---- engage and disengage --------------------------------------------------------------------------------------------


def test_the_indexes_are_declared_before_the_sources_subscribe(host: FakeHost, cluster: FakeCluster) -> None:
    engaged(host, lambda builder: builder.for_(POD).index(POD, "spec.nodeName").index(CONFIG_MAP, "data.x"))

    assert cluster.cache(POD).paths == ["spec.nodeName"]
    assert cluster.cache(CONFIG_MAP).paths == ["data.x"]


def test_only_declared_kinds_are_cached(host: FakeHost, cluster: FakeCluster) -> None:
    engaged(host, lambda builder: builder.for_(CONFIG_MAP).owns(POD))

    assert set(cluster.kinds) == {gvk_of(CONFIG_MAP), gvk_of(POD)}


def test_leaving_forgets_what_was_queued_and_hears_nothing_more(host: FakeHost, cluster: FakeCluster) -> None:
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP).owns(POD))
    cluster.tell(CONFIG_MAP, added(entry("a")))
    controller.disengage("")
    cluster.tell(CONFIG_MAP, added(entry("b")))  # The loop may be in the middle of telling.

    assert all(each.closed for kind in cluster.kinds.values() for each in kind.subscriptions)
    assert queued(controller) == []


def test_leaving_twice_or_without_having_come_is_harmless(host: FakeHost) -> None:
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP))
    controller.disengage("")
    controller.disengage("")
    controller.disengage("nowhere")


def test_leaving_does_not_touch_other_clusters(host: FakeHost) -> None:
    host.known = {"eu": FakeCluster("eu"), "us": FakeCluster("us")}
    controller = engaged(host, lambda builder: builder.for_(CONFIG_MAP))
    for cluster in host.known.values():
        cluster.tell(CONFIG_MAP, added(entry("a")))
    controller.disengage("eu")

    assert queued(controller) == [Request("us", "default", "a")]


def test_jobs_of_a_cluster_that_left_are_dropped(host: FakeHost, cluster: FakeCluster) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def to(_cluster: Any, obj: Any) -> list[Key]:
        inside.set()
        go_on.wait(10)
        return [Key("n", obj.metadata.name)]

    controller = engaged(host, lambda builder: builder.watches(CONFIG_MAP, to))
    cluster.tell(CONFIG_MAP, added(entry("running")), added(entry("waiting")))
    cluster.synced()
    assert inside.wait(10)
    lane = lane_of(controller)
    controller.disengage("")
    go_on.set()
    finish(lane)

    assert "waiting" not in [each.name for each in queued(controller)]


def test_a_cluster_that_comes_back_waits_for_its_own_first_list(host: FakeHost, cluster: FakeCluster) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def to(_cluster: Any, _obj: Any) -> list[Key]:
        inside.set()
        go_on.wait(10)
        return []

    controller = engaged(host, lambda builder: builder.watches(CONFIG_MAP, to))
    cluster.tell(CONFIG_MAP, added(entry("a")))
    cluster.synced()  # Waits on the lane, behind the job.
    assert inside.wait(10)
    lane = lane_of(controller)
    controller.disengage("")
    controller.engage(cluster)  # type: ignore[arg-type]
    go_on.set()
    finish(lane)
    controller.queue.add(Request("", "n", "x"))

    assert controller.queue.get(timeout=0) is None


def test_a_late_word_of_an_incarnation_that_left_does_not_open_the_queue_of_the_next(
    host: FakeHost, cluster: FakeCluster
) -> None:
    told: list[str] = []
    controller = Controller(Scripted(), host)
    controller.engage(cluster, on_synced=lambda: told.append("first"))  # type: ignore[arg-type]
    late = next(iter(controller._engaged[""]._sources.values()))._on_synced
    controller.disengage("")
    controller.engage(FakeCluster(), on_synced=lambda: told.append("second"))  # type: ignore[arg-type]
    controller.queue.add(Request("", "n", "x"))
    late()

    assert controller.queue.get(timeout=0) is None
    assert controller.waiting_for() == ("",)
    next(iter(controller._engaged[""]._sources.values()))._on_synced()
    assert controller.queue.get(timeout=0) is not None
    assert controller.waiting_for() == ()
    assert told == ["second"]


def test_what_was_engaged_in_part_is_let_go_of(host: FakeHost, cluster: FakeCluster) -> None:
    class Half(FakeCluster):
        def cache(self, kind: Any, holding: Any = None) -> Any:
            if kind == POD:
                raise ValueError("no such kind")
            return super().cache(kind, holding)

    half = Half()
    setup = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).watches(POD, lambda _cluster, _obj: []))
    controller = Controller(setup, host)
    with pytest.raises(ValueError, match="no such kind"):
        controller.engage(half)  # type: ignore[arg-type]
    controller.disengage("")

    assert [each.closed for each in half.kinds[CONFIG_MAP_KIND].subscriptions] == [True]
    assert half.kinds[CONFIG_MAP_KIND].users == 0
    assert controller.waiting_for() == ()
    assert controller.queue._schedule._shares == {}


def test_who_lets_go_is_told_when_the_last_reconcile_has_ended(host: FakeHost, cluster: FakeCluster) -> None:
    inside, go_on, idle = threading.Event(), threading.Event(), threading.Event()

    def act(_ctx: Any, _request: Request) -> None:
        inside.set()
        go_on.wait(10)

    controller = host.run(Controller(Scripted(act), host))
    cluster.tell(CONFIG_MAP, added(entry("a")))
    cluster.synced()
    assert inside.wait(10)
    controller.disengage("", on_idle=idle.set)
    assert not idle.is_set()
    go_on.set()
    assert idle.wait(10)


def test_a_controller_has_as_many_workers_as_it_says(host: FakeHost, cluster: FakeCluster) -> None:
    inside = threading.Barrier(4)
    scripted = Scripted(
        lambda _ctx, _request: inside.wait(10) and None,
        setup=lambda builder: builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=4),
    )
    host.run(Controller(scripted, host, max_concurrent_reconciles=1))
    cluster.tell(CONFIG_MAP, *(added(entry(name)) for name in "abcd"))
    cluster.synced()

    def all_are_inside() -> bool:
        host.clock.advance(PATIENCE)  # Nobody sees that the reconciles wait; they only last.
        return len(scripted.calls) == 4

    eventually(all_are_inside)
    assert {f"kc-worker-scripted-{number}" for number in range(4)} <= set(host.threads.alive())


def test_a_cluster_has_no_more_workers_than_one_may_have_also_where_it_is_alone(
    host: FakeHost, cluster: FakeCluster
) -> None:
    controller = engaged(
        host, lambda builder: builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=8, max_per_cluster=2)
    )
    cluster.tell(CONFIG_MAP, *(added(entry(name)) for name in "abcd"))
    cluster.synced()
    queue, taken = controller.queue, []
    while (item := queue.get(timeout=0)) is not None:
        queue.let_others(item)
        taken.append(item)
    assert len(taken) == 2
    queue.done(taken[0], Outcome.forget())
    assert queue.get(timeout=0) is not None


def test_the_options_of_retries_reach_the_queue(host: FakeHost, cluster: FakeCluster) -> None:
    """The first retry waits the backoff's 2 s, the second one 10 s for its turn, at one in ten seconds."""
    controller = engaged(
        host,
        lambda builder: builder.for_(CONFIG_MAP).options(backoff=Backoff(initial=2, cap=60), retry_rate=(0.1, 1)),
    )
    cluster.tell(CONFIG_MAP, added(entry("a")), added(entry("b")))
    cluster.synced()
    for _ in range(2):
        item = controller.queue.get(timeout=0)
        assert item is not None
        controller.queue.done(item, Outcome.retry())

    for seconds, name in ((2, "a"), (8, "b")):
        host.clock.advance(seconds - 0.01)
        assert controller.queue.get(timeout=0) is None
        host.clock.advance(0.01)
        item = controller.queue.get(timeout=0)
        assert item is not None
        assert item.request.name == name


def test_setup_is_called_once(host: FakeHost) -> None:
    calls: list[Builder] = []
    engaged(host, lambda builder: calls.append(builder.for_(CONFIG_MAP)))

    assert len(calls) == 1


# ---- a full queue ----------------------------------------------------------------------------------------------------


def test_what_a_map_function_asks_of_another_cluster_comes_when_there_is_room_there(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcontroller.controller.controller.QUEUE_LIMIT", 4)
    controller = mapping_across(host)
    found: set[str] = set()
    eventually(lambda: found.update(taken(controller)) or len(found) == 20)


def test_what_was_refused_as_a_cluster_was_full_is_asked_again_when_that_cluster_has_left(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcontroller.controller.controller.QUEUE_LIMIT", 4)
    controller = mapping_across(host)
    there = host.known["there"]
    controller.disengage("there")
    controller.engage(there)  # type: ignore[arg-type]
    there.synced()
    found: set[str] = set()
    refused = {f"n{number}" for number in range(4, 20)}  # The others were queued, and may be forgotten.
    eventually(lambda: found.update(taken(controller)) or found >= refused)


def test_a_cluster_that_syncs_wakes_no_other_unless_something_was_refused(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    call = FakeSubscription.call
    monkeypatch.setattr(FakeSubscription, "call", lambda self, function: (calls.append("woken"), call(self, function)))
    host.known = {f"p{number}": FakeCluster(f"p{number}") for number in range(50)}
    engaged(host, lambda builder: builder.for_(CONFIG_MAP))
    calls.clear()
    for cluster in host.known.values():
        cluster.synced()
    assert len(calls) <= 50  # Its own thread, and not those of 1,225 others.


def mapping_across(host: FakeHost) -> Controller:
    """A controller that was told of 20 objects in one cluster, and asks for as many in another one that is full."""

    def across(cluster: Any, obj: Any) -> list[Request]:
        return [Request("there", "n", obj.metadata.name)] if cluster.name == "here" else []

    host.known = {"here": FakeCluster("here"), "there": FakeCluster("there")}
    controller = Controller(Scripted(setup=lambda builder: builder.watches(CONFIG_MAP, across)), host)
    host.controllers.append(controller)
    for cluster in host.known.values():
        controller.engage(cluster)  # type: ignore[arg-type]
    host.known["here"].tell(CONFIG_MAP, *(added(entry(f"n{number}")) for number in range(20)))
    for cluster in host.known.values():
        cluster.synced()
    eventually(lambda: host.mappers.idle)
    assert len(controller.queue) == 4
    return controller


def taken(controller: Controller) -> list[str]:
    found = []
    while (item := controller.queue.get(timeout=0)) is not None:
        found.append(item.request.name)
        controller.queue.done(item, Outcome.forget())
    return found

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.controller import FLEET, HUB, Builder, Channel, Controller
from kcontroller.controller.selecting import ClusterInfo, selected
from kcontroller.errors import ConfigError
from kcontroller.testing.polling import eventually
from kcontroller.workqueue.outcome import FORGET
from tests.unit.controller.fakes import CONFIG_MAP, POD, FakeCluster, FakeHost, Scripted, added, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROD, TEST = {"tier": "prod"}, {"tier": "test"}


def nothing(*_: Any) -> list[Key]:
    return []


def a_function(info: ClusterInfo) -> bool:
    return info.name == "one" and info.labels["tier"] == "prod" and info.uid == "uid-one"


@pytest.mark.parametrize(
    ("clusters", "text"),
    [
        (HUB, "on the hub"),
        (FLEET, "in the fleet"),
        ("", "in the fleet"),
        ("tier=prod", "in the clusters of tier=prod"),
        ({"tier": "prod"}, "in the clusters of tier=prod"),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, "in the clusters of tier"),
        (a_function, "in the clusters of a_function"),
    ],
)
def test_a_choice_of_clusters_is_said_in_words(clusters: Any, text: str) -> None:
    assert str(selected(clusters)) == text


@pytest.mark.parametrize("clusters", [HUB, FLEET, "tier=prod", "tier!=prod", a_function], ids=str)
def test_which_clusters_are_chosen(clusters: Any) -> None:
    hub, one, two = FakeCluster(""), FakeCluster("one", labels=PROD), FakeCluster("two", labels=TEST)
    chosen: dict[Any, list[str]] = {HUB: [""], FLEET: ["one", "two"], "tier!=prod": ["two"]}
    chosen_of_fleet = [each.name for each in (hub, one, two) if selected(clusters).admit(each, alone=False)]  # type: ignore[arg-type]

    assert chosen_of_fleet == chosen.get(clusters, ["one"])


def test_the_only_cluster_is_hub_and_fleet() -> None:
    hub: Any = FakeCluster("")

    assert selected(HUB).admit(hub, alone=True)
    assert selected(FLEET).admit(hub, alone=True)
    assert not selected("tier=prod").admit(hub, alone=True)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (lambda builder: builder.for_(POD, clusters=3), "clusters takes HUB, FLEET, a label selector .*, got int"),
        (lambda builder: builder.for_(POD, clusters="tier="), None),
        (lambda builder: builder.for_(POD, clusters="a b"), "label selector 'a b' is malformed at position 2"),
        (
            lambda builder: builder.for_(POD, clusters=HUB).owns(CONFIG_MAP, clusters=FLEET),
            "owns watches v1 ConfigMap in the fleet, and for_ v1 Pod on the hub: an owner is in the cluster of what",
        ),
        (lambda builder: builder.watches_clusters("a"), "watches_clusters needs a function that .*, got str"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_where_it_is_written(
    setup: Callable[[Builder], Any], message: str | None
) -> None:
    def built() -> None:
        Controller(Scripted(setup=setup), FakeHost())

    if message is None:
        built()
    else:
        with pytest.raises(ConfigError, match=f"Scripted.setup: {message}"):
            built()


def test_what_says_nothing_else_is_where_the_reconciled_kind_is() -> None:
    builder = Builder().source(Channel()).cache("v1 Node").index("v1 Service", "spec.x").for_(POD, clusters="a=b")
    builder.owns(CONFIG_MAP).cache("v1 Secret", clusters=HUB)
    declarations, _, _ = builder.build()

    chosen = selected("a=b")
    assert [each.clusters for each in declarations] == [chosen, chosen]
    assert [each.clusters for each in builder.raw_sources] == [chosen]
    assert [str(each.clusters) for each in builder.kept] == [str(chosen), "on the hub", str(chosen)]


# ---- a controller on several clusters --------------------------------------------------------------------------------


@pytest.fixture
def clusters() -> dict[str, FakeCluster]:
    made = FakeCluster(""), FakeCluster("one", labels=PROD), FakeCluster("two", labels=TEST)
    return {each.name: each for each in made}


@pytest.fixture
def host(clusters: dict[str, FakeCluster]) -> Iterator[FakeHost]:
    made = FakeHost(*clusters.values())
    yield made
    made.end()
    assert made.failures == []


def running(host: FakeHost, setup: Any, act: Any = None) -> tuple[Controller, Scripted]:
    scripted = Scripted(*(() if act is None else (act,)), setup=setup)
    controller = Controller(scripted, host, many_clusters=True)
    host.run(controller)
    for cluster in host.known.values():
        cluster.synced()
    return controller, scripted


def kept_by(cluster: FakeCluster) -> list[str]:
    return [gvk.kind for gvk, kind in cluster.kinds.items() if kind.users]


def relabel(controller: Controller, cluster: FakeCluster, labels: dict[str, str]) -> None:
    cluster.labels = labels
    controller.relabel(cluster)  # type: ignore[arg-type]


def test_each_source_is_in_its_clusters(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    controller, _ = running(
        host,
        lambda builder: (
            builder.for_(CONFIG_MAP, clusters=HUB).watches(POD, nothing, clusters="tier=prod").cache("v1 Node")
        ),
    )

    assert {name: kept_by(cluster) for name, cluster in clusters.items()} == {
        "": ["ConfigMap", "Node"],
        "one": ["Pod"],
        "two": [],
    }
    assert controller.waiting_for() == ()
    assert controller.wants_hub


def test_who_watches_the_fleet_alone_does_not_want_the_hub(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    controller, _ = running(host, lambda builder: builder.for_(CONFIG_MAP))

    assert not controller.wants_hub
    assert kept_by(clusters[""]) == []


def test_a_cluster_of_which_nothing_is_wanted_is_synced_at_once_and_holds_nothing(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    synced: list[str] = []
    controller = Controller(
        Scripted(setup=lambda builder: builder.for_(CONFIG_MAP, clusters="tier=none").index("v1 Node", "spec.x")),
        host,
        many_clusters=True,
    )
    controller.engage(clusters["one"], on_synced=lambda: synced.append("one"))  # type: ignore[arg-type]

    assert synced == ["one"]
    assert clusters["one"].kinds == {}


def test_a_source_begins_and_ends_with_the_labels_of_a_cluster(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    two = clusters["two"]
    controller, scripted = running(
        host,
        lambda builder: builder.for_(CONFIG_MAP).watches(
            POD, lambda _c, pod: [Key("", pod.metadata.name)], clusters="tier=prod"
        ),
    )
    assert kept_by(two) == ["ConfigMap"]

    relabel(controller, two, PROD)
    assert kept_by(two) == ["ConfigMap", "Pod"]
    assert controller.waiting_for() == ()  # It stays at work meanwhile.
    two.tell(POD, added(entry("pod", kind=POD), initial=True))
    scripted.wait_for_calls(1)
    assert scripted.calls == [Request("two", "", "pod")]

    relabel(controller, two, TEST)
    assert kept_by(two) == ["ConfigMap"]
    assert two.kinds[gvk_of(POD)].subscriptions[0].closed
    two.tell(CONFIG_MAP, added(entry("still")))
    scripted.wait_for_calls(2)

    relabel(controller, two, PROD)
    assert kept_by(two) == ["ConfigMap", "Pod"]


def test_labels_that_change_nothing_leave_the_sources_alone(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    controller, _ = running(host, lambda builder: builder.for_(CONFIG_MAP, clusters="tier"))
    relabel(controller, clusters["two"], PROD)

    assert len(clusters["two"].kinds[gvk_of(CONFIG_MAP)].subscriptions) == 1


def test_a_source_that_ends_before_it_is_synced_holds_the_cluster_back_no_longer(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    synced: list[str] = []
    controller = Controller(
        Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).watches(POD, nothing, clusters="tier=prod")),
        host,
        many_clusters=True,
    )
    one = clusters["one"]
    controller.engage(one, on_synced=lambda: synced.append("one"))  # type: ignore[arg-type]
    one.kinds[gvk_of(CONFIG_MAP)].synced()
    assert synced == []

    relabel(controller, one, TEST)
    assert synced == ["one"]


def test_a_function_that_fails_leaves_all_as_it_was(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    controller, _ = running(
        host, lambda builder: builder.for_(CONFIG_MAP, clusters=lambda info: bool(info.labels["tier"]))
    )
    with pytest.raises(KeyError):
        relabel(controller, clusters["two"], {})

    assert kept_by(clusters["two"]) == ["ConfigMap"]


def test_the_pauses_of_a_kind_that_is_heard_of_no_longer_end(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    one = clusters["one"]
    controller, _ = running(host, lambda builder: builder.for_(CONFIG_MAP, clusters="tier=prod").watches(POD, nothing))
    one.tell(CONFIG_MAP, added(entry("a", annotations={"kcontroller.dev/paused": "true"})))
    assert len(controller.safety.objects) == 1

    relabel(controller, one, TEST)
    assert len(controller.safety.objects) == 0


def test_a_raw_source_begins_and_ends_with_the_labels(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    channel = Channel()
    controller, scripted = running(host, lambda builder: builder.for_(CONFIG_MAP).source(channel, clusters="tier=prod"))
    two = Request("two", "default", "a")
    channel.send(two)
    assert controller.queue.standing(two) is None

    relabel(controller, clusters["two"], PROD)
    scripted.wait_for_calls(1)
    assert scripted.calls == [two]  # It was kept for it.

    relabel(controller, clusters["two"], TEST)
    channel.send(two)
    relabel(controller, clusters["two"], PROD)
    scripted.wait_for_calls(2)


# ---- one cluster's objects concern another ---------------------------------------------------------------------------


def everywhere(cluster: Any, obj: Any) -> list[Request]:
    return [Request(each.name, "default", obj.metadata.name) for each in cluster.clusters]


def test_a_map_function_finds_the_clusters_that_are_synced(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    scripted = Scripted(
        setup=lambda builder: builder.watches(CONFIG_MAP, everywhere, clusters=HUB).watches(POD, nothing)
    )
    controller = host.run(Controller(scripted, host, many_clusters=True))
    clusters[""].synced()
    clusters["one"].synced()
    eventually(lambda: controller.waiting_for() == ("two",))
    clusters[""].tell(CONFIG_MAP, added(entry("a")))
    scripted.wait_for_calls(1)

    assert scripted.calls == [Request("one", "default", "a")]
    assert [each.name for each in scripted.contexts[0].clusters] == ["one"]


def test_what_is_asked_for_in_a_cluster_that_is_away_is_asked_again_when_it_joins(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    two = clusters.pop("two")
    del host.known["two"]
    named = Request("two", "default", "a")
    controller, scripted = running(
        host, lambda builder: builder.watches(CONFIG_MAP, lambda *_: [named], clusters=HUB).watches(POD, nothing)
    )
    clusters[""].tell(CONFIG_MAP, added(entry("a")))
    eventually(lambda: host.metric("kcontroller_dropped_requests_total", controller="scripted") == 1)
    assert controller.queue.standing(named) is None

    host.known["two"] = two
    controller.engage(two)  # type: ignore[arg-type]
    two.synced()
    scripted.wait_for_calls(1)
    assert scripted.calls == [named]


def test_what_waits_in_a_cluster_that_leaves_is_asked_for_again_when_it_is_back(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    named = Request("two", "default", "a")
    controller, scripted = running(
        host, lambda builder: builder.watches(CONFIG_MAP, lambda *_: [named], clusters=HUB).watches(POD, nothing)
    )
    controller.queue.pause("two")
    clusters[""].tell(CONFIG_MAP, added(entry("a")))
    eventually(lambda: controller.queue.standing(named) is not None)
    controller.disengage("two")
    assert controller.queue.standing(named) is None

    controller.engage(clusters["two"])  # type: ignore[arg-type]
    clusters["two"].synced()
    scripted.wait_for_calls(1)
    assert scripted.calls == [named]


def test_a_cluster_that_syncs_wakes_no_other(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    woken: list[str] = []
    running(host, lambda builder: builder.for_(CONFIG_MAP))
    for name in ("one", "two"):
        for subscription in clusters[name].kinds[gvk_of(CONFIG_MAP)].subscriptions:
            subscription.call = lambda _function, name=name: woken.append(name)  # type: ignore[method-assign, misc]
    late = FakeCluster("late")
    host.known["late"] = late
    host.controllers[0].engage(late)  # type: ignore[arg-type]
    late.synced()

    assert host.controllers[0].waiting_for() == ()
    assert woken == []


def test_what_a_cluster_concerns_is_asked_when_it_joins_is_relabelled_and_leaves(
    host: FakeHost, clusters: dict[str, FakeCluster]
) -> None:
    def concerned(cluster: Any) -> list[Request]:
        return [Request("", "default", cluster.name), Request(cluster.name, "default", "x")]

    controller, scripted = running(
        host,
        lambda builder: builder.for_(CONFIG_MAP, clusters=HUB).watches_clusters(concerned, clusters="tier=prod"),
    )
    scripted.wait_for_calls(2)
    assert sorted(scripted.calls) == [("", "default", "one"), ("one", "default", "x")]
    assert {each.reasons for each in scripted.contexts} == {("cluster joined",)}

    relabel(controller, clusters["two"], PROD)
    scripted.wait_for_calls(4)
    assert sorted(scripted.calls[2:]) == [("", "default", "two"), ("two", "default", "x")]
    relabel(controller, clusters["two"], TEST)  # One more time: it was one of them.
    scripted.wait_for_calls(6)

    del host.known["one"]
    controller.disengage("one")
    scripted.wait_for_calls(7)
    assert scripted.calls[6] == Request("", "default", "one")
    assert scripted.contexts[6].reasons == ("cluster left",)


def test_a_cluster_has_the_turns_of_its_weight(host: FakeHost, clusters: dict[str, FakeCluster]) -> None:
    clusters["one"].weight = 3
    scripted = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=8))
    controller = Controller(scripted, host, many_clusters=True)
    for cluster in clusters.values():
        controller.engage(cluster)  # type: ignore[arg-type]
        cluster.synced()

    def taken(count: int) -> list[str]:
        for name in ("one", "two"):
            clusters[name].tell(CONFIG_MAP, *(added(entry(f"object-{number}")) for number in range(count)))
        found = []
        while (item := controller.queue.get(timeout=0)) is not None:
            found.append(item.request.cluster)
            controller.queue.done(item, FORGET)
        return found

    assert taken(12)[:8] in (["one", "one", "one", "two"] * 2, ["two", "one", "one", "one"] * 2)
    clusters["one"].weight = 1
    relabel(controller, clusters["one"], PROD)
    assert sorted(taken(12)[:8]) == ["one"] * 4 + ["two"] * 4

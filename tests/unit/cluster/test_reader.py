from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.client.ports import Selection
from kcontroller.cluster.floors import Floors, Promise
from kcontroller.cluster.reader import CachedReader
from kcontroller.errors import ConnectFailed, NotCached, NotFound, NotSynced, StaleRead, UnlistedNamespace
from kcontroller.testing.clock import VirtualClock
from tests.unit.cluster.held import CONFIG_MAP, GVK, A, Call, HeldInformer, HeldKind, Wire, document, dump


class World:
    def __init__(self, *informers: HeldInformer, synced: bool = True) -> None:
        self.clock = VirtualClock()
        self.kind = HeldKind(*informers, synced=synced)
        self.wire = Wire(dump(document("live", 1)))
        self.floors = Floors(clock=self.clock, on_loop_thread=lambda: False, on_stale=lambda: None)
        self.reader = CachedReader(
            self.wire,
            self.floors,
            lambda gvk: self.kind if gvk == GVK else None,  # type: ignore[arg-type,return-value]
        )

    def names(self, **selection: Any) -> list[str]:
        given: dict[str, Any] = dict(selection)
        if "labels" in given:
            given["labels"] = LabelSelector.of(given["labels"])
        if "fields" in given:
            given["fields"] = FieldSelector.of(given["fields"])
        bodies = self.reader.list(CONFIG_MAP, Selection(**given))
        return sorted(json.loads(body)["metadata"]["name"] for body in bodies)


@pytest.fixture
def world() -> World:
    informer = HeldInformer(paths=("spec.node", "spec.ports"))
    made = World(informer)
    informer.put("a", 1, labels={"app": "web"}, spec={"node": "n1", "ports": [80, 443]})
    informer.put("b", 2, labels={"app": "db"}, spec={"node": "n2"})
    informer.put("c", 3, namespace="other", labels={"app": "web"}, spec={"node": "n1"})
    return made


def test_an_object_is_read_from_memory(world: World) -> None:
    assert json.loads(world.reader.get(CONFIG_MAP, A))["metadata"]["name"] == "a"
    assert world.wire.asked == []


def test_an_object_that_is_absent_is_not_found_as_the_server_would_say_it(world: World) -> None:
    with pytest.raises(NotFound) as raised:
        world.reader.get(CONFIG_MAP, Key("default", "nope"))

    assert str(raised.value) == "get configmaps: 404 NotFound: v1 ConfigMap default/nope does not exist"


def test_a_namespace_that_is_not_watched_is_no_absence() -> None:
    world = World(HeldInformer("team"))

    with pytest.raises(UnlistedNamespace):
        world.reader.get(CONFIG_MAP, A)
    with pytest.raises(UnlistedNamespace):
        world.names(namespace="default")


def test_before_the_first_list_nothing_is_absent() -> None:
    world = World(synced=False)

    with pytest.raises(NotSynced):
        world.reader.get(CONFIG_MAP, A)
    with pytest.raises(NotSynced):
        world.names()


def test_a_kind_that_nobody_declared_is_read_from_the_server(world: World) -> None:
    world.reader.get("v1 Secret", A)
    world.reader.list("v1 Secret", Selection())

    assert [(verb, kind) for verb, kind, _ in world.wire.asked] == [("get", "v1 Secret"), ("list", "v1 Secret")]


def test_a_subresource_is_read_from_the_server(world: World) -> None:
    world.reader.get(CONFIG_MAP, A, "scale")

    assert world.wire.asked == [("get", CONFIG_MAP, (A, "scale"))]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"namespace": "default"}, ["a", "b"]),
        ({"namespace": "empty"}, []),
        ({"labels": "app=web"}, ["a", "c"]),
        ({"labels": "app!=web"}, ["b"]),
        ({"labels": "app in (web,db),!x", "namespace": "other"}, ["c"]),
        ({"fields": "metadata.name=a"}, ["a"]),
        ({"fields": "metadata.name!=a"}, ["b", "c"]),
        ({"fields": "metadata.namespace=other"}, ["c"]),
        ({"fields": "spec.node=n1"}, ["a", "c"]),
        ({"fields": "spec.node=n1,metadata.namespace=default"}, ["a"]),
        ({"fields": "spec.node!=n1"}, ["b"]),
        ({"fields": "spec.ports=443"}, ["a"]),
        ({"fields": "spec.ports!=443"}, ["b", "c"]),
        ({"index": ("spec.node", "n1")}, ["a", "c"]),
        ({"index": ("spec.node", "n1"), "namespace": "other"}, ["c"]),
        ({"index": ("spec.node", "n1"), "labels": "app=web", "fields": "metadata.name=a"}, ["a"]),
        ({"index": ("spec.ports", "80")}, ["a"]),
        ({"index": ("spec.node", "nowhere")}, []),
    ],
)
def test_a_list_is_what_the_selection_names(world: World, selection: dict[str, Any], names: list[str]) -> None:
    assert world.names(**selection) == names


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(
    ("selection", "error"),
    [
        (
            {"fields": "spec.nodeName=x"},
            "the cache cannot select v1 ConfigMap by 'spec.nodeName'; declare it: builder.index(kind, 'spec.nodeName')",
        ),
        ({"fields": "metadata.name=zzz,status.phase=x"}, "the cache cannot select v1 ConfigMap by 'status.phase'"),
        (
            {"index": ("spec.nodeName", "x")},
            "v1 ConfigMap has no index 'spec.nodeName'; declare it in setup: builder.index(kind, 'spec.nodeName')",
        ),
    ],
)
def test_what_was_not_declared_is_refused_whether_or_not_there_are_objects(
    world: World,
    selection: dict[str, Any],
    error: str,
    empty: bool,  # noqa: FBT001
) -> None:
    used = World() if empty else world

    with pytest.raises(NotCached) as raised:
        used.names(**selection)
    assert str(raised.value).startswith(error)


def test_a_list_over_all_namespaces_asks_every_informer() -> None:
    one, other = HeldInformer("one"), HeldInformer("other")
    world = World(one, other)
    one.put("a", 1, namespace="one")
    other.put("b", 2, namespace="other")

    assert world.names() == ["a", "b"]
    assert world.names(namespace="other") == ["b"]


def test_a_read_waits_for_an_own_write(world: World) -> None:
    (informer,) = world.kind.held
    world.floors.record(A, Promise(informer, 10))  # type: ignore[arg-type]
    reading = Call(lambda: json.loads(world.reader.get(CONFIG_MAP, A))["metadata"]["resourceVersion"])
    world.clock.wait_for_waiters(1)
    informer.put("a", 10)

    assert reading.outcome == "10"


def test_a_list_waits_for_own_writes_of_its_namespace(world: World) -> None:
    (informer,) = world.kind.held
    world.floors.record(A, Promise(informer, 10))  # type: ignore[arg-type]
    assert world.names(namespace="other") == ["c"]
    listing = Call(lambda: world.names(namespace="default"))
    world.clock.wait_for_waiters(1)
    world.clock.advance(1)

    assert isinstance(listing.outcome, StaleRead)


def in_doubt(world: World) -> HeldInformer:
    (informer,) = world.kind.held
    world.floors.doubt(Key("default", "live"), Promise(informer))  # type: ignore[arg-type]
    return informer


def test_a_list_waits_for_an_object_that_was_created_after_all(world: World) -> None:
    informer = in_doubt(world)
    world.wire.answer = dump(document("live", 10))
    assert world.names(namespace="other") == ["c"]
    assert world.wire.asked == []
    listing = Call(lambda: world.names(namespace="default"))
    world.clock.wait_for_waiters(1)
    informer.put("live", 10)

    assert listing.outcome == ["a", "b", "live"]
    assert world.names() == ["a", "b", "c", "live"]
    assert len(world.wire.asked) == 1


def test_a_list_goes_on_when_the_server_has_no_such_object(world: World) -> None:
    in_doubt(world)
    world.wire.get_error = NotFound("gone", status=404)

    assert world.names(namespace="default") == ["a", "b"]
    assert world.names(namespace="default") == ["a", "b"]
    assert len(world.wire.asked) == 1


def test_a_list_fails_while_the_server_cannot_be_asked(world: World) -> None:
    in_doubt(world)
    world.wire.get_error = ConnectFailed("refused")
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            world.names(namespace="default")


def test_what_the_watch_has_brought_needs_no_asking(world: World) -> None:
    in_doubt(world).put("live", 10)
    world.wire.get_error = ConnectFailed("refused")

    assert world.names(namespace="default") == ["a", "b", "live"]


def test_what_is_read_belongs_to_the_reader(world: World) -> None:
    first = json.loads(world.reader.get(CONFIG_MAP, A))
    first["metadata"]["labels"]["app"] = "changed"

    assert json.loads(world.reader.get(CONFIG_MAP, A))["metadata"]["labels"]["app"] == "web"


def test_the_metadata_of_a_whole_object_is_read_from_the_same_bytes(world: World) -> None:
    body = json.loads(world.reader.get(CONFIG_MAP, A, metadata=True))
    listed = [json.loads(each) for each in world.reader.list(CONFIG_MAP, Selection("default"), metadata=True)]

    assert body == {
        name: json.loads(world.reader.get(CONFIG_MAP, A))[name] for name in ("apiVersion", "kind", "metadata")
    }
    assert body in listed
    assert world.wire.asked == []


def test_the_metadata_of_a_kind_that_nobody_declared_is_asked_of_the_server(world: World) -> None:
    world.reader.get("v1 Secret", A, metadata=True)
    world.reader.list("v1 Secret", Selection(), metadata=True)

    assert [verb for verb, _kind, _what in world.wire.asked] == ["get metadata", "list metadata"]


def test_what_nothing_that_is_kept_can_answer_is_read_from_the_server(world: World) -> None:
    world.kind.held = ()
    world.reader.get(CONFIG_MAP, A)
    world.reader.list(CONFIG_MAP, Selection(), metadata=True)

    assert [verb for verb, _kind, _what in world.wire.asked] == ["get", "list metadata"]


def test_who_loses_the_informer_in_the_middle_of_a_read_asks_the_server() -> None:
    informer = HeldInformer()
    world = World(informer)
    informer.put("a", 3)
    informer.store.close()

    assert json.loads(world.reader.get(CONFIG_MAP, A))["metadata"]["name"] == "live"
    assert len(world.reader.list(CONFIG_MAP, Selection())) == 1
    assert [verb for verb, _kind, _what in world.wire.asked] == ["get", "list"]


def test_a_list_never_shows_half_of_a_replacement() -> None:
    """Both generations have a hundred objects, and none in common."""
    informer = HeldInformer()
    world = World(informer)
    generations = [[informer.entry(f"{name}{number}", 5) for number in range(100)] for name in "xy"]
    informer.store.replace(generations[0], 10)
    done = threading.Event()

    def replace() -> None:
        for turn in range(200):
            informer.store.replace(generations[turn % 2], 10 + turn)
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        while not done.is_set():
            names = world.names()
            assert len(names) == 100
            assert len({name[0] for name in names}) == 1
    finally:
        thread.join(10)

"""Differences: what is sent, what carries a version, and what happens when someone else was quicker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.api import conditions, finalizers, owners
from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.errors import Conflict, NotFound
from tests.unit.api.kinds import Widget, body, meta
from tests.unit.client.servers import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key("default", "w")
KINDS = pytest.mark.parametrize("kind", [Widget, "example.com/v1 Widget"])


def set_replicas(obj: Any, replicas: int) -> None:
    if isinstance(obj, Object):
        obj.spec["replicas"] = replicas
    else:
        obj.spec.replicas = replicas


def once(action: Callable[[], Any]) -> Callable[[], None]:
    """A `meanwhile` that acts before the first write only."""
    actions = [action]

    def act() -> None:
        if actions:
            actions.pop()()

    return act


def edit(server: MemoryServer, **metadata: Any) -> None:
    """What another writer does to the metadata."""
    current = server.stored[KEY]
    server.put({**current, "metadata": {**current["metadata"], **metadata}})


@KINDS
def test_without_a_difference_nothing_is_sent_and_nothing_read(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1, "x": None}, status={"conditions": []}))
    obj = server.client.get(kind, KEY)
    server.reads.clear()
    _ = (obj.metadata.labels, obj.metadata.finalizers, obj.spec, obj.status)
    assert server.client.patch(obj) is obj
    assert server.client.status.patch(obj) is obj
    assert (server.writes, server.reads) == ([], [])


@KINDS
def test_a_changed_leaf_is_sent_alone_and_without_a_version(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1, "x": 1}))
    obj = server.client.get(kind, KEY)
    server.put(body(spec={"replicas": 1, "x": 2}))
    set_replicas(obj, 5)
    server.client.patch(obj)
    assert server.sent == [{"spec": {"replicas": 5}, "metadata": {"uid": "u-1"}}]
    assert server.stored[KEY]["spec"] == {"replicas": 5, "x": 2}
    assert obj.metadata.resource_version == str(server.version)


@KINDS
def test_what_was_sent_is_not_sent_again(kind: Any) -> None:
    server = MemoryServer(body(metadata=meta(finalizers=["a"])))
    obj = server.client.get(kind, KEY)
    set_replicas(obj, 5)
    finalizers.add(obj, "b")
    conditions.set(obj, "Ready", True, reason="Done")
    server.client.patch(obj)
    server.client.status.patch(obj)
    assert len(server.writes) == 2
    server.client.patch(obj)
    server.client.status.patch(obj)
    assert len(server.writes) == 2


@KINDS
def test_a_change_does_not_land_on_another_object_of_the_same_name(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1}))
    obj = server.client.get(kind, KEY)
    server.stored.clear()
    server.put({**body(spec={"replicas": 7}), "metadata": {**body()["metadata"], "uid": "another"}})
    set_replicas(obj, 5)
    with pytest.raises(NotFound, match="another object has its name now"):
        server.client.patch(obj)
    assert server.stored[KEY]["spec"] == {"replicas": 7}


@KINDS
@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (lambda obj: finalizers.add(obj, "b"), {"finalizers": ["a", "b"]}),
        (lambda obj: finalizers.remove(obj, "a"), {"finalizers": []}),
    ],
)
def test_a_changed_list_carries_the_version(kind: Any, change: Any, sent: dict[str, Any]) -> None:
    server = MemoryServer(body(metadata=meta(finalizers=["a"])))
    obj = server.client.get(kind, KEY)
    version = obj.metadata.resource_version
    change(obj)
    server.client.patch(obj)
    assert server.sent == [{"metadata": {**sent, "uid": "u-1", "resourceVersion": version}}]


def test_a_removed_map_with_a_list_inside_carries_the_version() -> None:
    server = MemoryServer(body(spec={"t": {"list": [1]}}))
    obj = server.client.get("example.com/v1 Widget", KEY)
    version = obj.metadata.resource_version
    del obj["spec"]["t"]
    server.client.patch(obj)
    assert server.sent == [{"spec": {"t": None}, "metadata": {"uid": "u-1", "resourceVersion": version}}]


@KINDS
def test_a_condition_carries_the_version_of_the_object(kind: Any) -> None:
    server = MemoryServer(body())
    obj = server.client.get(kind, KEY)
    version = obj.metadata.resource_version
    conditions.set(obj, "Ready", True, reason="Done")
    server.client.status.patch(obj)
    (sent,) = server.sent
    assert sent.keys() == {"status", "metadata"}
    assert sent["metadata"] == {"uid": "u-1", "resourceVersion": version}
    assert server.writes[0].subresource == "status"


@KINDS
def test_a_finalizer_that_someone_added_meanwhile_survives_the_removal_of_ours(kind: Any) -> None:
    server = MemoryServer(body(metadata=meta(finalizers=["ours"])))
    obj = server.client.get(kind, KEY)
    edit(server, finalizers=["ours", "theirs"])
    finalizers.remove(obj, "ours")
    server.client.patch(obj)
    assert server.stored[KEY]["metadata"]["finalizers"] == ["theirs"]
    assert len(server.writes) == 2


@KINDS
def test_a_finalizer_that_someone_removed_meanwhile_does_not_come_back(kind: Any) -> None:
    server = MemoryServer(body(metadata=meta(finalizers=["theirs"])))
    obj = server.client.get(kind, KEY)
    current = server.stored[KEY]
    server.put({**current, "metadata": {name: v for name, v in current["metadata"].items() if name != "finalizers"}})
    finalizers.add(obj, "ours")
    server.client.patch(obj)
    assert server.stored[KEY]["metadata"]["finalizers"] == ["ours"]


@KINDS
def test_a_label_that_someone_added_meanwhile_survives_the_removal_of_the_last_known_one(kind: Any) -> None:
    server = MemoryServer(body(metadata=meta(labels={"ours": "1"})))
    obj = server.client.get(kind, KEY)
    edit(server, labels={"ours": "1", "theirs": "2"})
    del obj.metadata.labels["ours"]
    server.client.patch(obj)
    assert server.stored[KEY]["metadata"]["labels"] == {"theirs": "2"}


@KINDS
def test_conditions_of_two_controllers_live_side_by_side(kind: Any) -> None:
    server = MemoryServer(body())
    mine, theirs = server.client.get(kind, KEY), server.client.get(kind, KEY)
    conditions.set(theirs, "Theirs", True, reason="Done")
    server.client.status.patch(theirs)
    conditions.set(mine, "Mine", False, reason="Busy")
    server.client.status.patch(mine)
    assert {each["type"]: each["status"] for each in server.stored[KEY]["status"]["conditions"]} == {
        "Theirs": "True",
        "Mine": "False",
    }
    assert conditions.is_true(mine, "Theirs")


@KINDS
def test_owners_of_two_controllers_live_side_by_side(kind: Any) -> None:
    server = MemoryServer(body())
    mine, theirs = server.client.get(kind, KEY), server.client.get(kind, KEY)
    for child, name in ((theirs, "a"), (mine, "b")):
        owner = Object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}})
        owners.add_owner(owner, child)
        server.client.patch(child)
    assert [each["name"] for each in server.stored[KEY]["metadata"]["ownerReferences"]] == ["a", "b"]


@KINDS
def test_a_conflict_is_settled_on_a_live_reading_and_keeps_both_changes(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1}))
    obj = server.client.get(kind, KEY)
    server.reads.clear()
    server.meanwhile = once(lambda: edit(server, finalizers=["theirs"], labels={"a": "b"}))
    finalizers.add(obj, "ours")
    set_replicas(obj, 3)
    server.client.patch(obj)
    stored = server.stored[KEY]
    assert stored["metadata"]["finalizers"] == ["theirs", "ours"]
    assert stored["metadata"]["labels"] == {"a": "b"}
    assert stored["spec"]["replicas"] == 3
    assert (len(server.writes), server.reads) == (2, [KEY])
    assert obj.metadata.finalizers == ["theirs", "ours"]


@KINDS
def test_after_five_tries_the_conflict_is_the_callers(kind: Any) -> None:
    server = MemoryServer(body())
    obj = server.client.get(kind, KEY)
    server.reads.clear()
    server.meanwhile = lambda: edit(server, labels={"n": str(server.version)})
    finalizers.add(obj, "ours")
    with pytest.raises(Conflict):
        server.client.patch(obj)
    assert (len(server.writes), len(server.reads)) == (5, 4)
    assert obj.metadata.finalizers == ["ours"]
    server.meanwhile = lambda: None
    server.client.patch(obj)
    assert server.stored[KEY]["metadata"]["finalizers"] == ["ours"]


@KINDS
def test_a_conflict_with_the_same_change_sends_nothing_more_and_takes_the_newer_reading(kind: Any) -> None:
    server = MemoryServer(body())
    obj = server.client.get(kind, KEY)
    server.meanwhile = once(lambda: edit(server, finalizers=["f"]))
    finalizers.add(obj, "f")
    server.client.patch(obj)
    assert len(server.writes) == 1
    assert obj.metadata.resource_version == str(server.version)


@KINDS
@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_namesake_is_not_patched_after_a_conflict(kind: Any, subresource: str) -> None:
    server = MemoryServer(body(metadata=meta(uid="old")))
    obj = server.client.get(kind, KEY)
    server.put(body(metadata=meta(uid="new")))
    finalizers.add(obj, "f")
    conditions.set(obj, "Ready", True, reason="Done")
    patch = server.client.status.patch if subresource else server.client.patch
    with pytest.raises(NotFound, match="default/w was deleted; another object has its name now"):
        patch(obj)
    assert len(server.writes) == 1
    assert "finalizers" not in server.stored[KEY]["metadata"]


@KINDS
def test_an_object_that_is_gone_after_a_conflict_is_not_found(kind: Any) -> None:
    server = MemoryServer(body())
    obj = server.client.get(kind, KEY)
    finalizers.add(obj, "f")

    def replace_then_delete() -> None:
        server.meanwhile = lambda: None
        edit(server)
        server.get = lambda *_: (_ for _ in ()).throw(NotFound("gone", status=404))  # type: ignore[method-assign]

    server.meanwhile = replace_then_delete
    with pytest.raises(NotFound):
        server.client.patch(obj)


@KINDS
def test_a_status_patch_keeps_the_unsent_changes_and_leaves_them_unsent(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1}))
    obj = server.client.get(kind, KEY)
    set_replicas(obj, 5)
    obj.metadata.labels["ours"] = "1"
    conditions.set(obj, "Ready", True, reason="Done")
    server.client.status.patch(obj)
    assert server.stored[KEY]["spec"] == {"replicas": 1}
    assert (obj.get("spec.replicas") if isinstance(obj, Object) else obj.spec.replicas) == 5
    server.client.patch(obj)
    assert server.sent[1] == {"spec": {"replicas": 5}, "metadata": {"labels": {"ours": "1"}, "uid": "u-1"}}


@KINDS
def test_a_patch_keeps_the_unsent_status(kind: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1}))
    obj = server.client.get(kind, KEY)
    set_replicas(obj, 5)
    conditions.set(obj, "Ready", True, reason="Done")
    server.client.patch(obj)
    assert conditions.is_true(obj, "Ready")
    server.client.status.patch(obj)
    assert server.stored[KEY]["status"]["conditions"][0]["type"] == "Ready"


@KINDS
def test_unsent_finalizers_do_not_undo_those_that_came_with_the_answer(kind: Any) -> None:
    server = MemoryServer(body(metadata=meta(finalizers=["a"]), status={"readyReplicas": 1}))
    obj = server.client.get(kind, KEY)
    finalizers.add(obj, "ours")
    if isinstance(obj, Object):
        obj.status["readyReplicas"] = 2
    else:
        obj.status.ready_replicas = 2
    edit(server, finalizers=["a", "theirs"])
    server.client.status.patch(obj)
    server.client.patch(obj)
    assert server.stored[KEY]["metadata"]["finalizers"] == ["a", "theirs", "ours"]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ar"), st.sampled_from("xyz")), max_size=12))
def test_p6_no_finalizer_is_lost_whoever_writes_in_between(steps: list[tuple[int, str, str]]) -> None:
    server = MemoryServer(body())
    kinds: list[Any] = [Widget, "example.com/v1 Widget", Widget]
    copies = [server.client.get(kind, KEY) for kind in kinds]
    expected: set[str] = set()
    for who, verb, name in steps:  # Each adds and removes only its own names, on a reading that may be old.
        own = f"{who}/{name}"
        if verb == "a" and finalizers.add(copies[who], own):
            expected.add(own)
        elif verb == "r" and finalizers.remove(copies[who], own):
            expected.discard(own)
        server.client.patch(copies[who])
    assert set(server.stored[KEY]["metadata"].get("finalizers") or ()) == expected

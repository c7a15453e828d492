from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.keys import Key
from kcontroller.embedded.store import ROOT, Store, Topic


def document(name: str, namespace: str = "default", **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
    }


def names(topic: Topic, version: int) -> list[str]:
    return [stored.key.name for _, stored in topic.in_order(topic.at(version))]


def test_versions_are_one_sequence_over_resources_and_control_planes() -> None:
    store = Store()

    first = store.put(ROOT, "configmaps", document("a"))
    second = store.put("project-1", "secrets", document("a"))

    assert second.version == first.version + 1
    assert first.document()["metadata"]["resourceVersion"] == str(first.version)
    assert store.planes() == [ROOT, "project-1"]


def test_control_planes_do_not_see_each_other() -> None:
    store = Store()
    store.put("one", "configmaps", document("a"))

    assert store.get("two", "configmaps", Key("default", "a")) is None


def test_a_reader_cannot_change_what_is_stored() -> None:
    store = Store()
    stored = store.put(ROOT, "configmaps", document("a"))

    stored.document()["metadata"]["name"] = "changed"

    assert stored.document()["metadata"]["name"] == "a"


def test_the_order_is_that_of_the_path() -> None:
    store = Store()
    # Sorted as pairs, "a" comes before "a-b"; in a path "-" comes before "/".
    for namespace, name in (("a", "z"), ("a-b", "a"), ("a", "b")):
        store.put(ROOT, "configmaps", document(name, namespace))
    topic = store.topic(ROOT, "configmaps")

    assert [path for path, _ in topic.in_order(topic.objects)] == ["a-b/a", "a/b", "a/z"]
    assert [path for path, _ in topic.in_order(topic.objects, namespace="a")] == ["a/b", "a/z"]
    assert [path for path, _ in topic.in_order(topic.objects, namespace="a", after="a/b")] == ["a/z"]


def test_the_past_is_kept_inside_the_window_and_not_beyond() -> None:
    store = Store(window=2)
    versions = [store.put(ROOT, "configmaps", document(name)).version for name in "abc"]
    topic = store.topic(ROOT, "configmaps")

    assert topic.oldest == versions[0]
    assert names(topic, versions[1]) == ["a", "b"]
    assert [change.version for change in topic.changes_after(versions[0])] == versions[1:]


def test_a_deletion_tells_the_last_state_under_a_new_version() -> None:
    store = Store()
    stored = store.put(ROOT, "configmaps", document("a"))
    gone = store.remove(ROOT, "configmaps", stored.document())
    topic = store.topic(ROOT, "configmaps")

    assert gone.version == stored.version + 1
    assert [(change.type, change.after) for change in topic.changes_after(stored.version)] == [("DELETED", gone)]
    assert not topic.objects


def test_compaction_forgets_every_change_and_keeps_every_object() -> None:
    store = Store()
    version = store.put(ROOT, "configmaps", document("a")).version
    store.compact()
    topic = store.topic(ROOT, "configmaps")

    assert topic.oldest == version
    assert names(topic, version) == ["a"]


def test_each_change_sets_the_event_of_a_watch_until_it_is_detached() -> None:
    store = Store()
    topic = store.topic(ROOT, "configmaps")
    event = asyncio.Event()
    topic.attach(event)
    store.put(ROOT, "configmaps", document("a"))
    assert event.is_set()

    event.clear()
    topic.detach(event)
    store.put(ROOT, "configmaps", document("b"))
    assert not event.is_set()


def test_another_version_of_the_kind_differs_in_its_api_version_alone() -> None:
    stored = Store().put(ROOT, "configmaps", document("a"))

    assert stored.encoded("v1") is stored.raw
    assert b'"apiVersion":"v2"' in stored.encoded("v2")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40))
def test_every_state_of_the_past_is_the_one_that_was(steps: list[tuple[str, bool]]) -> None:
    store = Store()
    topic = store.topic(ROOT, "configmaps")
    states = {store.version: set()}
    for name, present in steps:
        stored = store.get(ROOT, "configmaps", Key("default", name))
        if present:
            store.put(ROOT, "configmaps", document(name))
        elif stored is not None:
            store.remove(ROOT, "configmaps", stored.document())
        states[store.version] = {key.name for key in topic.objects}

    for version, expected in states.items():
        assert set(names(topic, version)) == expected
        told = set(expected)
        for change in topic.changes_after(version):
            (told.discard if change.type == "DELETED" else told.add)(change.after.key.name)
        assert told == {key.name for key in topic.objects}


@pytest.mark.parametrize("limit", [1, 3])
def test_changes_come_in_portions(limit: int) -> None:
    store = Store()
    for name in "abcde":
        store.put(ROOT, "configmaps", document(name))

    changes = store.topic(ROOT, "configmaps").changes_after(0, limit=limit)

    assert [change.after.key.name for change in changes] == list("abcde"[:limit])

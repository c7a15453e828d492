from __future__ import annotations

import copy
from typing import Any

import pytest

from kcontroller.api import codec
from kcontroller.api.keys import GVK, Key
from kcontroller.api.objects import Object, OwnerReference, is_deleting, key_of, without_content
from kcontroller.errors import ModelMismatch
from tests.unit.api.kinds import body, unstructured


def test_metadata_is_read_and_written_through_the_view() -> None:
    obj = Object({"apiVersion": "v1", "kind": "Pod"})
    for name in ("name", "namespace", "generate_name", "resource_version", "uid", "creation_timestamp"):
        assert getattr(obj.metadata, name) == ""
        setattr(obj.metadata, name, "x")
        assert getattr(obj.metadata, name) == "x"
    obj.metadata.generation = 3
    obj.metadata.labels["a"] = "b"
    obj.metadata.annotations["c"] = "d"
    obj.metadata.finalizers.append("f")
    obj.metadata.deletion_timestamp = "now"
    assert obj.data["metadata"] == {
        "name": "x",
        "namespace": "x",
        "generateName": "x",
        "resourceVersion": "x",
        "uid": "x",
        "creationTimestamp": "x",
        "generation": 3,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "finalizers": ["f"],
        "deletionTimestamp": "now",
    }
    assert is_deleting(obj)
    assert key_of(obj) == Key("x", "x")


def test_containers_can_be_assigned() -> None:
    obj = unstructured()
    obj.metadata.labels = {"a": "b"}
    obj.metadata.annotations = {"c": "d"}
    obj.metadata.finalizers = ["f"]
    assert (obj.metadata.labels, obj.metadata.annotations, obj.metadata.finalizers) == ({"a": "b"}, {"c": "d"}, ["f"])


@pytest.mark.parametrize("metadata", [None, {}, {"labels": None, "finalizers": None, "ownerReferences": None}])
def test_null_means_empty(metadata: Any) -> None:
    meta = Object({"metadata": metadata, "spec": None}).metadata
    assert (meta.labels, meta.annotations, meta.finalizers, meta.owner_references) == ({}, {}, [], [])
    assert (meta.name, meta.generation, meta.deletion_timestamp) == ("", 0, "")


@pytest.mark.parametrize("name", ["labels", "annotations", "finalizers", "owner_references", "generation"])
def test_metadata_of_the_wrong_type_is_told_by_its_path_and_not_its_content(name: str) -> None:
    camel = "ownerReferences" if name == "owner_references" else name
    obj = Object({"metadata": {camel: "hunter2"}})
    with pytest.raises(ModelMismatch, match=f"metadata.{camel}") as caught:
        getattr(obj.metadata, name)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("part", ["metadata", "spec", "status"])
def test_a_part_that_is_no_map_is_told(part: str) -> None:
    with pytest.raises(ModelMismatch, match=f"^{part} is a str, not a dict$"):
        getattr(Object({part: "Failure"}), part)


def test_owner_references_are_a_copy() -> None:
    obj = unstructured()
    reference = OwnerReference(api_version="v1", kind="Pod", name="p", uid="1", controller=True)
    obj.metadata.owner_references = [reference]
    obj.metadata.owner_references.clear()
    assert obj.metadata.owner_references == [reference]
    assert obj.data["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": True}
    ]


def test_a_path_is_walked_without_failing_on_a_gap() -> None:
    obj = unstructured(spec={"a": {"b": 0, "n": None}, "list": [1]})
    assert obj.get("spec.a.b", 5) == 0
    assert obj.get("spec.a.n", 5) == 5
    assert obj.get("spec.list.0", 5) == 5
    assert obj.get("x.y") is None


def test_an_object_is_read_and_written_like_a_dictionary() -> None:
    obj = unstructured(spec={"a": 1})
    obj["data"] = {"k": "v"}
    assert obj["data"] == {"k": "v"}
    assert "data" in obj
    assert "status" not in obj
    with pytest.raises(KeyError):
        obj["status"]


def test_its_kind_is_parsed_or_refused() -> None:
    assert unstructured().gvk == GVK("example.com", "v1", "Widget")
    for data in ({}, {"apiVersion": "v1"}, {"apiVersion": 1, "kind": None}):
        with pytest.raises(ValueError, match="is not a kind"):
            _ = Object(data).gvk


@pytest.mark.parametrize(
    "data", [{}, {"metadata": "x"}, {"metadata": None}, {"metadata": {"name": ["x"]}}, body(x="hunter2")]
)
def test_its_repr_never_fails_changes_nothing_and_names_no_content(data: dict[str, Any]) -> None:
    obj = Object(copy.deepcopy(data))
    assert "hunter2" not in repr(obj)
    assert obj.data == data


def test_its_repr_names_it() -> None:
    assert repr(unstructured()) == "<example.com/v1 Widget default/w>"
    assert repr(Object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})) == "<v1 Node n>"


def test_a_look_does_not_make_two_objects_differ() -> None:
    looked, other = unstructured(), unstructured()
    assert (looked.metadata.labels, looked.metadata.finalizers, looked.spec, looked.status) == ({}, [], {}, {})
    assert looked == other
    looked.spec["a"] = 1
    assert looked != other
    assert looked != "x"


def test_an_object_is_mutable_and_so_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(unstructured())


def test_a_deep_copy_is_independent_and_remembers_what_was_read() -> None:
    obj = unstructured(spec={"a": 1})
    twin = copy.deepcopy(obj)
    twin.spec["a"] = 2
    assert obj.spec == {"a": 1}
    before, after = codec.changed(twin)
    assert (before["spec"], after["spec"]) == ({"a": 1}, {"a": 2})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid enum value 'hunter2' - at `$.a`", "Invalid enum value - at `$.a`"),
        ("Invalid enum value 'x - at `$.b`' - at `$.a`", "Invalid enum value - at `$.a`"),
        ("Invalid value 'hunter2' - at `$.type`", "Invalid value - at `$.type`"),
        ("Invalid enum value 'hunter2'", "Invalid enum value"),
        ("Expected `int`, got `str` - at `$.a`", "Expected `int`, got `str` - at `$.a`"),
    ],
)
def test_the_text_of_a_mismatch_loses_the_value_it_quotes(text: str, shown: str) -> None:
    assert without_content(ValueError(text)) == shown

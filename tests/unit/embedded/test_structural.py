"""Pruning and defaulting by a schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kcontroller.embedded import recorded
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.validation import structural
from tests.unit.embedded.real_refusals import REAL, WIDGET, builtin, widget

ACCEPTED = [case for case in REAL["custom"] if case["code"] == 201]
TEXT = {"type": "string"}


def _schema(**properties: Any) -> Schema:
    return Schema({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: str(case["spec"])[:60])
def test_what_is_stored_is_what_a_real_server_stored(case: dict[str, Any]) -> None:
    document = widget(spec=copy.deepcopy(case["spec"]))
    structural.prune(WIDGET.schema, document)
    structural.default(WIDGET.schema, document)
    assert document["spec"] == case["stored"]


def test_undeclared_fields_go_and_are_named_sorted_with_those_of_metadata_first() -> None:
    document = widget(spec={"z": 1, "str": "kept", "a": {"b": 1}}, top=1)
    document["metadata"] |= {"wrong": 1, "ownerReferences": [{"uid": "u", "no": 1}]}
    found = structural.prune(WIDGET.schema, document)
    assert found == ["metadata.wrong", "metadata.ownerReferences[0].no", "spec.a", "spec.z", "top"]
    assert document["spec"] == {"str": "kept"}
    assert document["metadata"]["ownerReferences"] == [{"uid": "u"}]
    assert "top" not in document


def test_those_of_a_built_in_kind_come_in_the_order_of_the_document() -> None:
    kind = builtin("apps/v1", "Deployment")
    container = {"name": "c", "foo": 1, "resources": {"x": 1}}
    document = {
        "metadata": {"name": "q", "zz": 1},
        "spec": {"template": {"spec": {"containers": [container], "x": {"y": 1}}}, "foo": 1},
        "bar": [{"a": 1}],
    }
    assert structural.prune(kind.schema, document) == [
        "metadata.zz",
        "spec.template.spec.containers[0].foo",
        "spec.template.spec.containers[0].resources.x",
        "spec.template.spec.x",
        "spec.foo",
        "bar",
    ]
    assert container == {"name": "c", "resources": {}}


def test_the_root_keeps_type_and_metadata_that_no_schema_declares() -> None:
    document = widget()
    assert structural.prune(Schema({"type": "object"}), document) == []
    assert document == widget()


def test_an_open_node_keeps_everything_but_prunes_below_what_it_declares() -> None:
    document = widget(spec={"open": {"x": {"y": 1}, "k": {"a": "b", "c": 1}, "list": [{"z": 1}]}})
    assert structural.prune(WIDGET.schema, document) == ["spec.open.k.c"]
    assert document["spec"]["open"] == {"x": {"y": 1}, "k": {"a": "b"}, "list": [{"z": 1}]}


def test_an_embedded_object_keeps_its_type_and_known_metadata() -> None:
    inner = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "x", "nope": 1}, "spec": {}, "foo": 1}
    document = widget(spec={"embp": inner, "also": 1})
    found = structural.prune(WIDGET.schema, document)
    assert found == ["spec.also", "spec.embp.foo", "spec.embp.metadata.nope"]
    assert inner == {"apiVersion": "v1", "kind": "A", "metadata": {"name": "x"}, "spec": {}}


def test_an_object_where_a_text_belongs_loses_all_its_fields() -> None:
    document = widget(spec={"str": {"a": 1}, "arr": [{"b": 1}], "int": [{"c": 1}]})
    assert structural.prune(WIDGET.schema, document) == ["spec.arr[0].b", "spec.int[0].c", "spec.str.a"]


def test_keys_of_a_map_are_no_fields() -> None:
    document = widget(spec={"props": {"any.thing/goes": 1}})
    assert structural.prune(WIDGET.schema, document) == []
    assert document["spec"]["props"] == {"any.thing/goes": 1}


def test_a_raw_extension_of_a_built_in_kind_keeps_everything() -> None:
    kind = builtin("apps/v1", "ControllerRevision")
    document = {"metadata": {"name": "r"}, "data": {"any": {"thing": None}}, "revision": 1}
    assert structural.prune(kind.schema, document) == []
    structural.default(kind.schema, document)
    assert document["data"] == {"any": {"thing": None}}


def test_a_default_is_a_copy_each_time() -> None:
    schema = _schema(box={"type": "object", "default": {"list": [1]}, "x-kubernetes-preserve-unknown-fields": True})
    first: dict[str, Any] = {"spec": {}}
    second: dict[str, Any] = {"spec": {}}
    structural.default(schema, first)
    first["spec"]["box"]["list"].append(2)
    structural.default(schema, second)
    assert second == {"spec": {"box": {"list": [1]}}}


def test_the_fields_of_a_default_are_defaulted_in_turn() -> None:
    inner = {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 0}}}
    document: dict[str, Any] = {"spec": {}}
    structural.default(_schema(a=inner), document)
    assert document == {"spec": {"a": {"b": 0}}}


def test_a_missing_object_without_a_default_is_not_made_up() -> None:
    document: dict[str, Any] = {"spec": {}}
    structural.default(_schema(a={"type": "object", "properties": {"b": {"default": 1}}}), document)
    assert document == {"spec": {}}


def test_null_gives_way_to_a_default_unless_it_may_stand() -> None:
    defaulted = {**TEXT, "default": "x"}
    schema = _schema(
        plain=TEXT, default=defaulted, null={**defaulted, "nullable": True}, may={**TEXT, "nullable": True}
    )
    document = {"spec": dict.fromkeys(("plain", "default", "null", "may"))}
    structural.default(schema, document)
    assert document == {"spec": {"default": "x", "null": None, "may": None}}


def test_null_stays_in_a_list() -> None:
    document = {"spec": {"list": [None, {"p": None}]}}
    item = {"type": "object", "properties": {"p": {**TEXT, "default": "TCP"}}}
    structural.default(_schema(list={"type": "array", "items": item}), document)
    assert document == {"spec": {"list": [None, {"p": "TCP"}]}}


def test_null_in_a_map_of_texts_is_the_empty_text_to_go() -> None:
    document = {"metadata": {"name": "c", "labels": {"l": None}, "namespace": None}, "data": {"a": None}}
    structural.default(builtin("v1", "ConfigMap").schema, document)
    assert document == {"metadata": {"name": "c", "labels": {"l": ""}}, "data": {"a": ""}}


def test_a_whole_number_written_with_a_point_comes_back_without() -> None:
    document = {"spec": {"n": 1.0, "f": 1.5, "list": "x"}}
    structural.default(_schema(n={"type": "number"}, f={"type": "number"}), document)
    assert isinstance(document["spec"]["n"], int)
    assert document["spec"]["f"] == 1.5


def test_built_in_kinds_have_the_defaults_of_the_recorded_server() -> None:
    document = {"metadata": {"name": "d"}, "spec": {"strategy": {"type": "Recreate"}, "template": {"spec": {}}}}
    structural.default(builtin("apps/v1", "Deployment").schema, document)
    assert document["spec"]["replicas"] == 1
    assert document["spec"]["strategy"] == {"type": "Recreate"}
    assert document["spec"]["template"]["spec"]["restartPolicy"] == "Always"


def test_defaulting_and_pruning_twice_changes_nothing_more() -> None:
    for kind in recorded.load().kinds:
        document: dict[str, Any] = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}}
        structural.default(kind.schema, document)
        once = copy.deepcopy(document)
        assert structural.prune(kind.schema, document) == []
        structural.default(kind.schema, document)
        assert document == once


def test_the_cyclic_schema_of_a_definition_is_walked_as_deep_as_the_document() -> None:
    kind = builtin("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    node: dict[str, Any] = {"type": "object", "wrong": 1}
    for _ in range(20):
        node = {"type": "object", "properties": {"a": node}}
    document = {"metadata": {"name": "d"}, "spec": {"versions": [{"schema": {"openAPIV3Schema": node}}]}}
    (path,) = structural.prune(kind.schema, document)
    assert path == "spec.versions[0].schema.openAPIV3Schema" + ".properties.a" * 20 + ".wrong"

"""Strategic merge: lists, directives and orders; test_patching holds it against a real server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded.patches import strategic, strategic_types
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal

TEXT = {"type": "string"}
ITEM = {"type": "object", "properties": {"name": TEXT, "value": TEXT, "inner": {"type": "object"}}}
DEFINITIONS = {"io.example.Item": ITEM}
SCHEMA = Schema(
    {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {"$ref": "io.example.Item"},
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
            },
            "nameless": {"type": "array", "items": ITEM, "x-kubernetes-patch-strategy": "merge"},
            "words": {"type": "array", "items": TEXT, "x-kubernetes-patch-strategy": "merge"},
            "plain": {"type": "array", "items": TEXT},
            "union": {
                "type": "object",
                "properties": {"a": TEXT, "b": TEXT},
                "x-kubernetes-patch-strategy": "retainKeys",
            },
            "whole": {"type": "object", "properties": {"a": TEXT}, "x-kubernetes-patch-strategy": "replace"},
            "labels": {"type": "object", "additionalProperties": TEXT},
            "maps": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": TEXT}},
        },
    },
    DEFINITIONS,
    builtin=True,
)


def patched(live: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return strategic.patched(SCHEMA, copy.deepcopy(live), copy.deepcopy(patch))


def named(*names: str, **more: str) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


@pytest.mark.parametrize(
    ("live", "patch", "result"),
    [
        ({}, {"labels": {"a": None, "b": "1"}}, {"labels": {"b": "1"}}),
        ({"labels": {"a": "1"}}, {"labels": {"a": None, "none": None}}, {"labels": {}}),
        ({"labels": {"a": "1"}}, {"labels": None}, {}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "delete"}}, {"labels": {}}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "replace", "b": "1"}}, {"labels": {"b": "1"}}),
        ({}, {"labels": {"$patch": "delete"}}, {}),
        ({"whole": {"a": "1"}}, {"whole": {}}, {"whole": {}}),
        ({"union": {"a": "1"}}, {"union": {"$retainKeys": ["b"], "b": "2", "a": None}}, {"union": {"b": "2"}}),
        ({"plain": ["a", "b"]}, {"plain": ["c"]}, {"plain": ["c"]}),
        ({"plain": ["a"]}, {"plain": []}, {"plain": []}),
        ({"words": ["a", "b"]}, {"words": ["c", "a"]}, {"words": ["c", "a", "b"]}),
        ({"words": ["a", "b"]}, {"$deleteFromPrimitiveList/words": ["a", "z"]}, {"words": ["b"]}),
        ({}, {"$deleteFromPrimitiveList/words": ["a"]}, {}),
        ({"words": ["a"]}, {"$deleteFromPrimitiveList/words": None}, {}),
        ({"words": []}, {"words": []}, {"words": []}),
        ({"items": named("a")}, {"items": "text"}, {"items": "text"}),
        ({"labels": "text"}, {"labels": {"a": "1"}}, {"labels": {"a": "1"}}),
        ({"items": named("a", value="1")}, {"items": named("a", value="2")}, {"items": named("a", value="2")}),
        ({"items": named("a", "b")}, {"items": [{"name": "a", "$patch": "delete"}]}, {"items": named("b")}),
        ({"items": named("a")}, {"items": [{"$patch": "replace"}, *named("z")]}, {"items": named("z")}),
        ({"items": named("a", "b", "c")}, {"items": named("c", "n")}, {"items": named("a", "b", "c", "n")}),
        (
            {"items": named("a", "b", "c")},
            {"$setElementOrder/items": named("c", "a")},
            {"items": named("b", "c", "a")},
        ),
        ({}, {"$setElementOrder/items": named("c", "a")}, {}),
        (
            {},
            {
                "$setElementOrder/items": named("b", "a"),
                "items": [*named("b", "a"), {"name": "c", "$patch": "delete"}],
            },
            {"items": named("b", "a")},
        ),
        (
            {"items": named("a", "b", "c", "d")},
            {"$setElementOrder/items": named("n", "d"), "items": [*named("n"), {"name": "a", "$patch": "delete"}]},
            {"items": named("b", "c", "n", "d")},
        ),
        (
            {"words": ["a", "b", "c"]},
            {"$setElementOrder/words": ["c", "n"], "words": ["n"]},
            {"words": ["a", "b", "c", "n"]},
        ),
    ],
)
def test_a_patch_is_merged(live: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert patched(live, patch) == result


@pytest.mark.parametrize(
    ("live", "patch", "code", "said"),
    [
        ({"items": named("a")}, {"items": [{"value": "1"}]}, 500, "map: map[value:1] does not contain declared merge"),
        ({"items": [{"value": "1"}]}, {"items": named("a")}, 500, "map: map[value:1] does not contain declared merge"),
        ({"items": named("a")}, {"items": [{"$patch": "delete"}]}, 500, "map: map[$patch:delete] does not contain"),
        ({"items": named("a")}, {"items": ["a"]}, 500, "list element types are not identical: [[map[name:a]] [a]]"),
        ({"nameless": named("a")}, {"nameless": named("b")}, 500, "cannot merge lists without merge key for struct"),
        ({"words": []}, {"words": [["a"]]}, 422, "lists of lists are not supported"),
        ({"words": []}, {"$setElementOrder/words": []}, 500, "no elements in any of the given slices"),
        ({"words": "a"}, {"$setElementOrder/words": []}, 500, r"expected a \[\]interface {}, but received a string"),
        ({"maps": {"a": {"b": "1"}}}, {"maps": {"a": {"b": "2"}}}, 500, "merging an object in json but data type is"),
        ({"zork": {}}, {"zork": {}}, 500, 'unable to find api field in struct  for the json field "zork"'),
        (
            {"items": [{"name": "a", "zork": {}}]},
            {"items": [{"name": "a", "zork": {}}]},
            500,
            'unable to find api field in struct Item for the json field "zork"',
        ),
        (
            {"items": named("a")},
            {"$setElementOrder/items": [{"n": "a"}], "items": named("a")},
            500,
            r"map: map\[n:a\] does not contain declared merge key: name",
        ),
        (
            {"items": ["text"]},
            {"$setElementOrder/items": named("a")},
            500,
            r"expected a map\[string\]interface {}, but received a string",
        ),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(live: Any, patch: Any, code: int, said: str) -> None:
    with pytest.raises(
        Refusal, match=said if "\\" in said else said.replace("[", r"\[").replace("$", r"\$")
    ) as refused:
        patched(live, patch)
    assert refused.value.code == code


def test_one_is_not_true() -> None:
    words = Schema({"type": "object", "properties": {"words": {**SCHEMA.node["properties"]["words"]}}}, builtin=True)

    assert strategic.patched(words, {"words": [1, 2]}, {"$deleteFromPrimitiveList/words": [1]}) == {"words": [2]}


NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(NAMES, NAMES, st.randoms(use_true_random=False))
def test_a_stated_order_is_kept_and_nothing_is_lost(ours: list[str], theirs: list[str], rng: Any) -> None:
    order = list(theirs) + [name for name in ours if name not in theirs and rng.random() < 0.5]
    rng.shuffle(order)
    items = sorted(theirs, key=order.index)
    patch = {"$setElementOrder/items": named(*order), "items": named(*items)}
    if not ours and not theirs:
        return

    result = [item["name"] for item in patched({"items": named(*ours)}, patch)["items"]]

    assert sorted(result) == sorted({*ours, *theirs})
    assert [name for name in result if name in order] == [name for name in order if name in result]
    others = [name for name in ours if name not in order]
    assert [name for name in result if name in others] == others


@pytest.mark.parametrize(
    ("node", "value", "said"),
    [
        ({"type": "string"}, 1, "cannot convert int64 to string"),
        ({"type": "string"}, True, "unrecognized type: string"),
        ({"type": "string", "format": "byte"}, 1, "cannot restore slice from int64"),
        ({"type": "string", "format": "date-time"}, 1, ""),
        ({"type": "integer", "format": "int32"}, 1.5, "cannot convert float64 to int32"),
        ({"type": "integer", "format": "int32"}, 2.0, ""),
        ({"type": "integer", "format": "int64"}, "x", "unrecognized type: int64"),
        ({"type": "number"}, 1, ""),
        ({"type": "number"}, "x", "unrecognized type: float64"),
        ({"type": "boolean"}, "x", "unrecognized type: bool"),
        ({"type": "array", "items": TEXT}, {}, "cannot restore slice from map"),
        ({"type": "array", "items": TEXT}, ["a", 1], "cannot convert int64 to string"),
        ({"type": "object", "additionalProperties": TEXT}, [], "cannot restore map from slice"),
        ({"type": "object", "additionalProperties": TEXT}, {"a": 1}, "cannot convert int64 to string"),
        (ITEM, "x", "cannot restore struct from: string"),
        (ITEM, {"value": 1, "zork": 1}, "cannot convert int64 to string"),
        ({"type": "object"}, 1, ""),
        ({"oneOf": [TEXT, {"type": "number"}]}, [], ""),
        (TEXT, None, ""),
    ],
)
def test_wrong_types_are_told_as_go_tells_them(node: dict[str, Any], value: Any, said: str) -> None:
    assert strategic_types.fault_of(Schema(node, builtin=True), value) == said

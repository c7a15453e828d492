"""The typed merge, by the laws of server-side apply on arbitrary objects of a small kind."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded.ownership import fields as sets
from kcontroller.embedded.ownership import managed
from kcontroller.embedded.ownership.comparing import compare
from kcontroller.embedded.ownership.merging import check, merge, take_out
from kcontroller.embedded.ownership.names import name_of
from kcontroller.embedded.ownership.shapes import FREE, OPAQUE, Shape, shape_of
from kcontroller.embedded.statuses import Refusal
from tests.unit.embedded.golden_writes import DEPLOYMENTS, THING, kind_at

ROOT = shape_of(THING)
SPEC = ROOT.below("spec")
LAWS = settings(max_examples=25, deadline=None, database=None, derandomize=True)

WORDS = st.sampled_from(["x", "y", "z"])
TEXTS = st.dictionaries(WORDS, WORDS, max_size=2)
PORTS = st.lists(
    st.fixed_dictionaries(
        {"port": st.integers(1, 3)},
        optional={"protocol": st.sampled_from(["TCP", "UDP"]), "note": WORDS, "options": TEXTS},
    ),
    max_size=3,
    unique_by=lambda item: (item["port"], item.get("protocol", "TCP")),
)
FREELY = st.recursive(
    WORDS | st.integers(0, 2), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner)
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2),
        "atomic": st.lists(WORDS, max_size=2),
        "tags": st.lists(WORDS, unique=True),
        "ports": PORTS,
        "labels": TEXTS,
        "selector": TEXTS,
        "objects": st.dictionaries(
            WORDS, TEXTS.map(lambda texts: {k: v for k, v in texts.items() if k != "z"}), max_size=2
        ),
        "free": st.dictionaries(WORDS, FREELY, max_size=2),
        "any": FREELY,
        "nested": st.fixed_dictionaries({}, optional={"a": st.fixed_dictionaries({}, optional={"b": WORDS})}),
    },
)


def made(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def applied(live: Any, spec: Any, manager: str, *, now: str = "2026-01-01T00:00:00Z", force: bool = True) -> Any:
    return managed.apply(THING, live, made(spec), manager=manager, force=force, subresource="", now=now)


def holds(shape: Shape, whole: Any, part: Any) -> bool:
    """Whether everything that a configuration states stands in an object."""
    if isinstance(part, dict) and not shape.atomic_map and isinstance(whole, dict):
        return all(key in whole and holds(shape.below(key), whole[key], inner) for key, inner in part.items())
    if isinstance(part, list) and shape.granular_list and isinstance(whole, list):
        items = {name_of(shape, item): item for item in whole}
        return all(
            name_of(shape, item) in items and holds(shape.items, items[name_of(shape, item)], item) for item in part
        )
    return bool(whole == part)


def owned(document: dict[str, Any], *managers: str) -> sets.Fields:
    found: sets.Fields = {}
    for entry in document["metadata"].get("managedFields", []):
        if not managers or entry["manager"] in managers:
            found = sets.union(found, entry["fieldsV1"])
    return found


@LAWS
@given(SPECS, SPECS)
def test_a_forced_apply_makes_true_what_it_states_and_owns_it(first: Any, second: Any) -> None:
    live = applied(None, first, "one")

    result = applied(live, second, "two")

    assert holds(SPEC, result["spec"], second)
    stated = sets.of(ROOT, {"spec": second})
    assert sets.difference(stated, owned(result, "two")) == {}
    # Nobody else owns what this apply changed.
    changed = compare(ROOT, live, result, ignored=frozenset({"metadata"})).changed
    assert sets.intersection(owned(result, "one"), changed) == {}


@LAWS
@given(SPECS, SPECS)
def test_applying_twice_is_applying_once(first: Any, second: Any) -> None:
    live = applied(None, first, "one")
    once = applied(live, second, "two")

    assert applied(once, second, "two", now="2030-01-01T00:00:00Z", force=False) == once


@LAWS
@given(SPECS, SPECS)
def test_what_a_manager_leaves_out_goes_and_what_others_state_stays(first: Any, second: Any) -> None:
    live = applied(applied(None, first, "one"), second, "two")

    result = applied(live, {}, "two")

    assert owned(result, "two").keys() <= {"f:spec"}
    left = sets.intersection(owned(live, "one"), sets.of(ROOT, live))
    assert sets.difference(left, sets.of(ROOT, result)) == {}


@LAWS
@given(SPECS, SPECS)
def test_an_apply_without_force_takes_no_value_from_others(first: Any, second: Any) -> None:
    live = applied(None, first, "one")
    forced = applied(live, second, "two")
    taken = set(sets.paths(owned(live, "one"))) - set(sets.paths(owned(forced, "one")))
    # What has unknown fields loses what was below when its type changes; that is no conflict to the real one either.
    taken = {path for path in taken if not path.startswith((".spec.any", ".spec.free"))}

    if {path for path in taken if path_value(live, path)}:
        with pytest.raises(Refusal) as refused:
            applied(live, second, "two", force=False)
        assert {cause["field"] for cause in (refused.value.details or {})["causes"]} >= taken


def path_value(document: Any, path: str) -> Any:
    for step in path.strip(".").split("."):
        document = document.get(step) if isinstance(document, dict) else None
    return document


@LAWS
@given(SPECS, SPECS)
def test_owners_of_writes_cover_the_object_and_nothing_else(first: Any, second: Any) -> None:
    before, after = made(first), made(second)
    managed.track(THING, None, before, manager="one", subresource="", now="2026-01-01T00:00:00Z")
    after["metadata"]["managedFields"] = copy.deepcopy(before["metadata"]["managedFields"])

    managed.track(THING, before, after, manager="two", subresource="", now="2026-01-02T00:00:00Z")

    assert sets.difference(sets.of(ROOT, {"spec": second}), owned(after)) == {}
    lost = compare(ROOT, before, after, ignored=frozenset({"metadata"})).removed
    assert sets.intersection(owned(after), lost) == {}


@LAWS
@given(SPECS, SPECS)
def test_merging_keeps_what_the_configuration_does_not_name(live: Any, config: Any) -> None:
    given_both = copy.deepcopy((live, config))

    merged = merge(SPEC, live, config)

    assert holds(SPEC, merged, config)
    assert merge(SPEC, merged, config) == merged
    assert (live, config) == given_both


@LAWS
@given(SPECS)
def test_what_is_taken_out_is_gone(value: Any) -> None:
    fields = sets.of(SPEC, value)
    leaves = sets.difference(fields, {})

    assert take_out(SPEC, value, sets.with_named(leaves, SPEC)) in (
        None,
        {name: [] for name in ("tags", "ports") if value.get(name) == []},
    )


@LAWS
@given(SPECS)
def test_an_object_differs_from_itself_in_nothing(value: Any) -> None:
    assert compare(SPEC, value, copy.deepcopy(value)) == ({}, {})


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        (["a", "b", "c"], ["c", "a"], ["b", "c", "a"]),
        (["a", "b", "c"], ["n", "b"], ["a", "n", "b", "c"]),
        (["a", "b"], ["b", "n"], ["a", "b", "n"]),
        (["a", "a", "b"], ["b", "a"], ["b", "a"]),
        ([], ["a"], ["a"]),
        (["a"], [], ["a"]),
        (["a"], None, ["a"]),
        (None, ["a"], ["a"]),
        ([], None, None),
    ],
)
def test_members_come_in_the_order_of_the_configuration(live: Any, config: Any, merged: Any) -> None:
    assert merge(SPEC.below("tags"), live, config) == merged


@pytest.mark.parametrize(
    ("shape", "live", "config", "merged"),
    [
        (FREE, {"a": 1}, {"b": {"c": None}}, {"a": 1, "b": {"c": None}}),
        (FREE, {"a": 1}, [1], [1]),
        (FREE, [1, 2], [3], [3]),
        (FREE, "x", {"a": 1}, {"a": 1}),
        (OPAQUE, {"a": 1}, {"b": 1}, {"b": 1}),
        (SPEC, {"labels": {"a": "b"}}, {"labels": None}, {"labels": {"a": "b"}}),
        (SPEC, {"labels": {}}, {"labels": None}, {"labels": None}),
        (SPEC, {"size": 1}, {"size": None}, {"size": None}),
        (SPEC, {"selector": {"a": "b"}}, {"selector": None}, {"selector": None}),
    ],
)
def test_values_are_merged_by_what_they_are(shape: Shape, live: Any, config: Any, merged: Any) -> None:
    assert merge(shape, live, config) == merged


def test_null_in_a_built_in_kind_is_no_field() -> None:
    shape = shape_of(kind_at(DEPLOYMENTS))

    assert merge(shape, {"spec": {"replicas": 1, "paused": True}}, {"spec": {"replicas": None}}) == {
        "spec": {"paused": True}
    }


@pytest.mark.parametrize(
    ("left", "right", "changed", "removed"),
    [
        ({}, {"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {}),
        ({"a": {}}, {"a": {"b": 1}}, {"f:a": {"f:b": {}}}, {}),
        ({"a": {"b": 1}}, {"a": {}}, {}, {"f:a": {"f:b": {}}}),
        ({"a": {"b": 1}}, {"a": 1}, {"f:a": {}}, {"f:a": {"f:b": {}}}),
        ({"a": 1}, {"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {}),
        ({"a": None}, {"a": {}}, {"f:a": {}}, {}),
        ({"a": [1]}, {"a": [2]}, {"f:a": {}}, {}),
        ({"a": [1]}, {}, {}, {"f:a": {}}),
    ],
)
def test_differences_of_unknown_fields_are_found(left: Any, right: Any, changed: Any, removed: Any) -> None:
    assert compare(FREE, left, right) == (changed, removed)


@pytest.mark.parametrize(
    ("left", "right", "changed", "removed"),
    [
        (["a", "b"], ["b", "a"], {}, {}),
        (["a"], ["a", "b"], {'v:"b"': {}}, {}),
        (["a", "a"], ["a"], {'v:"a"': {}}, {'v:"a"': {}}),
        (["a"], ["a", "a"], {'v:"a"': {}}, {'v:"a"': {}}),
        (["a", "a"], [], {}, {'v:"a"': {}}),
        (["a", "a"], ["a", "a", "a"], {'v:"a"': {}}, {}),
        ([], ["a", "a"], {'v:"a"': {}}, {}),
    ],
)
def test_members_that_stand_twice_are_one_leaf(left: Any, right: Any, changed: Any, removed: Any) -> None:
    expected = [{"f:tags": found} if found else {} for found in (changed, removed)]

    assert list(compare(SPEC, {"tags": left}, {"tags": right})) == expected


def test_content_for_a_struct_of_go_does_not_add_the_struct() -> None:
    shape = shape_of(kind_at(DEPLOYMENTS)).below("spec")
    after = {"template": {"spec": {"containers": []}}, "strategy": {"rollingUpdate": {"maxSurge": 1}}}

    assert compare(shape, {}, after).changed == {
        "f:template": {"f:spec": {"f:containers": {}}},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
    }


def test_faults_of_a_configuration_are_told_with_their_paths() -> None:
    spec = {"size": "x", "zork": 1, "ports": [{"port": 1, "blah": 2}], "free": {"any": [{}]}, "atomic": [1]}

    assert list(check(ROOT, made(spec))) == [
        ".spec.size: expected numeric (int or float), got string",
        ".spec.zork: field not declared in schema",
        '.spec.ports[port=1,protocol="TCP"].blah: field not declared in schema',
        ".spec.atomic[0]: expected string, got &value.valueUnstructured{Value:1}",
    ]

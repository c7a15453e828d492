"""Sets of fields: their algebra against plain sets of paths, and the form in which the server writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded import gotext
from kcontroller.embedded.ownership import fields as sets
from kcontroller.embedded.ownership import names
from kcontroller.embedded.ownership.shapes import Shape, shape_of
from kcontroller.embedded.schemas import Schema
from tests.unit.embedded.golden_writes import DEPLOYMENTS, SERVICES, THING, kind_at

Path = tuple[str, ...]
PATHS = st.frozensets(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', 'v:"x"']), min_size=1, max_size=3).map(tuple)
)
MODEL = settings(max_examples=30, deadline=None, database=None, derandomize=True)


def fields_of(paths: frozenset[Path]) -> sets.Fields:
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for name in path:
            node = node.setdefault(name, {})
        node["."] = {}

    def tidy(node: dict[str, Any]) -> dict[str, Any]:
        return (
            {} if node.keys() == {"."} else {name: tidy(below) if name != "." else {} for name, below in node.items()}
        )

    return tidy(root)


def paths_of(fields: sets.Fields, before: Path = ()) -> frozenset[Path]:
    found: set[Path] = set()
    for name, below in fields.items():
        if name != ".":
            if sets.is_member(below):
                found.add((*before, name))
            found |= paths_of(below, (*before, name))
    return frozenset(found)


@MODEL
@given(PATHS, PATHS)
def test_sets_are_joined_and_parted_path_by_path(ours: frozenset[Path], theirs: frozenset[Path]) -> None:
    left, right = fields_of(ours), fields_of(theirs)

    assert sets.union(left, right) == fields_of(ours | theirs)
    assert sets.difference(left, right) == fields_of(ours - theirs)
    assert sets.intersection(left, right) == fields_of(ours & theirs)
    above = {path for path in ours if any(path[: len(other)] == other for other in theirs)}
    assert sets.without(left, right) == fields_of(ours - above)
    assert (left, right) == (fields_of(ours), fields_of(theirs))


@MODEL
@given(PATHS, PATHS)
def test_what_changes_nothing_gives_the_same_set(ours: frozenset[Path], theirs: frozenset[Path]) -> None:
    left = fields_of(ours)

    assert sets.union(left, fields_of(ours & theirs)) is left
    apart = fields_of(theirs - ours)
    assert sets.difference(left, apart) is left


@MODEL
@given(PATHS)
def test_a_set_that_was_written_reads_the_same(paths: frozenset[Path]) -> None:
    fields = fields_of(paths)

    assert sets.parse(json.loads(json.dumps(sets.ordered(fields, by_value=True)))) == fields
    assert all(sets.has(fields, *path) for path in paths)
    assert len(list(sets.paths(fields))) == len(paths)


def test_a_field_above_or_below_a_member_is_not_in_the_set() -> None:
    fields = fields_of(frozenset({("f:a", "f:b")}))

    assert sets.has(fields, "f:a", "f:b")
    assert not sets.has(fields, "f:a")
    assert not sets.has(fields, "f:a", "f:b", "f:c")
    assert not sets.has(fields, "f:z")


def test_paths_are_written_as_the_server_writes_them_members_before_what_is_below() -> None:
    fields: sets.Fields = {
        "f:b": {},
        "f:a": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {"f:x": {}}, 'v:"q\\"r"': {}, "v:1.5": {}, "v:true": {}},
        "i:3": {},
    }

    assert list(sets.paths(fields)) == [
        ".a",
        ".b",
        "[3]",
        ".a[=1.5]",
        '.a[="q\\"r"]',
        ".a[=true]",
        '.a[port=80,protocol="TCP"].x',
    ]


def test_names_stand_by_kind_and_then_by_value() -> None:
    given_names = [
        'v:"b"',
        "v:10",
        "v:9",
        'k:{"p":10}',
        'k:{"p":9}',
        "f:z",
        "f:a",
        'k:{"n":"x"}',
        "v:null",
        "i:1",
        "v:[1]",
    ]
    fields: sets.Fields = {name: {} for name in given_names}

    by_value = list(sets.ordered({**fields, ".": {}}, by_value=True))
    assert by_value[:9] == [".", "f:a", "f:z", 'k:{"n":"x"}', 'k:{"p":9}', 'k:{"p":10}', "v:9", "v:10", 'v:"b"']
    assert by_value[-1] == "i:1"
    assert list(sets.ordered(fields, by_value=False)) == sorted(given_names)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({'k:{ "b" : "x", "a":1.0}': {}}, {'k:{"a":1,"b":"x"}': {}}),
        ({'v: "<a>"': {}}, {'v:"\\u003ca\\u003e"': {}}),
        ({"f:a": None}, {"f:a": {}}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({"i:01": {}, "q:new": {}}, {"i:1": {}}),
        (None, {}),
    ],
)
def test_names_are_read_in_their_usual_form(sent: Any, read: Any) -> None:
    assert sets.parse(sent) == read


@pytest.mark.parametrize("sent", [[], "f:a", {"a": {}}, {"f": {}}, {"f:a": []}, {"k:[]": {}}, {"k:{": {}}, {"i:x": {}}])
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(ValueError):
        sets.parse(sent)


def test_a_configuration_states_its_leaves_items_and_empty_maps() -> None:
    config = {
        "metadata": {"name": "t", "labels": {"a": "b"}, "finalizers": ["x/y"]},
        "spec": {
            "size": 1,
            "name": None,
            "atomic": [],
            "tags": ["<b>"],
            "numbers": [],
            "ports": [{"port": 1, "options": {}}, {"port": 2, "protocol": "UDP"}],
            "selector": {"a": "b"},
            "objects": {"o": {"x": "1"}},
            "labels": {},
            "nested": {"a": {"b": "c"}},
            "free": {"a": {"b": [1]}, "c": []},
        },
    }

    assert sets.of(shape_of(THING), config) == {
        "f:metadata": {"f:name": {}, "f:labels": {"f:a": {}}, "f:finalizers": {'v:"x/y"': {}}},
        "f:spec": {
            "f:size": {},
            "f:name": {},
            "f:atomic": {},
            "f:tags": {'v:"\\u003cb\\u003e"': {}},
            "f:ports": {
                'k:{"port":1,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:options": {}},
                'k:{"port":2,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}},
            },
            "f:selector": {},
            "f:objects": {"f:o": {".": {}, "f:x": {}}},
            "f:labels": {},
            "f:nested": {"f:a": {"f:b": {}}},
            "f:free": {"f:a": {".": {}, "f:b": {}}, "f:c": {}},
        },
    }


def test_items_of_one_name_are_owned_together() -> None:
    config = {"spec": {"ports": [{"port": 1, "note": "a"}, {"port": 1}, {"port": 1}]}}

    assert sets.of(shape_of(THING), config) == {"f:spec": {"f:ports": {'k:{"port":1,"protocol":"TCP"}': {}}}}


def test_built_in_lists_have_the_keys_of_their_kind() -> None:
    service = shape_of(kind_at(SERVICES)).below("spec").below("ports")
    pod = shape_of(kind_at(DEPLOYMENTS)).below("spec").below("template").below("spec")

    assert names.name_of(service, {"port": 80}) == 'k:{"port":80,"protocol":"TCP"}'
    assert names.name_of(pod.below("containers").items.below("ports"), {"containerPort": 1}) == (
        'k:{"containerPort":1,"protocol":"TCP"}'
    )
    # Go writes the empty name of a reference, so that it is a key.
    assert names.name_of(pod.below("imagePullSecrets"), {}) == 'k:{"name":""}'
    assert names.name_of(pod.below("hostAliases"), {"hostnames": ["x"]}) == 'k:{"ip":""}'


@pytest.mark.parametrize(
    ("field", "item", "said"),
    [
        ("ports", None, "associative list with keys may not have a null element"),
        ("ports", "x", "associative list with keys may not have non-map elements"),
        ("tags", None, "associative list without keys has an element that's an explicit null"),
        ("tags", {}, "associative list without keys has an element that's a map type"),
        ("tags", [], "not supported: associative list with lists as elements"),
    ],
)
def test_an_item_without_a_name_is_told_why(field: str, item: Any, said: str) -> None:
    with pytest.raises(names.Unnamed, match=said):
        names.name_of(shape_of(THING).below("spec").below(field), item)


def test_an_item_without_any_key_is_told_which_there_are() -> None:
    items = {"type": "object", "properties": {"a": {"type": "string"}}}
    node = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b", "a"]}

    with pytest.raises(names.Unnamed, match=r'omits all key fields \["a" "b"\] \(and doesn\'t have default values'):
        names.name_of(Shape(Schema(node)), {})


def test_declared_fields_above_members_are_added_for_pruning() -> None:
    fields: sets.Fields = {
        "f:spec": {
            "f:labels": {"f:a": {}},
            "f:ports": {'k:{"port":1}': {"f:options": {"f:x": {}}}},
            "f:free": {"f:a": {}},
        }
    }

    assert sets.with_named(fields, shape_of(THING)) == {
        "f:spec": {
            ".": {},
            "f:labels": {".": {}, "f:a": {}},
            "f:ports": {".": {}, 'k:{"port":1}': {"f:options": {".": {}, "f:x": {}}}},
            "f:free": {".": {}, "f:a": {}},
        }
    }


@pytest.mark.parametrize(
    ("value", "plain", "typed"),
    [
        (None, "<nil>", "interface {}(nil)"),
        (True, "true", "true"),
        ("a\n\x01", "a\n\x01", '"a\\n\\x01"'),
        (1e21, "1e+21", "1e+21"),
        (1e20, "100000000000000000000", "100000000000000000000"),
        (0.00001, "1e-05", "1e-05"),
        (1.5, "1.5", "1.5"),
        (
            {"b": [1, "x"], "a": {}},
            "map[a:map[] b:[1 x]]",
            'map[string]interface {}{"a":map[string]interface {}{}, "b":[]interface {}{1, "x"}}',
        ),
    ],
)
def test_values_are_written_as_go_writes_them(value: Any, plain: str, typed: str) -> None:
    assert gotext.plain(value) == plain
    assert gotext.typed(value) == typed

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kcontroller.api.keys import GVK, Key
from kcontroller.cache.projection import Entry, Owner, Projection, pairs
from kcontroller.client.answers import list_page
from tests.unit.cache.objects import PLAIN, PODS, dump, entry, page, pod

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def projected(*paths: str, **more: Any) -> tuple[Any, ...]:
    return entry("a", 5, projection=Projection(PODS.gvk, paths), **more).fields


def test_the_header_is_decoded() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True, "x": 1}
    made = entry(
        "a",
        5,
        metadata={
            "generation": 3,
            "labels": {"b": "2", "a": "1"},
            "annotations": {"n": "t"},
            "finalizers": ["z", "y"],
            "ownerReferences": [owner],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
    )

    assert made.key == Key("default", "a")
    assert (made.version, made.uid, made.generation, made.deleting) == (5, "uid-a", 3, True)
    assert made.labels == ("a", "1", "b", "2")
    assert pairs(made.labels) == {"a": "1", "b": "2"}
    assert made.annotations == ("n", "t")
    assert made.finalizers == ("z", "y")
    assert made.owners == (Owner("apps/v1", "ReplicaSet", "r", "u", controller=True),)


def test_what_is_absent_or_null_is_empty() -> None:
    for absent in (
        {},
        {"labels": None, "annotations": None, "finalizers": None, "ownerReferences": None, "deletionTimestamp": None},
        {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []},
    ):
        made = entry("a", 5, metadata={**absent, "creationTimestamp": None})
        assert (made.labels, made.annotations, made.finalizers, made.owners) == ((), (), (), ())
        assert made.deleting is False
        assert made.generation == 0


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    made = PLAIN.entry(dump({"metadata": {"name": "a", "resourceVersion": "5"}}))

    assert made.key == Key("", "a")


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"a": 1}},
        {"labels": {"a": None}},
        {"labels": ["a"]},
        {"annotations": {"a": {}}},
        {"ownerReferences": [{"name": "x"}]},
        {"ownerReferences": {}},
        {"finalizers": "a"},
        {"generation": "3"},
        {"uid": 3},
        {"name": None},
        {"resourceVersion": 5},
        {"resourceVersion": ""},
        {"resourceVersion": "0"},
        {"resourceVersion": "007"},
        {"resourceVersion": "5a"},
        {"resourceVersion": "\u0665"},
        {"resourceVersion": "9" * 21},
    ],
)
def test_a_header_of_other_types_is_an_error(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        entry("a", 5, metadata=metadata)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"3", b'{"metadata":3}', b'{"metadata":null}', b'{"metadata":{}']
)
def test_what_is_no_object_is_an_error(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        PLAIN.entry(raw)


def test_an_object_with_text_that_is_not_utf_8_is_an_error_wherever_it_stands() -> None:
    raw = dump({"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"x": "HERE"}})

    with pytest.raises(UnicodeDecodeError):
        PLAIN.entry(raw.replace(b"HERE", b"\xff"))
    assert PLAIN.entry(raw.replace(b"HERE", "ä".encode())).name == "a"


def test_an_object_that_is_canonical_already_stays_byte_for_byte() -> None:
    raw = b'{ "apiVersion":"v1",\n "kind":"Pod", "metadata":{"name":"a","resourceVersion":"5"}, "x":1.50 }'

    assert PLAIN.entry(raw).raw == raw


def test_managed_fields_are_cut_and_nothing_else() -> None:
    document = pod("a", 5, spec={"number": 1, "text": '\u00e4\n"', "list": [1, {"managedFields": 2}]}, status={})
    with_fields = pod("a", 5, **{name: document[name] for name in ("spec", "status")})
    with_fields["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]

    made = PLAIN.entry(dump(with_fields))

    assert msgspec.json.decode(made.raw) == document
    assert b"kubectl" not in made.raw


MANAGED = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"managedFields": {}}}}]


@pytest.mark.parametrize("spec", [{}, {"managedFields": MANAGED}, {"text": '"managedFields":[]', "z": [MANAGED, 1]}])
@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_managed_fields_are_cut_wherever_they_stand_and_however_they_are_written(
    spec: Any, place: int, separators: tuple[str, str]
) -> None:
    document = pod("a", 5)
    metadata = list(document["metadata"].items())
    metadata.insert(place, ("managedFields", MANAGED))
    for order in (("metadata", "spec"), ("spec", "metadata")):
        parts = {"metadata": dict(metadata), "spec": spec}
        sent = {"apiVersion": "v1", "kind": "Pod"} | {name: parts[name] for name in order}

        made = PLAIN.entry(json.dumps(sent, separators=separators).encode())

        assert msgspec.json.decode(made.raw) == {**document, "spec": spec}


def test_managed_fields_under_an_escaped_name_are_cut_too() -> None:
    spec = {"managedFields": [1], "more": "<&>"}
    sent = dump(pod("a", 5, metadata={"managedFields": [1]}, spec=spec))
    sent = sent.replace(b'"managedFields"', b'"managed\\u0046ields"', 1)

    assert msgspec.json.decode(PLAIN.entry(sent).raw) == pod("a", 5, spec=spec)


NAMES = (
    "managedFields",
    "managedFields",
    "managed\\u0046ields",
    'x\\"managedFields',
    "x,{managedFields",
    "f:managedFields",
    "spec",
)
VALUES = (
    "[1]",
    "{}",
    '"managedFields"',
    '",\\"managedFields\\":[1]"',
    '{"managedFields":[1]}',
    '[{"managedFields" :[1]}]',
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(("", " ")), st.sampled_from(VALUES)),
    max_size=4,
)


def written(members: list[tuple[str, str, str]], space: str) -> str:
    return f",{space}".join(f'"{name}"{gap}:{gap}{value}' for name, gap, value in members)


@example(outer=[], before=[("managedFields", "", "[1]"), ("managedFields", " ", "[1]")], after=[], first=True, space="")
@example(outer=[("managedFields", "", "[1]")], before=[], after=[("managedFields", " ", "[1]")], first=False, space="")
@example(outer=[(NAMES[3], "", "[1]")], before=[], after=[("managedFields", " ", "[1]")], first=False, space="")
@given(
    outer=MEMBERS,
    before=MEMBERS,
    after=MEMBERS,
    first=st.booleans(),
    space=st.sampled_from(("", " ")),
)
def test_whoever_writes_it_however_what_is_kept_is_what_was_sent_without_managed_fields(
    outer: list[tuple[str, str, str]],
    before: list[tuple[str, str, str]],
    after: list[tuple[str, str, str]],
    first: bool,  # noqa: FBT001
    space: str,
) -> None:
    name = ("name", "", '"a"'), ("resourceVersion", "", '"5"')
    metadata = ("metadata", "", "{" + written([*before, *name, *after], space) + "}")
    parts = [metadata, *outer] if first else [*outer, metadata]
    sent = "{" + written([("kind", "", '"Pod"'), ("apiVersion", "", '"v1"'), *parts], space) + "}"
    expected = json.loads(sent)
    expected["metadata"].pop("managedFields", None)

    kept = PLAIN.entry(sent.encode()).raw
    assert json.loads(kept) == expected
    # Not even where the name is there twice, of which readers see one.
    members = dict(json.loads(kept, object_pairs_hook=list))["metadata"]
    assert "managedFields" not in [each for each, _value in members]


def test_the_rest_is_byte_for_byte_what_the_server_sent() -> None:
    sent = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"5","managedFields":[1]},"x":1.0}'

    assert PLAIN.entry(sent).raw == sent.replace(b',"managedFields":[1]', b"")


WIDGET = GVK("example.com", "v1", "Widget")


def test_dropped_paths_are_not_in_the_cache_and_the_rest_is() -> None:
    projection = Projection(
        PODS.gvk,
        ("spec.template.x", "spec.kept"),
        drop=(
            "data",
            "spec.template",
            "metadata.annotations.example\\.com/last",
            "status.none.deeper",
            "spec.kept.deeper",
        ),
    )
    annotations = {"example.com/last": "long", "other": "short"}
    sent = pod(
        "a",
        5,
        metadata={"annotations": annotations, "managedFields": [1]},
        data={"secret": "value"},
        spec={"template": {"x": 1}, "kept": [1.50]},
        status="odd",
    )

    made = projection.entry(dump(sent))

    expected = pod("a", 5, metadata={"annotations": {"other": "short"}}, spec={"kept": [1.50]}, status="odd")
    assert msgspec.json.decode(made.raw) == expected
    assert made.fields == (None, [1.50])
    assert made.annotations == ("other", "short")
    assert projection.entry(made.raw) == made
    assert projection.again(made) == made


def test_metadata_only_keeps_the_metadata_of_what_carries_another_name() -> None:
    projection = Projection(WIDGET, ("metadata.labels.a",), metadata_only=True)
    metadata = {**pod("a", 5)["metadata"], "labels": {"a": "b"}}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    whole = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": metadata, "spec": {"large": 1}}

    one, two = projection.entry(dump(partial)), projection.entry(dump(whole))

    expected = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": metadata}
    assert msgspec.json.decode(one.raw) == msgspec.json.decode(two.raw) == expected
    assert one.fields == ("b",)
    assert msgspec.json.decode(projection.entry(one.raw).raw) == expected


def test_other_paths_leave_the_rest_of_a_projection_as_it_is() -> None:
    wide = Projection(WIDGET, drop=("data",), metadata_only=False).with_paths(("spec.x",))

    made = wide.entry(dump(pod("a", 5, data=1, spec={"x": "y"})))

    assert wide.paths == ("spec.x",)
    assert made.fields == ("y",)
    assert b'"data"' not in made.raw


@pytest.mark.parametrize("raw", [b"", b"[]", b"3", b'{"metadata":3}', b'{"metadata":{}', b'{"spec":[' * 2000])
def test_what_is_no_object_is_an_error_of_a_reduced_projection_too(raw: bytes) -> None:
    for projection in (Projection(PODS.gvk, drop=("spec.a",)), Projection(PODS.gvk, metadata_only=True)):
        with pytest.raises((ValueError, RecursionError)):
            projection.entry(raw)


def test_an_object_without_kind_and_version_is_stamped() -> None:
    document = pod("a", 5)
    bare = {"metadata": document["metadata"]}

    made = Projection(GVK("example.com", "v1", "Widget")).entry(dump(bare))

    assert msgspec.json.decode(made.raw) == {**bare, "apiVersion": "example.com/v1", "kind": "Widget"}


@given(spec=json_values, extra=st.dictionaries(st.text(max_size=5), json_values, max_size=3), cut=st.booleans())
def test_every_value_survives(spec: Any, extra: dict[str, Any], *, cut: bool) -> None:
    document = {**extra, "spec": spec, "metadata": {"name": "a", "resourceVersion": "5", "more": extra}}
    sent = {**document, "metadata": {**document["metadata"], "managedFields": [extra]}} if cut else document

    made = msgspec.json.decode(PLAIN.entry(dump(sent)).raw)

    assert made == {"apiVersion": "v1", "kind": "Pod"} | document


def test_an_entry_keeps_nothing_of_the_receive_buffer() -> None:
    projection = Projection(PODS.gvk, ("spec.nodeName", "spec.all"))
    body = page([pod(f"p{n}", n + 1, spec={"nodeName": "n", "all": {"x": ["y"]}}) for n in range(3)], 10)
    stamped = b'{"metadata":{"resourceVersion":"9"},"items":[' + dump(pod("a", 5, spec={"all": [1]})) + b"]}"
    for text in (body, stamped):
        before = sys.getrefcount(text)
        entries = [projection.entry(item) for item in list_page(text)[2]]
        gc.collect()
        assert entries
        assert sys.getrefcount(text) == before


def test_label_texts_are_shared() -> None:
    one, two = (entry(name, 5, metadata={"labels": {"key": "value"}}) for name in "ab")

    assert one.labels[0] is two.labels[0]
    assert one.labels[1] is two.labels[1]
    named = entry("a", 5, metadata={"labels": {"app": "a"}})
    assert named.labels[1] is named.name
    assert one.key.namespace is two.key.namespace


def test_entries_cost_the_garbage_collector_nothing() -> None:
    made = entry("a", 5, metadata={"labels": {"a": "b"}})

    assert not gc.is_tracked(made)


def test_declared_paths_are_read() -> None:
    spec = {"nodeName": "n1", "count": 3, "on": True, "list": ["a", 1], "deep": {"x": {"y": "z"}}}

    assert projected(
        "spec.nodeName", "spec.count", "spec.on", "spec.list", "spec.deep.x.y", "spec.none", "none.x", spec=spec
    ) == ("n1", 3, True, ["a", 1], "z", None, None)


def test_a_path_and_a_part_of_it_may_both_be_declared() -> None:
    spec = {"a": {"b": "c"}}

    for paths in (("spec.a", "spec.a.b", "spec"), ("spec", "spec.a.b", "spec.a")):
        found = dict(zip(paths, projected(*paths, spec=spec), strict=True))
        assert found == {"spec": spec, "spec.a": {"b": "c"}, "spec.a.b": "c"}


@pytest.mark.parametrize("step", ["node-name", "from", "class", "0", "__init__", "a b", "_x", "\u00fc", "self", ""])
def test_any_name_can_be_a_step_of_a_path(step: str) -> None:
    assert projected(f"spec.{step}", f"spec.{step}.inner", spec={step: {"inner": 1}}) == ({"inner": 1}, 1)


@pytest.mark.parametrize(
    "spec", [None, 3, "text", True, [], [1], {}, {"a": None}, {"a": 3}, {"a": "text"}, {"a": [{}]}]
)
@pytest.mark.parametrize("step", ["count", "index", "real", "items", "keys"])
def test_a_path_through_something_else_has_no_value(spec: Any, step: str) -> None:
    assert projected(f"spec.a.{step}", "metadata.name", spec=spec) == (None, "a")
    assert projected("metadata.name", f"spec.a.{step}", spec=spec) == ("a", None)


def test_the_methods_of_values_are_no_values() -> None:
    assert projected("spec.count", "spec.index", spec="text") == (None, None)
    assert projected("spec.count", "spec.index", spec=["list"]) == (None, None)
    assert projected("spec.x.real", "spec.y.z", spec={"x": 1, "y": 2}) == (None, None)


def test_a_number_that_nobody_can_hold_loses_the_fields_but_not_the_object() -> None:
    raw = dump(pod("a", 5, spec="HERE")).replace(b'"HERE"', b'{"a":1e999}')

    assert Projection(PODS.gvk, ("spec.a", "metadata.name")).entry(raw).fields == (None, None)


@given(spec=json_values, status=json_values)
def test_no_value_anywhere_makes_a_path_raise(spec: Any, status: Any) -> None:
    made = projected("spec.a.b", "spec.a", "status.x.y.z", "spec.c", spec=spec, status=status)

    expected_spec = spec if isinstance(spec, dict) else {}
    assert made[1] == expected_spec.get("a")
    assert made[3] == expected_spec.get("c")


def test_an_entry_can_be_given_the_fields_of_another_projection() -> None:
    plain = entry("a", 5, spec={"nodeName": "n1"})
    other = Projection(PODS.gvk, ("spec.nodeName",))

    again = other.again(plain)

    assert again == other.entry(plain.raw)
    assert isinstance(again, Entry)
    assert PLAIN.again(again) == plain


@pytest.mark.parametrize("other", [(), ("spec.nodeName",)])
def test_a_label_is_found_by_a_path_with_escaped_dots_also_when_the_path_came_later(other: tuple[str, ...]) -> None:
    path = r"metadata.labels.app\.kubernetes\.io/name"
    labelled = {"labels": {"app.kubernetes.io/name": "web", "app": "x"}}
    plain, later = Projection(PODS.gvk), Projection(PODS.gvk, (path, *other))

    assert projected(path, *other, metadata=labelled)[0] == "web"
    assert projected(path, *other)[0] is None
    assert later.again(entry("a", 5, projection=plain, metadata=labelled)).fields[0] == "web"


def test_a_dot_may_stand_in_any_name_of_a_path() -> None:
    assert projected(r"metadata.annotations.a\.b/c", metadata={"annotations": {"a.b/c": "1"}}) == ("1",)

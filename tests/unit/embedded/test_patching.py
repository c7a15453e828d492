"""Merge, JSON and strategic merge patches, against what a real server made of the same ones."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.embedded import bodies
from kcontroller.embedded.patches import json_patch, patching
from kcontroller.embedded.statuses import Refusal
from tests.unit.embedded.golden_writes import CONTENT_TYPES, MAPS, THING, content, golden, kind_at, titles

PATCHES = [step for step in golden("merge json strategic", refused=False) if not step["sub"]]
REFUSED = golden("merge json strategic", refused=True)
MERGE, JSON, STRATEGIC = (CONTENT_TYPES[name] for name in ("merge", "json", "strategic"))
CONFIG_MAP = kind_at(MAPS)
LIVE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": "default", "finalizers": ["a/b", "c/d"]},
    "data": {"a": "1"},
}


def patched(step: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(step["body"]).encode()
    return patching.patched(kind_at(step["path"]), step["before"], body, CONTENT_TYPES[step["do"]])


def patch(body: Any, content_type: str, live: dict[str, Any] = LIVE) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return patching.patched(CONFIG_MAP, live, raw, content_type)


def refusal(body: Any, content_type: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        patch(body, content_type)
    return refused.value


@pytest.mark.parametrize("step", PATCHES, ids=titles(PATCHES))
def test_a_patch_gives_what_a_real_server_gives(step: dict[str, Any]) -> None:
    before, answer = copy.deepcopy(step["before"]), copy.deepcopy(step["answer"])

    result = patched(step)

    assert step["before"] == before
    if step["title"] == "what kubectl apply sends":
        del answer["spec"]["replicas"]  # The default of an absent field is not the patch's work.
    if not step["defaulted"]:
        assert content(result) == content(answer)


@pytest.mark.parametrize("step", REFUSED, ids=titles(REFUSED))
def test_a_patch_is_refused_as_on_a_real_server(step: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        patched(step)

    def words(status: dict[str, Any]) -> str:
        # The order of fields in a quoted object is that of Go's structs there.
        return re.sub(r'Invalid value: \\"\{.*?\}\\": (?=[a-z])', "Invalid value: ...: ", json.dumps(status))

    assert words(refused.value.document()) == words(step["answer"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b'{"data":{"a":null}} x', "invalid character 'x' after top-level value"),
        (b'"x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b"1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (b'{"a":1e999}', "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_words_of_go(body: bytes, said: str) -> None:
    merge, strategic = refusal(body, MERGE), refusal(body, STRATEGIC)

    assert (merge.code, merge.message) == (400, f"error decoding patch: {said}")
    assert (strategic.code, strategic.message) == (400, said)


def test_null_is_no_merge_patch_but_an_empty_one_of_the_other_kinds() -> None:
    assert refusal(b"null", MERGE).message == "Invalid JSON Patch"
    assert patch(b"null", JSON) == LIVE
    assert patch(b"null", STRATEGIC) == LIVE


def test_text_that_is_not_utf_8_is_read_as_go_reads_it() -> None:
    assert patch(b'{"data":{"a":"\xff"}}', MERGE)["data"] == {"a": "\ufffd"}
    assert patch(b'{"data":{"a":"\\ud800"}}', MERGE)["data"] == {"a": "\ufffd"}


def test_the_last_of_two_equal_keys_counts() -> None:
    assert patch(b'{"data":null,"data":{"b":"2"}}', MERGE)["data"] == {"a": "1", "b": "2"}


def test_a_body_that_is_nested_too_deep_is_refused() -> None:
    depth = bodies.MAX_DEPTH + 1
    for body in (b'{"a":' * depth + b"1" + b"}" * depth, b'{"a":' * 100_000):
        assert refusal(body, MERGE).code == 400


def test_operations_cannot_nest_deeper_than_a_body() -> None:
    operations = [{"op": "add", "path": "/x" * depth, "value": {}} for depth in range(1, bodies.MAX_DEPTH + 1)]

    assert refusal(operations, JSON).code == 422


def test_copies_cannot_fill_the_memory() -> None:
    operations = [{"op": "add", "path": "/x", "value": ["x" * 1000]}]
    operations += [{"op": "copy", "from": "/x", "path": "/x/-"}] * 30

    assert refusal(operations, JSON).code == 422


def test_more_than_ten_thousand_operations_are_refused() -> None:
    refused = refusal(b"[" + b"{}," * 10_000 + b"{}]", JSON)

    assert (refused.code, refused.reason) == (413, "RequestEntityTooLarge")
    assert refused.message == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )
    assert refusal(b"[" + b"{}," * 9_999 + b"{}]", JSON).code == 422  # They are read, and do not apply.


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/apply-patch+cbor"])
def test_other_content_types_are_refused(content_type: str) -> None:
    assert refusal({}, content_type).document()["message"] == "415: Unsupported Media Type"
    with pytest.raises(Refusal) as refused:
        patching.patched(THING, LIVE, b"{}", content_type)
    assert refused.value.code == 415


def test_a_custom_resource_takes_no_strategic_merge_patch() -> None:
    with pytest.raises(Refusal) as refused:
        patching.patched(THING, LIVE, b"{}", STRATEGIC)

    assert refused.value.document() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        "reason": "UnsupportedMediaType",
        "code": 415,
    }


def test_parameters_of_the_content_type_are_not_looked_at() -> None:
    assert patch({}, f"{MERGE}; charset=utf-8") == LIVE


def test_whole_numbers_lose_their_point() -> None:
    live = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    body = b'{"spec":{"free":{"a":1.0,"b":[1e3],"c":1.5,"d":"1.0"}}}'

    result = patching.patched(THING, live, body, MERGE)

    assert json.dumps(result["spec"]["free"]) == '{"a": 1, "b": [1000], "c": 1.5, "d": "1.0"}'


@pytest.mark.parametrize(
    ("live", "change", "result"),
    [
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
        ({}, {"a": {"b": None, "c": [{"d": None}]}}, {"a": {"c": [{}]}}),
        ({"a": {"b": 1}}, {"a": [{"d": None}]}, {"a": [{"d": None}]}),
        ({"a": [1]}, {"a": {"b": None}}, {"a": {}}),
        ({"a": None}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, {"a": [None]}, {"a": [None]}),
    ],
)
def test_a_merge_patch_treats_nulls_as_the_real_one(live: Any, change: Any, result: Any) -> None:
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"free": live}}
    raw = json.dumps({"spec": {"free": change}}).encode()

    assert patching.patched(THING, thing, raw, MERGE)["spec"]["free"] == result


@pytest.mark.parametrize(
    ("change", "code", "start"),
    [
        ({"kind": "Other"}, 422, 'Other.example.com "t" is invalid: kind: Invalid value: "Other": must be Thing'),
        (
            {"apiVersion": "v2"},
            422,
            'Thing "t" is invalid: apiVersion: Invalid value: "v2": must be example.com/v1',
        ),
        (
            {"apiVersion": None},
            500,
            "Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'",
        ),
        ({"kind": None}, 422, ' "" is invalid: patch: Invalid value: '),
        ({"apiVersion": "a/b/c"}, 422, ' "" is invalid: patch: Invalid value: '),
        ({"apiVersion": 1}, 422, ' "" is invalid: patch: Invalid value: '),
        ({"metadata": {"labels": {"a": 1}}}, 422, ' "" is invalid: patch: Invalid value: '),
    ],
)
def test_a_custom_resource_stays_what_it_is(change: Any, code: int, start: str) -> None:
    live = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}

    with pytest.raises(Refusal) as refused:
        patching.patched(THING, live, json.dumps(change).encode(), MERGE)

    assert refused.value.code == code
    assert refused.value.message.startswith(start)


def test_what_a_subresource_shows_is_patched_too() -> None:
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    kind = kind_at("/apis/apps/v1/namespaces/default/deployments")

    for content_type in (MERGE, STRATEGIC):
        result = patching.patched(kind, scale, b'{"spec":{"replicas":5}}', content_type)
        assert result == {**scale, "spec": {"replicas": 5}}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "replace", "path": "/b", "value": 1}, {"a": [1, 2], "b": 1}),
        ({"op": "add", "path": "/b"}, {"a": [1, 2], "b": None}),
        ({"op": "add", "path": "x/b", "value": 1}, {"a": [1, 2], "b": 1}),
        ({"op": "add", "path": "/a/-1", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "add", "path": "/a/+1", "value": 3}, {"a": [1, 3, 2]}),
        ({"op": "remove", "path": "/a/-1"}, {"a": [1]}),
        ({"op": "copy", "from": "/none", "path": "/b"}, {"a": [1, 2], "b": None}),
        ({"op": "test", "path": "/none", "value": None}, {"a": [1, 2]}),
        ({"op": "test", "path": "/none"}, {"a": [1, 2]}),
        ({"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
        ({"op": "add", "path": "/x~1y~0z", "value": 1}, {"a": [1, 2], "x/y~z": 1}),
    ],
)
def test_json_patch_is_as_lenient_as_the_real_one(operation: dict[str, Any], result: Any) -> None:
    assert json_patch.patched({"a": [1, 2]}, [operation]) == result


@pytest.mark.parametrize(
    "operation",
    [
        None,
        {"op": "add", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/none/b", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "add", "path": "/a/-4", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/a/2"},
        {"op": "replace", "path": "/a/2", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "move", "from": "/none", "path": "/b"},
        {"op": "move", "path": "/b"},
        {"op": "copy", "from": "/a"},
        {"op": "test", "path": "/a/0", "value": 1.0},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "test", "path": "/a/0/b", "value": 1},
        {"op": "test", "path": "/a", "value": [1]},
        {"op": "test", "path": "", "value": 1},
    ],
)
def test_operations_that_do_not_apply_are_told(operation: dict[str, Any] | None) -> None:
    with pytest.raises(json_patch.Inapplicable):
        json_patch.patched({"a": [1, 2]}, [operation])


SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "~", "c/d"]), inner),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(DOCUMENTS.filter(lambda value: isinstance(value, dict)), DOCUMENTS.filter(lambda value: isinstance(value, dict)))
def test_what_a_library_for_the_rfc_makes_is_applied_as_it_means_it(left: Any, right: Any) -> None:
    operations = jsonpatch.make_patch(left, right).patch

    assert json_patch.patched(copy.deepcopy(left), operations) == right

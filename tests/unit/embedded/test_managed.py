"""Ownership of fields, against what a real server wrote down for the same writes."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from kcontroller.embedded.ownership import managed
from kcontroller.embedded.statuses import Refusal
from tests.unit.embedded.golden_writes import THING, content, golden, kind_at, titles

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:04:06Z"


def newest(document: dict[str, Any]) -> str:
    return max((entry.get("time", "") for entry in document["metadata"].get("managedFields", [])), default="")


def owners(document: dict[str, Any]) -> str:
    """The entries as JSON, since their order matters as well."""
    return json.dumps(document["metadata"].get("managedFields"), indent=1)


WRITES = golden("create merge json strategic", refused=False)
APPLIES = golden("apply", refused=False)
REFUSED = golden("apply", refused=True)


@pytest.mark.parametrize("step", WRITES, ids=titles(WRITES))
def test_a_write_is_owned_as_on_a_real_server(step: dict[str, Any]) -> None:
    before, after = step["before"], copy.deepcopy(step["answer"])
    expected = owners(after)
    after["metadata"].pop("managedFields", None)
    for outer, inner in step["decided"]:
        del after[outer][inner]
    sent = step["body"].get("metadata", {}).get("managedFields") if isinstance(step["body"], dict) else None
    if before is not None:
        after["metadata"]["managedFields"] = sent or copy.deepcopy(before["metadata"].get("managedFields"))

    managed.track(
        kind_at(step["path"]),
        copy.deepcopy(before),
        after,
        manager=step["manager"],
        subresource=step["sub"],
        now=newest(step["answer"]),
    )

    assert owners(after) == expected


def applied(step: dict[str, Any], now: str) -> dict[str, Any]:
    return managed.apply(
        kind_at(step["path"]),
        step["before"],
        step["body"],
        manager=step["manager"],
        force=step["force"],
        subresource=step["sub"],
        now=now,
    )


@pytest.mark.parametrize("step", APPLIES, ids=titles(APPLIES))
def test_an_apply_is_merged_and_owned_as_on_a_real_server(step: dict[str, Any]) -> None:
    given = copy.deepcopy([step["before"], step["body"]])

    result = applied(step, newest(step["answer"]))

    assert owners(result) == owners(step["answer"])
    if not step["defaulted"]:
        assert content(result) == content(step["answer"])
    assert [step["before"], step["body"]] == given


@pytest.mark.parametrize("step", REFUSED, ids=titles(REFUSED))
def test_an_apply_is_refused_as_on_a_real_server(step: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        applied(step, NOW)

    answer, real = refused.value.document(), step["answer"]
    # The real server lists the managers of several conflicts by chance.
    for status in (answer, real):
        status.get("details", {}).get("causes", []).sort(key=json.dumps)
    assert answer == real


def made(spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", **meta}}
    return document if spec is None else {**document, "spec": spec}


def stored(spec: dict[str, Any], manager: str = "first") -> dict[str, Any]:
    document = made(spec, uid="1")
    managed.track(THING, None, document, manager=manager, subresource="", now=NOW)
    return document


def apply(live: dict[str, Any] | None, config: dict[str, Any], manager: str = "a", *, force: bool = False) -> Any:
    return managed.apply(THING, live, config, manager=manager, force=force, subresource="", now=LATER)


def test_applying_the_same_again_leaves_the_object_as_it_is() -> None:
    config = made({"size": 1, "ports": [{"port": 1}], "tags": ["a"]})
    live = apply(None, config)

    assert (
        managed.apply(THING, live, config, manager="a", force=False, subresource="", now="2030-01-01T00:00:00Z") == live
    )


def test_a_manager_that_states_what_is_there_owns_it_without_a_time() -> None:
    result = apply(stored({"size": 1}), made({"size": 1}))

    entry = result["metadata"]["managedFields"][0]
    assert entry["manager"] == "a"
    assert "time" not in entry


def test_a_list_of_which_nothing_is_left_is_null_and_will_be_refused() -> None:
    live = stored({"ports": []})
    live = apply(live, made({"ports": [{"port": 1}]}))

    # kube-apiserver 1.36.3: spec.ports in body must be of type array: "null".
    assert apply(live, made({"size": 1}))["spec"] == {"ports": None, "size": 1}


def test_a_later_write_of_the_same_fields_updates_the_time_of_one_entry() -> None:
    before = stored({"size": 1, "name": "x"})
    after = {**copy.deepcopy(before), "spec": {"size": 2, "name": "x"}}

    managed.track(THING, before, after, manager="first", subresource="", now=LATER)

    (entry,) = after["metadata"]["managedFields"]
    assert entry["time"] == LATER
    assert entry["fieldsV1"] == before["metadata"]["managedFields"][0]["fieldsV1"]


def test_a_removal_alone_keeps_the_time() -> None:
    before = stored({"size": 1, "name": "x"})
    after = {**copy.deepcopy(before), "spec": {"size": 1}}

    managed.track(THING, before, after, manager="first", subresource="", now=LATER)

    (entry,) = after["metadata"]["managedFields"]
    assert entry["time"] == NOW
    assert entry["fieldsV1"] == {"f:spec": {".": {}, "f:size": {}}}


def test_a_client_that_sends_its_own_entries_is_believed() -> None:
    before = stored({"size": 1})
    entry = {
        "manager": "mine",
        "operation": "Update",
        "apiVersion": "example.com/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:ports": {'k:{ "protocol":"TCP", "port":1 }': {}}, "f:size": {}}, "x:new": {}},
    }
    after = made({"size": 1}, uid="1", managedFields=[entry])

    managed.track(THING, before, after, manager="first", subresource="", now=LATER)

    (kept,) = after["metadata"]["managedFields"]
    assert kept["fieldsV1"] == {"f:spec": {"f:ports": {'k:{"port":1,"protocol":"TCP"}': {}}, "f:size": {}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "Delete"},
        {"apiVersion": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"spec": {}}},
        {"fieldsV1": {"k:[]": {}}},
        {"fieldsV1": {"f:a": 1}},
    ],
)
def test_entries_that_cannot_be_read_do_not_replace_those_that_are_there(wrong: dict[str, Any]) -> None:
    before = stored({"size": 1})
    entry = {**before["metadata"]["managedFields"][0], "manager": "mine", **wrong}
    after = made({"size": 1}, uid="1", managedFields=[entry])

    managed.track(THING, before, after, manager="first", subresource="", now=LATER)

    assert owners(after) == owners(before)


@pytest.mark.parametrize("sent", [[], [{}]])
def test_an_empty_list_takes_ownership_back(sent: list[Any]) -> None:
    before = stored({"size": 1})
    after = made({"size": 2}, uid="1", managedFields=sent)

    managed.track(THING, before, after, manager="first", subresource="", now=LATER)

    assert "managedFields" not in after["metadata"]


def test_a_subresource_does_not_take_entries_from_the_request() -> None:
    before = stored({"size": 1})
    after = {**made({"size": 1}, uid="1", managedFields=[{}]), "status": {"phase": "x"}}

    managed.track(THING, before, after, manager="second", subresource="status", now=LATER)

    managers = [(entry["manager"], entry.get("subresource")) for entry in after["metadata"]["managedFields"]]
    assert managers == [("first", None), ("second", "status")]


def test_an_object_whose_items_have_no_name_has_no_entries() -> None:
    after = made({"ports": ["text"]})

    managed.track(THING, None, after, manager="first", subresource="", now=NOW)

    assert "managedFields" not in after["metadata"]


def test_more_than_ten_managers_are_joined_with_the_oldest() -> None:
    live = stored({"labels": {"k0": "v"}}, "manager-0")
    for number in range(1, 14):
        after = copy.deepcopy(live)
        after["spec"]["labels"][f"k{number}"] = "v"
        now = f"2026-01-02T03:05:{number:02}Z"
        managed.track(THING, live, after, manager=f"manager-{number}", subresource="", now=now)
        live = after

    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    assert entries[0]["manager"] == "ancient-changes"
    assert entries[0]["fieldsV1"]["f:spec"]["f:labels"].keys() == {".", "f:k0", "f:k1", "f:k2", "f:k3", "f:k4"}


def test_kubectl_takes_over_what_it_applied_on_the_client_side() -> None:
    config = made({"size": 1, "name": "x"})
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(config)}
    live = made({"size": 1, "name": "x"}, uid="1", annotations=annotation)
    managed.track(THING, None, live, manager="kubectl-client-side-apply", subresource="", now=NOW)

    result = apply(live, made({"size": 2, "name": "x"}), "kubectl")

    assert result["spec"]["size"] == 2
    written = result["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(written)["spec"] == {"size": 2, "name": "x"}


def test_kubectl_does_not_take_over_what_was_changed_since() -> None:
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(made({"size": 1}))}
    live = made({"size": 5}, uid="1", annotations=annotation)
    managed.track(THING, None, live, manager="somebody", subresource="", now=NOW)

    with pytest.raises(Refusal, match=r'1 conflict: conflict with "somebody" using example.com/v1: \.spec\.size'):
        apply(live, made({"size": 2}), "kubectl")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"apiVersion":"v1"}', '{"apiVersion":"example.com/v1","zork":1}'])
def test_an_annotation_that_cannot_be_read_allows_nothing(text: str) -> None:
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": text}
    live = made({"size": 5}, uid="1", annotations=annotation)
    managed.track(THING, None, live, manager="somebody", subresource="", now=NOW)

    with pytest.raises(Refusal, match="Apply failed with 1 conflict"):
        apply(live, made({"size": 2}), "kubectl")


def test_tracking_a_status_takes_at_most_150_microseconds() -> None:
    live = stored({"size": 1, "labels": {f"k{number}": "v" for number in range(10)}, "tags": list("abcdef")})
    live["status"] = {
        "phase": "a",
        "conditions": [{"type": name, "status": "True", "reason": "x" * 100} for name in "ABCD"],
    }
    managed.track(THING, stored({"size": 1}), live, manager="controller", subresource="status", now=NOW)
    assert len(json.dumps(live)) > 1024
    best = 1.0
    for _ in range(50):
        before, after = copy.deepcopy(live), copy.deepcopy(live)
        after["status"]["phase"] = "b"
        after["status"]["conditions"][1]["status"] = "False"
        start = time.perf_counter()
        managed.track(THING, before, after, manager="controller", subresource="status", now=LATER)
        best = min(best, time.perf_counter() - start)

    assert best <= 150e-6

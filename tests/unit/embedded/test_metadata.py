"""The rules for names, labels and the rest of metadata, against those of a real kube-apiserver."""

from __future__ import annotations

from typing import Any

import pytest

from kcontroller.embedded.validation import metadata, names
from tests.unit.embedded.real_refusals import REAL, WIDGET, builtin, expected, refused, widget


def _update(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    base = {"name": "w", "namespace": "default", "uid": "u"}
    causes = metadata.check_update(WIDGET, {"metadata": {**base, **new}}, {"metadata": {**base, **old}})
    return [f"{cause.field}: {cause.message}" for cause in causes]


def _fields(api_version: str, kind: str, **meta: Any) -> list[str]:
    return [cause.field for cause in metadata.check(builtin(api_version, kind), {"metadata": meta})]


@pytest.mark.parametrize("case", REAL["metadata"], ids=lambda case: f"{case['kind']}-{case['metadata']}"[:70])
def test_metadata_is_refused_in_the_real_words(case: dict[str, Any]) -> None:
    if case["kind"] == "Widget":
        kind, document = WIDGET, widget(spec={})
    else:
        kind, document = builtin("v1", "ConfigMap"), {"apiVersion": "v1", "kind": "ConfigMap"}
    document["metadata"] = case["metadata"]
    assert refused(kind, document) == expected(case)


def test_a_name_has_at_most_253_characters() -> None:
    causes = metadata.check(WIDGET, widget(metadata={"name": "x" * 254, "namespace": "default"}))
    assert [cause.message.rpartition(": ")[2] for cause in causes] == ["must be no more than 253 characters"]


def test_kinds_have_their_own_rules_for_names() -> None:
    namespace = {"namespace": "default"}
    assert _fields("v1", "Namespace", name="a.b") == ["metadata.name"]
    assert _fields("v1", "Service", name="a.b", **namespace) == ["metadata.name"]
    assert _fields("v1", "Service", name="1a", **namespace) == []
    assert _fields("v1", "ConfigMap", name="a.b", **namespace) == []
    assert _fields("v1", "Event", name="A", **namespace) == []
    assert _fields("batch/v1", "CronJob", name="x" * 53, **namespace) == ["metadata.name"]
    assert _fields("apps/v1", "StatefulSet", name="a.b", **namespace) == ["metadata.name"]
    assert _fields("rbac.authorization.k8s.io/v1", "ClusterRole", name="system:A*") == []
    assert _fields("rbac.authorization.k8s.io/v1", "ClusterRole", name="a/b") == ["metadata.name"]


def test_a_generated_name_may_start_with_what_ends_in_a_dash() -> None:
    good = {"generateName": "ok-", "name": "ok-x", "namespace": "default"}
    assert metadata.check(WIDGET, widget(metadata=good)) == []
    causes = metadata.check(WIDGET, widget(metadata={**good, "generateName": "Bad-"}))
    assert [cause.field for cause in causes] == ["metadata.generateName"]


def test_namespace_is_asked_of_kinds_that_have_one_alone() -> None:
    assert _fields("v1", "ConfigMap", name="a") == ["metadata.namespace"]
    assert _fields("v1", "ConfigMap", name="a", namespace="A") == ["metadata.namespace"]
    assert _fields("v1", "Node", name="a", namespace="default") == ["metadata.namespace"]


def test_annotations_are_256_kibibytes_at_most_counted_in_bytes() -> None:
    key = "k"
    exact = {key: "é" * ((256 * 1024 - len(key)) // 2)}
    meta = {"name": "w", "namespace": "default"}
    assert metadata.check(WIDGET, widget(metadata={**meta, "annotations": exact})) == []
    (cause,) = metadata.check(WIDGET, widget(metadata={**meta, "annotations": {key: exact[key] + "é"}}))
    assert cause.message == "Too long: may not be more than 262144 bytes"


def test_finalizers_of_most_built_in_kinds_need_a_domain() -> None:
    meta = {"name": "a", "namespace": "default", "finalizers": ["bare", "a.b/c", "orphan"]}
    assert _fields("v1", "ConfigMap", **meta) == ["metadata.finalizers[0]"]
    assert _fields("apps/v1", "Deployment", **meta) == ["metadata.finalizers[0]"]
    assert _fields("coordination.k8s.io/v1", "Lease", **meta) == []
    assert metadata.check(WIDGET, widget(metadata=meta)) == []


def test_no_finalizer_is_added_while_the_object_is_being_deleted() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    told = _update({**gone, "finalizers": ["a.b/c", "z.b/c", "b.b/c"]}, {**gone, "finalizers": ["a.b/c"]})
    detail = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
    assert set(told) == {f'metadata.finalizers: Forbidden: {detail}{{"b.b/c", "z.b/c"}}'}
    assert _update({**gone, "finalizers": []}, {**gone, "finalizers": ["a.b/c"]}) == []
    assert _update({"finalizers": ["new.b/c"]}, {}) == []


@pytest.mark.parametrize("name", ["name", "namespace", "uid"])
def test_identity_is_immutable(name: str) -> None:
    assert set(_update({name: "other"}, {})) == {f'metadata.{name}: Invalid value: "other": field is immutable'}


def test_times_of_creation_and_deletion_are_immutable() -> None:
    for name in ("creationTimestamp", "deletionTimestamp"):
        told = _update({name: "2026-01-01T00:00:00Z"}, {})
        assert set(told) == {f'metadata.{name}: Invalid value: "2026-01-01T00:00:00Z": field is immutable'}


def test_generation_does_not_go_back() -> None:
    assert set(_update({"generation": 1}, {"generation": 2})) == {
        "metadata.generation: Invalid value: 1: must not be decremented"
    }


def test_a_sound_update_is_let_pass() -> None:
    meta = {"labels": {"a.b/c": "d"}, "annotations": {"A.B/c": "any text"}, "finalizers": ["x.y/z"], "generation": 3}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1", "controller": True}
    assert _update({**meta, "ownerReferences": [owner]}, meta) == []


@pytest.mark.parametrize("key", ["a", "a.b_c-d", "example.com/a", "A1", "x" * 63])
def test_sound_keys_of_labels(key: str) -> None:
    assert names.qualified(key) == []


@pytest.mark.parametrize("key", ["", "a/b/c", "/a", "a/", "-a", "a-", "Ex.com/a", "x" * 64, "a b", "é"])
def test_unsound_keys_of_labels(key: str) -> None:
    assert names.qualified(key) != []

"""Which objects a label or field selector means."""

from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.embedded import recorded
from kcontroller.embedded.calls import Selection
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.selection import matcher
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.store import Stored

WIDGET = Kind(
    "example.com",
    "v1",
    "Widget",
    "widgets",
    "widget",
    True,
    "v1",
    Schema({"type": "object"}),
    selectable=("spec.color", "spec.size", "spec.on"),
    builtin=False,
)


def _builtin(resource: str) -> Kind:
    return next(kind for kind in recorded.load().kinds if kind.resource == resource)


def _matches(kind: Kind, document: dict[str, Any], *, fields: str = "", labels: str = "") -> bool:
    metadata = {"name": "a", "namespace": "here", "uid": "u", **document.pop("metadata", {})}
    stored = Stored.of({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **document}, 7)
    test = matcher(kind, Selection(LabelSelector.parse(labels), FieldSelector.parse(fields)))
    return True if test is None else test(stored)


def test_no_selector_needs_no_test() -> None:
    assert matcher(WIDGET, Selection(LabelSelector(), FieldSelector())) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [("app=web", True), ("app=db", False), ("tier", False), ("!tier", True), ("app in (web,db),tier!=x", True)],
)
def test_labels_are_matched(labels: str, expected: Any) -> None:
    assert _matches(WIDGET, {"metadata": {"labels": {"app": "web"}}}, labels=labels) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("metadata.namespace=here", True),
        ("metadata.namespace=there", False),
        ("metadata.name=a,metadata.namespace!=here", False),
    ],
)
def test_name_and_namespace_are_matched_without_decoding(fields: str, expected: Any) -> None:
    stored = Stored.of(
        {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "here", "uid": "u"}}, 7
    )
    object.__setattr__(stored, "raw", b"not JSON")
    test = matcher(WIDGET, Selection(LabelSelector(), FieldSelector.parse(fields)))
    assert test is not None
    assert test(stored) is expected


@pytest.mark.parametrize(
    ("spec", "fields", "expected"),
    [
        ({"color": "red"}, "spec.color=red", True),
        ({"color": "red"}, "spec.color!=red", False),
        ({"size": 3}, "spec.size=3", True),
        ({"size": None}, "spec.size=", True),
        ({"on": True}, "spec.on=true", True),
        ({}, "spec.on=", True),
        ({}, "spec.on=false", False),
    ],
)
def test_the_selectable_fields_of_a_custom_resource_are_matched(
    spec: dict[str, Any], fields: str, expected: Any
) -> None:
    assert _matches(WIDGET, {"spec": spec}, fields=fields) is expected


@pytest.mark.parametrize(
    ("resource", "document", "fields", "expected"),
    [
        (
            "pods",
            {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}},
            "spec.nodeName=n,status.phase=Running",
            True,
        ),
        ("pods", {"spec": {"nodeName": "n"}}, "spec.host=n", True),
        ("pods", {}, "spec.nodeName=", True),
        ("pods", {}, "spec.hostNetwork=false", True),
        ("nodes", {}, "spec.unschedulable=false", True),
        ("nodes", {"spec": {"unschedulable": True}}, "spec.unschedulable=false", False),
        ("jobs.batch", {"status": {"succeeded": 2}}, "status.successful=2", True),
        ("jobs.batch", {}, "status.successful=0", True),
        ("replicationcontrollers", {}, "status.replicas=0", True),
        ("secrets", {"type": "Opaque"}, "type=Opaque", True),
        ("events", {"involvedObject": {"name": "p"}}, "involvedObject.name=p", True),
        ("events", {"source": {"component": "k"}, "reportingComponent": "r"}, "source=k", True),
        ("events", {"source": {}, "reportingComponent": "r"}, "source=r", True),
        ("events.events.k8s.io", {"regarding": {"name": "p"}}, "regarding.name=p", True),
        ("namespaces", {"status": {"phase": "Active"}}, "status.phase=Terminating", False),
    ],
)
def test_the_field_labels_of_built_in_kinds_are_matched(
    resource: str, document: dict[str, Any], fields: str, expected: Any
) -> None:
    assert _matches(_builtin(resource), document, fields=fields) is expected


def test_labels_and_fields_must_both_match() -> None:
    document = {"metadata": {"labels": {"app": "web"}}, "spec": {"color": "red"}}
    assert _matches(WIDGET, dict(document), labels="app=web", fields="spec.color=red")
    assert not _matches(WIDGET, dict(document), labels="app=db", fields="spec.color=red")


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        (WIDGET, "spec.bogus", "field label not supported: spec.bogus"),
        (
            _builtin("configmaps"),
            "data.x",
            '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (_builtin("pods"), "x", "field label not supported: x"),
        (_builtin("jobs.batch"), "x", 'field label "x" not supported for Job'),
        (_builtin("nodes"), "metadata.namespace", "field label not supported: metadata.namespace"),
    ],
)
def test_a_label_that_the_kind_does_not_offer_is_refused_in_its_words(kind: Kind, label: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        matcher(kind, Selection(LabelSelector(), FieldSelector.parse(f"{label}=x")))
    assert (caught.value.code, caught.value.reason, caught.value.message) == (400, "BadRequest", message)

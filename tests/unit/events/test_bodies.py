from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.paths import segment
from kcontroller.events.bodies import CORE, EVENTS, Names, controller_of, created, instance_of, repeated
from kcontroller.events.correlation import Record
from tests.unit.events.fakes import at, event, node, pod

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def record(*, count: int = 1, obj: Any = None) -> Record:
    made = Record(event(obj=obj or pod()), "widget", (), "hello", at(0), at(90.25), 0, 0, count=count)
    made.name, made.namespace = "a.1", "team"
    return made


def test_an_event_of_events_k8s_io() -> None:
    assert created(record(), EVENTS, instance="widget-host") == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "team", "name": "a.1"},
        "type": "Normal",
        "reason": "Said",
        "action": "Said",
        "note": "hello",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "widget",
        "reportingInstance": "widget-host",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "team",
            "name": "a",
            "uid": "uid-a",
            "resourceVersion": "7",
        },
    }
    series = {"series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:30.250000Z"}}
    assert repeated(record(count=3), EVENTS) == series
    assert created(record(count=3), EVENTS, instance="i").items() >= series.items()


def test_an_event_of_core() -> None:
    document = created(record(count=2), CORE, instance="widget-host")

    assert document["source"] == {"component": "widget"}
    assert document["involvedObject"]["uid"] == "uid-a"
    assert (document["firstTimestamp"], document["lastTimestamp"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z")
    assert (document["message"], document["count"], document["reportingComponent"]) == ("hello", 2, "widget")
    assert "eventTime" not in document
    assert repeated(record(count=3), CORE) == {
        "count": 3,
        "lastTimestamp": "2026-01-01T00:01:30Z",
        "message": "hello",
    }


def test_a_cluster_scoped_object_is_regarded_without_a_namespace() -> None:
    assert "namespace" not in created(record(obj=node()), EVENTS, instance="i")["regarding"]


@given(st.text(max_size=400))
def test_a_name_is_valid_whatever_the_object_is_called(text: str) -> None:
    name = Names().next(text, at(0))

    assert SUBDOMAIN.fullmatch(name)
    assert len(name) <= 253
    assert segment(name, "name") == name


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("web", "web."),
        ("system:node", "system-node."),
        ("../../secrets/x", "secrets-x."),
        ("a%2f..", "a-2f."),
        ("", ""),
        ("..", ""),
    ],
)
def test_a_name_begins_with_what_can_be_kept_of_the_objects(text: str, begin: str) -> None:
    name = Names().next(text, at(0))

    assert re.fullmatch(re.escape(begin) + r"[0-9a-f]{16}", name)


def test_no_two_names_are_equal_in_one_moment() -> None:
    names = Names()

    assert len({names.next("a", at(0)) for _ in range(100)}) == 100


@given(st.text(max_size=200))
def test_a_controller_is_reported_by_a_qualified_name(text: str) -> None:
    name = controller_of(text)

    assert QUALIFIED.fullmatch(name)
    assert len(name) <= 63
    assert len(instance_of(text, "h" * 200)) == 128

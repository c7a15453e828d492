from __future__ import annotations

from typing import Any

import pytest

from kcontroller.embedded.conversion import CORE, EVENTS, converted
from kcontroller.embedded.milo import Milo

OLD = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"


def core_event(**more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "a"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "source": {"component": "kubelet"},
        "firstTimestamp": None,
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
        "message": "it runs",
        "count": 3,
        **more,
    }


def new_event(**more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "b"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Started",
        "action": "Start",
        "note": "it runs",
        "reportingController": "example.com/a",
        "reportingInstance": "a-1",
        "type": "Normal",
        **more,
    }


def test_an_event_has_other_names_in_the_other_api() -> None:
    assert converted(core_event(), EVENTS) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "a"},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "deprecatedSource": {"component": "kubelet"},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
        "deprecatedCount": 3,
        "eventTime": None,
        "note": "it runs",
    }


@pytest.mark.parametrize("more", [{}, {"series": {"lastObservedTime": None}}, {"series": {"count": 2}, "count": 0}])
def test_an_event_comes_back_as_it_was(more: dict[str, Any]) -> None:
    there = converted(core_event(**more), EVENTS)
    back = converted(there, CORE)

    assert converted(back, EVENTS) == there
    assert (back["message"], back["involvedObject"]) == (core_event()["message"], core_event()["involvedObject"])


def test_a_conversion_leaves_the_original_alone() -> None:
    given = core_event(series={"count": 2})
    converted(given, EVENTS)["series"]["count"] = 3

    assert given == core_event(series={"count": 2})


def test_versions_of_other_kinds_differ_in_api_version_alone() -> None:
    assert converted({"apiVersion": "a.b/v1", "message": "m"}, "a.b/v2") == {"apiVersion": "a.b/v2", "message": "m"}


def test_both_apis_have_the_same_events(server: Any) -> None:
    made = server.done("POST", OLD, core_event())
    server.done("POST", NEW, new_event())

    assert server.names(OLD) == server.names(NEW) == ["a", "b"]
    assert server.done("GET", f"{NEW}/a")["metadata"] == made["metadata"]
    assert server.done("GET", f"{OLD}/b")["message"] == "it runs"
    assert server.ask("POST", OLD, core_event(metadata={"name": "b"}))[0] == 409


def test_a_watch_tells_what_the_other_api_wrote_in_its_own_words(server: Any) -> None:
    start = server.done("GET", OLD)["metadata"]["resourceVersion"]
    server.done("POST", OLD, core_event())
    server.merge(f"{OLD}/a", {"message": "again"})
    server.done("DELETE", f"{NEW}/a")

    told = server.watch(f"{NEW}?watch=1&resourceVersion={start}", 3)
    assert [(each["type"], each["object"]["note"]) for each in told] == [
        ("ADDED", "it runs"),
        ("MODIFIED", "again"),
        ("DELETED", "again"),
    ]


def test_a_namespace_that_goes_takes_the_events_of_both_apis_along(server: Any) -> None:
    server.done("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    about = {"kind": "Pod", "namespace": "n", "name": "p"}
    server.done("POST", OLD.replace("default", "n"), core_event(involvedObject=about))
    server.done("POST", NEW.replace("default", "n"), new_event(regarding=about))
    server.done("DELETE", "/api/v1/namespaces/n")

    assert server.ask("GET", "/api/v1/namespaces/n")[0] == 404
    assert server.names("/api/v1/events") == []


def test_a_project_serves_events_of_core_alone(new_server: Any) -> None:
    server = new_server(options=Milo(projects=("one",), cold_storage=False))
    inside = "/apis/resourcemanager.miloapis.com/v1alpha1/projects/one/control-plane"
    server.done("POST", f"{inside}{OLD}", core_event())

    assert server.names(f"{inside}{OLD}") == ["a"]
    assert server.names(NEW) == []
    assert server.ask("GET", f"{inside}{NEW}")[0] == 404


def test_a_write_in_one_api_forgets_the_owners_that_came_through_the_other(server: Any) -> None:
    server.done("POST", f"{OLD}?fieldManager=one", core_event())
    changed = server.merge(f"{NEW}/a?fieldManager=two", {"metadata": {"labels": {"a": "b"}}})

    (entry,) = changed["metadata"]["managedFields"]
    assert (entry["manager"], entry["apiVersion"]) == ("two", "events.k8s.io/v1")


def test_an_event_keeps_what_it_says_in_the_new_api_alone(server: Any) -> None:
    server.done("POST", NEW, new_event())
    code, refusal = server.ask("PATCH", f"{NEW}/b", {"note": "another"}, "application/merge-patch+json")

    assert code == 422
    assert refusal["message"] == 'Event "b" is invalid: message: Invalid value: "another": field is immutable'
    assert server.merge(f"{OLD}/b", {"message": "another"})["message"] == "another"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"eventTime": None, "regarding": {"namespace": "default"}}, "eventTime: Required value"),
        ({"type": "Odd"}, 'type: Invalid value: "": has invalid value: Odd'),
        ({"action": ""}, "action: Required value"),
        ({"note": "é" * 513}, 'message: Invalid value: "": can have at most 1024 characters'),
        ({"deprecatedCount": 1}, 'count: Invalid value: "": needs to be unset'),
        ({"series": {"count": 1}}, "series.lastObservedTime: Required value"),
    ],
)
def test_the_new_api_asks_for_more(server: Any, more: dict[str, Any], said: str) -> None:
    code, refusal = server.ask("POST", NEW, new_event(**more))

    assert code == 422
    assert said in refusal["message"]

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.representation import negotiate

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = negotiate("application/json")
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def test_a_watch_goes_on_from_a_version(server: Any, new_config_map: Callable[..., Any]) -> None:
    first = server.done("POST", CONFIGMAPS, new_config_map("a"))
    server.done("POST", CONFIGMAPS, new_config_map("b"))
    server.merge(f"{CONFIGMAPS}/a", {"data": {"a": "2"}})
    server.done("DELETE", f"{CONFIGMAPS}/b")

    events = server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={first['metadata']['resourceVersion']}", 3)

    assert told(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)


def test_without_a_version_what_is_there_comes_first(server: Any, new_config_map: Callable[..., Any]) -> None:
    server.done("POST", CONFIGMAPS, new_config_map("a"))

    assert told(server.watch(f"{CONFIGMAPS}?watch=1", 1)) == [("ADDED", "a")]


def test_a_streaming_list_ends_with_a_marked_bookmark(server: Any, new_config_map: Callable[..., Any]) -> None:
    server.done("POST", CONFIGMAPS, new_config_map("a"))
    options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

    events = server.watch(f"{CONFIGMAPS}?{options}", 2)

    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    meta = events[1]["object"]["metadata"]
    assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert meta["resourceVersion"] == str(server.api.backend.store.version)


def test_a_version_before_the_window_is_told_as_an_error(new_server: Any, new_config_map: Callable[..., Any]) -> None:
    server = new_server(window=2)
    for name in "abcd":
        server.done("POST", CONFIGMAPS, new_config_map(name))

    events = server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion=1", 1)

    assert (events[0]["type"], events[0]["object"]["code"], events[0]["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_that_falls_behind_ends(new_server: Any, new_config_map: Callable[..., Any]) -> None:
    server = new_server(window=2)
    version = server.done("POST", CONFIGMAPS, new_config_map("x"))["metadata"]["resourceVersion"]
    frozen = [int(version)]
    for name in "abcd":
        server.done("POST", CONFIGMAPS, new_config_map(name))

    assert server.watch(f"{CONFIGMAPS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", 1) == []
    events = server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={version}", 1, frozen=lambda: frozen[0])
    assert events[0]["object"]["code"] == 410


def test_with_a_selector_objects_come_and_go_with_their_labels(server: Any, new_config_map: Callable[..., Any]) -> None:
    version = server.done("POST", CONFIGMAPS, new_config_map("a"))["metadata"]["resourceVersion"]
    server.merge(f"{CONFIGMAPS}/a", {"metadata": {"labels": {"app": "web"}}})
    server.merge(f"{CONFIGMAPS}/a", {"data": {"a": "2"}})
    server.merge(f"{CONFIGMAPS}/a", {"metadata": {"labels": None}})
    server.done("DELETE", f"{CONFIGMAPS}/a")

    events = server.watch(f"{CONFIGMAPS}?watch=1&labelSelector=app%3Dweb&resourceVersion={version}", 4)

    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    gone = events[2]["object"]["metadata"]
    assert gone["labels"] == {"app": "web"}  # The last state that was selected, under the version of the change.
    assert int(gone["resourceVersion"]) > int(events[1]["object"]["metadata"]["resourceVersion"])


def test_a_watch_of_one_name_sees_no_other(server: Any, new_config_map: Callable[..., Any]) -> None:
    for name in "ab":
        server.done("POST", CONFIGMAPS, new_config_map(name))

    assert told(server.watch(f"{CONFIGMAPS}/b?watch=1", 2)) == [("ADDED", "b")]


def test_through_a_frozen_front_end_time_stands_still(server: Any, new_config_map: Callable[..., Any]) -> None:
    version = int(server.done("POST", CONFIGMAPS, new_config_map("a"))["metadata"]["resourceVersion"])
    server.done("POST", CONFIGMAPS, new_config_map("b"))

    assert told(server.watch(f"{CONFIGMAPS}?watch=1", 2, frozen=lambda: version)) == [("ADDED", "a")]
    assert server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={version}", 1, frozen=lambda: version) == []
    assert told(server.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={version}", 1)) == [("ADDED", "b")]


def test_a_watch_ends_with_the_definition_of_its_kind(widgets: Any) -> None:
    path = "/apis/example.com/v1/widgets"
    topic = widgets.api.backend.store.topic("", "widgets.example.com")
    before = topic.ended
    widgets.done("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")

    assert topic.ended == before + 1
    assert widgets.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("resourceVersion=x", 500),
        ("sendInitialEvents=true", 422),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=1", 422),
        ("labelSelector=%3D%3D", 400),
        ("fieldSelector=spec.nothing%3D1", 400),
    ],
)
def test_wrong_options_are_refused_before_the_stream_begins(server: Any, options: str, code: int) -> None:
    with pytest.raises(Refusal) as refused:
        server.watch(f"{CONFIGMAPS}?watch=1&{options}", 1)

    assert refused.value.code == code


def test_an_open_watch_is_counted_and_a_closed_one_is_not(server: Any) -> None:
    topic = server.api.backend.store.topic("", "configmaps")
    server.watch(f"{CONFIGMAPS}?watch=1", 1)

    assert topic.watches == 0


def test_what_comes_while_a_long_beginning_is_read_is_told_after_it_and_once(server: Any) -> None:
    text = "x" * 30_000
    for name in "bcdefg":
        server.done("POST", CONFIGMAPS, {"metadata": {"name": name}, "data": {"a": text}})

    async def read() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        async with aclosing(server.api.watch(server.call("GET", f"{CONFIGMAPS}?watch=1"), JSON)) as chunks:
            async for chunk in chunks:
                if not events:
                    server.done("DELETE", f"{CONFIGMAPS}/b")
                    server.done("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
                    server.merge(f"{CONFIGMAPS}/g", {"data": {"a": "2"}})
                events += [msgspec.json.decode(line) for line in chunk.splitlines()]
                if len(events) == 9:
                    break
        return events

    events = asyncio.run(read())
    begun = [("ADDED", name) for name in "bcdefg"]
    assert told(events) == [*begun, ("DELETED", "b"), ("ADDED", "a"), ("MODIFIED", "g")]

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.cache import turns
from kcontroller.cache.events import Bookmark, Deleted, Failure, Upserted, decode, decode_lines, decode_page
from kcontroller.cache.poison import UNREADABLE, Undecodable
from kcontroller.cache.projection import Entry
from kcontroller.errors import Expired, ServerError
from tests.unit.cache.objects import PLAIN, bookmark, dump, entry, key, line, nested, page, pod, status


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED"])
def test_added_and_modified_are_the_same_to_the_store(type_: str) -> None:
    assert decode(line(type_, pod("a", 5)), PLAIN) == Upserted(entry("a", 5))


def test_a_deletion_carries_the_last_state() -> None:
    assert decode(line("DELETED", pod("a", 5)), PLAIN) == Deleted(entry("a", 5))


@pytest.mark.parametrize(
    ("mark", "ended"), [("true", True), ("false", False), ("", False), ("True", False), (None, False)]
)
def test_only_true_ends_the_initial_events(mark: str | None, ended: bool) -> None:  # noqa: FBT001
    assert decode(bookmark(7, mark=mark), PLAIN) == Bookmark(7, initial_events_end=ended)


def test_a_bookmark_may_have_null_annotations() -> None:
    document = {"metadata": {"resourceVersion": "7", "annotations": None, "creationTimestamp": None}}

    assert decode(line("BOOKMARK", document), PLAIN) == Bookmark(7)


def test_an_error_is_the_status_it_carries() -> None:
    failure = decode(line("ERROR", status(410, "too old resource version", causes=("x",))), PLAIN)

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, Expired)
    assert failure.error.causes == ("x",)
    assert "too old resource version" in str(failure.error)
    assert "watch" in str(failure.error)


@pytest.mark.parametrize("document", [{}, {"code": 0}, [], "text", None, {"message": 3}])
def test_an_error_without_a_code_counts_as_500(document: Any) -> None:
    failure = decode(line("ERROR", document), PLAIN)

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, ServerError)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"garbage",
        b"<html>",
        b"\x00\x01",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"ADDED"}',
        b'{"object":{}}',
        b'{"type":3,"object":{}}',
        b'{"type":"WHAT","object":{}}',
        b'{"type":"added","object":{}}',
        b'{"type":"ADDED","object":{}',
        b'{"type":"ADDED","object":{}}}',
        b'{"type":"BOOKMARK","object":{}}',
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"0"}}}',
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":7}}}',
        b"[" * 5000,
        b'{"type":"ADDED","object":' + b"[" * 5000,
    ],
)
def test_what_is_no_event_is_an_error(text: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode(text, PLAIN)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event_or_one_of_the_known_errors(text: bytes) -> None:
    for attempt in (decode, decode_page):
        try:
            attempt(text, PLAIN)  # type: ignore[operator]
        except UNREADABLE:
            continue


@pytest.mark.parametrize(
    ("document", "where", "version"),
    [
        (pod("a", 5, metadata={"labels": {"x": 1}}), key("a"), 5),
        (pod("a", "x"), key("a"), 0),
        (pod("a", 5, metadata={"resourceVersion": 5}), key("a"), 0),
        (pod("a", 5, metadata={"name": 3}), None, 5),
        (pod("a", 5, metadata={"name": ""}) | {"x": 1}, None, 5),
        (pod("a", 5, metadata={"namespace": 3}), None, 5),
        ({"metadata": {"name": "a", "namespace": None}}, key("a", ""), 0),
        ({"metadata": []}, None, 0),
        ({}, None, 0),
        ([], None, 0),
        (3, None, 0),
        (None, None, 0),
    ],
)
def test_an_object_that_cannot_be_decoded_says_what_it_can(document: Any, where: object, version: int) -> None:
    if isinstance(document, dict) and document.get("x") == 1:
        document["metadata"]["labels"] = 3
    for type_, deleted in (("ADDED", False), ("MODIFIED", False), ("DELETED", True)):
        event = decode(line(type_, document), PLAIN)
        assert isinstance(event, Undecodable)
        assert (event.key, event.version, event.deleted) == (where, version, deleted)
        assert event.why


def test_the_reason_repeats_nothing_of_the_object() -> None:
    event = decode(line("ADDED", pod("a", 5, metadata={"labels": ["hunter2"]}, data={"password": "hunter2"})), PLAIN)

    assert isinstance(event, Undecodable)
    assert "hunter2" not in event.why


@pytest.mark.parametrize("depth", [50_000, 100_000])
@pytest.mark.parametrize("type_", ["ADDED", "DELETED"])
def test_an_object_nested_too_deep_says_what_it_can(depth: int, type_: str) -> None:
    text = line(type_, pod("a", 5, spec="HERE")).replace(b'"HERE"', nested(depth).encode())

    assert decode(text, PLAIN) == Undecodable(key("a"), 5, "it is nested too deep", deleted=type_ == "DELETED")


def test_a_page_is_its_items_and_where_to_go_on() -> None:
    found = decode_page(page([pod("a", 5), pod("b", 6)], 10, "more"), PLAIN)

    assert (found.version, found.token) == (10, "more")
    assert [item.key for item in found.items] == [key("a"), key("b")]


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_a_page_may_be_empty(items: bytes) -> None:
    body = b'{"metadata":{"resourceVersion":"10"},"items":' + items + b"}"

    assert decode_page(body, PLAIN).items == []


def test_a_page_keeps_its_place_for_what_cannot_be_decoded() -> None:
    found = decode_page(page([pod("a", 5), pod("bad", 6, metadata={"uid": 3}), {}, pod("c", 7)], 10), PLAIN)

    assert [type(item) for item in found.items] == [Entry, Undecodable, Undecodable, Entry]


def test_a_page_with_an_object_nested_too_deep_loses_only_that() -> None:
    marked = pod("b", 6, metadata={"annotations": {"x": "kcontroller: nested too deep"}})
    body = page([pod("a", 5, spec="HERE"), pod("c", 7)], 10).replace(b'"HERE"', nested(50_000).encode())

    assert [type(item) for item in decode_page(body, PLAIN).items] == [Undecodable, Entry]
    assert isinstance(decode(line("ADDED", marked), PLAIN), Upserted)


@pytest.mark.parametrize("version", ["", "0", "a", None, 5])
def test_a_page_without_a_version_is_an_error(version: Any) -> None:
    body = dump({"metadata": {"resourceVersion": version}, "items": []})

    with pytest.raises(ValueError):
        decode_page(body, PLAIN)


ROUNDABOUT = {
    "compact": b'{"type":"TYPE","object":OBJECT}',
    "spaced": b'{ "type": "TYPE", "object": OBJECT }',
    "turned": b'{"object":OBJECT,"type":"TYPE"}',
    "more": b'{"type":"TYPE","object":OBJECT,"more":{}}',
    "twice": b'{"type":"TYPE","object":{},"object":OBJECT}',
}


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED"])
@pytest.mark.parametrize("form", ROUNDABOUT)
def test_an_event_says_the_same_however_it_is_written(type_: str, form: str) -> None:
    document = dump(pod("a", 5, spec={"type": "x"}))
    text = ROUNDABOUT[form].replace(b"TYPE", type_.encode(), 1).replace(b"OBJECT", document)

    assert decode(text, PLAIN) == Upserted(PLAIN.entry(document))


@pytest.mark.parametrize("end", [b"", b"]", b"}]", b"}}}", b"},", b"}\x00}"])
def test_an_event_that_does_not_end_as_it_should_is_none(end: bytes) -> None:
    with pytest.raises(ValueError):
        decode(b'{"type":"ADDED","object":' + dump(pod("a", 5)) + end, PLAIN)


def test_what_is_no_event_ends_the_list_of_those_before_it() -> None:
    good = line("ADDED", pod("a", 5)).strip()
    for bulk in (True, False):
        one, two = decode_lines([good, b"{}", good], PLAIN, bulk=bulk)
        assert one == Upserted(entry("a", 5))
        assert isinstance(two, ValueError)


def test_a_live_event_does_not_wait_for_those_who_decode_lists() -> None:
    lists = threading.Thread(target=lambda: decode_lines([line("ADDED", pod("a", 5)).strip()], PLAIN, bulk=True))
    with turns.BULK:
        lists.start()
        assert decode_lines([line("ADDED", pod("b", 6)).strip()], PLAIN, bulk=False) == [Upserted(entry("b", 6))]
        assert lists.is_alive()
    lists.join(10)
    assert not lists.is_alive()

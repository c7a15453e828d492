"""Which form an answer takes, and what it looks like."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from kcontroller.embedded import recorded
from kcontroller.embedded.kinds import Kind
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.store import Stored
from kcontroller.embedded.views.representation import negotiate

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PROTOBUF = "application/vnd.kubernetes.protobuf"
WIDGET = Kind("example.com", "v1", "Widget", "widgets", "widget", True, "v1", Schema({"type": "object"}), builtin=False)
CONFIG_MAP = next(kind for kind in recorded.load().kinds if kind.resource == "configmaps")
META = {"resourceVersion": "9"}
BORN = "2026-01-01T00:00:00Z"


def _now() -> float:
    return 1767225690.0  # 90 seconds later


def _stored(kind: Kind, name: str, version: int = 7, **rest: Any) -> Stored:
    metadata = {"name": name, "namespace": "n", "uid": "u", "creationTimestamp": BORN}
    return Stored.of({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **rest}, version)


def _one(accept: str, kind: Kind = WIDGET) -> Any:
    return msgspec.json.decode(negotiate(accept, now=_now).one(kind, _stored(kind, "a")))


def _list(accept: str, kind: Kind = WIDGET, *, meta: dict[str, Any] | None = None) -> Any:
    found = [_stored(kind, "a"), _stored(kind, "b")]
    return msgspec.json.decode(negotiate(accept, now=_now).listing(kind, found, META | (meta or {})))


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "application/json, */*",
        "application/json;charset=utf-8",
        "application/json;stream=watch",
        f"{PROTOBUF},application/json",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/yaml;q=0.1,application/json",
        "text/plain;q=0.9, application/json;q=0.2",
        "application/json;q=nonsense",
        f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json",
    ],
)
def test_plain_json_is_chosen(accept: str) -> None:
    assert negotiate(accept).content_type == "application/json"
    assert _one(accept)["kind"] == "Widget"


@pytest.mark.parametrize(
    "accept", ["application/yaml", "application/json;q=0.1,application/yaml", "application/yaml;q=0"]
)
def test_yaml_is_chosen(accept: str) -> None:
    chosen = negotiate(accept)
    assert chosen.content_type == "application/yaml"
    written = chosen.one(WIDGET, _stored(WIDGET, "a", spec={"on": "true"}))
    assert yaml.safe_load(written)["spec"] == {"on": "true"}
    assert written.startswith(b"apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  creationTimestamp: '2026")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{TABLE},application/json", "Table"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"),
        (f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{PARTIAL},application/json", "PartialObjectMetadata"),
        ("application/json;as=Foo,*/*", "Widget"),
        ("application/json;as=Table;g=meta.k8s.io;v=v9,application/json", "Widget"),
    ],
)
def test_the_first_form_that_there_is_is_chosen(accept: str, kind: str) -> None:
    assert _one(accept)["kind"] == kind


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "json",
        "APPLICATION/JSON",
        PROTOBUF,
        "application/json;as=Foo",
        "application/json;as=Table",
        "application/json;as=Table;g=x;v=v1",
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(accept: str) -> None:
    with pytest.raises(Refusal) as caught:
        negotiate(accept)
    assert (caught.value.code, caught.value.reason) == (406, "NotAcceptable")
    accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    assert caught.value.message == f"only the following media types are accepted: {accepted}"
    assert "details" not in caught.value.document()


@pytest.mark.parametrize("accept", ["application/yaml", "application/yaml,application/json", "text/plain"])
def test_a_watch_is_not_had_in_yaml(accept: str) -> None:
    with pytest.raises(Refusal) as caught:
        negotiate(accept, watch=True)
    accepted = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    assert caught.value.message == f"only the following media types are accepted: {accepted}"


def test_an_object_is_its_stored_bytes() -> None:
    stored = _stored(WIDGET, "a", spec={"x": 1})
    assert negotiate("").one(WIDGET, stored) == stored.raw + b"\n"


def test_another_version_of_an_object_differs_in_its_api_version() -> None:
    beta = Kind("example.com", "v1beta1", "Widget", "widgets", "widget", True, "v1", Schema({}), builtin=False)
    assert msgspec.json.decode(negotiate("").one(beta, _stored(WIDGET, "a")))["apiVersion"] == "example.com/v1beta1"


def test_a_custom_list_has_whole_items_and_an_empty_continue() -> None:
    document = _list("")
    assert (document["kind"], document["apiVersion"]) == ("WidgetList", "example.com/v1")
    assert document["metadata"] == {"continue": "", "resourceVersion": "9"}
    assert [(item["kind"], item["metadata"]["name"]) for item in document["items"]] == [
        ("Widget", "a"),
        ("Widget", "b"),
    ]


def test_a_page_tells_how_it_goes_on() -> None:
    meta = {"continue": "token", "remainingItemCount": 3}
    assert _list("", meta=meta)["metadata"] == {"resourceVersion": "9", **meta}


def test_an_empty_list_has_no_items() -> None:
    document = msgspec.json.decode(negotiate("").listing(CONFIG_MAP, [], META))
    assert document == {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": META, "items": []}


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u"}, "data": {"kind": "x"}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "uid": "u"}, "data": {"kind": "x"}},
        {"metadata": {"name": "a", "uid": "u"}, "data": {"kind": "x"}, "kind": "ConfigMap", "apiVersion": "v1"},
    ],
)
def test_items_of_a_built_in_list_do_not_say_their_kind(document: dict[str, Any]) -> None:
    written = msgspec.json.decode(negotiate("").listing(CONFIG_MAP, [Stored.of(document, 7)], META))
    metadata = {"name": "a", "uid": "u", "resourceVersion": "7"}
    assert written["items"] == [{"metadata": metadata, "data": {"kind": "x"}}]


def test_a_watch_event_is_a_line_with_the_whole_object() -> None:
    line = negotiate("", watch=True).event(CONFIG_MAP, "ADDED", _stored(CONFIG_MAP, "a"))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    event = msgspec.json.decode(line)
    assert (event["type"], event["object"]["kind"], event["object"]["metadata"]["name"]) == ("ADDED", "ConfigMap", "a")


def test_a_bookmark_has_kind_and_version_only() -> None:
    line = negotiate("", watch=True).bookmark(WIDGET, 12, initial_end=False)
    metadata = {"resourceVersion": "12"}
    whole = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": metadata}
    assert msgspec.json.decode(line) == {"type": "BOOKMARK", "object": whole}


@pytest.mark.parametrize("accept", ["", PARTIAL])
def test_the_end_of_the_initial_events_is_an_annotation_of_a_bookmark(accept: str) -> None:
    event = msgspec.json.decode(negotiate(accept, watch=True).bookmark(WIDGET, 12, initial_end=True))
    metadata = {"resourceVersion": "12", "annotations": {"k8s.io/initial-events-end": "true"}}
    assert event["object"]["metadata"] == metadata


def test_a_table_holds_columns_rows_and_the_list_meta() -> None:
    document = _list(TABLE, meta={"continue": "token"})
    assert (document["kind"], document["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert document["metadata"] == {"resourceVersion": "9", "continue": "token"}
    assert [column["name"] for column in document["columnDefinitions"]] == ["Name", "Age"]
    assert [row["cells"] for row in document["rows"]] == [["a", "90s"], ["b", "90s"]]
    assert document["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert document["rows"][0]["object"]["metadata"]["resourceVersion"] == "7"


def test_a_table_of_one_object_has_its_version() -> None:
    assert _one(TABLE)["metadata"] == {"resourceVersion": "7"}


def test_a_table_of_the_older_version_says_so_throughout() -> None:
    document = _one("application/json;as=Table;g=meta.k8s.io;v=v1beta1")
    assert document["apiVersion"] == document["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


@pytest.mark.parametrize(("include", "kind"), [("None", None), ("Object", "Widget"), ("", "PartialObjectMetadata")])
def test_rows_include_what_was_asked_for(include: str, kind: str | None) -> None:
    written = negotiate(TABLE, include=include).one(WIDGET, _stored(WIDGET, "a"))
    shown = msgspec.json.decode(written)["rows"][0]["object"]
    assert (shown and shown["kind"]) == kind


def test_another_inclusion_is_refused_for_a_table_alone() -> None:
    with pytest.raises(Refusal, match="includeObject"):
        negotiate(TABLE, include="Bogus")
    assert negotiate("", include="Bogus").content_type == "application/json"


def test_a_watched_table_defines_its_columns_once() -> None:
    stream = negotiate(TABLE, watch=True, now=_now)
    events = [msgspec.json.decode(stream.event(WIDGET, "ADDED", _stored(WIDGET, name))) for name in ("a", "b")]
    assert [column["name"] for column in events[0]["object"]["columnDefinitions"]] == ["Name", "Age"]
    assert events[1]["object"]["columnDefinitions"] is None
    assert events[1]["object"]["rows"][0]["cells"] == ["b", "90s"]
    assert events[1]["object"]["metadata"] == {"resourceVersion": "7"}


@pytest.mark.parametrize(("kind", "cells"), [(WIDGET, ["", None]), (CONFIG_MAP, ["", 0, "<unknown>"])])
def test_a_bookmark_in_a_table_is_a_row_without_content(kind: Kind, cells: list[Any]) -> None:
    event = msgspec.json.decode(negotiate(TABLE, watch=True).bookmark(kind, 12, initial_end=True))
    (row,) = event["object"]["rows"]
    assert row["cells"] == cells
    assert row["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_partial_metadata_is_the_metadata_of_an_object() -> None:
    document = _one(PARTIAL, CONFIG_MAP)
    assert document.keys() == {"kind", "apiVersion", "metadata"}
    assert (document["apiVersion"], document["metadata"]["name"]) == ("meta.k8s.io/v1", "a")


def test_a_partial_list_has_partial_items() -> None:
    document = _list(PARTIAL_LIST, CONFIG_MAP)
    assert (document["kind"], document["metadata"]) == ("PartialObjectMetadataList", META)
    assert [item["kind"] for item in document["items"]] == ["PartialObjectMetadata"] * 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (CONFIG_MAP, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
        (
            WIDGET,
            "you requested PartialObjectMetadata, but the requested object is a list (*unstructured.UnstructuredList)",
        ),
    ],
)
def test_a_list_is_not_had_in_the_form_of_an_object(kind: Kind, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        _list(PARTIAL, kind)
    assert (caught.value.code, caught.value.message) == (406, message)


def test_an_object_is_not_had_in_the_form_of_a_list() -> None:
    message = r"PartialObjectMetadataList, but the requested object is not a list \(\*core.ConfigMap\)"
    with pytest.raises(Refusal, match=message) as caught:
        _one(PARTIAL_LIST, CONFIG_MAP)
    assert caught.value.code == 406
    with pytest.raises(Refusal, match="content is not a list") as caught:
        _one(PARTIAL_LIST, WIDGET)
    assert caught.value.code == 500


def test_a_table_is_had_in_yaml() -> None:
    written = negotiate("application/yaml;as=Table;g=meta.k8s.io;v=v1").listing(WIDGET, [_stored(WIDGET, "a")], META)
    assert yaml.safe_load(written)["rows"][0]["cells"][0] == "a"


def test_tables_of_lists_always_define_their_columns() -> None:
    chosen = negotiate(TABLE)
    written = [msgspec.json.decode(chosen.listing(WIDGET, [], META)) for _ in range(2)]
    assert [len(one["columnDefinitions"]) for one in written] == [2, 2]

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller import errors
from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.client.answers import api_error, list_page, mapping_in, stamped, status_error

POD = GVK("", "v1", "Pod")


def failure(status: int, body: Any = b"", **headers: str) -> errors.ApiError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api_error(status, raw, verb="get", resource="pods", headers=headers)


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (300, "", errors.ApiError),
        (302, "", errors.ApiError),
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (404, "", errors.NotFound),
        (405, "MethodNotAllowed", errors.MethodNotAllowed),
        (406, "NotAcceptable", errors.ApiError),
        (408, "", errors.ApiError),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Expired),
        (410, "Gone", errors.Expired),
        (413, "RequestEntityTooLarge", errors.ApiError),
        (415, "UnsupportedMediaType", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (502, "", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
        (504, "Timeout", errors.ServerError),
        (599, "", errors.ServerError),
    ],
)
def test_every_status_has_its_exception(status: int, reason: str, expected: type[errors.ApiError]) -> None:
    error = failure(status, {"kind": "Status", "reason": reason, "message": "because"})
    assert type(error) is expected
    assert (error.status, error.reason, error.message) == (status, reason, "because")
    assert str(error) == f"get pods: {status}{' ' + reason if reason else ''}: because"


def test_a_status_is_read_with_its_details() -> None:
    error = failure(
        500,
        {
            "reason": "Timeout",
            "message": "too large resource version",
            "details": {"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "x"}]},
        },
    )
    assert (error.retry_after, error.causes) == (1.0, ("ResourceVersionTooLarge",))


@pytest.mark.parametrize(
    "nulls",
    [{"message": None}, {"details": None}, {"details": {"causes": None}}, {"details": {"causes": [{"reason": None}]}}],
)
def test_nulls_do_not_hide_the_reason(nulls: dict[str, Any]) -> None:
    assert failure(409, {"reason": "AlreadyExists", **nulls}).reason == "AlreadyExists"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("", 7.0), ("²", 7.0), ("-1", 7.0), ("1e3", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 7.0)],
)
def test_the_header_says_when_to_come_again_else_the_body(header: str, seconds: float) -> None:
    assert failure(429, {"details": {"retryAfterSeconds": 7}}, **{"retry-after": header}).retry_after == seconds


def test_without_either_nothing_is_said() -> None:
    assert failure(429).retry_after is None


@pytest.mark.parametrize(
    "body",
    [
        b"404 page not found\n",
        b"<html>\r\n<b>Bad\tGateway</b>\n",
        b"\xff\xfe",
        b"[1]",
        b'{"reason": 5}',
        b'{"a":' * 9999,
    ],
)
def test_a_body_that_is_no_status_becomes_its_text_on_one_line(body: bytes) -> None:
    error = failure(502, body)
    assert error.reason == ""
    assert error.message
    assert len(error.message) <= 256
    assert error.message.isprintable()


def test_a_message_of_many_lines_is_put_on_one() -> None:
    assert failure(422, {"message": "two faults:\n* a\n* b"}).message == "two faults: * a * b"


@given(st.binary(max_size=200), st.integers(300, 599))
def test_no_body_breaks_the_reading_of_an_error(body: bytes, status: int) -> None:
    assert api_error(status, body, verb="get", resource="pods").status == status


def test_the_code_of_a_status_in_a_watch_counts() -> None:
    error = status_error(
        b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}', verb="watch", resource="pods"
    )
    assert isinstance(error, errors.Expired)
    assert type(status_error(b"{}", verb="watch", resource="pods")) is errors.ServerError


def test_a_list_is_split_into_its_parts() -> None:
    body = b'{"metadata":{"resourceVersion":"5","continue":"t"},"items":[{"a": 1},{}]}'
    version, token, items = list_page(body)
    assert (version, token, [bytes(item) for item in items]) == ("5", "t", [b'{"a": 1}', b"{}"])
    assert list_page(b'{"metadata":{"continue":null},"items":null}') == ("", "", [])


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"items":{}}'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        list_page(body)


def test_an_item_is_stamped_with_its_kind_and_otherwise_as_it_was() -> None:
    assert json.loads(stamped(b'{"metadata":{"name":"p"},"x":1.50}', POD)) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "x": 1.5,
    }
    assert b'"x":1.50' in stamped(b'{"metadata":{},"x":1.50}', POD)


def test_an_item_that_says_its_kind_is_only_copied() -> None:
    raw = msgspec.Raw(b'{ "kind":"Pod", "apiVersion":"v1" }')
    copied = stamped(raw, POD)
    assert type(copied) is bytes
    assert copied == b'{ "kind":"Pod", "apiVersion":"v1" }'


def test_a_kind_is_found_among_resources_and_subresources() -> None:
    body = json.dumps(
        {
            "groupVersion": "v1",
            "resources": [
                {"name": "pods/eviction", "kind": "Pod", "namespaced": True},
                {"name": "nodes", "kind": "Node", "namespaced": False},
                {"name": "pods", "kind": "Pod", "namespaced": True},
            ],
        }
    ).encode()
    assert mapping_in(body, POD) == ResourceMapping(POD, "pods", namespaced=True)
    assert mapping_in(body, GVK("", "v1", "Service")) is None
    assert mapping_in(b'{"resources":null}', POD) is None

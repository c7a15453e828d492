from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kcontroller import errors
from kcontroller.api.keys import GVK, Key, ResourceMapping
from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.client.direct import PAGE_SIZE, DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.ports import Selection, Write
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.testing.clock import VirtualClock
from tests.unit.api.kinds import Widget
from tests.unit.client.servers import Answer, ScriptedSender

POD = GVK("", "v1", "Pod")
NODE = GVK("", "v1", "Node")
WIDGETS = "/apis/example.com/v1/namespaces/ns/widgets"
KEY = Key("ns", "w")


def port(sender: ScriptedSender, **options: Any) -> DirectPort:
    mapper = RestMapper(sender)
    mapper.learn(ResourceMapping(POD, "pods", namespaced=True))
    mapper.learn(ResourceMapping(NODE, "nodes", namespaced=False))
    return DirectPort(sender, mapper, **options)


def query_of(target: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(target).query))


def test_an_object_and_its_subresource_are_read_by_path() -> None:
    sender = ScriptedSender(lambda _: (200, b"{}"))
    direct = port(sender)
    assert direct.get(Widget, KEY) == b"{}"
    direct.get(Widget, KEY, "scale")
    direct.get(NODE, Key("", "n"))
    assert sender.targets == [f"GET {WIDGETS}/w", f"GET {WIDGETS}/w/scale", "GET /api/v1/nodes/n"]
    assert {(request.verb, request.body) for request in sender.requests} == {("get", None)}


@pytest.mark.parametrize(
    ("verb", "subresource", "expected"),
    [
        ("create", "", f"POST {WIDGETS}"),
        ("create", "eviction", f"POST {WIDGETS}/w/eviction"),
        ("update", "", f"PUT {WIDGETS}/w"),
        ("update", "status", f"PUT {WIDGETS}/w/status"),
        ("patch", "", f"PATCH {WIDGETS}/w"),
        ("patch", "status", f"PATCH {WIDGETS}/w/status"),
        ("delete", "", f"DELETE {WIDGETS}/w"),
    ],
)
def test_a_write_has_its_method_path_and_body(verb: str, subresource: str, expected: str) -> None:
    sender = ScriptedSender(lambda _: (201, b"{}"))
    port(sender).write(Write(verb, Widget, KEY, b'{"a":1}', "x/y", subresource, (("dryRun", "All"), ("force", ""))))
    (request,) = sender.requests
    assert sender.targets == [f"{expected}?dryRun=All"]
    assert (request.body, request.content_type, request.verb) == (b'{"a":1}', "x/y", verb)


def test_a_name_can_be_left_to_the_server() -> None:
    sender = ScriptedSender(lambda _: (201, b"{}"))
    port(sender).write(Write("create", Widget, Key("ns", "")))
    assert sender.targets == [f"POST {WIDGETS}"]


@pytest.mark.parametrize(
    ("verb", "kind", "key"),
    [
        ("create", Widget, Key("", "w")),
        ("create", NODE, Key("ns", "n")),
        ("patch", Widget, Key("ns", "")),
        ("delete", Widget, Key("ns", "..")),
        ("update", Widget, Key("a/b", "w")),
    ],
)
def test_an_impossible_path_is_refused_before_anything_is_sent(verb: str, kind: Any, key: Key) -> None:
    sender = ScriptedSender(lambda _: (200, b"{}"))
    with pytest.raises(ValueError, match=r"namespace|cannot be part"):
        port(sender).write(Write(verb, kind, key))
    assert sender.requests == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.ApiError),
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.MethodNotAllowed),
        (409, errors.Conflict),
        (410, errors.Expired),
        (415, errors.ApiError),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_a_failed_answer_says_what_was_asked(status: int, expected: type[errors.ApiError]) -> None:
    sender = ScriptedSender(lambda _: (status, {"message": "no", "reason": "R"}), **{"retry-after": "4"})
    with pytest.raises(expected) as caught:
        port(sender).write(Write("patch", Widget, KEY, subresource="status"))
    error = caught.value
    assert (error.status, error.verb, error.resource) == (status, "patch", "widgets.example.com/status")
    assert (error.message, error.reason, error.retry_after) == ("no", "R", 4.0)


def test_a_404_without_status_is_a_kind_that_is_no_longer_served() -> None:
    def answer(request: Any) -> Answer:
        if request.target == "/apis/apps/v1":
            return 200, {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}
        return next(bodies)

    gone = (404, {"kind": "Status", "reason": "NotFound", "message": "x"})
    bodies = iter([gone, (404, b"404 page not found\n"), gone])
    sender = ScriptedSender(answer)
    direct = port(sender)
    for expected in (errors.NotFound, errors.KindNotServed, errors.NotFound):
        with pytest.raises(expected):
            direct.get("apps/v1 Deployment", KEY)
    asked, read = "GET /apis/apps/v1", "GET /apis/apps/v1/namespaces/ns/deployments/w"
    assert sender.targets == [asked, read, read, asked, read]


def pages(*answers: Answer) -> ScriptedSender:
    script = iter(answers)
    return ScriptedSender(lambda _: next(script))


def page(token: str, *names: str) -> Answer:
    return 200, {
        "metadata": {"resourceVersion": "9", "continue": token},
        "items": [{"metadata": {"name": n}} for n in names],
    }


def names(items: Any) -> list[str]:
    return [json.loads(item)["metadata"]["name"] for item in items]


def test_a_list_is_read_page_by_page() -> None:
    sender = pages(page("t1", "a", "b"), page("t/2 &", "c"), page("", "d"))
    selection = Selection("ns", LabelSelector.parse("app in (a,b)"), FieldSelector.parse("spec.x!=1"))
    assert names(port(sender).list(POD, selection)) == ["a", "b", "c", "d"]
    assert {urlsplit(request.target).path for request in sender.requests} == {"/api/v1/namespaces/ns/pods"}
    common = {"labelSelector": "app in (a,b)", "fieldSelector": "spec.x!=1", "limit": str(PAGE_SIZE)}
    assert [query_of(request.target) for request in sender.requests] == [
        common,
        {**common, "continue": "t1"},
        {**common, "continue": "t/2 &"},
    ]
    assert {request.verb for request in sender.requests} == {"list"}


def test_an_expired_page_makes_one_unpaged_list_without_doubles() -> None:
    gone = (410, {"kind": "Status", "reason": "Expired", "metadata": {"continue": "inconsistent"}})
    sender = pages(page("t1", "a", "b"), gone, page("", "a", "b", "c"))
    assert names(port(sender).list(POD, Selection())) == ["a", "b", "c"]
    assert query_of(sender.requests[2].target) == {}


def test_a_list_that_is_expired_twice_fails() -> None:
    gone = (410, {"reason": "Expired"})
    sender = pages(gone, gone)
    with pytest.raises(errors.Expired):
        port(sender).list(POD, Selection())
    assert len(sender.requests) == 2


def test_items_of_a_list_are_stamped_with_their_kind() -> None:
    (item,) = port(pages(page("", "a"))).list(POD, Selection())
    assert json.loads(item) == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"items":5}', b'{"items":[5]}', b'{"metadata":{"continue":"\xff"}}']
)
def test_a_list_that_is_none_is_a_failure_of_the_transport(body: bytes) -> None:
    with pytest.raises(errors.TransportError, match="list pods: the answer is not a list"):
        port(pages((200, body))).list(POD, Selection())


def test_an_index_can_only_be_read_from_a_cache() -> None:
    sender = pages()
    with pytest.raises(errors.NotCached, match=r"index 'spec.nodeName' of v1 Pod can only be read from a cache"):
        port(sender).list(POD, Selection(index=("spec.nodeName", "n")))
    assert sender.requests == []


def test_no_request_outlives_the_deadline_and_each_can_be_stopped() -> None:
    clock, stop = VirtualClock(), StopToken()
    discovery = {"resources": [{"name": "services", "kind": "Service", "namespaced": True}]}
    sender = ScriptedSender(lambda request: (200, discovery if request.target == "/api/v1" else {}))
    direct = port(sender, stop=stop, deadline=Deadline.after(40.0, clock=clock))
    direct.get(POD, KEY)
    clock.advance(35.0)
    direct.get("v1 Service", KEY)
    assert sender.waits == [(30.0, stop), (5.0, stop), (5.0, stop)]


@pytest.mark.parametrize("kind", [POD, "v1 Service"])
def test_after_the_deadline_nothing_is_sent(kind: Any) -> None:
    clock = VirtualClock()
    sender = ScriptedSender(lambda _: (200, b"{}"))
    direct = port(sender, deadline=Deadline.after(1.0, clock=clock))
    clock.advance(1.0)
    with pytest.raises(errors.RequestTimeout, match="was not sent") as caught:
        direct.get(kind, KEY)
    assert caught.value.sent is False
    assert sender.requests == []


def test_without_a_deadline_a_request_has_thirty_seconds() -> None:
    sender = ScriptedSender(lambda _: (200, b"{}"))
    port(sender).get(POD, KEY)
    assert sender.waits == [(30.0, None)]


def test_each_request_brings_its_guard() -> None:
    sender = ScriptedSender(lambda _: (200, b"{}"))
    guard = StopToken().raise_if_stopped
    direct = port(sender, guard=guard)
    direct.write(Write("update", Widget, KEY))
    port(sender).write(Write("update", Widget, KEY))
    assert sender.guards == [guard, None]

"""What a client sends for each of its verbs, down to the request, and what it makes of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kcontroller import errors
from kcontroller.api import patches
from kcontroller.api.keys import GVK, Key, Request, ResourceMapping
from kcontroller.api.objects import Object
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports
from tests.unit.api.kinds import Widget, WidgetSpec, body, meta, unstructured, widget
from tests.unit.client.servers import Answer, MemoryServer, ScriptedSender

if TYPE_CHECKING:
    from kcontroller.transport.messages import HttpRequest

W = "/apis/example.com/v1/namespaces/default/widgets"
KEY = Key("default", "w")
JSON = "application/json"
Call = Callable[[Client], Any]
FORMS = pytest.mark.parametrize("make", [widget, unstructured])


def echo(request: HttpRequest) -> Answer:
    """Answer like a server that accepts everything and says only which object it is."""
    return 200, body(metadata=meta(resourceVersion="8"))


def wired(script: Callable[[HttpRequest], Answer] = echo) -> tuple[Client, ScriptedSender]:
    sender = ScriptedSender(script)
    mapper = RestMapper(sender)
    for gvk, plural in ((Widget.resource.gvk, "widgets"), (GVK("", "v1", "Pod"), "pods")):
        mapper.learn(ResourceMapping(gvk, plural, namespaced=True))
    direct = DirectPort(sender, mapper)
    return Client(Ports(direct, direct, direct, cluster="east")), sender


def query_of(request: HttpRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.target).query))


def changed(make: Any) -> Any:
    obj = make(spec={"replicas": 1}, status={"readyReplicas": 1})
    if isinstance(obj, Object):
        obj.spec["replicas"], obj.status["readyReplicas"] = 2, 3
    else:
        obj.spec.replicas, obj.status.ready_replicas = 2, 3
    return obj


SAME = {"metadata": {"uid": "u-1"}}
"""A patch holds for the object that was read, not for another one of its name."""
FULL = body(spec={"replicas": 2}, status={"readyReplicas": 3})
NEW = {**FULL, "metadata": {"name": "w", "namespace": "default"}}


@FORMS
@pytest.mark.parametrize(
    ("call", "method", "path", "content_type", "sent"),
    [
        (lambda c, o: c.update(o), "PUT", f"{W}/w", JSON, FULL),
        (lambda c, o: c.patch(o), "PATCH", f"{W}/w", patches.MERGE, {"spec": {"replicas": 2}, **SAME}),
        (lambda c, o: c.status.update(o), "PUT", f"{W}/w/status", JSON, FULL),
        (
            lambda c, o: c.status.patch(o),
            "PATCH",
            f"{W}/w/status",
            patches.MERGE,
            {"status": {"readyReplicas": 3}, **SAME},
        ),
        (
            lambda c, o: c.subresource("resize").patch(o),
            "PATCH",
            f"{W}/w/resize",
            patches.MERGE,
            {"spec": {"replicas": 2}, **SAME},
        ),
        (lambda c, o: c.patch(o, patches.merge({"a": None})), "PATCH", f"{W}/w", patches.MERGE, {"a": None}),
        (
            lambda c, o: c.patch(o, patches.json([{"op": "test", "path": "/a"}])),
            "PATCH",
            f"{W}/w",
            patches.JSON,
            [{"op": "test", "path": "/a"}],
        ),
        (
            lambda c, o: c.status.patch(o, patches.strategic({"a": 1})),
            "PATCH",
            f"{W}/w/status",
            patches.STRATEGIC,
            {"a": 1},
        ),
    ],
)
def test_a_write_of_a_changed_object(
    make: Any, call: Any, method: str, path: str, content_type: str, sent: Any
) -> None:
    client, sender = wired()
    obj = changed(make)
    assert call(client, obj) is obj
    (request,) = sender.requests
    assert (request.method, urlsplit(request.target).path) == (method, path)
    assert (request.content_type, json.loads(request.body or b"")) == (content_type, sent)
    assert query_of(request) == {"fieldManager": "kcontroller"}
    assert obj.metadata.resource_version == "8"


def without_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """What both forms say of an object: the typed one sends its defaults too."""
    spec = {name: value for name, value in document["spec"].items() if name == "replicas"}
    status = {name: value for name, value in document.get("status", {}).items() if name == "readyReplicas"}
    return {**document, "spec": spec, **({"status": status} if status else {})}


@FORMS
def test_a_create_leaves_out_what_only_the_server_writes(make: Any) -> None:
    client, sender = wired()
    obj = changed(make)
    obj.metadata.creation_timestamp = obj.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    obj.metadata.generation = 3
    client.create(obj)
    (request,) = sender.requests
    assert (request.method, urlsplit(request.target).path, request.content_type) == ("POST", W, JSON)
    assert without_defaults(json.loads(request.body or b"")) == NEW
    assert query_of(request) == {"fieldManager": "kcontroller"}


@FORMS
def test_an_apply_sends_all_fields_but_the_status(make: Any) -> None:
    client, sender = wired()
    client.apply(changed(make))
    client.apply(changed(make), field_owner="me", force=True)
    plain, forced = sender.requests
    assert (plain.method, urlsplit(plain.target).path, plain.content_type) == ("PATCH", f"{W}/w", patches.APPLY)
    assert without_defaults(json.loads(plain.body or b"")) == {name: NEW[name] for name in NEW if name != "status"}
    assert query_of(plain) == {"fieldManager": "kcontroller"}
    assert query_of(forced) == {"fieldManager": "me", "force": "true"}


@FORMS
def test_an_apply_of_the_status_owns_the_status_alone(make: Any) -> None:
    client, sender = wired()
    obj = changed(make)
    obj.metadata.labels["a"] = "b"
    client.status.apply(obj, field_owner="me", force=True)
    (request,) = sender.requests
    sent = json.loads(request.body or b"")
    assert urlsplit(request.target).path == f"{W}/w/status"
    assert sent.keys() == {"apiVersion", "kind", "metadata", "status"}
    assert sent["metadata"] == {"name": "w", "namespace": "default"}
    assert query_of(request) == {"fieldManager": "me", "force": "true"}


@FORMS
def test_a_delete_of_an_object_that_was_read_has_its_uid_as_precondition(make: Any) -> None:
    client, sender = wired()
    client.delete(make(), propagation="Foreground", grace_period_seconds=0)
    (request,) = sender.requests
    assert (request.method, request.target, request.content_type) == ("DELETE", f"{W}/w", JSON)
    assert json.loads(request.body or b"") == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u-1"},
    }


def test_a_delete_in_a_dry_run_says_so_in_its_body_too() -> None:
    client, sender = wired()
    client.with_options(dry_run=True).delete(Widget, KEY)
    (request,) = sender.requests
    # With DeleteOptions in the body the server does not look at the query: it would really delete.
    assert json.loads(request.body or b"")["dryRun"] == ["All"]
    assert query_of(request) == {"dryRun": "All"}


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.delete(Widget.named("w", namespace="default")),
        lambda client: client.delete(Widget, KEY),
        lambda client: client.delete("example.com/v1 Widget", Request("east", "default", "w")),
    ],
)
def test_a_delete_by_name_has_no_precondition(call: Call) -> None:
    client, sender = wired()
    call(client)
    assert sender.targets == [f"DELETE {W}/w"]
    assert json.loads(sender.requests[0].body or b"") == {"apiVersion": "v1", "kind": "DeleteOptions"}


@pytest.mark.parametrize("kind", [Widget, "example.com/v1 Widget", GVK("example.com", "v1", "Widget")])
def test_a_delete_of_a_whole_kind_is_refused(kind: Any) -> None:
    client, sender = wired()
    with pytest.raises(ValueError, match=r"which example.com/v1 Widget to delete\? Give its key, or an object"):
        client.delete(kind)
    assert sender.requests == []


def test_options_are_on_every_write() -> None:
    client, sender = wired()
    careful = client.with_options(field_owner="me", dry_run=True, field_validation="Strict")
    eviction = Object({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "w"}})
    calls: list[Call] = [
        lambda c: c.create(changed(widget)),
        lambda c: c.update(changed(widget)),
        lambda c: c.patch(changed(widget)),
        lambda c: c.apply(changed(widget)),
        lambda c: c.status.patch(changed(widget)),
        lambda c: c.status.update(changed(widget)),
        lambda c: c.subresource("eviction").create(Widget, KEY, eviction),
    ]
    for call in calls:
        call(careful)
    expected = {"fieldManager": "me", "dryRun": "All", "fieldValidation": "Strict"}
    assert [query_of(request) for request in sender.requests] == [expected] * len(calls)
    careful.delete(widget())
    assert query_of(sender.requests[-1]) == {"dryRun": "All"}


def test_options_build_on_those_of_the_client_and_leave_it_as_it_was() -> None:
    client, sender = wired()
    client.with_options(field_owner="me").with_options(dry_run=True).update(widget())
    client.with_options(dry_run=True).with_options(dry_run=False).update(widget())
    client.update(widget())
    assert [query_of(request) for request in sender.requests] == [
        {"fieldManager": "me", "dryRun": "All"},
        {"fieldManager": "kcontroller"},
        {"fieldManager": "kcontroller"},
    ]


def test_a_subresource_is_created_at_the_object_and_its_answer_returned() -> None:
    client, sender = wired(lambda _: (201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    eviction = Object({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "a"}})
    answer = client.subresource("eviction").create("v1 Pod", Key("a", "p"), eviction)
    assert sender.targets == ["POST /api/v1/namespaces/a/pods/p/eviction?fieldManager=kcontroller"]
    assert json.loads(sender.requests[0].body or b"") == eviction.data
    assert answer["status"] == "Success"


SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": meta(), "spec": {"replicas": 5}}


@FORMS
def test_a_scale_is_read_and_patched_without_becoming_the_object(make: Any) -> None:
    client, sender = wired(lambda _: (200, SCALE))
    assert client.subresource("scale").get(Widget, KEY).get("spec.replicas") == 5
    obj = make(spec={"title": "t"})
    assert client.subresource("scale").patch(obj, patches.merge({"spec": {"replicas": 5}})) is obj
    assert obj == make(spec={"title": "t"})
    assert sender.targets == [f"GET {W}/w/scale", f"PATCH {W}/w/scale?fieldManager=kcontroller"]


def test_the_kind_decides_what_a_read_returns() -> None:
    client, _sender = wired(lambda _: (200, body(spec={"replicas": 4})))
    typed = client.get(Widget, KEY)
    loose = client.get("example.com/v1 Widget", Request("east", "default", "w"))
    assert typed.spec == WidgetSpec(replicas=4)
    assert loose == Object(body(spec={"replicas": 4}))


def test_a_list_decodes_each_item() -> None:
    client, sender = wired(lambda _: (200, {"items": [body(), body(spec={"replicas": 2})]}))
    assert [each.spec.replicas for each in client.list(Widget, namespace="default", labels={"app": "web"})] == [1, 2]
    assert [each.gvk.kind for each in client.list("example.com/v1 Widget", fields={"metadata.name": "w"})] == [
        "Widget"
    ] * 2
    assert [query_of(request) for request in sender.requests] == [
        {"labelSelector": "app=web", "limit": "500"},
        {"fieldSelector": "metadata.name=w", "limit": "500"},
    ]


def test_get_or_none_takes_only_absence_for_none() -> None:
    client, _ = wired(lambda _: (404, {"reason": "NotFound"}))
    assert client.get_or_none(Widget, KEY) is None
    for status, expected in ((403, errors.Forbidden), (500, errors.ServerError), (410, errors.Expired)):
        client, _ = wired(lambda _, status=status: (status, b""))  # type: ignore[misc]
        with pytest.raises(expected):
            client.get_or_none(Widget, KEY)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, request: client.get(Widget, request),
        lambda client, request: client.get_or_none(Widget, request),
        lambda client, request: client.delete(Widget, request),
        lambda client, request: client.subresource("scale").get(Widget, request),
        lambda client, request: client.subresource("eviction").create(Widget, request, Object({})),
    ],
)
def test_a_request_of_another_cluster_is_refused_before_anything_is_sent(call: Any) -> None:
    client, sender = wired()
    with pytest.raises(errors.ClusterMismatch, match="belongs to cluster 'west', but this client is of 'east'"):
        call(client, Request("west", "default", "w"))
    assert sender.requests == []


def test_an_object_that_does_not_fit_its_class_names_the_path_only() -> None:
    client, _ = wired(lambda _: (200, body(spec={"replicas": "hunter2"})))
    with pytest.raises(errors.ModelMismatch, match=r"does not fit Widget: .* at `\$.spec.replicas`") as caught:
        client.get(Widget, KEY)
    assert "hunter2" not in str(caught.value)


def test_a_create_fills_in_what_the_server_chose() -> None:
    server = MemoryServer()
    obj = server.client.create(Widget.named("w", namespace="default"))
    assert obj.metadata.uid
    assert obj.metadata.resource_version == str(server.version)
    with pytest.raises(errors.AlreadyExists):
        server.client.create(Widget.named("w", namespace="default"))


def test_an_update_of_an_old_reading_is_refused_and_not_repeated() -> None:
    server = MemoryServer(body())
    obj = server.client.get(Widget, KEY)
    server.put(body(spec={"replicas": 9}))
    obj.spec.replicas = 2
    with pytest.raises(errors.Conflict):
        server.client.update(obj)
    assert len(server.writes) == 1
    assert obj.spec.replicas == 2


def test_an_update_keeps_the_fields_the_class_does_not_know() -> None:
    server = MemoryServer(body(spec={"replicas": 1, "x": {"y": [1]}}, data="z"))
    obj = server.client.get(Widget, KEY)
    obj.spec.replicas = 2
    server.client.update(obj)
    assert server.stored[KEY]["spec"] == {"replicas": 2, "x": {"y": [1]}}
    assert server.stored[KEY]["data"] == "z"


def test_a_delete_of_a_namesake_is_refused() -> None:
    server = MemoryServer(body(metadata=meta(uid="old")))
    obj = server.client.get(Widget, KEY)
    server.put(body(metadata=meta(uid="new")))
    with pytest.raises(errors.Conflict):
        server.client.delete(obj)
    assert KEY in server.stored


PLAIN = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "p"}}


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("create", lambda c: c.create(PLAIN)),
        ("update", lambda c: c.update(PLAIN)),
        ("patch", lambda c: c.patch(PLAIN)),
        ("patch", lambda c: c.patch(PLAIN, patches.merge({}))),
        ("apply", lambda c: c.apply(PLAIN)),
        ("delete", lambda c: c.delete(PLAIN)),
        ("create_or_update", lambda c: c.create_or_update(PLAIN, print)),
        ("create_or_patch", lambda c: c.create_or_patch(PLAIN, print)),
        ("status.update", lambda c: c.status.update(PLAIN)),
        ("status.patch", lambda c: c.status.patch(PLAIN)),
        ("status.patch", lambda c: c.status.patch(PLAIN, patches.merge({}))),
        ("status.apply", lambda c: c.status.apply(PLAIN)),
        ("subresource('resize').apply", lambda c: c.subresource("resize").apply(PLAIN)),
        ("subresource('eviction').create", lambda c: c.subresource("eviction").create("v1 Pod", KEY, PLAIN)),
    ],
)
def test_a_plain_dictionary_is_refused_in_one_line_with_the_remedy(verb: str, call: Call) -> None:
    client, sender = wired()
    with pytest.raises(TypeError) as caught:
        call(client)
    assert str(caught.value) == f"{verb} takes an object, not a dict: write Object(...) around <v1 Pod default/p>"
    assert sender.requests == []


@pytest.mark.parametrize("call", [lambda c, o: c.patch(o, {"spec": {}}), lambda c, o: c.status.patch(o, {"spec": {}})])
def test_a_patch_says_of_which_type_it_is(call: Any) -> None:
    client, sender = wired()
    with pytest.raises(TypeError, match=r"^a patch says .* a dict does not: write patches\.merge\(\.\.\.\) around"):
        call(client, widget())
    assert sender.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get(Widget, "default/w"),
        lambda c: c.get_or_none(Widget, "default/w"),
        lambda c: c.metadata.get(Widget, "default/w"),
        lambda c: c.delete(Widget, "default/w"),
        lambda c: c.status.get(Widget, "default/w"),
        lambda c: c.subresource("eviction").create(Widget, "default/w", Object({})),
    ],
)
def test_a_key_that_is_text_is_refused_in_one_line_with_the_remedy(call: Call) -> None:
    client, sender = wired()
    with pytest.raises(TypeError, match=r"^a key is a Key or a Request, not a str: write Key\.parse\(\.\.\.\) around"):
        call(client)
    assert sender.requests == []

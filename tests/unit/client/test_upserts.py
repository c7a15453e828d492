"""Create or update, create or patch: what is sent, what is answered, and what others do in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.client.client import Client
from kcontroller.client.writes import Ports
from kcontroller.errors import Conflict, NotFound
from tests.unit.api.kinds import Widget, WidgetSpec, body
from tests.unit.client.servers import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key("default", "w")


def typed() -> Widget:
    return Widget.named("w", namespace="default", spec=WidgetSpec(title="mine"))


def plain() -> Object:
    metadata = {"namespace": "default", "name": "w"}
    return Object({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"title": "mine"}})


FORMS = pytest.mark.parametrize("make", [typed, plain])
BOTH = pytest.mark.parametrize("verb", ["create_or_update", "create_or_patch"])
VERBS = {"create_or_update": "update", "create_or_patch": "patch"}


def scale(replicas: int) -> Callable[[Any], None]:
    def mutate(obj: Any) -> None:
        if isinstance(obj, Object):
            obj.spec["replicas"] = replicas
        else:
            obj.spec.replicas = replicas

    return mutate


def report(ready: int) -> Callable[[Any], None]:
    def mutate(obj: Any) -> None:
        if isinstance(obj, Object):
            obj.status["readyReplicas"] = ready
        else:
            obj.status.ready_replicas = ready

    return mutate


def both(replicas: int, ready: int) -> Callable[[Any], None]:
    return lambda obj: (scale(replicas)(obj), report(ready)(obj))


def there() -> MemoryServer:
    return MemoryServer(body(spec={"replicas": 1, "unknown": "kept"}, status={"readyReplicas": 1, "other": "theirs"}))


def stored(server: MemoryServer) -> dict[str, Any]:
    return server.stored[KEY]


@BOTH
@FORMS
def test_what_is_absent_is_created_as_mutated_without_status(make: Any, verb: str) -> None:
    server = MemoryServer()
    obj = make()

    assert getattr(server.client, verb)(obj, both(3, 2)) == "created"
    (write,) = server.writes
    assert write.verb == "create"
    assert stored(server)["spec"]["replicas"] == 3
    assert stored(server)["spec"]["title"] == "mine"
    assert "status" not in stored(server)
    assert obj.metadata.resource_version == stored(server)["metadata"]["resourceVersion"]


@BOTH
@FORMS
def test_what_is_there_is_mutated_as_read_and_what_the_model_does_not_know_is_kept(make: Any, verb: str) -> None:
    server = there()
    obj = make()

    assert getattr(server.client, verb)(obj, scale(3)) == "updated"
    assert [write.verb for write in server.writes] == [VERBS[verb]]
    assert stored(server)["spec"] == {"replicas": 3, "unknown": "kept"}
    assert stored(server)["status"] == {"readyReplicas": 1, "other": "theirs"}
    assert obj.metadata.resource_version == stored(server)["metadata"]["resourceVersion"]


@BOTH
@FORMS
def test_what_is_as_it_should_be_is_read_and_not_sent(make: Any, verb: str) -> None:
    server = there()
    obj = make()

    assert getattr(server.client, verb)(obj, scale(1)) == "unchanged"
    assert server.writes == []
    assert obj.metadata.resource_version == stored(server)["metadata"]["resourceVersion"]


@FORMS
def test_an_update_leaves_the_status_alone(make: Any) -> None:
    server = there()
    obj = make()

    assert server.client.create_or_update(obj, report(5)) == "unchanged"
    assert server.writes == []
    assert (obj.get("status.readyReplicas") if isinstance(obj, Object) else obj.status.ready_replicas) == 1

    assert server.client.create_or_update(obj, both(2, 5)) == "updated"
    (sent,) = server.sent
    assert sent["status"] == {"readyReplicas": 1, "other": "theirs"}


@FORMS
@pytest.mark.parametrize(
    ("mutate", "outcome", "subresources"),
    [(both(2, 2), "updated_status", ["", "status"]), (report(2), "updated_status_only", ["status"])],
)
def test_a_patch_sends_the_status_by_itself(make: Any, mutate: Any, outcome: str, subresources: list[str]) -> None:
    server = there()
    obj = make()

    assert server.client.create_or_patch(obj, mutate) == outcome
    assert [write.subresource for write in server.writes] == subresources
    assert stored(server)["status"] == {"readyReplicas": 2, "other": "theirs"}
    assert (obj.get("status.readyReplicas") if isinstance(obj, Object) else obj.status.ready_replicas) == 2


def rename(obj: Any) -> None:
    obj.metadata.name = "other"


def move(obj: Any) -> None:
    obj.metadata.namespace = "other"


def other_kind(obj: Any) -> None:
    obj["kind"] = "Gadget"


@BOTH
@pytest.mark.parametrize("server", [MemoryServer(), there()])
@pytest.mark.parametrize("mutate", [rename, move, other_kind])
def test_a_mutate_that_makes_another_object_of_it_is_refused(server: MemoryServer, verb: str, mutate: Any) -> None:
    with pytest.raises(ValueError, match=r"of example.com/v1 Widget default/w; it may change anything but kind, "):
        getattr(server.client, verb)(plain(), mutate)
    assert server.writes == []


@BOTH
def test_an_object_without_a_name_is_refused(verb: str) -> None:
    server = MemoryServer()
    with pytest.raises(ValueError, match=r"which example\.com/v1 Widget to create or update"):
        getattr(server.client, verb)(Widget(spec=WidgetSpec()), scale(1))
    assert (server.writes, server.reads) == ([], [])


class Behind:
    """A cache that has not seen anything yet."""

    def get(self, *_: object) -> bytes:
        raise NotFound("not seen", status=404, reason="NotFound")


@BOTH
@FORMS
def test_an_object_that_the_cache_has_not_seen_yet_is_mutated_as_it_is(make: Any, verb: str) -> None:
    server = there()
    client = Client(Ports(Behind(), server, server))  # type: ignore[arg-type]

    assert getattr(client, verb)(make(), scale(3)) == "updated"
    assert [write.verb for write in server.writes] == ["create", VERBS[verb]]
    assert stored(server)["spec"] == {"replicas": 3, "unknown": "kept"}


@FORMS
def test_an_update_of_what_changed_meanwhile_is_a_conflict(make: Any) -> None:
    server = there()
    server.meanwhile = lambda: server.put(stored(server))

    with pytest.raises(Conflict):
        server.client.create_or_update(make(), scale(3))
    assert len(server.writes) == 1


@FORMS
def test_a_patch_of_what_changed_meanwhile_is_settled(make: Any) -> None:
    server = MemoryServer(body(spec={"replicas": 1, "args": ["a"]}))

    def once() -> None:
        server.meanwhile = lambda: None
        server.put(body(spec={"replicas": 1, "args": ["a", "theirs"]}))

    server.meanwhile = once

    def add(obj: Any) -> None:
        args = obj.spec["args"] if isinstance(obj, Object) else obj.spec.args
        args.append("ours")

    assert server.client.create_or_patch(make(), add) == "updated"
    assert stored(server)["spec"]["args"] == ["a", "theirs", "ours"]


@BOTH
@FORMS
def test_an_object_that_was_deleted_meanwhile_is_not_found(make: Any, verb: str) -> None:
    server = there()
    server.meanwhile = server.stored.clear

    with pytest.raises(NotFound):
        getattr(server.client, verb)(make(), scale(3))

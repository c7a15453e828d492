"""Differences that the server does not keep: sent once, and again when anything has moved or time has passed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.client.client import Client
from kcontroller.client.fixpoints import SECONDS, Fixpoints
from kcontroller.client.writes import Ports
from kcontroller.testing.clock import VirtualClock
from tests.unit.api.kinds import Widget, body
from tests.unit.client.servers import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.client.ports import Write

KEY = Key("default", "w")
WIDGET = "example.com/v1 Widget"


class Pruning(MemoryServer):
    """Leaves out what its schema does not know, and writes long names in its own way."""

    def write(self, write: Write) -> bytes:
        sent = json.loads(write.body)
        for part in (sent.get("spec"), sent.get("status")):
            if isinstance(part, dict):
                part.pop("unknown", None)
                if part.get("title") == "Mister":
                    part["title"] = "Mr"
        return super().write(replace(write, body=json.dumps(sent).encode()))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server() -> Pruning:
    return Pruning(body(spec={"title": "Mr"}, status={}))


@pytest.fixture
def client(server: Pruning, clock: VirtualClock) -> Client:
    return Client(Ports(server, server, server, "east", fixpoints=Fixpoints(clock)))


def patch(client: Client) -> object:
    obj = client.get(WIDGET, KEY)
    obj.spec.update(title="Mister", unknown={})
    return client.patch(obj)


def patch_typed(client: Client) -> object:
    obj = client.get(Widget, KEY)
    obj.spec.title = "Mister"
    return client.patch(obj)


def patch_status(client: Client) -> object:
    obj = client.get(WIDGET, KEY)
    obj["status"] = {"unknown": 1}
    return client.status.patch(obj)


def upsert(verb: str) -> Callable[[Client], object]:
    def call(client: Client) -> object:
        wanted = Object(
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"namespace": "default", "name": "w"}}
        )
        return getattr(client, verb)(wanted, lambda obj: obj.spec.__setitem__("title", "Mister"))

    return call


CALLS = pytest.mark.parametrize(
    "call",
    [patch, patch_typed, patch_status, upsert("create_or_patch"), upsert("create_or_update")],
    ids=["patch", "typed", "status", "create_or_patch", "create_or_update"],
)


@CALLS
def test_a_write_that_changed_nothing_is_not_sent_again(
    server: Pruning, client: Client, call: Callable[[Client], object]
) -> None:
    first, second = call(client), call(client)

    assert len(server.writes) == 1
    assert server.version == 101
    if isinstance(first, str):
        assert (first, second) == ("unchanged", "unchanged")
    else:
        assert first == second == client.get(type(first) if isinstance(first, Widget) else WIDGET, KEY)


@CALLS
def test_it_is_sent_again_when_the_object_has_moved(
    server: Pruning, client: Client, call: Callable[[Client], object]
) -> None:
    call(client)
    server.put({**server.stored[KEY], "metadata": {**server.stored[KEY]["metadata"], "labels": {"moved": "yes"}}})
    call(client)
    call(client)

    assert len(server.writes) == 2


@CALLS
def test_it_is_sent_again_after_ten_minutes(
    server: Pruning, client: Client, clock: VirtualClock, call: Callable[[Client], object]
) -> None:
    """A new schema, or a webhook that is gone, changes what it does, and not the object's version."""
    call(client)
    clock.advance(SECONDS + 1)
    call(client)

    assert len(server.writes) == 2


def test_another_difference_on_the_same_version_is_sent(server: Pruning, client: Client) -> None:
    patch(client)
    obj = client.get(WIDGET, KEY)
    obj["spec"] = {"title": "Mister", "unknown": {}, "replicas": 2}
    client.patch(obj)

    assert server.stored[KEY]["spec"] == {"title": "Mr", "replicas": 2}


def test_what_was_not_carried_stays_a_change_in_memory(server: Pruning, client: Client) -> None:
    for _ in range(2):
        obj = client.get(WIDGET, KEY)
        obj["spec"] = {"title": "Mister"}
        obj["status"] = {"readyReplicas": 2}
        client.patch(obj)
        assert obj["spec"] == {"title": "Mr"}
        assert obj["status"] == {"readyReplicas": 2}

    assert len(server.writes) == 1


def test_another_owner_of_fields_and_a_dry_run_ask_for_themselves(server: Pruning, client: Client) -> None:
    patch(client)
    patch(client.with_options(field_owner="other"))
    for _ in range(2):
        patch(client.with_options(dry_run=True))

    assert len(server.writes) == 4


def test_a_client_without_a_memory_says_what_came_of_it_and_asks_each_time(server: Pruning) -> None:
    plain = Client(Ports(server, server, server))
    call = upsert("create_or_patch")

    assert [call(plain), call(plain)] == ["unchanged", "unchanged"]
    assert len(server.writes) == 2


def test_what_is_remembered_is_bounded_and_no_content_is_in_it(server: Pruning, clock: VirtualClock) -> None:
    memory = Fixpoints(clock, size=10)
    server.client.update(Object({**server.stored[KEY], "spec": {"title": "secret"}}))
    (write,) = server.writes
    for number in range(11):
        memory.add(write, b"%d" % number)

    assert not memory.has(write, b"0")
    assert memory.has(write, b"10")
    assert {len(mark) for mark in memory._known} == {16}

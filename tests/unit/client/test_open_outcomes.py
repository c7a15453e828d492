"""Writes that a server carries out and does not say so, on the embedded API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Object, errors
from kcontroller.api.keys import Key
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports
from kcontroller.process.stop import Deadline
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.in_process import InProcessServer
from kcontroller.transport.messages import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.transport.messages import HttpRequest

CONFIG_MAP = "v1 ConfigMap"
LOST = errors.OutcomeUnknown("lost")


def answered(status: int, reason: str = "", message: str = "") -> HttpResponse:
    body = f'{{"kind":"Status","status":"Failure","code":{status},"reason":"{reason}","message":"{message}"}}'
    return HttpResponse(status, {"retry-after": "1"}, body.encode())


class Road:
    """A `Sender` on an embedded server that loses or replaces the answers of writes; asks the guard as the real one."""

    def __init__(self) -> None:
        self.server = InProcessServer()
        self.mapper = RestMapper(self.server)
        self.instead: list[errors.KControllerError | HttpResponse] = []
        self.served = True
        self.writes: list[HttpRequest] = []
        self.before_read: Callable[[], None] = lambda: None

    def send(self, request: HttpRequest, *, guard: Callable[[], None] | None = None, **options: Any) -> HttpResponse:
        if request.read_only:
            self.before_read()
            return self.server.send(request)
        if guard is not None:
            guard()
        self.writes.append(request)
        if not self.instead:
            return self.server.send(request)
        if self.served:
            self.server.send(request)
        ended = self.instead.pop(0)
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def client(self, **options: Any) -> Client:
        direct = DirectPort(self, self.mapper, **options)
        return Client(Ports(reader=direct, live=direct, writer=direct))

    @property
    def there(self) -> list[dict[str, Any]]:
        items = self.server.request("GET", "/api/v1/namespaces/default/configmaps")[1]["items"]
        return [each for each in items if "data" in each and each["metadata"]["name"] != "kube-root-ca.crt"]


@pytest.fixture
def road() -> Road:
    return Road()


def wish(**metadata: Any) -> Object:
    given = {"namespace": "default", **(metadata or {"generateName": "wish-"})}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": given, "data": {"a": "1"}})


OPEN = [
    LOST,
    errors.RequestTimeout("late"),
    answered(500, "ServerTimeout"),
    answered(500, "InternalError", "etcdserver: request timed out"),
    answered(502),
    answered(503, "ServiceUnavailable"),
    answered(504, "Timeout"),
]


@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize("ended", OPEN)
def test_a_create_by_generate_name_makes_one_object(
    road: Road, ended: errors.KControllerError | HttpResponse, *, served: bool
) -> None:
    road.instead, road.served = [ended], served
    made = road.client().create(wish())

    assert [each["metadata"]["name"] for each in road.there] == [made.metadata.name]
    assert len({request.body for request in road.writes}) == 1


def test_a_webhook_that_could_not_be_asked_is_the_answer(road: Road) -> None:
    message = "Internal error occurred: failed calling webhook x"
    road.instead, road.served = [answered(500, "InternalError", message)], False
    obj = wish()
    with pytest.raises(errors.ServerError, match="failed calling webhook"):
        road.client().create(obj)

    assert (len(road.writes), obj.metadata.name) == (1, "")


def test_two_replicas_that_make_a_lock_are_not_both_told_that_they_did(road: Road) -> None:
    road.client().create(wish(name="lock"))
    road.instead, road.served = [LOST], False

    with pytest.raises(errors.OutcomeUnknown):
        road.client().create(wish(name="lock"))
    assert len(road.writes) == 2


@pytest.mark.parametrize("served", [True, False])
def test_a_patch_that_carries_its_version_is_settled(road: Road, *, served: bool) -> None:
    obj = road.client().create(wish(name="w", finalizers=["example.com/a"]))
    road.instead, road.served = [LOST], served
    obj.metadata.finalizers = ["example.com/a", "example.com/b"]
    road.client().patch(obj)

    assert road.there[0]["metadata"]["finalizers"] == ["example.com/a", "example.com/b"]
    assert len(road.writes) == (2 if served else 3)


def test_a_patch_without_a_version_does_not_undo_what_another_wrote_since(road: Road) -> None:
    obj = road.client().create(wish(name="w"))
    other = road.client().get(CONFIG_MAP, Key("default", "w"))
    other["data"] = {"a": "theirs"}

    def between() -> None:
        road.before_read = lambda: None
        road.client().update(other)

    road.instead, road.served, road.before_read = [LOST], False, between
    obj["data"] = {"a": "ours"}
    with pytest.raises(errors.OutcomeUnknown):
        road.client().patch(obj)

    assert road.there[0]["data"] == {"a": "theirs"}


@pytest.mark.parametrize("served", [True, False])
def test_an_update_is_settled(road: Road, *, served: bool) -> None:
    obj = road.client().create(wish(name="w"))
    road.instead, road.served = [LOST], served
    obj["data"] = {"a": "2"}
    road.client().update(obj)

    assert (road.there[0]["data"], len(road.writes)) == ({"a": "2"}, 2 if served else 3)


@pytest.mark.parametrize("served", [True, False])
def test_a_delete_of_an_object_that_was_read_is_settled(road: Road, *, served: bool) -> None:
    obj = road.client().create(wish(name="w"))
    road.instead, road.served = [LOST], served
    road.client().delete(obj)

    assert road.there == []


def test_an_apply_that_makes_its_object_is_sent_again(road: Road) -> None:
    road.instead, road.served = [LOST], False
    road.client().apply(wish(name="w"))

    assert len(road.there) == 1


def test_each_repetition_asks_whether_it_may_leave(road: Road) -> None:
    asked: list[int] = []

    def lease() -> None:
        asked.append(len(road.writes))
        if road.writes:
            raise errors.NotLeader("the lease may have passed")

    road.instead, road.served = [LOST], False
    obj = wish()
    with pytest.raises(errors.NotLeader):
        road.client(guard=lease).create(obj)

    assert (asked, len(road.writes)) == ([0, 1], 1)
    assert obj.metadata.name.startswith("wish-")


def test_nothing_is_settled_beyond_the_time_of_the_reconcile(road: Road) -> None:
    clock = VirtualClock()
    deadline = Deadline.after(5.0, clock=clock)

    def over() -> None:
        clock.advance(5.0)
        raise errors.ConnectFailed("refused")

    client = road.client(deadline=deadline)
    road.instead, road.before_read = [LOST], over
    with pytest.raises(errors.OutcomeUnknown) as caught:
        client.create(wish())

    assert isinstance(caught.value.__cause__.__cause__, errors.RequestTimeout)  # type: ignore[union-attr]
    assert len(road.writes) == 1

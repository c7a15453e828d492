from __future__ import annotations

import threading
from typing import Any

import pytest

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.api.models import Model, Resource
from kcontroller.api.paths import group_version_path
from kcontroller.client.discovery import ABSENT_SECONDS, RestMapper, kind_from
from kcontroller.errors import Forbidden, KindNotServed, ServerError
from kcontroller.process.stop import StopToken
from kcontroller.testing.clock import VirtualClock
from tests.unit.api.kinds import Widget, WidgetStatus
from tests.unit.client.servers import ScriptedSender

DEPLOYMENT = GVK("apps", "v1", "Deployment")
APPS = {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}


class Unlisted(Resource[Model, WidgetStatus], group="apps", version="v1", kind="Deployment"):
    """A class that leaves its plural to discovery."""


def test_discovery_asks_only_for_the_group_and_version() -> None:
    assert group_version_path(DEPLOYMENT) == "/apis/apps/v1"
    assert group_version_path(GVK("", "v1", "Pod")) == "/api/v1"


def test_a_kind_is_discovered_once() -> None:
    sender = ScriptedSender(lambda _: (200, APPS))
    mapper = RestMapper(sender)
    assert mapper.known("apps/v1 Deployment") is None
    for kind in ("apps/v1 Deployment", DEPLOYMENT, Unlisted):
        assert mapper.resolve(kind) == ResourceMapping(DEPLOYMENT, "deployments", namespaced=True)
    assert sender.targets == ["GET /apis/apps/v1"]


def test_a_class_that_states_its_plural_needs_no_discovery() -> None:
    sender = ScriptedSender(lambda _: (500, b""))
    mapper = RestMapper(sender)
    assert mapper.resolve(Widget) == Widget.resource == mapper.known(Widget)
    assert sender.requests == []


def test_what_was_not_found_is_asked_for_again() -> None:
    answers: list[Any] = [(404, b"404 page not found\n"), (200, {"resources": []}), (200, APPS)]
    clock = VirtualClock()
    mapper = RestMapper(ScriptedSender(lambda _: answers.pop(0)), clock=clock)
    for _ in range(2):
        with pytest.raises(KindNotServed, match="does not serve apps/v1 Deployment; install its Custom"):
            mapper.resolve(DEPLOYMENT)
        clock.advance(ABSENT_SECONDS)
    assert mapper.resolve(DEPLOYMENT).plural == "deployments"


def test_what_was_not_found_is_not_asked_for_by_every_reconcile() -> None:
    sender = ScriptedSender(lambda _: (404, b"404 page not found\n"))
    mapper = RestMapper(sender, clock=VirtualClock())
    for _ in range(5):
        with pytest.raises(KindNotServed, match="does not serve apps/v1 Deployment"):
            mapper.resolve(DEPLOYMENT)
    assert len(sender.requests) == 1
    mapper.learn(ResourceMapping(DEPLOYMENT, "deployments", namespaced=True))
    assert mapper.resolve(DEPLOYMENT).plural == "deployments"


def test_what_was_forgotten_is_asked_for_again() -> None:
    sender = ScriptedSender(lambda _: (200, APPS))
    mapper = RestMapper(sender)
    mapper.resolve(DEPLOYMENT)
    mapper.forget(DEPLOYMENT)
    mapper.forget(DEPLOYMENT)
    mapper.resolve(DEPLOYMENT)
    assert len(sender.requests) == 2


def test_what_someone_else_learned_is_known() -> None:
    mapper = RestMapper(ScriptedSender(lambda _: (500, b"")))
    mapping = ResourceMapping(DEPLOYMENT, "deployments", namespaced=True)
    mapper.learn(mapping)
    assert mapper.resolve("apps/v1 Deployment") is mapping


@pytest.mark.parametrize(("status", "expected"), [(403, Forbidden), (503, ServerError)])
def test_another_error_is_not_taken_for_a_missing_kind(status: int, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="discovery of apps/v1"):
        kind_from(b"", status, DEPLOYMENT)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"resources":[{}]}', b'{"resources":[{"name":"\xff"}]}'])
def test_an_answer_that_is_no_discovery_document_is_told(body: bytes) -> None:
    with pytest.raises(KindNotServed, match="the discovery answer for apps/v1 is not an APIResourceList"):
        kind_from(body, 200, DEPLOYMENT)


def test_the_wait_for_discovery_is_bounded_and_can_be_stopped() -> None:
    sender, stop = ScriptedSender(lambda _: (200, APPS)), StopToken()
    RestMapper(sender).resolve(DEPLOYMENT)
    RestMapper(sender).resolve(DEPLOYMENT, timeout=3.0, stop=stop)
    assert sender.waits == [(30.0, None), (3.0, stop)]


def test_threads_may_ask_at_once_and_none_waits_under_the_lock() -> None:
    together = threading.Barrier(4, timeout=5)

    def answer(_: object) -> tuple[int, Any]:
        together.wait()  # Passes only if all threads are inside a request at the same time.
        return 200, APPS

    mapper = RestMapper(ScriptedSender(answer))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(mapper.resolve(DEPLOYMENT).plural)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert found == ["deployments"] * 4

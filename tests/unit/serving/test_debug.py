from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.cache.projection import Projection
from kcontroller.controller import Controller
from kcontroller.errors import ConfigError
from kcontroller.serving.debug import DebugPages, application, check_local
from tests.unit.controller.fakes import FakeHost, Scripted, document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve, Served

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.entry import Entry
    from kcontroller.controller.explaining import Explainer

CANARY = "Y2FuYXJ5LTQyNDI"
SECRET = "v1 Secret"


class Finds:
    """Stands in for an `Explainer` of one secret and one config map, and for its names."""

    @property
    def names(self) -> Finds:
        return self

    def called(self, word: str) -> str:
        return "" if word == "local" else word

    def kinds_of(self, _controller: Controller, _cluster: str, text: str) -> set[GVK]:
        return {gvk_of(f"v1 {text}")} if text in {"Secret", "ConfigMap"} else set()

    def shown(self, cluster: str, gvk: GVK, key: Key) -> Entry | None:
        if key.name != "web" or cluster:
            return None
        body = {**document("web", kind=str(gvk)), "data": {"plain": CANARY if gvk.kind == "Secret" else "3"}}
        body["data"]["db-password"] = CANARY
        body["metadata"]["annotations"] = {"last": CANARY} if gvk.kind == "Secret" else {"note": "x"}
        return Projection(gvk).entry(json.dumps(body).encode())


@pytest.fixture
def host() -> Iterator[FakeHost]:
    made = FakeHost()
    made.run(Controller(Scripted(), made))
    yield made
    made.end()


@pytest.fixture
def debug(serve: Serve, host: FakeHost) -> Served:
    return serve(application(DebugPages(host.controllers, cast("Explainer", Finds()))))


def test_threads_are_told_by_name_with_their_stacks_and_nothing_of_what_they_hold(debug: Served) -> None:
    go = threading.Event()

    def waits(password: str) -> None:
        go.wait(20)

    thread = threading.Thread(target=waits, args=(CANARY,), name="kc-worker-web-0")
    thread.start()
    try:
        text = debug.ask("/debug/threads").body
    finally:
        go.set()
        thread.join(20)

    stack = text.partition("kc-worker-web-0\n")[2].partition("\n\n")[0]
    assert "in waits" in stack
    assert CANARY not in text


def test_queues_are_told(debug: Served) -> None:
    (queue,) = json.loads(debug.ask("/debug/queue").body)

    assert (queue["controller"], queue["workers"], queue["in_flight"], queue["ready"]) == ("scripted", 1, 0, 0)
    assert json.loads(debug.ask("/debug/queue/scripted").body) == [queue]
    assert json.loads(debug.ask("/debug/queue/other").body) == []


def test_an_object_of_the_cache_is_shown_without_what_looks_like_a_secret(debug: Served) -> None:
    (found,) = json.loads(debug.ask("/debug/cache?kind=ConfigMap&key=default/web").body)

    assert found["object"]["data"] == {"plain": "3", "db-password": "[redacted]"}
    assert found["object"]["metadata"]["annotations"] == {"note": "x"}


def test_of_a_secret_the_names_are_shown(debug: Served) -> None:
    body = debug.ask("/debug/cache?cluster=local&kind=Secret&key=default/web").body

    (found,) = json.loads(body)
    assert found["object"]["data"].keys() == {"plain", "db-password"}
    assert CANARY not in body


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/debug", 404, "there are: threads, queue"),
        ("/debug/nothing", 404, "there are: threads, queue"),
        ("/debug/cache?kind=Widget&key=a/b", 404, "no controller here has to do with Widget"),
        ("/debug/cache?kind=Secret&key=a/b", 404, "no cache shows Secret a/b"),
        ("/debug/cache?kind=Secret&key=a/b/c", 400, "is not a key"),
        ("/metrics", 404, "404 page not found"),
    ],
)
def test_what_is_not_there_is_said(debug: Served, path: str, status: int, text: str) -> None:
    reply = debug.ask(path)

    assert (reply.status, text in reply.body) == (status, True)


def test_nothing_can_be_changed(debug: Served) -> None:
    assert debug.ask("/debug/threads", method="POST").status == 405


@pytest.mark.parametrize(
    ("host_header", "status"),
    [
        ("localhost", 200),
        ("localhost:6060", 200),
        ("127.0.0.1:6060", 200),
        ("[::1]:6060", 200),
        ("attacker.example", 403),
        ("attacker.example:6060", 403),
        ("10.0.0.7:6060", 403),
        ("", 403),
    ],
)
def test_a_page_that_was_led_here_by_its_dns_is_refused(debug: Served, host_header: str, status: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", debug.server.port, timeout=5)) as connection:
        connection.putrequest("GET", "/debug/threads", skip_host=True)
        connection.putheader("Host", host_header)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
    assert response.status == status


def test_a_peer_from_elsewhere_is_refused_whatever_it_says() -> None:
    said: list[Any] = []
    app = application(DebugPages((), cast("Explainer", Finds())))
    environ = {"REMOTE_ADDR": "10.0.0.7", "HTTP_HOST": "localhost", "REQUEST_METHOD": "GET", "PATH_INFO": "/debug"}

    app(environ, lambda status, _headers: said.append(status))  # type: ignore[arg-type, return-value]

    assert said == ["403 Forbidden"]


@pytest.mark.parametrize("address", [":6060", "0.0.0.0:6060", "[::]:6060", "10.0.0.7:6060", "example.com:6060"])
def test_an_address_that_others_could_reach_is_refused(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"--debug-bind-address: .* can be reached from elsewhere; write 127\.0\.0\.1"
    ):
        check_local(address)


@pytest.mark.parametrize("address", ["127.0.0.1:6060", "[::1]:0", "localhost:6060", "127.1.2.3:1"])
def test_an_address_of_this_machine_is_taken(address: str) -> None:
    check_local(address)

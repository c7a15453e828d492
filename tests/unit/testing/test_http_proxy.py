from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.errors import OutcomeUnknown, RequestTimeout
from kcontroller.testing.http_faults import Answer, HoldAnswer, Truncate
from kcontroller.testing.http_proxy import HttpFaultProxy
from kcontroller.testing.pipes import BY_RST
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester
from kcontroller.transport.streams import StreamLoop
from tests.unit.transport.scripted import AUTHORITY, STRANGER, Call, Server, ok, tls

if TYPE_CHECKING:
    from collections.abc import Iterator

CA = AUTHORITY.cert_pem.bytes().decode()
PROJECT = "/apis/resourcemanager.miloapis.com/v1alpha1/projects/{}/control-plane/api/v1/configmaps"


def act(call: Call) -> None:
    """Watch without end, or echo."""
    if "watch=1" in call.request.target:
        call.begin()
        call.chunk(b"first\n")
        call.hold()
    else:
        body = {"target": call.request.target, "body": call.request.body.decode(), "headers": call.request.headers}
        call.reply(201, json.dumps(body).encode(), {"X-Kept": "yes"})


@pytest.fixture(scope="module")
def serving() -> ssl.SSLContext:
    """A server certificate; making one costs more than a test."""
    return tls()


@pytest.fixture
def target(serving: ssl.SSLContext) -> Iterator[Server]:
    with Server(act, serving) as server:
        yield server


@pytest.fixture
def proxy(target: Server) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(target.url, ca_pem=CA) as made:
        yield made


class Client:
    """Asks the proxy by the standard library."""

    def __init__(self, proxy: HttpFaultProxy) -> None:
        trust = ssl.create_default_context(cadata=proxy.ca_pem)
        self.connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=10, context=trust)

    def ask(self, method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
        self.connection.request(method, path, body=body, headers={"Authorization": "Bearer t", "Accept": "a/b"})
        return self.connection.getresponse()

    def status(self, method: str, path: str) -> int:
        answer = self.ask(method, path)
        answer.read()
        return answer.status


@pytest.fixture
def client(proxy: HttpFaultProxy) -> Iterator[Client]:
    made = Client(proxy)
    yield made
    made.connection.close()


def test_what_no_rule_is_for_passes_unchanged(client: Client, target: Server) -> None:
    answer = client.ask("POST", "/api/v1/pods?limit=1&labelSelector=a%3Db", "hello")
    document = json.loads(answer.read())

    assert (answer.status, answer.headers["X-Kept"]) == (201, "yes")
    assert document["target"] == "/api/v1/pods?limit=1&labelSelector=a%3Db"
    assert document["body"] == "hello"
    assert document["headers"]["authorization"] == "Bearer t"
    assert document["headers"]["accept"] == "a/b"
    assert document["headers"]["host"] == target.url.removeprefix("https://")
    assert "user-agent" not in document["headers"]


def test_a_watch_arrives_piece_by_piece(client: Client) -> None:
    assert client.ask("GET", "/api/v1/pods?watch=1").readline() == b"first\n"


def test_an_answer_of_its_own_is_a_status(proxy: HttpFaultProxy, client: Client, target: Server) -> None:
    seen = len(target.seen)
    rule = proxy.add(Refuse(429, retry_after=7), path_prefix="/api/v1/pods", times=1)
    answer = client.ask("GET", "/api/v1/pods")
    document = json.loads(answer.read())

    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert (document["kind"], document["reason"], document["code"]) == ("Status", "TooManyRequests", 429)
    assert document["details"] == {"retryAfterSeconds": 7}
    assert len(target.seen) == seen
    assert (client.status("GET", "/api/v1/pods"), rule.hits) == (201, 1)  # It was for one request.


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "Forbidden"), (404, "NotFound"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
def test_a_status_has_its_usual_reason(status: int, reason: str, proxy: HttpFaultProxy, client: Client) -> None:
    proxy.add(Refuse(status))
    answer = client.ask("GET", "/")

    assert (answer.status, json.loads(answer.read())["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("rule", "method", "path", "meant"),
    [
        ({"path_prefix": "/api/v1/pods"}, "GET", "/api/v1/pods/a", 1),
        ({"path_prefix": "/api/v1/pods"}, "GET", "/api/v1/nodes", 0),
        ({"methods": {"PATCH"}}, "PATCH", "/x", 1),
        ({"methods": {"PATCH"}}, "GET", "/x", 0),
        ({"watch": False}, "GET", "/x", 1),
        ({"watch": True}, "GET", "/x?watch=0", 0),
        ({"watch": True}, "GET", "/x?a=b&watch=true", 1),
        ({"project": "p1"}, "GET", PROJECT.format("p1"), 1),
        ({"project": "p1"}, "GET", "/projects/p1/control-plane/api", 1),
        ({"project": "p1"}, "GET", PROJECT.format("p11"), 0),
        ({"project": "p1"}, "GET", "/api/v1/configmaps", 0),
        ({"probability": 0.0}, "GET", "/x", 0),
    ],
)
def test_a_rule_is_for_what_it_names(
    rule: dict[str, object], method: str, path: str, meant: int, proxy: HttpFaultProxy, client: Client
) -> None:
    active = proxy.add(Refuse(500), **rule)  # type: ignore[arg-type]

    assert client.status(method, path) == (500 if meant else 201)
    assert active.hits == meant


def test_a_delay_passes_the_request_on_to_the_next_rule(proxy: HttpFaultProxy, client: Client) -> None:
    delay = proxy.add(Delay(0.001))
    proxy.add(Refuse(500))

    assert client.status("GET", "/x") == 500
    assert delay.hits == 1


def test_of_two_rules_the_first_decides(proxy: HttpFaultProxy, client: Client) -> None:
    with proxy.add(Refuse(500)):
        proxy.add(Refuse(503))
        assert client.status("GET", "/x") == 500

    assert client.status("GET", "/x") == 503


def test_one_project_hangs_and_goes_on_while_another_does_not_notice(
    proxy: HttpFaultProxy, client: Client, target: Server
) -> None:
    seen = len(target.seen)
    hang = proxy.add(Hang(), project="p1")
    answers: list[int] = []
    other = Client(proxy)
    thread = threading.Thread(target=lambda: answers.append(other.status("GET", PROJECT.format("p1"))))
    thread.start()
    eventually(lambda: hang.hits == 1)
    assert client.status("GET", PROJECT.format("p2")) == 201
    assert len(target.seen) == seen + 1
    assert answers == []
    hang.remove()
    thread.join(10)
    other.connection.close()

    assert answers == [201]


def test_an_answer_can_be_held_back_when_the_request_has_happened(
    proxy: HttpFaultProxy, client: Client, target: Server
) -> None:
    answers: list[int] = []
    hold = proxy.add(HoldAnswer(), methods={"DELETE"})
    thread = threading.Thread(target=lambda: answers.append(client.status("DELETE", "/x")))
    thread.start()
    eventually(lambda: [each.method for each in target.seen] == ["DELETE"])
    assert answers == []
    hold.remove()
    thread.join(10)

    assert (answers, hold.hits) == ([201], 1)


def test_a_client_that_goes_away_ends_its_hang(proxy: HttpFaultProxy, target: Server) -> None:
    proxy.add(Hang())
    requester = Requester(config_of(proxy))
    with pytest.raises(RequestTimeout):
        requester.send(HttpRequest("GET", "/x"), timeout=0.02)
    requester.close()

    eventually(lambda: not proxy._open)


@pytest.mark.parametrize("happened", [0, 1])
def test_a_write_whose_answer_is_cut_has_an_unknown_outcome(
    happened: int, proxy: HttpFaultProxy, target: Server
) -> None:
    seen = len(target.seen)
    rule = proxy.add(Cut(after=bool(happened)), methods={"POST"})
    requester = Requester(config_of(proxy))
    with pytest.raises(OutcomeUnknown):
        requester.send(HttpRequest("POST", "/x", body=b"{}"))
    requester.close()

    assert (rule.hits, len(target.seen) - seen) == (1, happened)


@pytest.mark.parametrize("size", [0, 1, 20])
def test_an_answer_is_cut_at_exactly_that_byte(size: int, proxy: HttpFaultProxy, client: Client) -> None:
    proxy.add(Truncate(size))
    answer = client.ask("GET", "/x")
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()

    assert len(caught.value.partial) == size


def test_what_is_under_way_can_be_cut(proxy: HttpFaultProxy, client: Client) -> None:
    watch = client.ask("GET", "/api/v1/pods?watch=1")
    watch.readline()
    assert proxy.cut(watch=False) == 0
    assert proxy.cut(path_prefix="/api/v1/pods", watch=True) == 1

    with pytest.raises(http.client.IncompleteRead):
        watch.read()


def test_a_target_that_cannot_be_trusted_or_reached_ends_the_connection(target: Server) -> None:
    stranger = STRANGER.cert_pem.bytes().decode()
    with HttpFaultProxy(target.url, ca_pem=stranger) as proxy:
        client = Client(proxy)
        with pytest.raises(ConnectionError):
            client.ask("GET", "/x")
        client.connection.close()


def test_a_client_that_resets_in_the_middle_of_an_answer_is_no_error(
    proxy: HttpFaultProxy, target: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def flood(call: Call) -> None:
        call.begin()
        for _ in range(200):
            call.chunk(bytes(20_000))

    target.script = flood
    for _ in range(5):
        client = Client(proxy)
        client.ask("GET", "/x").read(1)
        client.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BY_RST)
        client.connection.sock.close()
        client.connection.close()
    eventually(lambda: not proxy._open)

    assert not caplog.records


def test_what_was_done_is_counted(target: Server) -> None:
    with HttpFaultProxy(target.url, ca_pem=CA) as proxy:
        client = Client(proxy)
        proxy.add(Refuse(503), path_prefix="/a")
        proxy.add(Delay(0), path_prefix="/b")
        for path in ("/a", "/b", "/c"):
            client.status("GET", path)
        client.connection.close()

        assert proxy.counts == {"503": 1, "delayed": 1, "forwarded": 2}


def config_of(proxy: HttpFaultProxy) -> Config:
    original = Config("https://127.0.0.1:1", StaticCredentials("Bearer t"), TLSConfig(ca=b"another"))
    return proxy.config(original)


class Receiver:
    """Counts what a stream brings."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[object] = []

    def on_response(self, status: int, headers: object) -> None:
        assert status == 200

    def on_data(self, chunk: bytes) -> None:
        self.data += chunk

    def on_end(self, error: object) -> None:
        self.ends.append(error)


def test_our_streams_watch_through_it_and_learn_of_a_cut(proxy: HttpFaultProxy) -> None:
    loop, receiver = StreamLoop(config_of(proxy), name="test"), Receiver()
    thread = threading.Thread(target=loop.run, name="kc-cluster-test")
    thread.start()
    loop.call(lambda: loop.open("/api/v1/pods?watch=1", receiver, timeout=10) and None)
    eventually(lambda: receiver.data == b"first\n")
    proxy.cut(watch=True, reset=True)
    eventually(lambda: receiver.ends)
    loop.stop()
    thread.join(10)

    assert len(receiver.ends) == 1
    assert receiver.ends[0] is not None


def test_a_watch_stands_still_while_its_project_hangs() -> None:
    go = threading.Event()

    def drip(call: Call) -> None:
        call.begin()
        call.chunk(b"before\n")
        go.wait(10)
        call.chunk(b"after\n")
        call.end()

    with Server(drip, tls()) as server, HttpFaultProxy(server.url, ca_pem=CA) as proxy:
        client = Client(proxy)
        watch = client.ask("GET", PROJECT.format("p1") + "?watch=1")
        assert watch.readline() == b"before\n"
        hang = proxy.add(Hang(), project="p1")
        go.set()
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(watch.readline()))
        reader.start()
        reader.join(0.02)
        assert lines == []
        hang.remove()
        reader.join(10)
        client.connection.close()

        assert lines == [b"after\n"]


def test_the_base_path_of_the_target_stays() -> None:
    with Server(ok, tls()) as server, HttpFaultProxy(f"{server.url}/base/", ca_pem=CA) as proxy:
        assert proxy.url == f"https://127.0.0.1:{proxy.port}/base"
        client = Client(proxy)
        assert json.loads(client.ask("GET", "/base/api").read())["target"] == "/base/api"
        client.connection.close()


def test_who_connects_in_the_moment_of_its_end_is_cut(target: Server) -> None:
    proxy = HttpFaultProxy(target.url, ca_pem=CA)
    # On the loop, so that the proxy finds all of them when it is about to end.
    clients = proxy._thread.call(lambda: [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)])
    proxy.stop()
    for client in clients:
        with client, contextlib.suppress(ConnectionResetError):
            client.settimeout(1)
            assert client.recv(1) == b""


# ---- the test's own answers and events -------------------------------------------------------------------------------


def test_an_answer_is_given_instead_of_the_servers(proxy: HttpFaultProxy, client: Client, target: Server) -> None:
    seen = len(target.seen)
    proxy.add(Answer(b'{"a":1}', 203), query="limit=1", times=1)
    answer = client.ask("GET", "/api/v1/pods?limit=1")

    assert (answer.status, answer.read()) == (203, b'{"a":1}')
    assert len(target.seen) == seen
    assert client.status("GET", "/api/v1/pods?limit=2") == 201


def test_lines_are_put_into_open_watches_which_may_end_in_order(proxy: HttpFaultProxy, client: Client) -> None:
    answer = client.ask("GET", "/api/v1/pods?watch=1")
    assert answer.readline() == b"first\n"

    assert proxy.tell(b"second\n", path_prefix="/api/v1/secrets") == 0
    assert proxy.tell(b"second\n") == 1
    assert answer.readline() == b"second\n"
    assert proxy.tell(b"last\n", end=True) == 1
    assert answer.read() == b"last\n"
    assert eventually(lambda: proxy.tell(b"") == 0)


def test_the_proxy_may_lead_to_another_server(
    proxy: HttpFaultProxy, client: Client, target: Server, serving: ssl.SSLContext
) -> None:
    with Server(lambda call: call.reply(200, b"other"), serving) as other:
        proxy.lead_to(other.url, ca_pem=CA)

        assert client.ask("GET", "/").read() == b"other"


def test_what_was_asked_and_told_is_recorded_where_it_is_asked_for(target: Server) -> None:
    with HttpFaultProxy(target.url, ca_pem=CA, record=True) as proxy:
        client = Client(proxy)
        client.status("POST", "/api/v1/pods")
        assert client.ask("GET", "/api/v1/pods?watch=1&limit=").readline() == b"first\n"
        write, watch = proxy.exchanges
        client.connection.close()

    assert (write.method, write.path, write.status, bytes(write.body)) == ("POST", "/api/v1/pods", 201, b"")
    assert (watch.is_watch, watch.query, bytes(watch.body)) == (True, {"watch": "1", "limit": ""}, b"first\n")


def test_nothing_is_recorded_otherwise(proxy: HttpFaultProxy, client: Client) -> None:
    client.status("GET", "/")

    assert proxy.exchanges == ()

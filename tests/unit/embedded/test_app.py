"""What clients get over HTTP; texts and codes were taken from kube-apiserver 1.36.3, byte by byte."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kcontroller.embedded import bodies
from kcontroller.embedded.milo import Milo
from kcontroller.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
NOT_SERVED = "the server could not find the requested resource"


class Answer(NamedTuple):
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection of bytes, because HTTP clients tidy up what they send."""

    def __init__(self, server: EmbeddedServer) -> None:
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        context = ssl.create_default_context(cadata=server.ca_pem)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")
        self.token = server.token

    def send(self, method: str, target: str, *headers: str, body: bytes = b"", token: str | None = None) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: a", *headers]
        token = self.token if token is None else token
        lines += [f"Authorization: Bearer {token}"] if token else []
        if body and not any(header.lower().startswith(("content-length", "transfer-enc")) for header in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def head(self) -> tuple[int, dict[str, str]]:
        code = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return code, headers

    def answer(self, *, head: bool = False) -> Answer:
        code, headers = self.head()
        size = int(headers.get("Content-Length", 0))
        return Answer(code, headers, b"" if head else self.file.read(size))

    def chunk(self) -> bytes:
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.read(2) == b"\r\n"
        return data

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(milo=Milo(cold_storage=False)) as server:
        yield server


@pytest.fixture
def wire(running: EmbeddedServer) -> Iterator[Wire]:
    running.requests.clear()
    wire = Wire(running)
    yield wire
    wire.close()
    while running.call(lambda: running.connections):
        pass  # The server hears of it in its next turn.
    assert not running.failures


def ask(wire: Wire, method: str, target: str, *headers: str, body: bytes = b"", token: str | None = None) -> Answer:
    wire.send(method, target, *headers, body=body, token=token)
    return wire.answer(head=method == "HEAD")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_plain_text_for_everybody(wire: Wire, path: str) -> None:
    answer = ask(wire, "GET", path, token="")
    assert (answer.code, answer.body) == (200, b"ok")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_health_answers_any_method_and_says_more_if_asked(wire: Wire) -> None:
    assert ask(wire, "POST", "/healthz").body == b"ok"
    assert ask(wire, "GET", "/livez?verbose").body == b"[+]ping ok\nlivez check passed\n"


def test_the_version_is_that_of_the_recorded_server(wire: Wire) -> None:
    assert ask(wire, "GET", "/version", token="").document["gitVersion"] == "v1.36.3"
    assert ask(wire, "POST", "/version").code == 405


@pytest.mark.parametrize(("token", "path"), [("wrong", "/healthz"), ("wrong", CONFIG_MAPS), ("", "/api")])
def test_who_is_unknown_is_refused(wire: Wire, token: str, path: str) -> None:
    assert ask(wire, "GET", path, token=token).document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


def test_who_has_no_rights_is_refused_before_anything_is_looked_up(wire: Wire, running: EmbeddedServer) -> None:
    nobody = running.user_token("nobody")
    assert ask(wire, "GET", "/apis/nope/v1/foos", token=nobody).code == 403
    assert ask(wire, "GET", "/apis", token=nobody).code == 200


def test_a_master_can_ask_as_somebody_else(wire: Wire) -> None:
    refused = ask(wire, "GET", CONFIG_MAPS, "Impersonate-User: bob").document
    assert refused["message"].startswith('configmaps is forbidden: User "bob" cannot list resource')
    assert ask(wire, "GET", CONFIG_MAPS, "Impersonate-User: bob", "Impersonate-Group: editors").code == 200


def test_reviews_are_answered_and_not_stored(wire: Wire, running: EmbeddedServer) -> None:
    version = running.call(lambda: running.api.backend.store.version)
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = ask(wire, "POST", path, body=b'{"kind":"SelfSubjectReview","spec":{}}')
    assert answer.headers["Warning"] == r'299 - "unknown field \"spec\""'
    assert (answer.code, answer.document["status"]["userInfo"]["username"]) == (201, "admin")
    assert running.call(lambda: running.api.backend.store.version) == version
    assert ask(wire, "GET", path).code == 405


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v1/namespaces/", 200),
        ("/api/v1/namespaces/default/", 200),
        ("/%61pi/v1/namespaces/default", 200),
        ("/api/v1/namespaces/default%2fconfigmaps", 200),
        ("http://x/api/v1/namespaces?limit=1", 200),
        ("/api//v1/namespaces", 404),
        ("/api/v1//namespaces", 404),
        ("/api/v1/./namespaces", 404),
        ("/api/v1/namespaces/../nodes", 404),
        ("/api/v1/namespaces/%2e%2e/nodes", 404),
        (f"{CONFIG_MAPS}/a%2fb", 404),
        (f"{CONFIG_MAPS}/a/b/c", 404),
        (f"{CONFIG_MAPS}/{'a' * 9000}", 404),
        ("/api/v1/namespaces#x", 404),
        ("/api/v2", 404),
        ("/apis/apps/v9/deployments", 404),
        (f"{CONFIG_MAPS}/..", 400),
        (f"{CONFIG_MAPS}/%2e%2e", 400),
        (f"{CONFIG_MAPS}/a%252fb", 400),
    ],
)
def test_paths_lead_where_they_lead_in_go(wire: Wire, target: str, code: int) -> None:
    answer = ask(wire, "GET", target)
    assert (answer.code, answer.headers["Content-Type"]) == (code, "application/json")
    assert code == 200 or answer.document["kind"] == "Status"


@pytest.mark.parametrize("target", ["//api/v1/namespaces", "/foo", "/apis/nope/v1/x", "/healthz/nope", "/openapi"])
def test_where_nothing_is_there_is_no_status(wire: Wire, target: str) -> None:
    answer = ask(wire, "GET", target)
    assert (answer.code, answer.body) == (404, b"404 page not found\n")


def test_a_name_that_is_none_is_named(wire: Wire) -> None:
    assert (
        ask(wire, "GET", f"{CONFIG_MAPS}/..").document["message"] == "Name parameter invalid: \"..\": may not be '..'"
    )


@pytest.mark.parametrize("target", [f"{CONFIG_MAPS}/%zz", "/api/v1/namespaces/a b"])
def test_a_target_that_is_no_path_is_answered_in_plain_text(wire: Wire, target: str) -> None:
    answer = ask(wire, "GET", target)
    assert (answer.code, answer.body, answer.headers["Connection"]) == (400, b"400 Bad Request", "close")


def test_a_header_that_is_too_long_is_refused(wire: Wire) -> None:
    wire.socket.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_100_000 + b"\r\n\r\n")
    assert wire.answer().code == 431


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("OPTIONS", CONFIG_MAPS, 405),
        ("TRACE", CONFIG_MAPS, 405),
        ("POST", f"{CONFIG_MAPS}/a", 405),
        ("PUT", CONFIG_MAPS, 405),
        ("PATCH", CONFIG_MAPS, 405),
        ("POST", "/api/v1/configmaps", 405),
        ("POST", "/apis/apps/v1", 405),
        ("POST", "/apis", 200),
        ("PUT", "/openapi/v3", 200),
        ("OPTIONS", "/api/v1/nope", 404),
    ],
)
def test_methods_are_allowed_as_go_allows_them(wire: Wire, method: str, target: str, code: int) -> None:
    answer = ask(wire, method, target)
    assert answer.code == code
    if code == 405:
        assert answer.document["message"] == NOT_ALLOWED


def test_head_has_the_length_and_no_body(wire: Wire) -> None:
    answer = ask(wire, "HEAD", CONFIG_MAPS)
    assert (answer.code, answer.headers["Content-Length"]) == (405, "197")
    assert ask(wire, "GET", "/healthz").body == b"ok"  # Nothing is left in the connection.


def test_the_first_value_of_a_parameter_counts_and_what_go_cannot_read_does_not(
    wire: Wire, running: EmbeddedServer
) -> None:
    assert "continue" in ask(wire, "GET", "/api/v1/namespaces?limit=1&limit=0").document["metadata"]
    assert "continue" not in ask(wire, "GET", "/api/v1/namespaces?limit=1;a=2&%zz=1").document["metadata"]
    assert running.requests.where()[0].query == {"limit": "1"}


def test_a_document_can_be_sent_in_chunks(wire: Wire) -> None:
    body = b'{"metadata":{"name":"chunked"}}'
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert ask(wire, "POST", f"{CONFIG_MAPS}?dryRun=All", "Transfer-Encoding: chunked", body=chunked).code == 201


def test_a_client_that_waits_for_it_is_told_to_go_on(wire: Wire) -> None:
    body = b'{"metadata":{"name":"expect"}}'
    wire.send("POST", f"{CONFIG_MAPS}?dryRun=All", f"Content-Length: {len(body)}", "Expect: 100-continue")
    assert wire.head() == (100, {})
    wire.socket.sendall(body)
    assert wire.answer().code == 201


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(wire: Wire, *, announced: bool) -> None:
    size = bodies.LIMIT + 1
    header = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
    wire.send("POST", CONFIG_MAPS, header, body=b" " * size if announced else b"%x\r\n" % size + b" " * size + b"\r\n")
    answer = wire.answer()
    assert (answer.code, answer.document["message"]) == (413, "Request entity too large: limit is 3145728")


def test_a_body_that_dribbles_is_not_waited_for() -> None:
    with EmbeddedServer(body_seconds=0.01) as server:
        wire = Wire(server)
        answer = ask(wire, "POST", CONFIG_MAPS, "Content-Length: 100", body=b'{"a"')
        wire.close()
        assert (answer.code, answer.document["reason"]) == (408, "Timeout")
        assert not server.failures


def test_a_long_answer_is_compressed_for_who_takes_gzip(wire: Wire) -> None:
    body = json.dumps({"metadata": {"name": "long"}, "data": {"a": "a" * 150_000}}).encode()
    plain = ask(wire, "POST", f"{CONFIG_MAPS}?dryRun=All", body=body)
    packed = ask(wire, "POST", f"{CONFIG_MAPS}?dryRun=All", "Accept-Encoding: deflate, gzip", body=body)
    assert "Content-Encoding" not in plain.headers
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(packed.body))["data"] == plain.document["data"]
    assert "Content-Encoding" not in ask(wire, "GET", CONFIG_MAPS, "Accept-Encoding: gzip").headers


def test_warnings_are_headers(wire: Wire) -> None:
    body = b'{"metadata":{"name":"warned"},"a\\"b":2}'
    answer = ask(wire, "POST", f"{CONFIG_MAPS}?dryRun=All", body=body)
    assert answer.headers["Warning"] == r'299 - "unknown field \"a\"b\""'


def test_a_deprecated_kind_says_so(wire: Wire) -> None:
    answer = ask(wire, "GET", "/api/v1/namespaces/default/endpoints")
    assert answer.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated in v1.33+')


def test_a_refusal_is_yaml_for_who_takes_nothing_else(wire: Wire) -> None:
    answer = ask(wire, "GET", f"{CONFIG_MAPS}/nope", "Accept: application/yaml")
    assert (answer.code, answer.headers["Content-Type"]) == (404, "application/yaml")
    assert b'message: configmaps "nope" not found\n' in answer.body


def test_aggregated_discovery_is_not_sent_twice(wire: Wire) -> None:
    accept = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    first = ask(wire, "GET", "/apis", accept)
    assert first.document["kind"] == "APIGroupDiscoveryList"
    again = ask(wire, "GET", "/apis", accept, f"If-None-Match: {first.headers['ETag']}")
    assert (again.code, again.body) == (304, b"")


def test_the_index_lists_the_paths(wire: Wire) -> None:
    assert {"/api", "/apis/apps/v1", "/openapi/v3"} <= set(ask(wire, "GET", "/").document["paths"])


def test_a_control_plane_is_below_its_path(wire: Wire, running: EmbeddedServer) -> None:
    path = "/apis/resourcemanager.miloapis.com/v1alpha1/projects/one/control-plane"
    review = ask(wire, "POST", f"{path}/apis/authentication.k8s.io/v1/selfsubjectreviews", body=b"{}").document
    assert review["status"]["userInfo"]["extra"]["iam.miloapis.com/parent-name"] == ["one"]
    assert ask(wire, "GET", f"{path}/api/v1/pods").code == 404
    assert running.requests.where(plane="one")[0].path.startswith(path)


def watch(wire: Wire, version: int) -> dict[str, str]:
    wire.send("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={version}")
    code, headers = wire.head()
    assert code == 200
    return headers


def test_a_watch_starts_at_once_and_tells_each_event_as_it_comes(wire: Wire, running: EmbeddedServer) -> None:
    headers = watch(wire, running.call(lambda: running.api.backend.store.version))
    assert headers["Transfer-Encoding"] == "chunked"
    running.request("POST", CONFIG_MAPS, {"metadata": {"name": "watched"}})
    event = json.loads(wire.chunk())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "watched")
    running.request("DELETE", f"{CONFIG_MAPS}/watched")
    assert json.loads(wire.chunk())["type"] == "DELETED"


def test_a_watch_with_a_wrong_time_limit_is_refused(wire: Wire) -> None:
    assert ask(wire, "GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=x").code == 400


def test_what_fails_unexpectedly_is_told_without_a_word_of_how(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer() as server:
        monkeypatch.setattr(server.api, "get", lambda *_, **__: 1 / 0)
        code, status = server.request("GET", f"{CONFIG_MAPS}/a")
        assert (code, status["reason"], "zero" in str(status), "Traceback" in str(status)) == (
            500,
            "InternalError",
            False,
            False,
        )
        assert [type(error) for error in server.failures] == [ZeroDivisionError]
        assert [record.name for record in caplog.records] == ["kcontroller.embedded"]
        assert "ZeroDivisionError" in caplog.text
        assert server.request("GET", "/healthz")[0] == 200


def test_every_request_is_logged_before_it_is_answered(wire: Wire, running: EmbeddedServer) -> None:
    ask(wire, "POST", f"{CONFIG_MAPS}?dryRun=All", "User-Agent: test/1", body=b'{"metadata":{"name":"logged"}}')
    ask(wire, "GET", "/foo", token="wrong")
    created, refused = running.requests.where()
    assert (created.verb, created.resource, created.namespace, created.status) == (
        "create",
        "configmaps",
        "default",
        201,
    )
    assert (created.user, created.agent, created.query) == ("admin", "test/1", {"dryRun": "All"})
    assert created.json() == {"metadata": {"name": "logged"}}
    assert created.seconds > 0
    assert (refused.verb, refused.path, refused.resource, refused.status, refused.user) == ("get", "/foo", "", 401, "")

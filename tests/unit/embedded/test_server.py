from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from kcontroller.embedded.faults import Cut, Delay, EndWatch, ExpireWatch, FreezeWatch, Garbage, Hang, Refuse, Rule
from kcontroller.embedded.milo import Milo
from kcontroller.embedded.server import EmbeddedServer
from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESCRIPTORS = Path("/dev/fd")
GONE = (OSError, http.client.HTTPException)
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(users={"eve": ("editors",)}) as server:
        yield server


@pytest.fixture
def server(running: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The server of this file, without rules, requests and objects of other tests."""
    yield running
    running.faults.clear()
    running.request("DELETE", CONFIG_MAPS)
    running.requests.clear()
    while running.call(lambda: running.connections):
        pass  # The server hears of closed connections in its next turn.
    assert not running.failures


def create(server: EmbeddedServer, name: str) -> None:
    status, answer = server.request("POST", CONFIG_MAPS, {"metadata": {"name": name}})
    assert status == 201, answer


def names(server: EmbeddedServer, port: int = 0, *, query: str = "") -> list[str]:
    with closing(connect(server, port)) as connection:
        connection.request("GET", CONFIG_MAPS + query, headers={"Authorization": f"Bearer {server.token}"})
        listed = json.load(connection.getresponse())
    return [item["metadata"]["name"] for item in listed["items"]]


def connect(server: EmbeddedServer, port: int = 0) -> http.client.HTTPSConnection:
    tls = ssl.create_default_context(cadata=server.ca_pem)
    return http.client.HTTPSConnection("127.0.0.1", port or server.port, timeout=5, context=tls)


@contextmanager
def watch(server: EmbeddedServer, port: int = 0, version: int = 0, *, query: str = "") -> Iterator[Callable[[], Any]]:
    """Watch from now on, or as a query says; gives what reads the next event, None at the end."""
    version = version or server.call(lambda: server.api.backend.store.version)
    with closing(connect(server, port)) as connection:
        path = CONFIG_MAPS + (query or f"?watch=1&resourceVersion={version}")
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        assert answer.status == 200

        buffer = b""

        def event() -> Any:
            nonlocal buffer
            while b"\n" not in buffer:
                more = answer.read1(65536)
                if not more:
                    return None
                buffer += more
            line, _, buffer = buffer.partition(b"\n")
            return json.loads(line)

        yield event


def name_of(event: Any) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def test_it_answers_when_it_has_started_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = EmbeddedServer()
    before = len(list(DESCRIPTORS.iterdir()))
    with server:
        assert server.request("GET", "/readyz") == (200, "ok")
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("kc-")].count(
            "kc-embedded"
        ) >= 1
        assert not list(tmp_path.iterdir())
        with watch(server):
            server.stop()
    server.stop()
    assert len(list(DESCRIPTORS.iterdir())) <= before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_its_certificate_is_for_loopback_and_signed_by_its_authority(server: EmbeddedServer) -> None:
    context = ssl.create_default_context(cadata=server.ca_pem)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="kubernetes.default.svc") as tls,
    ):
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) >= {"localhost", "kubernetes.default.svc"}
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}


def test_a_port_that_is_taken_is_named(server: EmbeddedServer) -> None:
    said = (
        f"cannot listen on 127.0.0.1:{server.port}: the port is in use; stop what uses it, "
        r"or choose another port \(0 for any that is free\)"
    )
    with pytest.raises(ControlPlaneError, match=said):
        EmbeddedServer(port=server.port).start()


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(ControlPlaneError, match="99999 is no port; choose one from 1 to 65535"):
        EmbeddedServer(port=99999).start()


def test_what_is_asked_of_a_server_that_does_not_run_says_so() -> None:
    server = EmbeddedServer()
    server.stop()
    for ask in (lambda: server.ca_pem, lambda: server.api, lambda: server.call(int), server.restart):
        with pytest.raises(ControlPlaneError, match="does not run; call start"):
            ask()


def test_it_starts_once() -> None:
    with EmbeddedServer() as server:
        assert server.start() is server
    with pytest.raises(ControlPlaneError, match="was stopped; make a new one"):
        server.start()


def test_users_have_tokens(server: EmbeddedServer) -> None:
    assert server.request("GET", CONFIG_MAPS, user="eve")[0] == 200
    assert server.request("GET", CONFIG_MAPS, user="nobody")[0] == 403
    with pytest.raises(ControlPlaneError, match="no user 'bob'; there are admin, eve, nobody"):
        server.user_token("bob")


def test_a_function_runs_on_the_loop_and_its_exception_comes_back(server: EmbeddedServer) -> None:
    assert server.call(lambda: server.call(lambda: threading.current_thread().name)) == "kc-embedded"
    with pytest.raises(ZeroDivisionError):
        server.call(lambda: 1 / 0)


def test_the_clock_is_the_one_it_is_given() -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    with EmbeddedServer(now=lambda: datetime(2030, 1, 1, tzinfo=UTC)) as server:
        create(server, "a")
        _, config_map = server.request("GET", f"{CONFIG_MAPS}/a")
    assert config_map["metadata"]["creationTimestamp"] == "2030-01-01T00:00:00Z"


def test_a_restart_cuts_connections_and_keeps_the_rest(server: EmbeddedServer) -> None:
    create(server, "kept")
    before = (server.url, server.ca_pem, server.token)
    with watch(server) as event:
        server.restart()
        with pytest.raises(GONE):
            event()
    assert (server.url, server.ca_pem, server.token) == before
    assert names(server) == ["kept"]


def test_a_kubeconfig_is_for_its_owner_alone(server: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    document = yaml.safe_load(server.write_kubeconfig(path, "p1").read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert document["current-context"] == "p1"
    assert [cluster["cluster"]["server"] for cluster in document["clusters"]] == [
        server.url,
        f"{server.url}/apis/resourcemanager.miloapis.com/v1alpha1/projects/p1/control-plane",
    ]
    assert document["users"] == [{"name": "admin", "user": {"token": server.token}}]


def test_projects_are_served_below_their_paths() -> None:
    with EmbeddedServer(milo=Milo(projects=("one",), cold_storage=False)) as server:
        base = "/apis/resourcemanager.miloapis.com/v1alpha1/projects/one/control-plane"
        assert server.request("POST", f"{base}{CONFIG_MAPS}", {"metadata": {"name": "a"}})[0] == 201
        assert server.request("GET", f"{CONFIG_MAPS}/a")[0] == 404
        assert server.request("GET", f"{base}{CONFIG_MAPS}/a")[0] == 200
        assert not server.failures


def test_a_frozen_front_end_shows_what_was(server: EmbeddedServer) -> None:
    create(server, "before")
    with server.front_end() as front, watch(server, front.port) as event:
        assert front.freeze() == front.frozen
        create(server, "after")
        assert names(server, front.port, query="?resourceVersion=0") == ["before"]
        assert names(server, front.port) == names(server) == ["after", "before"]
        with closing(connect(server, front.port)) as connection:
            body, token = json.dumps({"metadata": {"name": "through"}}), {"Authorization": f"Bearer {server.token}"}
            connection.request("POST", CONFIG_MAPS, body, token)
            assert connection.getresponse().status == 201  # Writes go to the store, not to what is shown.
        front.thaw()
        assert [name_of(event()), name_of(event())] == [("ADDED", "after"), ("ADDED", "through")]
        assert names(server, front.port) == ["after", "before", "through"]


def test_a_streaming_list_on_a_frozen_front_end_ends_when_it_has_what_was_asked_for(server: EmbeddedServer) -> None:
    create(server, "before")
    query = "?watch=1&allowWatchBookmarks=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    with server.front_end() as front:
        front.freeze()
        create(server, "after")
        with watch(server, front.port, query=query) as event:
            assert name_of(event()) == ("ADDED", "before")
            front.thaw()
            assert name_of(event()) == ("ADDED", "after")
            assert event()["type"] == "BOOKMARK"


def test_connections_of_one_front_end_can_be_cut(server: EmbeddedServer) -> None:
    with server.front_end() as front, watch(server, front.port) as cut, watch(server) as whole:
        front.cut()
        with pytest.raises(GONE):
            cut()
        create(server, "a")
        assert name_of(whole()) == ("ADDED", "a")


def test_a_front_end_that_was_closed_stays_closed(server: EmbeddedServer) -> None:
    front = server.front_end()
    front.close()
    front.close()
    server.restart()
    with pytest.raises(OSError):
        names(server, front.port)


def test_a_rule_answers_and_counts(server: EmbeddedServer) -> None:
    rule = Rule(Refuse(429, retry_after=1), verbs={"create"}, resource="configmaps", times=1)
    with server.faults(rule):
        status, answer = server.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
        assert (status, answer["reason"], answer["details"]) == (429, "TooManyRequests", {"retryAfterSeconds": 1})
        create(server, "a")
    assert rule.hits == 1
    assert [request.status for request in server.requests.where(verb="create")] == [429, 201]


@pytest.mark.parametrize(("after", "stored"), [(False, []), (True, ["a"])])
def test_a_cut_leaves_the_client_without_an_answer(server: EmbeddedServer, *, after: bool, stored: list[str]) -> None:
    with (
        server.faults(Rule(Cut(after=after), verbs={"create"})) as rule,
        pytest.raises(GONE),
    ):
        server.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert (rule.hits, names(server)) == (1, stored)
    assert server.requests.where(verb="create")[0].status == 0


def test_a_delay_is_before_the_verb(server: EmbeddedServer) -> None:
    with server.faults(Rule(Delay(0.005), verbs={"create"})):
        create(server, "a")
    assert server.requests.where(verb="create")[0].seconds >= 0.005


def test_what_hangs_is_done_when_it_is_released(server: EmbeddedServer) -> None:
    with server.faults(Rule(Hang(), verbs={"create"})) as rule:
        asking = threading.Thread(target=create, args=(server, "a"))
        asking.start()
        while not rule.hits:
            assert names(server) == []
        rule.release()
        asking.join(5)
    assert names(server) == ["a"]


def test_an_open_watch_is_ended_by_a_new_rule(server: EmbeddedServer) -> None:
    with watch(server) as event, server.faults(Rule(ExpireWatch())):
        assert (event()["object"]["code"], event()) == (410, None)
    with watch(server) as event, server.faults(Rule(EndWatch())):
        assert event() is None


def test_garbage_in_a_watch_is_garbage_and_a_cut(server: EmbeddedServer) -> None:
    with (
        watch(server) as event,
        server.faults(Rule(Garbage())),
        pytest.raises((ValueError, *GONE)),
    ):
        event()


def test_a_frozen_watch_goes_on_where_it_was(server: EmbeddedServer) -> None:
    with watch(server) as event:
        with server.faults(Rule(FreezeWatch(), verbs={"watch"}, resource="configmaps")) as rule:
            create(server, "a")
            while not rule.hits:
                pass
        assert name_of(event()) == ("ADDED", "a")


def test_a_client_that_does_not_read_is_cut() -> None:
    with EmbeddedServer(write_seconds=0.01) as server, socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", server.port))
        tls = ssl.create_default_context(cadata=server.ca_pem).wrap_socket(plain, server_hostname="127.0.0.1")
        with tls:
            request = f"GET {CONFIG_MAPS}?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {server.token}\r\n\r\n"
            tls.sendall(request.encode())
            large = {"metadata": {"name": "large"}, "data": {"a": "a" * 900_000}}
            for number in range(100):
                large["metadata"]["name"] = f"large-{number}"
                server.request("POST", CONFIG_MAPS, large)
                if not server.call(lambda: server.api.backend.store.topic("", "configmaps").watches):
                    break
            else:
                pytest.fail("the watch is still open")
        assert not server.failures


def test_who_goes_away_leaves_no_watch(server: EmbeddedServer) -> None:
    topic = server.call(lambda: server.api.backend.store.topic("", "configmaps"))
    with watch(server) as event:
        create(server, "a")
        event()
        assert topic.watches == 1
    while server.call(lambda: topic.watches):
        pass


def test_who_speaks_no_tls_harms_nobody(server: EmbeddedServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP" not in plain.recv(100)
    assert names(server) == []


@pytest.mark.parametrize("end", ["stop", "restart"])
def test_who_connects_in_the_moment_of_an_end_is_cut_like_the_others(end: str) -> None:
    with EmbeddedServer() as server:
        # On the loop, so that the server finds all of them when it is about to end.
        clients = server.call(lambda: [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)])
        getattr(server, end)()
        for client in clients:
            with closing(client), suppress(ConnectionResetError):
                client.settimeout(1)
                assert client.recv(1) == b""
    assert server.failures == []


def test_a_start_that_failed_can_be_tried_again() -> None:
    with EmbeddedServer() as other:
        server = EmbeddedServer(port=other.port)
        for _ in range(2):
            with pytest.raises(ControlPlaneError, match="in use"):
                server.start()
    with server:
        assert server.request("GET", "/readyz") == (200, "ok")


@pytest.mark.parametrize("after", [False, True])
def test_a_watch_is_cut_before_it_begins(server: EmbeddedServer, *, after: bool) -> None:
    with server.faults(Rule(Cut(after=after), verbs={"watch"})) as rule, closing(connect(server)) as connection:
        connection.request("GET", f"{CONFIG_MAPS}?watch=1", headers={"Authorization": f"Bearer {server.token}"})
        with pytest.raises(GONE):
            connection.getresponse()
    assert rule.hits == 1

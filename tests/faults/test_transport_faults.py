"""What the way to a server does to requests and streams: cuts at any byte, black holes, slices, rotated credentials."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme

from kcontroller import Key, Object
from kcontroller.client.client import Client
from kcontroller.client.direct import DirectPort
from kcontroller.client.discovery import RestMapper
from kcontroller.client.writes import Ports
from kcontroller.errors import ConnectFailed, TransportError
from kcontroller.process.metrics import Metrics
from kcontroller.testing import BlackHole, ControlPlane, FaultProxy, Limit, Slicer, config_of, eventually
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import CertificateFiles, StaticCredentials, TokenFile, bearer
from kcontroller.transport.lines import LineSplitter
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester
from kcontroller.transport.streams import StreamLoop
from tests.unit.transport.scripted import Call, Server, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller.testing import EmbeddedServer
    from kcontroller.testing.toxics import Direction

CONFIG_MAP = "v1 ConfigMap"
CREATES = 200
EVERY_BYTE = pytest.param(0, marks=(pytest.mark.long, pytest.mark.timeout(600)), id="every byte")
NOBODY = Key("default", "nobody")
WATCH = (
    "/api/v1/namespaces/default/configmaps?watch=1&sendInitialEvents=true"
    "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=300"
)


def real(control_plane: ControlPlane) -> Config:
    server = control_plane.servers[0]
    credentials = StaticCredentials(bearer(server.token, what="test"))
    return Config(server.url, credentials, TLSConfig(ca=server.ca_pem.encode()), source="test")


@contextmanager
def client_of(config: Config, mapper: RestMapper | None = None) -> Iterator[Client]:
    requester = Requester(config)
    direct = DirectPort(requester, mapper or RestMapper(requester))
    try:
        yield Client(Ports(reader=direct, live=direct, writer=direct))
    finally:
        requester.close()


# Creates whose connection is cut.


def wish(run: str, number: int) -> Object:
    metadata = {"generateName": "wish-", "namespace": "default", "labels": {"run": run, "wish": str(number)}}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": str(number)}})


class Cuts:
    """Where to cut a create: at bytes of a connection that is made for it, and of one that has been used before.

    Args:
        fresh: how many bytes go up and come down until a create on a new connection is answered.
        used: how many have passed when a connection has carried a read.
        again: how many when it has carried a create after that.
    """

    def __init__(self, fresh: tuple[int, int], used: tuple[int, int], again: tuple[int, int]) -> None:
        self.new = [(way, at) for way, end in zip(WAYS, fresh, strict=True) for at in range(1, end + 1)]
        self.reused = [
            (way, at) for way, begin, end in zip(WAYS, used, again, strict=True) for at in range(begin + 1, end + 1)
        ]

    def some(self, count: int) -> list[tuple[bool, Direction, int]]:
        """Whether the connection is reused, the way and the byte: so many of them, or all (0), evenly, half reused."""
        return [
            (reused, *places[number * len(places) // share])
            for reused, places in ((False, self.new), (True, self.reused))
            for share in [count // 2 or len(places)]
            for number in range(share)
        ]


WAYS: tuple[Direction, Direction] = ("up", "down")


def create_cut_at_every_byte(config: Config, run: str, count: int) -> Cut:
    """Create objects over connections that end at another byte each time."""
    with FaultProxy(config.server) as proxy, client_of(config) as honest:
        through = proxy.config(config)
        honest.list(CONFIG_MAP, namespace="default")
        mapper = honest._ports.writer.mapper  # type: ignore[attr-defined]

        def passed() -> tuple[int, int]:
            return proxy.counts.bytes_up, proxy.counts.bytes_down

        with client_of(through, mapper) as client:
            client.create(wish(run, 0))
            fresh = passed()
        eventually(lambda: not proxy.connections)
        with client_of(through, mapper) as client:
            client.get_or_none(CONFIG_MAP, NOBODY)
            used = passed()
            client.create(wish(run, 1))
            again = passed()
        cuts = Cuts(fresh, minus(used, fresh), minus(again, fresh)).some(count)
        for number, (reused, way, at) in enumerate(cuts, 2):
            with client_of(through, mapper) as client:
                if reused:
                    client.get_or_none(CONFIG_MAP, NOBODY)
                connection = proxy.counts.connections + (not reused)
                cut = proxy.add(Limit(at, reset=bool(number % 2)), direction=way, connections={connection})
                create_once(client, wish(run, number))
            proxy.remove(cut)
        there = honest.list(CONFIG_MAP, namespace="default", labels={"run": run})
        return Cut(there, len(cuts) + 2, proxy.counts.connections)


def minus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] - other[0], one[1] - other[1]


class Cut(NamedTuple):
    """What is there, how many creates there were, and over how many connections."""

    there: list[Object]
    creates: int
    connections: int


def create_once(client: Client, obj: Object) -> None:
    try:
        client.create(obj)
    except ConnectFailed:
        client.create(obj)  # It says that nothing was sent.


@pytest.mark.parametrize("cuts", [CREATES, EVERY_BYTE])
def test_a_create_that_is_cut_at_any_byte_makes_one_object(api_server: EmbeddedServer, cuts: int) -> None:
    there, creates, connections = create_cut_at_every_byte(config_of(api_server), "embedded", cuts)

    assert sorted(int(each["data"]["n"]) for each in there) == list(range(creates))
    assert connections > creates * 1.5  # Most cuts cost a second connection.


@pytest.mark.parametrize("cuts", [CREATES, EVERY_BYTE])
def test_a_create_that_is_cut_at_any_byte_of_tls_makes_one_object(control_plane: ControlPlane, cuts: int) -> None:
    there, creates, connections = create_cut_at_every_byte(real(control_plane), "real", cuts)
    with client_of(real(control_plane)) as client:
        for each in there:
            client.delete(each)

    assert sorted(int(each["data"]["n"]) for each in there) == list(range(creates))
    assert connections > creates * 1.5


# Streams.


class Watcher:
    """Collects the events of one stream, and the time of its end."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ends: list[tuple[float, TransportError | None]] = []
        self._lines = LineSplitter()

    def on_response(self, status: int, headers: Any) -> None:
        assert status == 200

    def on_data(self, chunk: bytes) -> None:
        self.events += [json.loads(line) for line in self._lines.feed(chunk) if line]

    def on_end(self, error: TransportError | None) -> None:
        self.ends.append((time.monotonic(), error))

    @property
    def names(self) -> list[str]:
        return [event["object"]["metadata"]["name"] for event in self.events if event["type"] == "ADDED"]


@contextmanager
def loop_of(config: Config, **options: Any) -> Iterator[StreamLoop]:
    loop = StreamLoop(config, name="test", **options)
    thread = threading.Thread(target=loop.run, name="kc-cluster-test")
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join(20)
    assert not thread.is_alive()


def opened(loop: StreamLoop, target: str, *, timeout: float = 330.0) -> Watcher:
    watcher = Watcher()
    loop.call(lambda: loop.open(target, watcher, timeout=timeout))  # type: ignore[func-returns-value]
    return watcher


@pytest.mark.timeout(300)
def test_100_of_100_connections_that_fall_silent_are_found(control_plane: ControlPlane) -> None:
    silence, probe = 0.6, 2.0  # A machine under load takes its time to answer a probe.
    took: list[float] = []
    with FaultProxy(control_plane.servers[0].url) as proxy:
        config = proxy.config(real(control_plane))
        for _ in range(4):
            with ExitStack() as stack:
                loops = [stack.enter_context(loop_of(config, silence=silence, probe_timeout=probe)) for _ in range(25)]
                watchers = [opened(loop, WATCH) for loop in loops]
                eventually(lambda all_=tuple(watchers): all(each.events for each in all_), 20.0)
                with proxy.add(BlackHole()):
                    began = time.monotonic()
                    assert not any(each.ends for each in watchers)
                    eventually(lambda all_=tuple(watchers): all(each.ends for each in all_), 20.0)
                took += [each.ends[0][0] - began for each in watchers]
                again = [opened(loop, WATCH) for loop in loops]
                eventually(lambda all_=tuple(again): all(each.events for each in all_), 20.0)

    assert len(took) == 100
    assert min(took) >= probe - 0.5  # The last probe that was sent before may have to wait for its answer in vain.
    assert max(took) <= silence + probe + 6.0, max(took)


def test_a_stream_in_slices_of_one_byte_is_the_same_stream(api_server: EmbeddedServer) -> None:
    config = config_of(api_server)
    with client_of(config) as client, FaultProxy(config.server) as proxy:
        names = [client.create(wish("sliced", number)).metadata.name for number in range(10)]
        proxy.add(Slicer(1), direction="down")
        with loop_of(proxy.config(config)) as loop:
            watcher = opened(loop, WATCH)
            eventually(lambda: any(event["type"] == "BOOKMARK" for event in watcher.events), 20.0)

    assert sorted(watcher.names) == sorted(names)


EVENTS = [
    json.dumps({"type": "ADDED", "object": {"metadata": {"name": f"w{number}"}, "text": "äöü€" * number}}).encode()
    for number in range(40)
]


def whole_stream() -> tuple[bytes, list[int]]:
    """Give the bytes of a watch as servers send it, and where each event is complete."""
    stream = bytearray(head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))
    ends = []
    for event in EVENTS:
        stream += b"%x\r\n%s\n" % (len(event) + 1, event)
        ends.append(len(stream))
        stream += b"\r\n"
    return bytes(stream), ends


def test_a_stream_that_is_cut_at_any_of_its_first_4096_bytes_tells_what_had_come_and_ends() -> None:
    stream, ends = whole_stream()
    assert len(stream) > 4096

    def cut(call: Call) -> None:
        call.send(stream[: int(call.request.target.rpartition("/")[2])])
        call.reset()

    wrong: list[int] = []
    with Server(cut) as server, loop_of(Config(server.url, StaticCredentials())) as loop:
        for some in batches(4096, 64):
            watchers = [(at, opened(loop, f"/cut/{at}")) for at in some]
            eventually(lambda all_=tuple(watchers): all(each.ends for _, each in all_), 20.0)
            wrong += [at for at, each in watchers if not is_right(at, each, ends)]

    assert wrong == []


def batches(count: int, size: int) -> Iterator[range]:
    for start in range(1, count + 1, size):
        yield range(start, min(start + size, count + 1))


def is_right(at: int, watcher: Watcher, ends: list[int]) -> bool:
    complete = sum(end <= at for end in ends)
    return watcher.names == [f"w{number}" for number in range(complete)] and watcher.ends[0][1] is not None


# Rotation.


@contextmanager
def traffic(send: Callable[[], None]) -> Iterator[list[Any]]:
    """Call a function from four threads all the time; gives what it raised, and None for each success."""
    outcomes: list[Any] = []
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                send()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                outcomes.append(error)
            else:
                outcomes.append(None)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stopped.set()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def more(outcomes: list[Any], count: int = 50) -> None:
    """Wait for some more requests."""
    until = len(outcomes) + count
    eventually(lambda: len(outcomes) >= until, 20.0)


def who(requester: Requester) -> str:
    body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = requester.send(HttpRequest("POST", path, body, "application/json"))
    assert answer.status == 201, answer.body
    return str(json.loads(answer.body)["status"]["userInfo"]["username"])


def token_bound_to(admin: Requester, secret: str) -> str:
    def post(path: str, body: Any) -> Any:
        answer = admin.send(HttpRequest("POST", path, json.dumps(body).encode(), "application/json"))
        assert answer.status in {201, 409}, answer.body
        return json.loads(answer.body)

    space = "/api/v1/namespaces/default"
    post(f"{space}/serviceaccounts", {"metadata": {"name": "rotator"}})
    uid = post(f"{space}/secrets", {"metadata": {"name": secret}})["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Secret", "name": secret, "uid": uid}
    spec = {"spec": {"expirationSeconds": 600, "boundObjectRef": bound, "audiences": []}}
    return str(post(f"{space}/serviceaccounts/rotator/token", spec)["status"]["token"])


def test_a_token_file_is_rotated_under_traffic_without_a_failure(control_plane: ControlPlane, tmp_path: Path) -> None:
    admin, metrics = Requester(real(control_plane)), Metrics()
    path, fresh = tmp_path / "token", tmp_path / "fresh"
    path.write_text(token_bound_to(admin, "rotation-0"))
    server = control_plane.servers[0]
    trust = TLSConfig(ca=server.ca_pem.encode())
    # The server remembers for 10 s that a token was good: so long it has to be asked, and not too often.
    config = Config(server.url, TokenFile(path, what="token"), trust, qps=40, burst=10)
    requester = Requester(config, metrics=metrics)
    with traffic(lambda: who(requester) and None) as outcomes:
        more(outcomes)
        fresh.write_text(token_bound_to(admin, "rotation-1"))
        fresh.rename(path)
        admin.send(HttpRequest("DELETE", "/api/v1/namespaces/default/secrets/rotation-0"))
        eventually(lambda: 'rest_client_request_retries_total{code="401"' in metrics.render().decode(), 30.0)
        more(outcomes)
    for request in ("secrets/rotation-1", "serviceaccounts/rotator"):
        admin.send(HttpRequest("DELETE", f"/api/v1/namespaces/default/{request}"))
    requester.close()
    admin.close()

    assert [error for error in outcomes if error is not None] == []


def issue(authority: trustme.CA, name: str, certificate: Path, key: Path) -> None:
    issued = authority.issue_cert(f"{name}@example.com", common_name=name, organization_name="system:masters")
    for path, data in ((certificate, issued.cert_chain_pems[0].bytes()), (key, issued.private_key_pem.bytes())):
        fresh = path.with_suffix(".fresh")
        fresh.write_bytes(data)
        fresh.rename(path)


@pytest.mark.usefixtures("control_plane")  # To be skipped where there is none.
def test_a_client_certificate_is_rotated_under_traffic_and_the_watches_follow(tmp_path: Path) -> None:
    authority, clock = trustme.CA(), VirtualClock()
    ca, certificate, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))
    authority.cert_pem.write_to_path(ca)
    issue(authority, "before", certificate, key)
    with ControlPlane(arguments=(f"--client-ca-file={ca}",)) as plane:
        server = plane.servers[0]
        credentials = CertificateFiles(certificate, key, what="test", clock=clock)
        config = Config(server.url, credentials, TLSConfig(ca=server.ca_pem.encode()))
        requester = Requester(config)
        names: list[str] = []
        with loop_of(config, silence=0.3, probe_timeout=5.0) as loop:
            watcher = opened(loop, WATCH)
            eventually(lambda: watcher.events, 20.0)
            with traffic(lambda: names.append(who(requester))) as outcomes:
                more(outcomes)
                issue(authority, "after", certificate, key)
                clock.advance(6)
                eventually(lambda: "after" in names, 20.0)
                more(outcomes)
            eventually(lambda: watcher.ends, 20.0)
            again = opened(loop, WATCH)
            eventually(lambda: again.events, 20.0)
        requester.close()

    assert [error for error in outcomes if error is not None] == []
    assert (names[0], names[-1]) == ("before", "after")
    assert "renewed" in str(watcher.ends[0][1])

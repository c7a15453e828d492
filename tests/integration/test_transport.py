"""Requests and streams against a real kube-apiserver: what a server of our own in HTTP/1.1 cannot show."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pycurl
import pytest

from kcontroller.errors import ConnectFailed, OutcomeUnknown, RequestTimeout, TransportError
from kcontroller.process.threads import ThreadGroup
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, bearer
from kcontroller.transport.lines import LineSplitter
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester
from kcontroller.transport.shared_loops import SharedLoops
from kcontroller.transport.streams import StreamLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.testing.control_plane import ApiServer, ControlPlane

HTTP_2 = 3
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_of(server: ApiServer) -> Config:
    credentials = StaticCredentials(bearer(server.token, what="test"))
    return Config(server.url, credentials, TLSConfig(ca=server.ca_pem.encode()), source="test")


def watch_of(resource: str) -> str:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    return f"/api/v1/{resource}?{query}&timeoutSeconds=300"


class Watcher:
    """Collects the events of one watch."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ends: list[TransportError | None] = []
        self.changed = threading.Condition()
        self._lines = LineSplitter()

    def on_response(self, status: int, headers: Any) -> None:
        assert status == 200

    def on_data(self, chunk: bytes) -> None:
        lines = [line for line in self._lines.feed(chunk) if line]
        with self.changed:
            self.events += map(json.loads, lines)
            self.changed.notify_all()

    def on_end(self, error: TransportError | None) -> None:
        with self.changed:
            self.ends.append(error)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[Watcher], bool]) -> Watcher:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), 20), self.ends
        return self

    def names(self) -> list[str]:
        return [event["object"]["metadata"]["name"] for event in self.events if event["type"] == "ADDED"]


class Fleet:
    """One loop with three watches, and a requester."""

    def __init__(self, server: ApiServer, *, url: str = "", silence: float = 0.5) -> None:
        config = config_of(server)
        self.requester = Requester(config)
        through = replace(config, server=url or server.url)
        self.loop = StreamLoop(through, name="real", silence=silence, probe_timeout=0.5)
        self.thread = threading.Thread(target=self.loop.run, name="kc-cluster-real")
        self.thread.start()
        self.watchers = [Watcher() for _ in range(3)]
        self.streams = self.do(self.open_all)
        for watcher in self.watchers:
            watcher.wait_for(lambda it: bool(it.events))

    def open_all(self) -> list[Any]:
        kinds = ("configmaps", "secrets", "services")
        return [
            self.loop.open(watch_of(kind), watcher, timeout=330)
            for kind, watcher in zip(kinds, self.watchers, strict=True)
        ]

    def do(self, function: Callable[[], Any]) -> Any:
        done, results = threading.Event(), []
        self.loop.call(lambda: (results.append(function()), done.set()))
        assert done.wait(20)
        return results[0]

    def create(self, name: str, **options: Any) -> int:
        body = json.dumps({"metadata": {"name": name}}).encode()
        request = HttpRequest("POST", CONFIG_MAPS, body, content_type="application/json")
        return self.requester.send(request, **options).status

    def close(self) -> None:
        self.loop.stop()
        self.requester.close()
        self.thread.join(20)


class HoldingProxy:
    """Passes bytes on until told to hold: then its connections stay open and silent, and new ones are passed on."""

    def __init__(self, server: ApiServer) -> None:
        host, _, port = server.url.removeprefix("https://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._held: set[socket.socket] = set()
        self._reader, self._writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="holding-proxy")
        self._thread.start()

    def hold(self) -> None:
        self._held = set(self._pairs)

    def close(self) -> None:
        self._writer.close()
        self._thread.join(20)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            stack.enter_context(self._listener)
            stack.enter_context(self._reader)
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._reader, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._reader:
                        return
                    if key.fileobj is self._listener:
                        ends = (self._listener.accept()[0], socket.create_connection(self._target))
                        for here, there in (ends, ends[::-1]):
                            self._pairs[stack.enter_context(here)] = there
                            selector.register(here, selectors.EVENT_READ)
                    else:
                        self._pass_on(selector, key.fileobj)

    def _pass_on(self, selector: selectors.BaseSelector, here: Any) -> None:
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = here.recv(65536)
        if not data:
            selector.unregister(here)
        if here in self._held:
            return
        with contextlib.suppress(OSError):
            if data:
                self._pairs[here].sendall(data)
            else:
                self._pairs[here].shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[HoldingProxy]:
    proxy = HoldingProxy(control_plane.servers[0])
    yield proxy
    proxy.close()


@pytest.fixture
def fleet(control_plane: ControlPlane) -> Iterator[Fleet]:
    fleet = Fleet(control_plane.servers[0])
    yield fleet
    for watcher_name in set(fleet.watchers[0].names()) & {"transport-event", "transport-sibling"}:
        fleet.requester.send(HttpRequest("DELETE", f"{CONFIG_MAPS}/{watcher_name}"))
    fleet.close()


@pytest.fixture
def fresh(fresh_control_plane: ControlPlane) -> Iterator[Fleet]:
    fleet = Fleet(fresh_control_plane.servers[0])
    yield fleet
    fleet.close()


def test_streams_share_one_http2_connection(fleet: Fleet) -> None:
    def look() -> set[tuple[int, int]]:
        return {
            (stream.handle.getinfo(pycurl.INFO_HTTP_VERSION), stream.handle.getinfo(pycurl.CONN_ID))
            for stream in fleet.streams
        }

    connections = fleet.do(look)
    assert {version for version, _ in connections} == {HTTP_2}
    assert len(connections) == 1


def test_what_a_request_writes_a_stream_tells(fleet: Fleet) -> None:
    assert fleet.create("transport-event") == 201

    fleet.watchers[0].wait_for(lambda it: "transport-event" in it.names())


def test_a_stream_that_ends_itself_leaves_its_siblings_on_the_connection(fleet: Fleet) -> None:
    class Failing(Watcher):
        def on_data(self, chunk: bytes) -> None:
            raise ValueError("no")

    failing = Failing()
    fleet.do(lambda: fleet.loop.open(watch_of("pods"), failing, timeout=330))
    failing.wait_for(lambda it: bool(it.ends))
    fleet.do(fleet.streams[1].close)
    fleet.create("transport-sibling")

    fleet.watchers[0].wait_for(lambda it: "transport-sibling" in it.names())
    assert [watcher.ends for watcher in fleet.watchers] == [[], [], []]


def test_silence_with_an_answered_probe_ends_nothing(fleet: Fleet) -> None:
    silent = threading.Event()
    fleet.do(lambda: fleet.loop.call_later(1.8, silent.set))
    assert silent.wait(20)

    assert [watcher.ends for watcher in fleet.watchers] == [[], [], []]


def test_a_connection_held_on_its_way_is_found_and_replaced(control_plane: ControlPlane, proxy: HoldingProxy) -> None:
    with contextlib.closing(Fleet(control_plane.servers[0], url=proxy.url)) as fleet:
        proxy.hold()
        for watcher in fleet.watchers:
            watcher.wait_for(lambda it: bool(it.ends))

        fleet.watchers = [Watcher() for _ in range(3)]
        fleet.do(fleet.open_all)
        for watcher in fleet.watchers:
            watcher.wait_for(lambda it: bool(it.events))


@pytest.mark.parametrize("heard", [False, True])
def test_a_stream_that_timed_out_does_not_leave_its_dead_connection_to_the_next(
    control_plane: ControlPlane, proxy: HoldingProxy, *, heard: bool
) -> None:
    with contextlib.closing(Fleet(control_plane.servers[0], url=proxy.url, silence=60.0)) as fleet:
        first, second = Watcher(), Watcher()
        if not heard:
            proxy.hold()
        fleet.do(lambda: fleet.loop.open(watch_of("pods"), first, timeout=2.0))
        if heard:
            first.wait_for(lambda it: bool(it.events))
            proxy.hold()
        first.wait_for(lambda it: bool(it.ends))
        fleet.do(lambda: fleet.loop.open(watch_of("pods"), second, timeout=30))
        second.wait_for(lambda it: bool(it.events))


class Sharing:
    """Two clusters on one loop, each with a watch."""

    def __init__(self, server: ApiServer, **options: Any) -> None:
        self.failures: list[object] = []
        self.threads = ThreadGroup(on_failure=lambda *failure: self.failures.append(failure))
        loops = SharedLoops(self.threads, own=0, shared=1, **options)
        self.config = config_of(server)
        self.loops = [loops.loop(self.config, name=name, metrics=None) for name in ("stays", "other")]
        self.watchers = [Watcher() for _ in self.loops]

    def open_all(self, *, timeouts: tuple[float, float] = (330, 330)) -> None:
        for loop, watcher, timeout in zip(self.loops, self.watchers, timeouts, strict=True):
            loop.start(self.threads)
            loop.call(partial(loop.open, watch_of("configmaps"), watcher, timeout=timeout))
            watcher.wait_for(lambda it: bool(it.events))

    def close(self) -> None:
        for loop in self.loops:
            loop.stop()
        assert self.threads.join(20) == ()
        assert self.failures == []


def test_a_dead_connection_beside_a_live_one_of_the_same_loop_is_found(control_plane: ControlPlane) -> None:
    server, again = control_plane.servers[0], Watcher()
    with contextlib.ExitStack() as stack:
        proxy = HoldingProxy(server)
        stack.callback(proxy.close)
        sharing = Sharing(server, silence=1.5, probe_timeout=0.5)
        stack.callback(sharing.close)
        stays, moves = sharing.watchers
        loop = sharing.loops[1]
        loop.call(lambda: loop.exchange(replace(sharing.config, server=proxy.url)))
        sharing.open_all()
        proxy.hold()
        moves.wait_for(lambda it: bool(it.ends))
        loop.call(lambda: loop.open(watch_of("configmaps"), again, timeout=30))
        again.wait_for(lambda it: bool(it.events))
        assert stays.ends == []


def test_a_cluster_that_times_out_costs_those_on_its_connection_nothing(control_plane: ControlPlane) -> None:
    with contextlib.closing(Sharing(control_plane.servers[0])) as sharing:
        sharing.open_all(timeouts=(330, 1.5))
        stays, other = sharing.watchers
        other.wait_for(lambda it: bool(it.ends))
        sharing.loops[0].call(lambda: sharing.loops[0].open(watch_of("secrets"), other, timeout=30))
        other.wait_for(lambda it: len(it.names()) >= 0 and len(it.events) > 1)
        assert stays.ends == []


def test_a_server_that_stands_still_is_found(fresh: Fleet, fresh_control_plane: ControlPlane) -> None:
    fresh_control_plane.pause(0)
    try:
        for watcher in fresh.watchers:
            watcher.wait_for(lambda it: bool(it.ends))
        with pytest.raises(RequestTimeout):
            fresh.create("paused", timeout=0.5)
    finally:
        fresh_control_plane.resume(0)

    fresh.watchers = [Watcher() for _ in range(3)]
    fresh.do(fresh.open_all)
    for watcher in fresh.watchers:
        watcher.wait_for(lambda it: bool(it.events))


def test_a_killed_server_ends_the_streams_and_no_write_happens_twice(
    fresh: Fleet, fresh_control_plane: ControlPlane
) -> None:
    outcomes: dict[str, object] = {}
    dead = threading.Event()

    def write(worker: int) -> None:
        number = 0
        while not dead.is_set():
            name = f"killed-{worker}-{number}"
            number += 1
            try:
                outcomes[name] = fresh.create(name, timeout=5)
            except TransportError as error:
                outcomes[name] = type(error)
                dead.wait(0.02)

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for writer in writers:
        writer.start()
    fresh.watchers[0].wait_for(lambda it: len(it.names()) > 50)
    fresh_control_plane.kill(0)
    for watcher in fresh.watchers:
        watcher.wait_for(lambda it: bool(it.ends))
    dead.set()
    for writer in writers:
        writer.join(20)
    fresh_control_plane.start(0)

    assert set(outcomes.values()) <= {201, OutcomeUnknown, ConnectFailed}  # 409 would be our own object, sent twice.
    stored = json.loads(fresh.requester.send(HttpRequest("GET", CONFIG_MAPS)).body)
    there = {item["metadata"]["name"] for item in stored["items"]}
    assert {name for name, outcome in outcomes.items() if outcome == 201} <= there
    assert not there & {name for name, outcome in outcomes.items() if outcome is ConnectFailed}

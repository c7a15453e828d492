"""Events by client-go's rules (section 7 of the reference), as the embedded and the real API server take them.

Both APIs are held against both servers; core/v1 stands for servers that have no events.k8s.io, as Milo's projects.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Object, load_config
from kcontroller.cluster import Cluster
from kcontroller.events import Broadcaster
from kcontroller.events.correlation import (
    AGGREGATE_MESSAGES,
    AGGREGATE_SECONDS,
    CACHE_SIZE,
    FINISH_SECONDS,
    REFRESH_SECONDS,
    SPAM_BURST,
    SPAM_SECONDS,
)
from kcontroller.events.sink import Sink
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import config_of
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kcontroller.testing import EmbeddedServer
    from kcontroller.testing.clock import VirtualClock
    from kcontroller.testing.control_plane import ControlPlane
    from kcontroller.transport.config import Config

LONG = "x" * 240 + "..-"


class Bench:
    """A broadcaster on one server, through one of its APIs."""

    def __init__(self, server: Any, cluster: Cluster, clock: VirtualClock, *, core: bool) -> None:
        self.namespace = f"events-{uuid.uuid4().hex[:10]}"
        self._server = server
        self._prefix = "/api/v1" if core else "/apis/events.k8s.io/v1"
        self.core = core
        self.clock = clock
        self.broadcaster = Broadcaster(clock=clock)
        self.recorder = self.broadcaster.recorder(cluster, "widget")
        status, _answer = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        assert status == 201

    def object(self, name: str = "a", *, kind: str = "ConfigMap", namespaced: bool = True) -> Object:
        metadata = {"name": name, "uid": str(uuid.uuid4())} | ({"namespace": self.namespace} if namespaced else {})
        return Object({"apiVersion": "v1", "kind": kind, "metadata": metadata})

    def events(self, namespace: str = "") -> list[dict[str, Any]]:
        where = f"{self._prefix}/namespaces/{namespace or self.namespace}/events"
        items: list[dict[str, Any]] = self._server.request("GET", where)[1]["items"]
        return sorted(items, key=lambda each: int(each["metadata"]["resourceVersion"]))

    def messages(self) -> list[str]:
        return [each.get("message") or each.get("note") for each in self.events()]

    def settle(self) -> None:
        eventually(lambda: not any(lane.queued for lane in self.broadcaster._lanes.values()))


@pytest.fixture(params=["core/v1", "events.k8s.io/v1"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "core/v1":
        monkeypatch.setattr(Sink, "series", False)
    return bool(request.param == "core/v1")


@contextlib.contextmanager
def running(server: Any, config: Config, clock: VirtualClock, *, core: bool) -> Iterator[Bench]:
    cluster = Cluster(config, clock=clock)
    threads = ThreadGroup(on_failure=lambda _name, error: pytest.fail(str(error)))
    made = Bench(server, cluster, clock, core=core)
    made.broadcaster.start(threads)
    try:
        yield made
    finally:
        made.broadcaster.stop(0)
        cluster.stop()
    assert threads.join(5) == ()


@pytest.fixture
def embedded(api_server: EmbeddedServer, clock: VirtualClock, *, core: bool) -> Iterator[Bench]:
    with running(api_server, config_of(api_server), clock, core=core) as made:
        yield made


@pytest.fixture
def real(control_plane: ControlPlane, clock: VirtualClock, tmp_path: Path, *, core: bool) -> Iterator[Bench]:
    server = control_plane.servers[0]
    config = load_config(kubeconfig=str(server.write_kubeconfig(tmp_path / "kubeconfig")))
    with running(server, config, clock, core=core) as made:
        yield made


def test_the_constants_are_those_of_client_go() -> None:
    assert (CACHE_SIZE, AGGREGATE_MESSAGES, AGGREGATE_SECONDS) == (4096, 10, 600)
    assert (SPAM_BURST, SPAM_SECONDS) == (25, 300)
    assert (REFRESH_SECONDS, FINISH_SECONDS) == (30 * 60, 6 * 60)


class Conformance:
    """What both servers must show."""

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError

    def test_an_event_says_who_and_about_what(self, bench: Bench) -> None:
        obj = bench.object()
        bench.recorder.event(obj, "Warning", "Broken", "no such disk", action="Mount")
        bench.settle()

        (event,) = bench.events()
        assert (event["type"], event["reason"], event["action"]) == ("Warning", "Broken", "Mount")
        regarding = event["involvedObject" if bench.core else "regarding"]
        assert (regarding["kind"], regarding["name"], regarding["uid"]) == ("ConfigMap", "a", obj.metadata.uid)
        assert event["metadata"]["name"].startswith("a.")
        assert event["reportingInstance"].startswith("widget-")
        assert event["reportingComponent" if bench.core else "reportingController"] == "widget"

    def test_what_repeats_is_one_event_with_a_count(self, bench: Bench) -> None:
        obj = bench.object()
        for _ in range(6):
            bench.recorder.event(obj, "Normal", "Said", "hello")
        bench.settle()

        (event,) = bench.events()
        if bench.core:
            assert event["count"] == 6
            return
        assert event["series"]["count"] == 2
        bench.clock.wait_for_waiters(2)
        bench.clock.advance(FINISH_SECONDS)
        eventually(lambda: bench.events()[0]["series"]["count"] == 6)

    def test_from_the_tenth_message_on_similar_events_are_combined(self, bench: Bench) -> None:
        obj = bench.object()
        for number in range(12):
            bench.recorder.event(obj, "Normal", "Said", f"port {number}")
        bench.settle()

        messages = bench.messages()
        assert messages[:9] == [f"port {number}" for number in range(9)]
        assert len(messages) == 10
        assert messages[9].startswith("(combined from similar events): port ")

    def test_a_flood_about_one_object_is_stopped_after_25_requests(self, bench: Bench) -> None:
        obj = bench.object()
        for number in range(40):
            bench.recorder.event(obj, "Normal", f"Reason{number}", "hello")
        bench.recorder.event(bench.object("b"), "Normal", "Said", "hello")
        bench.settle()

        assert len(bench.events()) == 26

    def test_an_event_that_expired_is_made_anew(self, bench: Bench) -> None:
        obj = bench.object()
        bench.recorder.event(obj, "Normal", "Said", "hello")
        bench.settle()
        (event,) = bench.events()
        path = f"{bench._prefix}/namespaces/{bench.namespace}/events/{event['metadata']['name']}"
        bench._server.request("DELETE", path)
        bench.recorder.event(obj, "Normal", "Said", "hello")
        bench.settle()

        (event,) = bench.events()
        assert (event["count"] if bench.core else event["series"]["count"]) == 2

    @pytest.mark.parametrize("name", [":node", LONG, "_B..c-"])
    @pytest.mark.parametrize("missing", [False, True])
    def test_a_cluster_scoped_object_has_its_events_where_the_server_takes_them(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, *, missing: bool
    ) -> None:
        if missing:
            monkeypatch.setattr("kcontroller.events.sink._HOMES", ("no-such-namespace", "kube-system"))
        name = f"{bench.namespace}{name}"  # The servers are shared, and every test begins at the same moment.
        obj = bench.object(name, kind="Node", namespaced=False)
        for _ in range(2):
            bench.recorder.event(obj, "Normal", "Said", "hello", action="x" * 128)
        bench.settle()

        found = bench.events("kube-system" if missing else "default")
        regarding = [each.get("involvedObject") or each.get("regarding") for each in found]
        assert [each["name"] for each in regarding if each.get("uid") == obj.metadata.uid] == [name]

    def test_the_longest_message_is_taken(self, bench: Bench) -> None:
        bench.recorder.event(bench.object(), "Normal", "R" * 128, "€" * 2000, action="A" * 128)
        bench.settle()

        assert bench.messages() == ["€" * 340 + "..."]


class TestEmbedded(Conformance):
    @pytest.fixture
    def bench(self, embedded: Bench) -> Bench:
        return embedded


class TestReal(Conformance):
    @pytest.fixture
    def bench(self, real: Bench) -> Bench:
        return real

"""``ctx.event`` from the reconcile to ``kubectl describe``, and what happens where events cannot go."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Manager, ManagerOptions, Object, Reconciler, load_config
from kcontroller.events import Broadcaster
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.metrics import Metrics
from kcontroller.process.stop import StopToken
from kcontroller.testing import Hang, HttpFaultProxy, Milo, config_of
from tests.integration.conftest import OPTIONS, config_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller import Builder, Context, Request
    from kcontroller.testing import EmbeddedServer, ServerClient
    from kcontroller.testing.control_plane import ApiServer

    Eventually = Callable[..., Any]

SECOND = 1.0
STUCK = Milo(projects=("p1", "p2", "p3", "p4"), cold_storage=False)


class Telling(Reconciler):
    """Tells of every config map that is labelled, and of the namespace it lives in."""

    name = "telling"

    def __init__(self, times: int = 1) -> None:
        self._times = times

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap", predicates=[])

    def reconcile(self, ctx: Context, request: Request) -> None:
        obj = ctx.client.get_or_none("v1 ConfigMap", request)
        if obj is None or "tell" not in (obj.get("data") or {}):
            return
        for _ in range(self._times):
            ctx.event(obj, "Warning", "Told", f"a config map says {obj['data']['tell']}", action="Tell")
        namespace = Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": request.namespace}})
        ctx.event(namespace, "Normal", "Seen", f"{request.name} was here")


def kubectl(server: ApiServer, tmp_path: Path, *arguments: str) -> str:
    kubeconfig = server.write_kubeconfig(tmp_path / "admin")
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "--cache-dir", str(tmp_path / "cache"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def test_kubectl_shows_what_a_reconcile_told(
    start: Callable[..., Manager], server: ApiServer, namespace: str, tmp_path: Path, eventually: Eventually
) -> None:
    manager = start(Telling(times=3))
    manager.cluster().client.create(Object(config_map(namespace, "a", tell="hello")))
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    eventually(lambda: any("series" in each for each in server.request("GET", path)[1]["items"]))
    manager.stop()

    (event,) = server.request("GET", path)[1]["items"]
    assert event["series"]["count"] == 3  # The stop tells the last count.
    described = kubectl(server, tmp_path, "describe", "configmap", "a", "--namespace", namespace)
    line = described.splitlines()[-1].split()
    assert line[:2] == ["Warning", "Told"]
    assert "(x3 over" in described
    assert "telling" in line
    assert described.rstrip().endswith("a config map says hello")
    listed = kubectl(server, tmp_path, "get", "events", "--namespace", namespace)
    assert "configmap/a" in listed
    assert f"namespace/{namespace}" in kubectl(server, tmp_path, "get", "events", "--namespace", "default")


def test_a_missing_right_is_named_and_the_reconciles_go_on(
    server: ApiServer,
    grant: Callable[..., None],
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = next(each for each in server._tokens if each != "admin")
    grant(user, group="", resource="configmaps", verbs=("get", "list", "watch"))
    config = load_config(kubeconfig=str(server.write_kubeconfig(tmp_path / "user", user=user)))
    with Manager(config, options=ManagerOptions(**OPTIONS)) as manager:
        manager.add(Telling())
        assert manager.wait_ready(15), manager.pending()
        for number in range(5):
            body = config_map(namespace, f"a{number}", tell="hello")
            server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
        eventually(lambda: count(manager.metrics, "failed") >= 10)  # Other tests have left some to tell of.
        reconciled = manager.metrics.registry.get_sample_value(
            "controller_runtime_reconcile_total", {"controller": "telling", "result": "success"}
        )
        assert reconciled is not None
        assert reconciled >= 5

    (line,) = [each.getMessage() for each in caplog.records if each.name == "kcontroller.events"]
    assert line.startswith('events cannot be written; grant create and patch on "events" of API group "events.k8s.io"')
    assert f'User "{user}" cannot create resource "events"' in line


def count(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("kcontroller_events_total", {"result": result}) or 0.0


@pytest.mark.embedded(milo=Milo(readiness="manual", cold_storage=False))
def test_a_milo_project_gets_core_events_and_what_has_no_namespace_there_is_dropped(
    api_server: EmbeddedServer, client: ServerClient, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kcontroller.events")
    project = client(cluster="p1")  # Virtual, as in Milo: nobody has made its namespace default yet.
    assert project.get_or_none("v1 Namespace", Key("", "default")) is None
    project.create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
    with Manager(config_of(api_server, cluster="p1"), options=ManagerOptions(**OPTIONS)) as manager:
        manager.add(Telling(times=2))
        assert manager.wait_ready(10)
        project.create(Object(config_map("team", "a", tell="hello")))
        project.create(Object(config_map("team", "b", tell="hello")))
        eventually(lambda: count(manager.metrics, "dropped") == 2)

    events = sorted(project.list("v1 Event"), key=lambda each: str(each["involvedObject"]["name"]))
    assert [(each["involvedObject"]["name"], each["count"]) for each in events] == [("a", 2), ("b", 2)]
    assert events[0]["source"] == {"component": "telling"}
    lines = [each.getMessage() for each in caplog.records if each.name == "kcontroller.events"]
    assert lines == ["events are dropped: namespace kube-system is missing"]


@pytest.fixture
def proxy(api_server: EmbeddedServer) -> Iterator[HttpFaultProxy]:
    with HttpFaultProxy(api_server.url, ca_pem=api_server.ca_pem) as made:
        yield made


def hang_events(proxy: HttpFaultProxy, *projects: str) -> None:
    for project in projects:
        proxy.add(Hang(), project=project, methods=("POST", "PATCH"))


@pytest.mark.embedded(milo=STUCK)
def test_clusters_that_hang_hold_up_neither_the_events_of_others_nor_the_stop(
    api_server: EmbeddedServer, client: ServerClient, proxy: HttpFaultProxy, eventually: Eventually
) -> None:
    hang_events(proxy, "p1")
    configs = {name: proxy.config(config_of(api_server, cluster=name)) for name in ("p1", "p2")}
    manager = Manager(clusters=configs, options=ManagerOptions(**OPTIONS))
    manager.add(Telling())
    manager.start()
    assert manager.wait_ready(10)
    for name in configs:
        client(cluster=name).create(Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        client(cluster=name).create(Object(config_map("team", "a", tell="hello")))

    began = time.monotonic()
    eventually(lambda: client(cluster="p2").list("v1 Event", namespace="team"))
    assert time.monotonic() - began < SECOND
    assert client(cluster="p1").list("v1 Event", namespace="team") == []
    began = time.monotonic()
    assert manager.stop()
    assert time.monotonic() - began < 3 * SECOND
    assert [each.name for each in threading.enumerate() if each.name.startswith("kc-events")] == []


class Unreachable:
    """A target that nobody asks: what is recorded for it waits."""

    name = "far"

    def __init__(self) -> None:
        self.leaving = StopToken()

    def client_for(self, _field_owner: str, **_options: Any) -> Any:
        raise NotImplementedError


def test_a_loop_of_100_000_events_neither_waits_nor_grows() -> None:
    metrics = Metrics()
    broadcaster = Broadcaster(clock=SYSTEM_CLOCK, metrics=metrics)
    recorder = broadcaster.recorder(Unreachable(), "telling")
    obj = Object(config_map("team", "a"))
    tracemalloc.start()
    try:
        for number in range(2_000):
            recorder.event(obj, "Normal", "Told", f"{number} {'x' * 1000}")
        full, _peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for number in range(3_000):
            recorder.event(obj, "Normal", "Told", f"{number} {'x' * 1000}")
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    began = time.perf_counter()
    for number in range(95_000):
        recorder.event(obj, "Normal", "Told", f"{number}")
    took = time.perf_counter() - began
    broadcaster.stop(0)

    assert peak < full * 1.1
    assert took < 9.5, f"{took / 95_000 * 1e6:.1f} µs each"  # Some 8 µs on a machine of its own.
    assert count(metrics, "dropped") == 100_000

"""Rows of the fleet's feature table about clusters in trouble; each test has the number of its row."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Object, Reconciler
from kcontroller.cluster.breaker import BREAKER
from kcontroller.cluster.circuit import CLOSED, FAILURES, OPEN
from kcontroller.cluster.suspension import PAUSE_SECONDS
from kcontroller.embedded.milo import control_plane_path
from kcontroller.errors import ClusterSuspended, ClusterUnavailable, NotFound, ServerError
from kcontroller.multicluster import ClusterSpec
from kcontroller.testing import Hang, HttpFaultProxy, Milo, Refuse, config_of
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import MemoryProvider
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS
from tests.integration.projects import CONFIG_MAP, SECOND, Projects, Watching

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient, VirtualClock

WARM = Milo(projects=("p1", "p2"), cold_storage=False)

pytestmark = pytest.mark.usefixtures("no_leaks")


class Mirror(Reconciler):
    """Makes a Secret beside each config map, which it holds by a finalizer where that says so."""

    name = "mirror"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tries: list[Request] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=4)

    def reconcile(self, ctx: Context, request: Request) -> None:
        with self._lock:
            self.tries.append(request)
        try:
            obj = ctx.cluster.client.get(CONFIG_MAP, request.key)
        except NotFound:
            return
        if obj.metadata.deletion_timestamp:
            obj.metadata.finalizers.clear()
            ctx.cluster.client.patch(obj)
            return
        metadata = {"namespace": request.namespace, "name": request.name}
        ctx.cluster.client.apply(Object({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))

    def count(self, cluster: str) -> int:
        with self._lock:
            return sum(each.cluster == cluster for each in self.tries)


def secrets(client: ServerClient, project: str) -> int:
    return len(client(cluster=project).list("v1 Secret"))


# ---- the circuit breaker ---------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_32_a_cluster_that_answers_nothing_but_500_is_held_back_until_it_answers_again(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    client: ServerClient,
    projects: Projects,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="kcontroller")
    mirror = Mirror()
    running = projects.watch(manager, mirror, config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    broken = proxy.add(Refuse(500), project="p1", watch=False)
    for number in range(20):
        projects.put("p1", f"a{number}")
        projects.put("p2", f"a{number}")

    p1 = running.cluster("p1")
    eventually(lambda: p1.breaker.state == OPEN)
    eventually(lambda: secrets(client, "p2") == 20)
    with pytest.raises(ClusterUnavailable, match="the server answered 500"):
        p1.api_reader.get(CONFIG_MAP, Key("default", "a1"))
    assert "the circuit breaker is open" in p1.troubles()[BREAKER]
    controller = next(each for each in running.controllers if each.name == "mirror")
    eventually(lambda: BREAKER in controller.queue.holders("p1") or p1.breaker.state != OPEN)

    broken.remove()
    eventually(lambda: secrets(client, "p1") == 20, within=15.0)
    eventually(lambda: p1.breaker.state == CLOSED)
    assert p1.troubles() == {}
    assert controller.queue.holders("p1") == frozenset()
    said = [each.getMessage() for each in caplog.records if "circuit breaker" in each.getMessage()]
    assert len(said) == 2, said


@pytest.mark.embedded(milo=WARM)
def test_row_14_one_object_whose_reads_are_answered_500_for_ever_stops_nothing_else_in_its_cluster(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, client: ServerClient, projects: Projects
) -> None:
    class Poisoned(Reconciler):
        """Asks for what the server cannot give, as of an aggregated API that is down; all else is read from memory."""

        name = "poisoned"

        def __init__(self) -> None:
            self.refused = 0
            self.done: set[str] = set()

        def setup(self, builder: Builder) -> None:
            builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=4)

        def reconcile(self, ctx: Context, request: Request) -> None:
            if request.name == "poison":
                self.refused += 1
                ctx.cluster.api_reader.get("v1 Secret", request.key)
            self.done.add(request.name)

    poisoned = Poisoned()
    proxy.add(Refuse(500), project="p1", path_prefix=f"{control_plane_path('p1')}/api/v1/namespaces/default/secrets")
    running = projects.watch(manager, poisoned, config=proxy.config(config_of(api_server)), allow=ServerError)
    projects.put("p1", "poison")
    eventually(lambda: poisoned.refused >= FAILURES + 3)
    for number in range(20):
        projects.put("p1", f"a{number}")
    eventually(lambda: len(poisoned.done) >= 20, within=3.0)

    breaker = running.cluster("p1").breaker
    assert (breaker.state, "poison" in poisoned.done) == (CLOSED, False)
    eventually(lambda: not breaker.in_doubt)


# ---- rate limits and suspension --------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_53_a_cluster_that_answers_429_slows_down_and_no_other_does(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, client: ServerClient, projects: Projects
) -> None:
    mirror = Mirror()
    running = projects.watch(manager, mirror, config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    busy = proxy.add(Refuse(429, retry_after=1), project="p1", methods=("PATCH",))
    for number in range(20):
        projects.put("p1", f"a{number}")
    began = time.monotonic()
    for number in range(20):
        projects.put("p2", f"a{number}")
    eventually(lambda: secrets(client, "p2") == 20)

    assert time.monotonic() - began < 2.0
    assert busy.hits <= 8
    assert running.cluster("p1").breaker.state == CLOSED
    busy.remove()
    eventually(lambda: secrets(client, "p1") == 20, within=10.0)


@pytest.mark.embedded(milo=WARM)
def test_row_53_a_cluster_that_answers_429_to_one_request_is_sent_no_other_until_it_said(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    running = projects.watch(manager, Mirror(), config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    p1, p2 = running.cluster("p1"), running.cluster("p2")

    def seconds(work: Callable[[], object]) -> float:
        began = time.monotonic()
        work()
        return time.monotonic() - began

    def write(name: str) -> None:
        metadata = {"namespace": "default", "name": name}
        p1.client.apply(Object({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))

    seconds(lambda: write("warm"))
    busy = proxy.add(Refuse(429, retry_after=1), project="p1", methods=("PATCH",), times=1)
    with ThreadPoolExecutor(9) as threads:
        threads.submit(write, "first")
        eventually(lambda: busy.hits == 1)
        writes = [threads.submit(seconds, partial(write, name)) for name in "abcd"]
        reads = [threads.submit(seconds, lambda: p1.api_reader.list(CONFIG_MAP)) for _ in range(4)]
        elsewhere = seconds(lambda: p2.api_reader.list(CONFIG_MAP))
        waits = [each.result(10) for each in (*writes, *reads)]

    assert elsewhere < 0.5
    assert min(waits) > 0.6, waits
    assert max(waits) < 3.0, waits
    assert p1.breaker.state == CLOSED


@pytest.mark.embedded(milo=WARM)
@pytest.mark.parametrize(
    ("options", "least"),
    [
        pytest.param({"cluster_qps": 5.0, "cluster_burst": 1}, 0.8, id="each cluster has a rate"),
        pytest.param({"qps": 5.0, "burst": 1}, 1.8, id="all have one together"),
    ],
)
def test_row_53_requests_keep_to_a_rate(
    manager: Managers, projects: Projects, options: dict[str, Any], least: float
) -> None:
    running = projects.watch(manager, Mirror(), **options)
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))

    def read(cluster: str) -> None:
        for _ in range(5):
            running.cluster(cluster).api_reader.list(CONFIG_MAP)

    read("p1")  # Nothing is left of the burst.
    began = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(read, cluster) for cluster in ("p1", "p2")]:
            each.result(10)
    took = time.monotonic() - began
    assert took >= least
    if "cluster_qps" in options:
        assert took < 1.7  # Neither waits for the other.
        began = time.monotonic()
        read("")
        assert time.monotonic() - began < 0.7  # The hub is none of the fleet.


@pytest.mark.embedded(milo=WARM)
def test_row_54_a_suspended_project_is_asked_by_one_write_in_half_a_minute_and_deletions_go_on(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    client: ServerClient,
    projects: Projects,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mirror = Mirror()
    held = {"namespace": "default", "name": "held", "finalizers": ["example.com/hold"]}
    client(cluster="p1").create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held}))
    running = projects.watch(manager, mirror, config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    eventually(lambda: secrets(client, "p1") == 1)
    caplog.set_level(logging.INFO, logger="kcontroller")
    suspended = proxy.add(
        Refuse(403, message="unpaid", causes=("ProjectSuspended",)),
        project="p1",
        path_prefix=f"{control_plane_path('p1')}/api/v1/namespaces/default/secrets",
        methods=("PATCH",),
    )
    began = clock.monotonic()
    for number in range(10):
        projects.put("p1", f"a{number}")
        projects.put("p2", f"a{number}")
    eventually(lambda: secrets(client, "p2") == 10)
    eventually(lambda: mirror.count("p1") >= 10)
    with pytest.raises(ClusterSuspended):
        running.cluster("p1").client.create(
            Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "no"}})
        )
    assert "unpaid" in running.cluster("p1").troubles()["suspension"]

    client(cluster="p1").delete(CONFIG_MAP, Key("default", "held"))
    eventually(lambda: not [each for each in client(cluster="p1").list(CONFIG_MAP) if each.metadata.name == "held"])

    hits = suspended.hits
    assert hits <= 4  # Those that were under way when the first one was refused.
    for _ in range(12):
        clock.advance(PAUSE_SECONDS / 4)
    eventually(lambda: suspended.hits > hits)
    assert suspended.hits - hits <= 1 + (clock.monotonic() - began) / PAUSE_SECONDS

    suspended.remove()

    def through() -> bool:
        clock.advance(5)
        return secrets(client, "p1") == 11

    eventually(through, within=10.0)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "writes wait: the cluster is suspended: unpaid"
    ]
    assert running.cluster("p1").troubles() == {}


# ---- clusters that hang, and reconciles that fail --------------------------------------------------------------------


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that takes connections and says nothing, not even in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


def test_row_15_a_cluster_that_hangs_in_its_handshake_is_gone_at_once_when_it_is_deleted(
    api_server: EmbeddedServer, manager: Managers, black_hole: str
) -> None:
    provider = MemoryProvider()
    running = manager(Watching(), provider=provider, config=config_of(api_server), ready=False)
    provider.present(ClusterSpec("p1", Config(black_hole, credentials=ANONYMOUS)))
    eventually(lambda: "p1" in {each.name for each in running.clusters})
    reading: list[BaseException] = []

    def read() -> None:
        try:
            running.cluster("p1").api_reader.get(CONFIG_MAP, Key("default", "a"))
        except Exception as error:  # noqa: BLE001 - looked at below
            reading.append(error)

    hanging = threading.Thread(target=read)
    hanging.start()
    began = time.monotonic()
    provider.absent("p1", "it was deleted")
    eventually(lambda: running.clusters.states() == (), within=2.0)
    hanging.join(2.0)
    assert reading
    assert time.monotonic() - began < 2.0


@pytest.mark.embedded(milo=WARM)
def test_row_14_what_hangs_in_one_cluster_delays_no_reconcile_of_another(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    def read(ctx: Context) -> None:
        ctx.cluster.api_reader.list(CONFIG_MAP)

    watching = Watching(read)
    projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    hang = proxy.add(Hang(), project="p1", watch=False)
    for number in range(20):
        projects.put("p1", f"a{number}")
    waits = []
    for number in range(20):
        began = time.monotonic()
        projects.put("p2", f"a{number}")
        watching.wait_for(f"p2:default/a{number}")
        waits.append(time.monotonic() - began)
    projects.make("p3")
    projects.ready("p3")
    eventually(lambda: projects.is_engaged("p3"), within=2 * SECOND)
    hang.remove()
    assert sorted(waits)[-2] < 0.25, waits


@pytest.mark.embedded(milo=WARM)
def test_row_58_whatever_every_third_reconcile_of_a_cluster_raises_no_other_notices(
    manager: Managers, projects: Projects, log: io.StringIO
) -> None:
    calls: list[str] = []

    def act(ctx: Context) -> None:
        if ctx.request.cluster == "p1":
            calls.append(ctx.request.name)
            if len(calls) % 3 == 0:
                raise SystemExit(3)

    watching = Watching(act)
    projects.watch(manager, watching, allow=SystemExit)
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    for number in range(12):
        projects.put("p1", f"a{number}")
        projects.put("p2", f"a{number}")
    for number in range(12):
        watching.wait_for(f"p2:default/a{number}")
        watching.wait_for(f"p1:default/a{number}")
    eventually(lambda: len(set(calls)) == 12)
    failed = [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] == "error"]
    assert len(failed) >= 4
    assert {line["cluster"] for line in failed} == {"p1"}

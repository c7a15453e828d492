"""A fleet with bad clusters in it: what the good ones feel of them (F1, F3 and P18 of the reliability table)."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest

from kcontroller import Key, Manager, ManagerOptions, Object, Reconciler, Result
from kcontroller.api import patches
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import (
    BlackHole,
    Delay,
    EmbeddedServer,
    FaultProxy,
    Hang,
    Milo,
    Refuse,
    Rule,
    ServerClient,
    SlowWatch,
    config_of,
    eventually,
)
from tests.integration.conftest import OPTIONS
from tests.integration.milo_fleet import state_of
from tests.integration.projects import CONFIG_MAP, Projects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kcontroller import Builder, Context, Request
    from kcontroller.transport.config import Config

KEY = Key("default", "probe")
BLACK_HOLED = ("p0", "p1", "p2")
FAILING = ("p3", "p4", "p5")
SLOW = ("p6", "p7", "p8")
BAD = (*BLACK_HOLED, *FAILING, *SLOW)
GOOD = tuple(f"p{number}" for number in range(len(BAD), 30))
ROUNDS = 10

pytestmark = pytest.mark.embedded(milo=Milo(projects=(*BAD, *GOOD), cold_storage=False))


class Echo(Reconciler):
    """Says when it saw which change; from `busy` on it writes in the bad clusters, again and again."""

    name: ClassVar[str] = "echo"

    def __init__(self) -> None:
        self.busy = threading.Event()
        self._changed = threading.Condition()
        self._seen: dict[str, tuple[str, float]] = {}
        self._writing: set[str] = set()

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=8)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        if request.key != KEY:
            return None
        found = ctx.client.get(CONFIG_MAP, request)
        with self._changed:
            self._seen[request.cluster] = found["data"]["n"], time.monotonic()
            self._changed.notify_all()
        if request.cluster not in BAD:
            return None
        if self.busy.is_set():
            self._write(ctx, found, request.cluster)
        return Result(requeue_after=0.05)

    def _write(self, ctx: Context, found: Object, cluster: str) -> None:
        found["data"]["beat"] = str(time.monotonic())
        with self._changed:
            self._writing.add(cluster)
            self._changed.notify_all()
        try:
            ctx.client.patch(found)
        finally:
            with self._changed:
                self._writing.discard(cluster)

    def when(self, cluster: str, value: str) -> float:
        """Wait until a change was reconciled; returns when that was."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._seen.get(cluster, ("", 0.0))[0] == value, 10), cluster
            return self._seen[cluster][1]

    def first(self, cluster: str) -> None:
        """Wait until a cluster was reconciled at all."""
        with self._changed:
            assert self._changed.wait_for(lambda: cluster in self._seen, 10), cluster

    def until_writing(self, clusters: Sequence[str]) -> None:
        """Wait until a reconcile of each of these clusters is in the middle of a write."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._writing.issuperset(clusters), 10), set(clusters) - self._writing


def probe() -> Object:
    made = Object({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": "0"}})
    made.metadata.namespace, made.metadata.name = KEY
    return made


@pytest.fixture
def probes(client: ServerClient) -> None:
    """A ConfigMap in each project, to be changed."""
    for project in (*BAD, *GOOD):
        plane = client(cluster=project)
        eventually(lambda plane=plane: plane.get("v1 Namespace", Key("", "default")))  # type: ignore[misc]
        plane.create(probe())


def make_bad(api_server: EmbeddedServer) -> None:
    for project in FAILING:
        api_server.faults.add(Rule(Refuse(500), plane=project))
    for project in SLOW:
        api_server.faults.add(Rule(Delay(2.0), plane=project))
        api_server.faults.add(Rule(SlowWatch(2.0), plane=project))


@contextmanager
def running(echo: Echo, clusters: dict[str, Config]) -> Iterator[Manager]:
    manager = Manager(clusters=clusters, options=ManagerOptions(**OPTIONS))
    manager.add(echo)
    manager.start()
    try:
        for project in GOOD:
            echo.first(project)
        yield manager
    finally:
        began = time.monotonic()
        manager.stop(grace=0.5)
        assert time.monotonic() - began < 2.0


class Driver:
    """Changes the ConfigMaps of the good projects, one after the other, and takes the time."""

    def __init__(self, client: ServerClient) -> None:
        self._clients = {project: client(cluster=project) for project in GOOD}
        self._number = 0

    def usual(self, echo: Echo) -> float:
        """The best 99th percentile of three rows: what this machine does while its neighbours are quiet."""
        return min(self._p99(echo) for _ in range(3))

    def with_bad_ones(self, echo: Echo, usual: float) -> float:
        """The best of up to ten rows, until one is as usual; a cluster that holds up others spoils every row."""
        best = self._p99(echo)
        for _ in range(9):
            if not no_slower(best, usual):
                best = min(best, self._p99(echo))
        return best

    def _p99(self, echo: Echo) -> float:
        """Seconds from a write to the reconcile that sees it, over a row of changes in all good projects."""
        taken = []
        for _ in range(ROUNDS):
            self._number += 1
            for project, client in self._clients.items():
                began = time.monotonic()
                client.patch(probe(), patches.merge({"data": {"n": str(self._number)}}))
                taken.append(echo.when(project, str(self._number)) - began)
        return sorted(taken)[math.ceil(0.99 * len(taken)) - 1]


def no_slower(with_bad: float, without: float) -> bool:
    """At most one and a half times as slow, or ten milliseconds slower on a busy machine."""
    return with_bad <= max(1.5 * without, without + 0.010)


def test_row_14_clusters_that_are_bad_from_the_start_are_not_felt_by_the_good_ones(
    api_server: EmbeddedServer, client: ServerClient, probes: None
) -> None:
    good = {project: config_of(api_server, cluster=project) for project in GOOD}
    driver = Driver(client)
    with running(echo := Echo(), good):
        without = driver.usual(echo)
    with ExitStack() as stack:
        hole = stack.enter_context(FaultProxy(api_server.url))
        hole.add(BlackHole())
        make_bad(api_server)
        bad = {project: config_of(api_server, cluster=project) for project in BAD}
        bad.update({project: hole.config(bad[project]) for project in BLACK_HOLED})
        manager = stack.enter_context(running(echo := Echo(), {**bad, **good}))
        with_bad = driver.with_bad_ones(echo, without)
        assert {each.cluster for each in manager.pending()} >= {*BLACK_HOLED, *FAILING}
    print(f"\np99 without bad clusters {without * 1000:.1f} ms, with them {with_bad * 1000:.1f} ms")  # noqa: T201
    assert no_slower(with_bad, without)


def test_clusters_that_go_bad_while_they_are_written_to_are_not_felt_by_the_good_ones(
    api_server: EmbeddedServer, client: ServerClient, probes: None
) -> None:
    with FaultProxy(api_server.url) as hole:
        clusters = {project: config_of(api_server, cluster=project) for project in (*BAD, *GOOD)}
        clusters.update({project: hole.config(clusters[project]) for project in BLACK_HOLED})
        driver = Driver(client)
        with running(echo := Echo(), clusters):
            without = driver.usual(echo)
            hole.add(BlackHole())
            make_bad(api_server)
            echo.busy.set()
            echo.until_writing(BLACK_HOLED)  # Three of eight workers wait for them,
            for slow in SLOW:
                echo.until_writing(
                    (slow,)
                )  # and for each of these one now and then: a write comes back late (ADR 0015).
            with_bad = driver.with_bad_ones(echo, without)
            echo.until_writing(BLACK_HOLED)
    print(f"\np99 while all are well {without * 1000:.1f} ms, with nine bad ones {with_bad * 1000:.1f} ms")  # noqa: T201
    assert no_slower(with_bad, without)


class Writer(Reconciler):
    """Writes in the first cluster, and notes the others."""

    name: ClassVar[str] = "writer"

    def __init__(self) -> None:
        self.writing = 0
        self.seen = threading.Event()

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=8)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get(CONFIG_MAP, request)
        if request.cluster == "p1":
            if found["data"].get("n") == "1":
                self.seen.set()
        elif "n" in found["data"]:
            self.writing += 1
            found["data"]["n"] = "1"
            ctx.client.patch(found)
        return None


@pytest.mark.embedded(milo=Milo(projects=("p0", "p1"), cold_storage=False))
def test_a_hanging_cluster_that_was_alone_with_work_leaves_a_worker_to_the_others(
    api_server: EmbeddedServer, client: ServerClient
) -> None:
    api_server.faults.add(Rule(Hang(), plane="p0", verbs={"patch"}))
    client(cluster="p1").create(probe())
    for number in range(12):
        busy = probe()
        busy.metadata.name = f"busy-{number}"
        client(cluster="p0").create(busy)
    clusters = {project: config_of(api_server, cluster=project) for project in ("p0", "p1")}
    manager = Manager(clusters=clusters, options=ManagerOptions(**OPTIONS))
    writer = Writer()
    manager.add(writer)
    manager.start()
    try:
        eventually(lambda: writer.writing == 7)
        client(cluster="p1").patch(probe(), patches.merge({"data": {"n": "1"}}))
        assert writer.seen.wait(1.0)
    finally:
        manager.stop(grace=0.1)


# ---- Ready, not ready, Ready (F3) ------------------------------------------------------------------------------------


class Ticker(Reconciler):
    """Is at work in every project all the time: it asks to be called again, and once waits for its token."""

    name: ClassVar[str] = "ticker"

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.ticks: dict[str, int] = {}
        self.waits_in = ""
        self.waits = threading.Event()
        self.waited: list[bool] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=4)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        if request.key != KEY:
            return None
        with self._changed:
            self.ticks[request.cluster] = self.ticks.get(request.cluster, 0) + 1
            self._changed.notify_all()
        if self.waits_in == request.cluster:
            self.waits.set()
            self.waited.append(ctx.stop.wait(30.0))
        return Result(requeue_after=0.005)

    def more(self, cluster: str) -> float:
        """Wait for two reconciles from now on, of which the second began after this; returns when it was."""
        with self._changed:
            wanted = self.ticks.get(cluster, 0) + 2
            assert self._changed.wait_for(lambda: self.ticks.get(cluster, 0) >= wanted, 10), cluster
            return time.monotonic()


def set_ready(projects: Projects, project: str, status: str) -> float:
    """Say whether it is ready; returns when the server had answered."""
    projects.ready(project, status)
    return time.monotonic()


@pytest.mark.embedded(milo=Milo(projects=("p0", "p1"), readiness="manual", cold_storage=False))
def test_row_03_reconciles_stop_within_a_second_of_not_ready_and_go_on_as_fast_as_a_sync(
    api_server: EmbeddedServer, client: ServerClient, projects: Projects
) -> None:
    for project in ("p0", "p1"):
        client(cluster=project).create(probe())
    ticker = Ticker()
    manager = Manager(config_of(api_server), provider=MiloProvider(), options=ManagerOptions(**OPTIONS))
    manager.add(ticker)
    with manager:
        set_ready(projects, "p0", "True")
        ticker.more("p0")
        began = set_ready(projects, "p1", "True")
        synced = ticker.more("p1") - began
        for _ in range(5):
            ticker.waits.clear()
            ticker.waits_in = "p1"
            assert ticker.waits.wait(10.0)  # A reconcile is under way, and would be for half a minute.
            began = set_ready(projects, "p1", "False")
            eventually(lambda: state_of(manager, "p1") == "gone")
            stopped = time.monotonic() - began
            ticks = ticker.ticks["p1"]
            ticker.more("p0")
            assert ticker.ticks["p1"] == ticks
            assert stopped < 1.0
            ticker.waits_in = ""
            began = set_ready(projects, "p1", "True")
            resumed = ticker.more("p1") - began
            assert resumed < 1.0
    print(f"\nfirst sync {synced * 1000:.0f} ms, stop {stopped * 1000:.0f} ms, again {resumed * 1000:.0f} ms")  # noqa: T201
    assert ticker.waited == [True] * 5, "the token of a reconcile stops when its project leaves"

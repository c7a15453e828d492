"""Reads see own writes while the watch lags (C6 and P1 of the reliability table).

The watch is held for up to `LAG` seconds, again and again, while requests go through at once. `KC_OWN_WRITES` sets how
many children are created; with 10,000 the watch lags up to 5 s, as the table has it.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import (
    Manager,
    ManagerOptions,
    Model,
    Object,
    ObjectReconciler,
    Reconciler,
    Resource,
    Result,
    load_config,
)
from kcontroller.testing import HttpFaultProxy, config_of, eventually, install_crds
from kcontroller.testing.http_faults import HoldAnswer, Refuse, Truncate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Key, Request
    from kcontroller.transport.config import Config

CREATES = int(os.environ.get("KC_OWN_WRITES", "1000"))
LAG = 5.0 if CREATES > 1000 else 1.3
CHILDREN = 5
AGAIN = 10
SECRET = "v1 Secret"
OPTIONS: dict[str, Any] = {
    "metrics_bind_address": "0",
    "health_probe_bind_address": "0",
    "max_concurrent_reconciles": 8,
}

pytestmark = pytest.mark.timeout(120 + CREATES / 20)


class Empty(Model):
    pass


class Nest(Resource[Empty, Empty], group="example.com", version="v1", plural="nests"):
    pass


class Breeder(Reconciler):
    """Creates one child at a time until there are enough of them, and looks again at once."""

    name: ClassVar[str] = "breeder"

    def __init__(self) -> None:
        self.reconciles: Counter[Key] = Counter()
        self.created: Counter[Key] = Counter()

    def setup(self, builder: Builder) -> None:
        builder.for_(Nest).owns(SECRET)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        nest = ctx.client.get_or_none(Nest, request)
        if nest is None:
            return None
        self.reconciles[request.key] += 1
        found = ctx.client.list(SECRET, namespace=request.namespace, labels={"nest": request.name})
        if len(found) >= CHILDREN:
            return None
        metadata = {
            "generateName": f"{request.name}-",
            "namespace": request.namespace,
            "labels": {"nest": request.name},
            "ownerReferences": [
                {
                    "apiVersion": "example.com/v1",
                    "kind": "Nest",
                    "name": request.name,
                    "uid": nest.metadata.uid,
                    "controller": True,
                }
            ],
        }
        ctx.client.create(Object({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))
        self.created[request.key] += 1
        return Result(requeue_after=0.001)


class Undertaker(ObjectReconciler[Nest]):
    """Counts how often the finalizer ran, and looks again at once when it did."""

    name: ClassVar[str] = "undertaker"
    finalizer: ClassVar[str] = "example.com/nest"

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.ready: Counter[Key] = Counter()
        self.at_the_end: Callable[[], None] = lambda: None
        self._again: Counter[Key] = Counter()

    def setup(self, builder: Builder) -> None:
        builder.for_(Nest)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        result = super().reconcile(ctx, request)
        if self._again[request.key] > 0:
            self._again[request.key] -= 1
            return Result(requeue_after=0.005)
        return result

    def reconcile_object(self, ctx: Context, nest: Nest) -> None:
        self.ready[ctx.request.key] += 1

    def finalize(self, ctx: Context, nest: Nest) -> None:
        self.runs[nest.metadata.uid] += 1
        self._again[ctx.request.key] = AGAIN
        self.at_the_end()


class Stage:
    """A server whose watches lag, and the way around them."""

    def __init__(self, server: Any, config: Config, *, share: int) -> None:
        self.server = server
        self.config = config
        self.namespace = "own-writes"
        self.creates = CREATES // share
        self.proxy: HttpFaultProxy | None = None
        self._timers: list[threading.Timer] = []

    def hold_watches(self) -> None:
        """Hold the watches for a moment from now on: what is written next comes back late for sure."""
        assert self.proxy is not None
        timer = threading.Timer(0.1, self.proxy.add(HoldAnswer(), watch=True).remove)
        self._timers.append(timer)
        timer.start()

    def request(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.server.request(method, path, body)
        assert status < 300, (status, answer)
        return answer

    def nests(self, count: int) -> list[str]:
        path = f"/apis/example.com/v1/namespaces/{self.namespace}/nests"
        names = [f"n{number}" for number in range(count)]
        for name in names:
            self.request("POST", path, {"apiVersion": "example.com/v1", "kind": "Nest", "metadata": {"name": name}})
        return names

    def children(self) -> Counter[str]:
        items = self.request("GET", f"/api/v1/namespaces/{self.namespace}/secrets")["items"]
        return Counter(item["metadata"]["labels"]["nest"] for item in items)

    @contextmanager
    def running(self, reconciler: Reconciler, **options: Any) -> Iterator[Manager]:
        """Run it with watches that are held for 0 to `LAG` seconds, with short breaks."""
        with HttpFaultProxy(self.config.server, ca_pem=self.server.ca_pem) as proxy:
            self.proxy = proxy
            manager = Manager(proxy.config(self.config), options=ManagerOptions(**OPTIONS, **options))
            manager.add(reconciler)
            over = threading.Event()
            lagging = threading.Thread(target=_lag, args=(proxy, over))
            manager.start()
            try:
                assert manager.wait_ready(15), manager.pending()
                lagging.start()
                yield manager
            finally:
                over.set()
                lagging.join(LAG + 10)
                for timer in self._timers:
                    timer.join(10)
                proxy.clear()
                assert manager.stop(grace=10)


def _lag(proxy: HttpFaultProxy, over: threading.Event) -> None:
    chance = random.Random(6)  # noqa: S311 - to be repeated
    while not over.is_set():
        held = proxy.add(HoldAnswer(), watch=True)
        over.wait(chance.uniform(0, LAG))
        held.remove()
        over.wait(chance.uniform(0, 0.1))


@pytest.fixture(params=["embedded", "real"])
def stage(request: pytest.FixtureRequest) -> Stage:
    share = 1
    if request.param == "embedded":
        server = request.getfixturevalue("api_server")
        config = config_of(server)
    else:
        share = 4
        plane = request.getfixturevalue("fresh_control_plane")
        server = plane.servers[0]
        config = load_config(kubeconfig=str(plane.kubeconfig))
    install_crds(server, Nest)
    status, answer = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "own-writes"}})
    assert status == 201, answer
    return Stage(server, config, share=share)


def _guarded(manager: Manager, controller: str) -> float:
    """How often a request was held back or a read waited."""
    value = manager.metrics.registry.get_sample_value
    holds = value("kcontroller_own_write_holds_total", {"controller": controller})
    return (holds or 0.0) + (value("kcontroller_own_write_waits_total") or 0.0)


def test_no_child_is_created_twice_while_the_watch_lags(stage: Stage) -> None:
    """Each reconcile decides by what the cache shows; one that missed its own write would create one child too many."""
    nests = stage.nests(stage.creates // CHILDREN)
    breeder = Breeder()
    with stage.running(breeder) as manager:
        wanted = len(nests) * CHILDREN
        eventually(lambda: breeder.created.total() >= wanted, within=60 + CREATES / 20)
        # Who has not seen the last child yet looks once more.
        eventually(lambda: not manager.pending() and _is_idle(manager), within=60)
        assert _guarded(manager, breeder.name) > 0

    assert stage.children() == dict.fromkeys(nests, CHILDREN)
    assert breeder.reconciles.total() >= wanted


@pytest.mark.parametrize("stage", ["embedded"], indirect=True)
def test_without_the_guard_there_would_be_too_many(stage: Stage) -> None:
    """This measures the test above."""
    stage.nests(10)
    with stage.running(Breeder(), read_own_writes=False) as manager:
        eventually(lambda: max(stage.children().values(), default=0) > CHILDREN, within=30)
        assert _guarded(manager, "breeder") == 0


@pytest.mark.parametrize("stage", ["embedded"], indirect=True)
def test_a_child_whose_create_was_lost_with_the_server_is_not_created_twice(stage: Stage) -> None:
    """Reading cannot settle it, since the server is away; when it is back, the watch is not yet."""
    secrets = f"/api/v1/namespaces/{stage.namespace}/secrets"
    breeder = Breeder()
    with HttpFaultProxy(stage.config.server, ca_pem=stage.server.ca_pem) as proxy:
        manager = Manager(proxy.config(stage.config), options=ManagerOptions(**OPTIONS))
        manager.add(breeder)
        manager.start()
        try:
            assert manager.wait_ready(15), manager.pending()
            watch = proxy.add(HoldAnswer(), path_prefix="/api/v1/", watch=True)
            proxy.add(Truncate(0), path_prefix=secrets, methods=["POST"], times=1)
            away = proxy.add(Refuse(503), path_prefix=secrets, methods=["GET"], watch=False)
            (nest,) = stage.nests(1)
            eventually(lambda: breeder.reconciles.total() >= 3, within=20)
            assert (stage.children(), breeder.created.total()) == ({nest: 1}, 0)
            away.remove()
            stale = manager.metrics.registry.get_sample_value
            eventually(lambda: stale("kcontroller_stale_reads_total"), within=20)
            watch.remove()
            eventually(lambda: breeder.created.total() >= CHILDREN - 1 and _is_idle(manager), within=20)
        finally:
            proxy.clear()
            assert manager.stop(grace=10)

    assert stage.children() == {nest: CHILDREN}


def _is_idle(manager: Manager) -> bool:
    return all(not len(controller.queue) and not controller.queue.in_flight for controller in manager.controllers)


def test_no_finalizer_runs_twice_while_the_watch_lags(stage: Stage) -> None:
    """The object is gone with its last finalizer, while the cache still shows it as terminating, with the finalizer."""
    nests = stage.nests(stage.creates // 10)
    undertaker = Undertaker()
    undertaker.at_the_end = stage.hold_watches
    base = f"/apis/example.com/v1/namespaces/{stage.namespace}/nests"

    with stage.running(undertaker) as manager:
        eventually(lambda: len(undertaker.ready) == len(nests), within=60)
        for name in nests:
            stage.request("DELETE", f"{base}/{name}")
        eventually(lambda: not stage.request("GET", base)["items"], within=60 + CREATES / 20)
        eventually(lambda: not any(undertaker._again.values()), within=60)
        assert _guarded(manager, undertaker.name) > 0

    assert Counter(undertaker.runs.values()) == {1: len(nests)}

"""Rows 32 to 40 and 43 of the conformance list: what a controller and a manager do with what came back.

Rows 39 and 40 also speak of leader election, and row 38 of a time-out of the first list; where we go another way the
test says ours.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key, Request
from kcontroller.config import ManagerOptions
from kcontroller.controller import Builder, Context, Controller, Reconciler, Result
from kcontroller.errors import NotFound, TerminalError, UnlistedNamespace
from kcontroller.manager import Manager
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.controller.fakes import (
    CONFIG_MAP,
    FakeCluster,
    FakeHost,
    Scripted,
    added,
    entry,
    owner,
    updated,
)
from tests.unit.tiny_api import TinyApi

if TYPE_CHECKING:
    from collections.abc import Iterator

A = Request("", "default", "a")
POD = "v1 Pod"
DEPLOYMENT = "apps/v1 Deployment"


@pytest.fixture
def host() -> Iterator[FakeHost]:
    made = FakeHost()
    yield made
    made.end()
    assert made.failures == []


def run(host: FakeHost, act: Any) -> Controller:
    controller = host.run(Controller(Scripted(act), host))
    for cluster in host.known.values():
        cluster.synced()
    controller.queue.add(A, priority=7)
    settle(controller, host)
    return controller


def settle(controller: Controller, host: FakeHost) -> None:
    assert controller.queue.wait_idle(10)
    host.clock.wait_for_waiters(1)


def delay(controller: Controller, host: FakeHost) -> float:
    """Seconds until the request comes again."""
    return controller.queue._schedule.next_due() - host.clock.monotonic()


def failing(error: BaseException) -> Any:
    def act(_ctx: Context, _request: Request) -> None:
        raise error

    return act


# ---- 32 to 36: what follows from a reconcile -------------------------------------------------------------------------


def test_32_an_error_beats_requeue_after(host: FakeHost) -> None:
    """In Go both may be returned; here an exception leaves no Result, so that the backoff alone decides."""

    def act(_ctx: Context, _request: Request) -> Result:
        try:
            return Result(requeue_after=3600)
        finally:
            raise RuntimeError

    assert delay(run(host, act), host) == pytest.approx(0.005)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_32_terminal_never_requeues(host: FakeHost, depth: int) -> None:
    error: BaseException = TerminalError("no use")
    for _ in range(depth):
        outer = RuntimeError()
        outer.__cause__ = error
        error = outer
    controller = run(host, failing(error))

    assert delay(controller, host) == float("inf")


def test_32_terminal_forgets_the_failures(host: FakeHost) -> None:
    """In Go they stay counted, and a later error that would pass waits for them, up to 1000 s."""
    errors = [RuntimeError(), RuntimeError(), RuntimeError(), TerminalError("no use"), RuntimeError()]

    def act(_ctx: Context, _request: Request) -> None:
        raise errors.pop(0)

    controller = run(host, act)
    while errors:
        if len(errors) == 1:
            controller.queue.add(A)
        host.clock.advance(1)
        settle(controller, host)

    assert delay(controller, host) == pytest.approx(0.005)


def test_33_requeue_after_resets_the_backoff_and_requeue_does_not(host: FakeHost) -> None:
    results = [Result(requeue=True), Result(requeue=True), Result(requeue_after=60), Result(requeue=True)]
    controller = run(host, lambda _ctx, _request: results.pop(0))
    delays = []
    for _ in range(4):
        settle(controller, host)
        delays.append(delay(controller, host))
        host.clock.advance(delays[-1])

    assert delays == pytest.approx([0.005, 0.01, 60.0, 0.005])


@pytest.mark.parametrize("panic", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_34_a_panic_becomes_a_retried_error_and_is_counted(host: FakeHost, panic: BaseException) -> None:
    controller = run(host, failing(panic))

    assert delay(controller, host) == pytest.approx(0.005)
    assert host.metric("controller_runtime_reconcile_panics_total", controller="scripted") == 1
    assert host.metric("controller_runtime_reconcile_errors_total", controller="scripted") == 1


def test_35_per_cluster_no_reconcile_before_all_handlers_finished_initial_events() -> None:
    host = FakeHost(FakeCluster("eu"), FakeCluster("us"))
    scripted = Scripted(setup=lambda builder: builder.for_(CONFIG_MAP).owns(POD))
    try:
        host.run(Controller(scripted, host))
        for cluster in host.known.values():
            cluster.tell(CONFIG_MAP, added(entry("a"), initial=True))
            cluster.cache(CONFIG_MAP).synced()
        host.clock.wait_for_waiters(1)
        assert scripted.calls == []
        host.known["eu"].cache(POD).synced()
        scripted.wait_for_calls(1)
        host.clock.wait_for_waiters(1)
        assert scripted.calls == [Request("eu", "default", "a")]
    finally:
        host.end()


@pytest.mark.parametrize("result", [Result(requeue=True), Result(requeue_after=1)])
def test_36_a_requeue_keeps_its_priority(host: FakeHost, result: Result) -> None:
    controller = run(host, lambda _ctx, _request: result)

    assert controller.queue._schedule._entry(A).priority == 7


# ---- 37: handlers ----------------------------------------------------------------------------------------------------


def test_37_the_owner_handler_enqueues_old_and_new_owner(host: FakeHost) -> None:
    controller = Controller(Scripted(setup=lambda builder: builder.for_(DEPLOYMENT).owns(POD)), host)
    cluster = host.known[""]
    controller.engage(cluster)  # type: ignore[arg-type]
    old, new = (entry("pod", kind=POD, ownerReferences=[owner(DEPLOYMENT, name)]) for name in ("old", "new"))
    cluster.tell(POD, updated(old, new))
    cluster.synced()
    found = [controller.queue.get(timeout=0) for _ in range(2)]

    assert [item and item.request.name for item in found] == ["old", "new"]


# ---- 38 to 40: the manager -------------------------------------------------------------------------------------------


class Maps(Reconciler):
    name = "maps"

    def __init__(self, kind: str = CONFIG_MAP, act: Any = lambda _ctx, _request: None) -> None:
        self._kind = kind
        self._act = act
        self.began = threading.Event()

    def setup(self, builder: Builder) -> None:
        builder.for_(self._kind)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        self.began.set()
        result: Result | None = self._act(ctx, request)
        return result


@pytest.fixture
def api() -> Iterator[TinyApi]:
    with TinyApi("a") as made:
        yield made


def manager_of(api: TinyApi, *reconcilers: Reconciler, **options: Any) -> Manager:
    addresses = {"metrics_bind_address": "0", "health_probe_bind_address": "0", "switch_interval": 0}
    manager = Manager(Config(api.url, StaticCredentials()), options=ManagerOptions(**addresses, **options))
    manager.add(*reconcilers)
    return manager


def test_38_a_source_that_cannot_be_synced_is_pending_and_the_others_work(api: TinyApi, eventually: Any) -> None:
    class Widgets(Maps):
        name = "widgets"

    maps = Maps()
    with manager_of(api, maps, Widgets("example.com/v1 Widget")) as manager:
        assert maps.began.wait(10)
        eventually(lambda: len(manager.pending()) == 1)
        assert manager.pending()[0].kind == "example.com/v1 Widget"
        eventually(lambda: "does not serve" in manager.pending()[0].reason)
        assert not manager.wait_ready(0)
        assert manager.healthz.run() == {"threads": None}


def test_39_sources_start_before_workers_and_stop_in_reverse(api: TinyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = manager_of(api, Maps())
    controller, cluster = manager.controllers[0], manager.cluster()
    calls: list[str] = []

    def record(part: Any, method: str, name: str) -> None:
        before = getattr(part, method)

        def recorded(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            return before(*arguments, **named)

        monkeypatch.setattr(part, method, recorded)

    record(cluster, "start", "caches start")
    record(controller, "start", "workers start")
    record(controller, "stop_queue", "workers stop")
    record(cluster, "stop", "caches stop")
    manager.start()
    manager.stop()

    assert calls == ["caches start", "workers start", "workers stop", "caches stop"]


def test_40_a_graceful_timeout_is_told_with_its_time(api: TinyApi, caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    maps = Maps(act=lambda _ctx, _request: go_on.wait(10) and None)
    try:
        with manager_of(api, maps, graceful_shutdown_timeout=0.02) as manager:
            assert maps.began.wait(10)
            assert manager.stop() is False
        assert "reconciles still run after 0.02 s: maps" in caplog.text
    finally:
        go_on.set()


def test_40_a_timeout_of_0_does_not_wait(api: TinyApi) -> None:
    go_on = threading.Event()
    maps = Maps(act=lambda _ctx, _request: go_on.wait(10) and None)
    try:
        with manager_of(api, maps, graceful_shutdown_timeout=0) as manager:
            assert maps.began.wait(10)
            manager.stop()
            assert manager.controllers[0].queue.in_flight == 1
    finally:
        go_on.set()


# ---- 43: namespaces --------------------------------------------------------------------------------------------------


def test_43_an_unlisted_namespace_errors_and_an_absent_object_is_not_found(api: TinyApi) -> None:
    with manager_of(api, Maps(), namespaces=("default",)) as manager:
        assert manager.wait_ready(10)
        client = manager.cluster().client

        with pytest.raises(UnlistedNamespace):
            client.get(CONFIG_MAP, Key("other", "a"))
        with pytest.raises(NotFound):
            client.get(CONFIG_MAP, Key("default", "absent"))
        assert client.get_or_none(CONFIG_MAP, Key("default", "absent")) is None

"""Workers that die, and workers that hang, in a whole process: the real clock, threads and signals."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from kcontroller.config import ManagerOptions
from kcontroller.controller import Builder, Context, Reconciler
from kcontroller.controller.tally import Tally
from kcontroller.manager import Manager
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.tiny_api import TinyApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.api.keys import Request


class Maps(Reconciler):
    name = "maps"

    def __init__(self, act: Callable[[Request], None]) -> None:
        self._act = act

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap")

    def reconcile(self, ctx: Context, request: Request) -> None:
        self._act(request)


@pytest.fixture
def api() -> Iterator[TinyApi]:
    with TinyApi("a", "b") as made:
        yield made


def manager_of(api: TinyApi, act: Callable[[Request], None], *, grace: float, timeout: float = 0.0) -> Manager:
    options = ManagerOptions(
        metrics_bind_address="0",
        health_probe_bind_address="0",
        switch_interval=0,
        graceful_shutdown_timeout=grace,
        reconcile_timeout=timeout,
    )
    manager = Manager(Config(api.url, StaticCredentials()), options=options)
    manager.add(Maps(act))
    return manager


@pytest.mark.parametrize("grace", [30.0, -1.0])
def test_a_worker_that_dies_ends_the_process_with_1_and_nothing_waits_for_its_item(
    api: TinyApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, grace: float
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Tally, "ended", fail)
    began = time.monotonic()

    assert manager_of(api, lambda _request: None, grace=grace).run() == 1
    assert time.monotonic() - began < 5
    assert "kc-worker-maps-0 dies of this request: MemoryError: no room" in caplog.text
    assert "thread kc-worker-maps-0 failed, the process stops: MemoryError: no room" in caplog.text


def test_b5_a_reconcile_that_hangs_is_counted_and_replaced_and_the_stop_does_not_wait_for_it(api: TinyApi) -> None:
    go_on, seen = threading.Event(), set[str]()

    def act(request: Request) -> None:
        seen.add(request.name)
        if request.name == "a":
            go_on.wait(20)

    manager = manager_of(api, act, grace=0.1, timeout=0.05)

    def value(name: str) -> float | None:
        return manager.metrics.registry.get_sample_value(name, {"controller": "maps"})

    try:
        manager.start()
        eventually(lambda: seen == {"a", "b"})
        eventually(lambda: value("kcontroller_stuck_reconciles") == 1)
        assert value("controller_runtime_reconcile_timeouts_total") == 1
        began = time.monotonic()
        assert not manager.stop()
        assert time.monotonic() - began < 0.1 + 1.0
    finally:
        go_on.set()
        manager.stop()

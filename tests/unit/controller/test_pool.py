"""Reconciles whose time is over, on a virtual clock; what they hang in is nothing that this clock knows."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Request
from kcontroller.controller import Context, Controller, Result
from kcontroller.controller.pool import GRACE_SECONDS, UNLIMITED_SECONDS
from kcontroller.testing.polling import eventually
from kcontroller.workqueue.relay import PATIENCE
from tests.unit.controller.fakes import FakeCluster, FakeHost, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 10.0
A, B, C = (Request("", "default", name) for name in "abc")


class Hanging:
    """An act that hangs, for each name that it is told, until it is freed."""

    def __init__(self, *names: str) -> None:
        self._events = {name: threading.Event() for name in names}
        self.begun: list[str] = []

    def __call__(self, _ctx: Context, request: Request) -> Result | None:
        self.begun.append(request.name)
        event = self._events.get(request.name)
        assert event is None or event.wait(10), "nobody freed it"
        return None

    def free(self, name: str) -> None:
        self._events[name].set()

    def free_all(self) -> None:
        for event in self._events.values():
            event.set()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging("a", "b")
    yield made
    made.free_all()


@pytest.fixture
def watched(host: FakeHost, hanging: Hanging) -> Iterator[FakeHost]:
    """The host, with its watchdog awake; what hangs is freed before the host ends."""
    host.watchdog.start(host.threads)
    yield host
    hanging.free_all()


def started(host: FakeHost, act: Callable[..., Any], *, timeout: float = TIMEOUT, **options: Any) -> Controller:
    controller = host.run(Controller(Scripted(act), host, reconcile_timeout=timeout, **options))
    for cluster in host.known.values():
        cluster.synced()
    return controller


def stuck(host: FakeHost) -> float:
    return host.metric("kcontroller_stuck_reconciles", controller="scripted")


def timeouts(host: FakeHost) -> float:
    return host.metric("controller_runtime_reconcile_timeouts_total", controller="scripted")


def workers(host: FakeHost) -> list[str]:
    return [name for name in host.threads.alive() if name.startswith("kc-worker-")]


# ---- its time is over ------------------------------------------------------------------------------------------------


def test_what_hangs_on_the_token_is_called_at_the_deadline_while_the_reconcile_sits_in_somebody_elses_call(
    watched: FakeHost,
) -> None:
    inside, closed = threading.Event(), threading.Event()
    seen: list[str] = []

    def act(ctx: Context, _request: Request) -> None:
        ctx.stop.on_stop(closed.set)
        inside.set()
        assert closed.wait(10)
        seen.append(ctx.stop.reason)

    controller = started(watched, act)
    controller.queue.add(A)
    assert inside.wait(10)
    watched.clock.wait_for_waiters(1)
    watched.clock.advance(TIMEOUT - 0.1)
    watched.clock.wait_for_waiters(1)
    assert not closed.is_set()
    watched.clock.advance(0.1)
    assert controller.queue.wait_in_flight(10)

    assert seen == ["its time is over"]
    assert timeouts(watched) == 1
    assert stuck(watched) == 0


def test_a_function_on_the_token_that_blocks_delays_no_other_reconcile(watched: FakeHost) -> None:
    go_on, told = threading.Event(), {name: threading.Event() for name in "abc"}

    def act(ctx: Context, request: Request) -> None:
        def block() -> None:
            told[request.name].set()
            go_on.wait(10)

        ctx.stop.on_stop(block)
        go_on.wait(10)

    controller = started(watched, act, max_concurrent_reconciles=3)
    for count, request in enumerate((A, B, C), 1):
        controller.queue.add(request)
        eventually(lambda count=count: controller.queue.in_flight == count)  # type: ignore[misc]
        watched.clock.advance(2 * PATIENCE)  # The worker gives way to the next.
    watched.clock.advance(TIMEOUT)

    assert all(event.wait(10) for event in told.values())
    go_on.set()
    assert controller.queue.wait_in_flight(10)


def test_a_reconcile_that_returns_in_its_grace_is_late_and_no_more(watched: FakeHost, hanging: Hanging) -> None:
    controller = started(watched, hanging)
    controller.queue.add(A)
    eventually(lambda: hanging.begun == ["a"])
    watched.clock.advance(TIMEOUT)
    eventually(lambda: timeouts(watched) == 1)
    watched.clock.advance(GRACE_SECONDS - 0.1)
    hanging.free("a")
    assert controller.queue.wait_in_flight(10)
    watched.clock.advance(10)

    assert (timeouts(watched), stuck(watched)) == (1, 0)
    assert workers(watched) == ["kc-worker-scripted-0"]


def test_each_reconcile_has_its_own_time(watched: FakeHost, hanging: Hanging) -> None:
    controller = started(watched, hanging, max_concurrent_reconciles=2)
    controller.queue.add(A)
    eventually(lambda: hanging.begun == ["a"])
    watched.clock.wait_for_waiters(1)
    watched.clock.advance(TIMEOUT / 2)
    controller.queue.add(B)
    eventually(lambda: hanging.begun == ["a", "b"])

    watched.clock.wait_for_waiters(1)
    watched.clock.advance(TIMEOUT / 2)
    eventually(lambda: timeouts(watched) == 1)
    watched.clock.advance(GRACE_SECONDS)
    eventually(lambda: stuck(watched) == 1)
    assert timeouts(watched) == 1
    watched.clock.advance(TIMEOUT / 2 - GRACE_SECONDS)
    eventually(lambda: timeouts(watched) == 2)


# ---- it does not return ----------------------------------------------------------------------------------------------


def let_hang(host: FakeHost, hanging: Hanging, controller: Controller, request: Request) -> None:
    controller.queue.add(request)
    eventually(lambda: hanging.begun[-1:] == [request.name])
    before = stuck(host)
    host.clock.advance(TIMEOUT + GRACE_SECONDS)
    eventually(lambda: stuck(host) == before + 1)


def test_another_worker_takes_the_place_of_one_that_is_stuck(watched: FakeHost, hanging: Hanging) -> None:
    controller = started(watched, hanging)
    let_hang(watched, hanging, controller, A)
    controller.queue.add(C)
    eventually(lambda: hanging.begun == ["a", "c"])
    assert workers(watched) == ["kc-worker-scripted-0", "kc-worker-scripted-1"]

    hanging.free("a")
    eventually(lambda: workers(watched) == ["kc-worker-scripted-1"])
    assert stuck(watched) == 0
    assert timeouts(watched) == 1
    controller.queue.add(C)
    eventually(lambda: hanging.begun == ["a", "c", "c"])


def test_the_request_of_a_stuck_worker_goes_to_no_other_until_it_has_returned(
    watched: FakeHost, hanging: Hanging
) -> None:
    controller = started(watched, hanging)
    let_hang(watched, hanging, controller, A)
    controller.queue.add(A)
    controller.queue.add(C)
    eventually(lambda: hanging.begun == ["a", "c"])
    assert not controller.queue.wait_in_flight(0)

    hanging.free("a")
    eventually(lambda: hanging.begun == ["a", "c", "a"])


def test_the_outcome_of_a_stuck_reconcile_counts(watched: FakeHost) -> None:
    go_on = threading.Event()

    def act(_ctx: Context, _request: Request) -> Result:
        go_on.wait(10)
        return Result(requeue_after=60)

    controller = started(watched, act)
    controller.queue.add(A)
    eventually(lambda: controller.queue.in_flight == 1)
    watched.clock.advance(TIMEOUT + GRACE_SECONDS)
    eventually(lambda: stuck(watched) == 1)
    go_on.set()
    assert controller.queue.wait_in_flight(10)

    standing = controller.queue.standing(A)
    assert standing is not None
    assert (standing.state, standing.due) == ("delayed", watched.clock.monotonic() + 60)
    assert watched.metric("controller_runtime_reconcile_total", controller="scripted", result="requeue_after") == 1


def test_there_are_never_more_than_twice_the_workers(watched: FakeHost, hanging: Hanging, records: Any) -> None:
    controller = started(watched, hanging)
    let_hang(watched, hanging, controller, A)
    let_hang(watched, hanging, controller, B)
    controller.queue.add(C)
    assert workers(watched) == ["kc-worker-scripted-0", "kc-worker-scripted-1"]
    said = [each["msg"] for each in records() if each["level"] == "error"]
    assert said == [
        "a reconcile does not return: another worker takes its place",
        "a reconcile does not return: as many as there should be are replaced already",
    ]

    hanging.free("a")  # Nobody works now, so it goes on.
    eventually(lambda: hanging.begun == ["a", "b", "c"])
    assert workers(watched) == ["kc-worker-scripted-0", "kc-worker-scripted-1"]
    hanging.free("b")
    eventually(lambda: len(workers(watched)) == 1)


def test_a_stuck_reconcile_is_named_once_with_the_place_where_it_is(
    watched: FakeHost, hanging: Hanging, records: Any
) -> None:
    watched.known = {"eu": FakeCluster("eu")}
    controller = started(watched, hanging)
    let_hang(watched, hanging, controller, Request("eu", "team", "a"))
    watched.clock.advance(1000)
    hanging.free("a")
    assert controller.queue.wait_in_flight(10)
    line, returned = (each for each in records() if "reconcileID" in each and each["level"] != "debug")

    assert line["reconcileID"] == returned["reconcileID"]
    assert (returned["level"], returned["msg"]) == ("info", "the reconcile that was stuck has returned")
    assert re.fullmatch(r"test_pool\.py:\d+", line.pop("at"))
    del line["ts"], line["reconcileID"]
    assert line == {
        "level": "error",
        "logger": "kcontroller.controller",
        "msg": "a reconcile does not return: another worker takes its place",
        "seconds": TIMEOUT + GRACE_SECONDS,
        "controller": "scripted",
        "controllerKind": "ConfigMap",
        "cluster": "eu",
        "namespace": "team",
        "name": "a",
    }


def test_a_stuck_reconcile_does_not_count_against_the_share_of_its_cluster(watched: FakeHost, hanging: Hanging) -> None:
    watched.known = {name: FakeCluster(name) for name in ("eu", "us")}
    controller = started(watched, hanging, many_clusters=True)
    let_hang(watched, hanging, controller, Request("eu", "n", "a"))
    controller.queue.add(Request("eu", "n", "c"))

    eventually(lambda: hanging.begun == ["a", "c"])


def test_without_a_time_out_a_long_reconcile_is_named_and_keeps_its_worker(
    watched: FakeHost, hanging: Hanging, records: Any
) -> None:
    controller = started(watched, hanging, timeout=0.0)
    controller.queue.add(A)
    controller.queue.add(C)
    eventually(lambda: hanging.begun == ["a"])
    watched.clock.wait_for_waiters(1)
    watched.clock.advance(UNLIMITED_SECONDS - 1)
    watched.clock.wait_for_waiters(1)
    assert stuck(watched) == 0
    watched.clock.advance(1)
    eventually(lambda: stuck(watched) == 1)

    (line,) = (each for each in records() if each["level"] == "error")
    assert line["msg"] == "a reconcile does not return: without a reconcile_timeout its worker waits for it"
    assert workers(watched) == ["kc-worker-scripted-0"]
    hanging.free("a")
    eventually(lambda: hanging.begun == ["a", "c"])
    assert (stuck(watched), timeouts(watched)) == (0, 0)


def test_where_no_more_threads_can_be_had_the_watchdog_goes_on(
    watched: FakeHost, hanging: Hanging, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = started(watched, hanging)
    spawn = watched.threads.spawn

    def refuse(role: str, key: str, target: Callable[[], None]) -> threading.Thread:
        if role == "worker":
            raise RuntimeError("can't start new thread")
        return spawn(role, key, target)

    monkeypatch.setattr(watched.threads, "spawn", refuse)
    let_hang(watched, hanging, controller, A)
    eventually(lambda: "no other worker could be started" in records()[-1]["msg"])

    hanging.free("a")
    controller.queue.add(C)
    eventually(lambda: hanging.begun == ["a", "c"])
    assert stuck(watched) == 0


def test_a_stuck_worker_ends_with_the_process_if_it_returns(watched: FakeHost, hanging: Hanging) -> None:
    controller = started(watched, hanging)
    let_hang(watched, hanging, controller, A)
    controller.stop_queue()
    assert not controller.drained(0)
    hanging.free("a")

    assert controller.drained(10)
    eventually(lambda: workers(watched) == [])

"""What slow and degraded clusters hold of the workers, with real threads."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import Request
from kcontroller.controller import Controller
from kcontroller.controller.pool import AHEAD
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually
from kcontroller.workqueue.paces import LAG_SECONDS, SLOW_SECONDS, UNKNOWN_SECONDS
from kcontroller.workqueue.relay import PATIENCE
from tests.unit.controller.fakes import FakeCluster, FakeHost, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.controller import Context
    from kcontroller.process.clock import Clock

BAD = [f"bad{number}" for number in range(12)]
GOOD = [f"good{number}" for number in range(12)]


def workers_of(host: FakeHost) -> int:
    return sum(name.startswith("kc-worker-") for name in host.threads.alive())


@contextlib.contextmanager
def running(
    act: Callable[[Context, Request], Any],
    names: Iterable[str],
    *,
    workers: int,
    let_go: threading.Event,
    clock: Clock = SYSTEM_CLOCK,
    **options: Any,
) -> Iterator[tuple[FakeHost, Controller, Scripted]]:
    """Run a controller on clusters that are synced; at the end what hangs is let go."""
    host = FakeHost(*map(FakeCluster, names), clock=clock)
    scripted = Scripted(act)
    controller = Controller(scripted, host, max_concurrent_reconciles=workers, many_clusters=True, **options)
    host.watchdog.start(host.threads)
    host.run(controller)
    try:
        for cluster in host.known.values():
            cluster.synced()
        yield host, controller, scripted
    finally:
        let_go.set()
        host.end()


def test_clusters_that_hang_all_at_once_hold_up_the_others_for_a_moment_only() -> None:
    let_go = threading.Event()
    hanging: list[Request] = []

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD:
            hanging.append(request)
            let_go.wait(20)

    with running(act, (*BAD, *GOOD), workers=8, let_go=let_go, reconcile_timeout=60.0) as (host, controller, scripted):
        for name in GOOD:  # What others take is known.
            controller.queue.add(Request(name, "n", "before"))
        eventually(lambda: len(scripted.calls) == len(GOOD))
        for name in BAD:
            controller.queue.add(Request(name, "n", "a"))
        eventually(lambda: len(hanging) >= 8)
        for name in GOOD:
            controller.queue.add(Request(name, "n", "a"))
        eventually(lambda: len(scripted.calls) == 2 * len(GOOD), within=3.0)
        for name in BAD:
            controller.queue.add(Request(name, "n", "b"))
        for name in GOOD:
            controller.queue.add(Request(name, "n", "b"))
        eventually(lambda: len(scripted.calls) == 3 * len(GOOD), within=3.0)
        resting = len((*BAD, *GOOD)) // 2
        assert workers_of(host) <= 8 + len(BAD) * 2 + resting
        let_go.set()
        eventually(lambda: len(scripted.calls) == 3 * len(GOOD) + 2 * len(BAD), within=10.0)
        eventually(lambda: workers_of(host) == 8 + resting)


def test_clusters_that_begin_to_hang_hold_up_the_others_until_they_lag_and_not_until_they_are_known_as_slow() -> None:
    let_go = threading.Event()
    hanging: list[Request] = []
    clock = VirtualClock()

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD:
            hanging.append(request)
            let_go.wait(20)

    def seconds_until(check: Callable[[], bool]) -> float:
        began = clock.monotonic()
        while not _soon(check):
            clock.advance(2 * PATIENCE)
        return clock.monotonic() - began

    with running(act, (*BAD, *GOOD), workers=4, let_go=let_go, clock=clock) as (host, controller, scripted):
        for name in GOOD:
            controller.queue.add(Request(name, "n", "before"))
        scripted.wait_for_calls(len(GOOD))  # In no time.
        for name in BAD[:4]:
            controller.queue.add(Request(name, "n", "a"))
        seconds_until(lambda: len(hanging) == 4)
        for name in GOOD:
            controller.queue.add(Request(name, "n", "a"))

        assert seconds_until(lambda: len(scripted.calls) == 2 * len(GOOD)) < SLOW_SECONDS
        assert [controller.queue.degraded(name) for name in BAD[:4]] == [frozenset()] * 4
        let_go.set()
        eventually(lambda: not controller.queue.in_flight)
        clock.advance(1.0)
        eventually(lambda: workers_of(host) == 4 + AHEAD * 4)


def test_those_that_rest_take_the_places_and_no_thread_has_to_start() -> None:
    let_go = threading.Event()
    hanging: list[Request] = []
    clock = VirtualClock()  # By a real one those that are well may lag on a busy machine.

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD:
            hanging.append(request)
            let_go.wait(20)

    def wait(check: Callable[[], bool]) -> None:
        while not _soon(check):
            clock.advance(2 * PATIENCE)

    with running(act, (*BAD, *GOOD), workers=4, let_go=let_go, clock=clock) as (host, controller, scripted):
        for name in GOOD:
            controller.queue.add(Request(name, "n", "before"))
        wait(lambda: len(scripted.calls) == len(GOOD) and workers_of(host) == 4 + AHEAD * 4)
        workers = host.threads.alive()
        for name in BAD[:4]:
            controller.queue.add(Request(name, "n", "a"))
        wait(lambda: len(hanging) == 4)
        for name in GOOD:
            controller.queue.add(Request(name, "n", "a"))
        wait(lambda: len(scripted.calls) == 2 * len(GOOD))
        assert host.threads.alive() == workers


def test_clusters_that_leave_take_those_along_that_rest_for_them() -> None:
    let_go = threading.Event()
    with running(lambda _ctx, _request: None, (*BAD, *GOOD), workers=4, let_go=let_go) as (host, controller, _scripted):
        eventually(lambda: workers_of(host) == 4 + AHEAD * 4)
        for name in (*BAD, *GOOD):
            controller.disengage(name)
        eventually(lambda: workers_of(host) == 4)


def test_clusters_that_hang_before_anybody_has_finished_anything_do_not_hold_up_the_others_for_long() -> None:
    let_go = threading.Event()

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD[:4]:
            let_go.wait(20)

    with running(act, (*BAD[:4], *GOOD), workers=4, let_go=let_go) as (_host, controller, scripted):
        for name in (*BAD[:4], *GOOD):
            controller.queue.add(Request(name, "n", "a"))
        eventually(lambda: len(scripted.calls) == len(GOOD), within=UNKNOWN_SECONDS + 2.0)


def test_half_of_a_large_fleet_may_hang_at_once() -> None:
    names = [f"c{number}" for number in range(180)]
    bad = set(names[:80])
    let_go, hangs = threading.Event(), threading.Event()

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in bad and hangs.is_set():
            let_go.wait(20)

    with running(act, names, workers=10, let_go=let_go) as (_host, controller, scripted):
        for name in names:
            controller.queue.add(Request(name, "n", "before"))
        scripted.wait_for_calls(len(names))
        hangs.set()
        for name in names:
            controller.queue.add(Request(name, "n", "a"))
        scripted.wait_for_calls(2 * len(names) - len(bad))


def test_one_worker_stays_one() -> None:
    let_go, begun = threading.Event(), threading.Event()

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD:
            begun.set()
            let_go.wait(20)

    with running(act, (BAD[0], *GOOD), workers=1, let_go=let_go) as (_host, controller, scripted):
        for name in GOOD:  # What others take is known.
            controller.queue.add(Request(name, "n", "before"))
        scripted.wait_for_calls(len(GOOD))
        controller.queue.add(Request(BAD[0], "n", "a"))
        assert begun.wait(5)
        controller.queue.add(Request(GOOD[0], "n", "a"))
        assert not _soon(lambda: len(scripted.calls) > len(GOOD), within=10 * LAG_SECONDS)
        let_go.set()
        scripted.wait_for_calls(len(GOOD) + 2)


def _soon(check: Callable[[], object], *, within: float = 0.2) -> bool:
    with contextlib.suppress(AssertionError):
        return bool(eventually(check, within=within))
    return False

from __future__ import annotations

import gc
import itertools
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.controller.lanes import RETRY, TRIES, Lane
from kcontroller.controller.mapping import AT_ONCE, BOUND, PATIENCE, MapperPool, Mappers
from kcontroller.errors import (
    BudgetSpent,
    ClusterNotFound,
    Conflict,
    Invalid,
    KindNotServed,
    NotFound,
    NotLeader,
    NotSynced,
    ServerError,
    StaleRead,
    Stopped,
    TerminalError,
    TooManyRequests,
    TransportError,
    Wait,
)
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def failures() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def threads(failures: list[tuple[str, BaseException]]) -> ThreadGroup:
    return ThreadGroup(on_failure=lambda name, error: failures.append((name, error)))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def mappers(clock: VirtualClock, threads: ThreadGroup) -> Iterator[Mappers]:
    made = Mappers(clock=clock)
    yield made
    made.stop()
    assert threads.join(10) == ()


@pytest.fixture
def pool(mappers: Mappers, metrics: Metrics) -> MapperPool:
    return mappers.pool("widget", metrics)


def done(lane: Lane) -> None:
    """Wait until everything that was submitted to the lane has run."""
    over = threading.Event()
    lane.submit(over.set)
    assert over.wait(10)


class Held:
    """Jobs that run until the test lets them go."""

    def __init__(self) -> None:
        self.inside = 0
        self._changed = threading.Condition()
        self._go_on = threading.Event()

    def run(self) -> None:
        with self._changed:
            self.inside += 1
            self._changed.notify_all()
        self._go_on.wait(30)

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside >= count, 10), self.inside

    def let_go(self) -> None:
        self._go_on.set()


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.let_go()


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_a_system_without_threads_to_give_is_asked_again(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever came is told, and the next job begins them."""
    mappers.start(threads)

    def none(_role: str, _key: str, _target: Any) -> threading.Thread:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    first = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threads, "spawn", none)
        with pytest.raises(RuntimeError, match="new thread"):
            Lane(pool, "a").submit(first.set)
    done(Lane(pool, "b"))

    assert first.wait(10)


def test_one_thread_is_enough_where_the_system_gives_no_more(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    mappers.start(threads)
    done(Lane(pool, "first"))
    monkeypatch.setattr(threads, "spawn", lambda *_: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
    lanes = [Lane(pool, str(number)) for number in range(5)]
    for lane in lanes:
        done(lane)

    assert threads.alive() == ("kc-mapper-widget-0",)


def test_one_thread_begins_with_the_first_job_and_is_enough_for_one_lane(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup
) -> None:
    mappers.start(threads)
    assert threads.alive() == ()
    lane = Lane(pool, "x")
    for _ in range(100):
        lane.submit(lambda: None)
    done(lane)

    assert threads.alive() == ("kc-mapper-widget-0",)


def test_jobs_that_came_before_the_start_run_after_it(mappers: Mappers, pool: MapperPool, threads: ThreadGroup) -> None:
    over = threading.Event()
    Lane(pool, "x").submit(over.set)
    mappers.start(threads)

    assert over.wait(10)


def test_a_few_jobs_run_at_once_and_those_that_last_make_room(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock, held: Held
) -> None:
    mappers.start(threads)
    for number in range(2 * AT_ONCE):
        Lane(pool, str(number)).submit(held.run)
    held.wait_for(AT_ONCE)
    clock.wait_for_waiters(1)  # One thread keeps the time.
    assert held.inside == AT_ONCE

    clock.advance(PATIENCE)
    held.wait_for(2 * AT_ONCE)


def test_threads_that_a_rush_has_left_end(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock, held: Held
) -> None:
    mappers.start(threads)
    for number in range(3 * AT_ONCE):
        Lane(pool, str(number)).submit(held.run)
    for expected in range(AT_ONCE, 3 * AT_ONCE + 1, AT_ONCE):
        held.wait_for(expected)
        clock.advance(PATIENCE)
    held.let_go()

    eventually(lambda: len(threads.alive()) == AT_ONCE)
    done(Lane(pool, "later"))


def test_hanging_functions_of_one_controller_in_all_of_its_clusters_delay_no_other(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock, metrics: Metrics, held: Held
) -> None:
    mappers.start(threads)
    for number in range(2 * BOUND):
        Lane(pool, f"widget/{number}").submit(held.run)
    for expected in range(AT_ONCE, BOUND + 1, AT_ONCE):
        held.wait_for(expected)
        clock.advance(PATIENCE)
    assert held.inside == BOUND

    done(Lane(mappers.pool("gadget", metrics), "gadget/0"))  # The virtual time stands still: no delay at all.
    clock.advance(7)
    waiting = metrics.registry.get_sample_value
    metrics.render()
    assert waiting("kcontroller_mapper_jobs", {"controller": "widget"}) == BOUND
    assert waiting("kcontroller_mapper_jobs", {"controller": "gadget"}) == 0
    assert waiting("kcontroller_mapper_oldest_seconds", {"controller": "widget"}) > 7


# ---- order -----------------------------------------------------------------------------------------------------------


def test_jobs_of_a_lane_run_one_after_the_other_in_order(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup
) -> None:
    mappers.start(threads)
    lanes = [Lane(pool, str(number)) for number in range(10)]
    ran: dict[int, list[int]] = {number: [] for number in range(10)}
    inside = [0] * 10
    overlaps = []

    def job(lane: int, number: int) -> None:
        inside[lane] += 1
        if inside[lane] > 1:
            overlaps.append(lane)
        ran[lane].append(number)
        inside[lane] -= 1

    for number in range(200):
        for which, lane in enumerate(lanes):
            lane.submit(lambda which=which, number=number: job(which, number))  # type: ignore[misc]
    for lane in lanes:
        done(lane)

    assert overlaps == []
    assert all(found == list(range(200)) for found in ran.values())


def test_a_slow_job_delays_its_own_lane_only(mappers: Mappers, pool: MapperPool, threads: ThreadGroup) -> None:
    mappers.start(threads)
    slow, other = Lane(pool, "slow"), Lane(pool, "other")
    go_on, behind = threading.Event(), threading.Event()
    slow.submit(lambda: go_on.wait(10) and None)
    for _ in range(100):
        slow.submit(behind.set)
    for _ in range(5):
        done(other)

    assert not behind.is_set()
    assert slow.depth >= 100
    go_on.set()
    assert behind.wait(10)


def test_lanes_take_turns(mappers: Mappers, pool: MapperPool, threads: ThreadGroup, held: Held) -> None:
    ran: list[str] = []
    busy, quick = Lane(pool, "busy"), Lane(pool, "quick")
    for number in range(AT_ONCE - 1):
        Lane(pool, f"held {number}").submit(held.run)  # One place is left.
    for _ in range(5):
        busy.submit(lambda: ran.append("busy"))
    quick.submit(lambda: ran.append("quick"))
    mappers.start(threads)
    done(busy)

    assert ran.index("quick") == 1


# ---- failures --------------------------------------------------------------------------------------------------------


def failing(error: BaseException, times: int, ran: list[str], name: str = "bad") -> Callable[[], None]:
    """A job that fails so many times."""

    def job() -> None:
        ran.append(name)
        if ran.count(name) <= times:
            raise error

    return job


def wait_out(clock: VirtualClock, done: Callable[[], bool]) -> None:
    """Move the clock, try by try, until the condition is true."""
    while not done():
        clock.wait_for_waiters(1)
        clock.advance(2 * RETRY.cap)


def count(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"kcontroller_mapper_{name}_total", {"controller": "widget"})


@pytest.mark.parametrize(
    "error",
    [
        NotSynced("not yet"),
        StaleRead("not yet"),
        Wait(after=1),
        TransportError("reset"),
        TooManyRequests("slowly", status=429),
        ServerError("down", status=503),
        Conflict("changed", status=409),
        KindNotServed("no CRD yet"),
        ClusterNotFound("not engaged yet"),
        BudgetSpent("until somebody resumes it"),
        NotLeader("not yet"),
        Stopped("the cluster leaves"),
        ConnectionResetError("of the user's inventory"),
        TimeoutError("of the user's inventory"),
        OSError("no route"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_by_itself_is_waited_for_and_no_event_is_lost(
    mappers: Mappers,
    pool: MapperPool,
    threads: ThreadGroup,
    clock: VirtualClock,
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    mappers.start(threads)
    ran: list[str] = []
    Lane(pool, "widget/eu").submit(failing(error, 3 * TRIES, ran), key="a")
    wait_out(clock, lambda: len(ran) == 3 * TRIES + 1)

    assert (count(metrics, "retries"), count(metrics, "failures")) == (3 * TRIES, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "waits for what does not come" in caplog.text


@pytest.mark.parametrize(
    "error",
    [KeyError("label"), SystemExit(3), NotFound("gone", status=404), Invalid("odd", status=422)],
    ids=lambda error: type(error).__name__,
)
def test_any_other_failure_is_logged_and_tried_again_a_few_times(
    mappers: Mappers,
    pool: MapperPool,
    threads: ThreadGroup,
    clock: VirtualClock,
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
    failures: Any,
    error: BaseException,
) -> None:
    mappers.start(threads)
    lane, ran = Lane(pool, "widget/eu"), []
    lane.submit(failing(error, 100, ran), key="a")
    wait_out(clock, lambda: count(metrics, "failures") == 1)
    done(lane)

    assert len(ran) == TRIES
    assert count(metrics, "retries") == TRIES - 1
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "a function of a source failed",
        "a function of a source failed for good, its event is dropped",
    ]
    assert failures == []


def test_a_mistake_that_is_mended_within_minutes_loses_no_event(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock
) -> None:
    mappers.start(threads)
    over = threading.Event()

    def job() -> None:
        if clock.monotonic() < mended:
            raise KeyError("label")
        over.set()

    mended = clock.monotonic() + 200
    Lane(pool, "widget/eu").submit(job, key="a")
    while not over.is_set():
        clock.wait_for_waiters(1)
        assert clock.monotonic() < mended + 2 * RETRY.cap
        clock.advance(0.5)


def test_a_terminal_error_is_not_tried_again(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, metrics: Metrics
) -> None:
    mappers.start(threads)
    lane, ran = Lane(pool, "widget/eu"), []
    lane.submit(failing(TerminalError("of no use"), 100, ran), key="a")
    done(lane)

    assert (ran, count(metrics, "retries"), count(metrics, "failures")) == (["bad"], 0, 1)


def test_the_others_of_a_lane_do_not_wait_for_one_that_fails(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup
) -> None:
    mappers.start(threads)
    lane, ran = Lane(pool, "widget/eu"), []
    lane.submit(failing(NotSynced("not yet"), 1, ran), key="a")
    for name in ("b", "c"):
        lane.submit(lambda name=name: ran.append(name), key=name)  # type: ignore[misc]
    done(lane)  # The clock stands still.

    assert ran == ["bad", "b", "c"]
    assert lane.depth == 1


def test_events_of_one_object_keep_their_order_through_failures(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock
) -> None:
    mappers.start(threads)
    lane, ran = Lane(pool, "widget/eu"), []
    lane.submit(failing(NotSynced("not yet"), 2, ran, "first"), key="a")
    lane.submit(failing(NotSynced("not yet"), 1, ran, "second"), key="a")
    lane.submit(lambda: ran.append("third"), key="a")
    done(lane)
    assert ran == ["first"]
    wait_out(clock, lambda: "third" in ran)

    assert ran == ["first"] * 3 + ["second"] * 2 + ["third"]
    assert lane.depth == 0


def test_the_delays_grow_with_the_failures_of_one_event(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock
) -> None:
    mappers.start(threads)
    at: list[float] = []

    def job() -> None:
        at.append(clock.monotonic())
        if len(at) < 4:
            raise NotSynced("not yet")

    Lane(pool, "widget/eu").submit(job, key="a")
    while len(at) < 4:
        clock.wait_for_waiters(1)
        clock.advance(0.01)
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]

    assert all(base <= gap < 1.5 * base + 0.1 for base, gap in zip((0.1, 0.2, 0.4), gaps, strict=True))


def test_a_job_that_is_to_run_later_runs_then_and_says_when_it_has_ended(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock
) -> None:
    mappers.start(threads)
    lane, ran, ended = Lane(pool, "x"), [], threading.Event()
    lane.submit(failing(NotSynced("not yet"), 1, ran), key="a", after=30, ended=ended.set)
    done(lane)
    assert ran == []
    clock.wait_for_waiters(1)
    clock.advance(30)
    eventually(lambda: ran == ["bad"])
    assert not ended.is_set()
    wait_out(clock, ended.is_set)

    assert ran == ["bad", "bad"]


def test_a_slow_function_is_named_once(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    mappers.start(threads)
    lane = Lane(pool, "widget/eu")
    for _ in range(3):
        lane.submit(lambda: clock.advance(0.2))
    done(lane)
    done(lane)

    assert [record.message for record in caplog.records] == [
        "a function of a source took 200 ms; it delays this lane's events"
    ]


def test_log_lines_of_user_functions_name_the_lane(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, records: Any
) -> None:
    mappers.start(threads)
    lane = Lane(pool, "widget/eu")
    lane.submit(lambda: logging.getLogger("user").warning("hello"))
    lane.submit(lambda: 1 / 0 and None)
    done(lane)

    assert [each["lane"] for each in records()] == ["widget/eu", "widget/eu"]


def test_after_a_stop_nothing_waits_and_nothing_runs(mappers: Mappers, pool: MapperPool, threads: ThreadGroup) -> None:
    mappers.start(threads)
    lane, inside, go_on, ran = Lane(pool, "x"), threading.Event(), threading.Event(), []

    def first() -> None:
        inside.set()
        go_on.wait(10)

    lane.submit(first)
    lane.submit(lambda: ran.append("queued"))
    assert inside.wait(10)
    mappers.stop()
    lane.submit(lambda: ran.append("late"))
    Lane(pool, "y").submit(lambda: ran.append("new lane"))
    go_on.set()

    assert threads.join(10) == ()
    assert ran == []


def test_a_stop_before_the_first_job_starts_no_thread(mappers: Mappers, pool: MapperPool, threads: ThreadGroup) -> None:
    mappers.stop()
    mappers.start(threads)
    Lane(pool, "x").submit(lambda: None)

    assert threads.alive() == ()


def test_a_mapper_that_waits_keeps_no_job(
    mappers: Mappers, pool: MapperPool, threads: ThreadGroup, clock: VirtualClock
) -> None:
    class Big:
        pass

    mappers.start(threads)
    lane = Lane(pool, "x")
    big = Big()
    gone = weakref.ref(big)
    lane.submit(lambda big=big: None)  # type: ignore[misc]
    del big
    done(lane)
    clock.wait_for_waiters(1)
    gc.collect()

    assert gone() is None


def test_many_threads_may_submit_at_once(mappers: Mappers, pool: MapperPool, threads: ThreadGroup) -> None:
    mappers.start(threads)
    lane, ran = Lane(pool, "x"), []
    begin = threading.Barrier(8)

    def submit() -> None:
        begin.wait(10)
        for _ in range(200):
            lane.submit(lambda: ran.append(1))

    submitters = [threading.Thread(target=submit) for _ in range(8)]
    for thread in submitters:
        thread.start()
    for thread in submitters:
        thread.join(10)
    done(lane)

    assert len(ran) == 1600

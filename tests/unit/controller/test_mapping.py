from __future__ import annotations

import gc
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.controller.mapping import THREADS, Lane, Mappers
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


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
def mappers(clock: VirtualClock, threads: ThreadGroup) -> Iterator[Mappers]:
    made = Mappers(clock=clock)
    yield made
    made.stop()
    assert threads.join(10) == ()


def done(lane: Lane) -> None:
    """Wait until everything that was submitted to the lane has run."""
    over = threading.Event()
    lane.submit(over.set)
    assert over.wait(10)


@pytest.mark.parametrize("given", [0, 1])
def test_a_system_without_threads_to_give_is_asked_again(
    mappers: Mappers, threads: ThreadGroup, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    """With one the lanes run, slower; with none, whoever came is told, and the next job begins them."""
    spawned: list[str] = []
    spawn = threads.spawn

    def few(role: str, key: str, target: Any) -> threading.Thread:
        if len(spawned) == given:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        spawned.append(key)
        return spawn(role, key, target)

    monkeypatch.setattr(threads, "spawn", few)
    mappers.start(threads)
    first = threading.Event()
    if given:
        Lane(mappers, "a").submit(first.set)
    else:
        with pytest.raises(RuntimeError, match="new thread"):
            Lane(mappers, "a").submit(first.set)
        monkeypatch.undo()
    done(Lane(mappers, "b"))

    assert first.is_set()
    assert len(threads.alive()) == (given or THREADS)


def test_threads_begin_with_the_first_job(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.start(threads)
    assert threads.alive() == ()
    done(Lane(mappers, "x"))

    assert sorted(threads.alive()) == [f"kc-mapper-{number}" for number in range(THREADS)]


def test_jobs_that_came_before_the_start_run_after_it(mappers: Mappers, threads: ThreadGroup) -> None:
    over = threading.Event()
    Lane(mappers, "x").submit(over.set)
    mappers.start(threads)

    assert over.wait(10)


def test_jobs_of_a_lane_run_one_after_the_other_in_order(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.start(threads)
    lanes = [Lane(mappers, str(number)) for number in range(10)]
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


def test_a_slow_job_delays_its_own_lane_only(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.start(threads)
    slow, other = Lane(mappers, "slow"), Lane(mappers, "other")
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


def test_lanes_take_turns(clock: VirtualClock, threads: ThreadGroup) -> None:
    mappers = Mappers(clock=clock, count=1)
    ran: list[str] = []
    busy, quick = Lane(mappers, "busy"), Lane(mappers, "quick")
    for _ in range(5):
        busy.submit(lambda: ran.append("busy"))
    quick.submit(lambda: ran.append("quick"))
    mappers.start(threads)
    done(busy)
    mappers.stop()
    threads.join(10)

    assert ran.index("quick") == 1


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt("odd")])
def test_what_a_job_raises_is_logged_and_the_next_runs(
    mappers: Mappers, threads: ThreadGroup, failures: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    mappers.start(threads)
    lane = Lane(mappers, "widget/eu")

    def fail() -> None:
        raise error

    for _ in range(2 * THREADS):
        lane.submit(fail)
    done(lane)

    assert caplog.text.count(f"a map function or predicate failed: {type(error).__name__}: {error}") == 2 * THREADS
    assert failures == []


def test_a_slow_function_is_named_once(
    mappers: Mappers, threads: ThreadGroup, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    mappers.start(threads)
    lane = Lane(mappers, "widget/eu")
    for _ in range(3):
        lane.submit(lambda: clock.advance(0.2))
    done(lane)
    done(lane)

    assert [record.message for record in caplog.records] == [
        "a map function or predicate took 200 ms; it delays this lane's events"
    ]


def test_log_lines_of_user_functions_name_the_lane(mappers: Mappers, threads: ThreadGroup, records: Any) -> None:
    mappers.start(threads)
    lane = Lane(mappers, "widget/eu")
    lane.submit(lambda: logging.getLogger("user").warning("hello"))
    lane.submit(lambda: 1 / 0 and None)
    done(lane)

    assert [each["lane"] for each in records()] == ["widget/eu", "widget/eu"]


def test_after_a_stop_nothing_waits_and_nothing_runs(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.start(threads)
    lane, inside, go_on, ran = Lane(mappers, "x"), threading.Event(), threading.Event(), []

    def first() -> None:
        inside.set()
        go_on.wait(10)

    lane.submit(first)
    lane.submit(lambda: ran.append("queued"))
    assert inside.wait(10)
    mappers.stop()
    lane.submit(lambda: ran.append("late"))
    Lane(mappers, "y").submit(lambda: ran.append("new lane"))
    go_on.set()

    assert threads.join(10) == ()
    assert ran == []


def test_a_stop_before_the_first_job_starts_no_thread(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.stop()
    mappers.start(threads)
    Lane(mappers, "x").submit(lambda: None)

    assert threads.alive() == ()


def test_a_mapper_that_waits_keeps_no_job(mappers: Mappers, threads: ThreadGroup, clock: VirtualClock) -> None:
    class Big:
        pass

    mappers.start(threads)
    lane = Lane(mappers, "x")
    big = Big()
    gone = weakref.ref(big)
    lane.submit(lambda big=big: None)  # type: ignore[misc]
    del big
    done(lane)
    clock.wait_for_waiters(THREADS)
    gc.collect()

    assert gone() is None


def test_many_threads_may_submit_at_once(mappers: Mappers, threads: ThreadGroup) -> None:
    mappers.start(threads)
    lane, ran = Lane(mappers, "x"), []
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
    assert len(threads.alive()) == THREADS

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.multicluster.errands import Errands
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def threads() -> Iterator[ThreadGroup]:
    failures: list[str] = []
    made = ThreadGroup(on_failure=lambda name, _error: failures.append(name))
    yield made
    assert made.join(10) == ()
    assert failures == []


@pytest.fixture
def errands(threads: ThreadGroup) -> Errands:
    made = Errands("hook", limit=2, clock=SYSTEM_CLOCK)
    made.start(threads)
    return made


def test_the_jobs_of_a_lane_run_in_order_on_named_threads_that_end_with_the_work(
    errands: Errands, threads: ThreadGroup
) -> None:
    done: list[tuple[str, int]] = []
    names: set[str] = set()

    def job(lane: str, number: int) -> None:
        done.append((lane, number))
        names.add(threading.current_thread().name)

    for number in range(50):
        for lane in ("a", "b", "c"):
            errands.send(lane, lambda lane=lane, number=number: job(lane, number))  # type: ignore[misc]

    eventually(lambda: len(done) == 150)
    assert all([n for each, n in done if each == lane] == list(range(50)) for lane in ("a", "b", "c"))
    assert names <= {"kc-hook-0", "kc-hook-1"}
    eventually(lambda: threads.alive() == ())
    assert errands._waiting == errands._running == {}


def test_a_job_that_hangs_holds_up_its_lane_only_while_there_are_threads(errands: Errands) -> None:
    done: list[str] = []
    hung = threading.Event()
    errands.send("a", lambda: hung.wait(10) and None)
    errands.send("a", lambda: done.append("a"))
    for _ in range(3):
        errands.send("b", lambda: done.append("b"))
    eventually(lambda: done == ["b"] * 3)
    hung.set()

    eventually(lambda: done == ["b", "b", "b", "a"])


def test_what_a_job_raises_is_logged_and_the_next_one_runs(errands: Errands, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        msg = "no"
        raise ValueError(msg)

    done: list[int] = []
    errands.send("a", fail)
    errands.send("a", lambda: done.append(1))

    eventually(lambda: done == [1])
    assert "hook failed: ValueError: no" in caplog.text


def test_where_no_thread_can_be_had_the_job_waits_for_the_next_one(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def refuse(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        errands.send("a", lambda: done.append("a"))
    assert done == []
    errands.send("b", lambda: done.append("b"))

    eventually(lambda: done == ["a", "b"])


def test_after_the_stop_nothing_runs_that_waited(errands: Errands) -> None:
    done: list[str] = []
    started, hung = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        hung.wait(10)

    errands.send("a", hang)
    errands.send("a", lambda: done.append("a"))
    assert started.wait(10)
    errands.stop()
    errands.send("b", lambda: done.append("b"))
    hung.set()

    eventually(lambda: len(errands._free) == 2)
    assert done == []


def test_what_is_tried_again_waits_for_what_is_not_and_a_lane_keeps_its_place(threads: ThreadGroup) -> None:
    errands = Errands("check", limit=1, clock=SYSTEM_CLOCK)
    errands.start(threads)
    done: list[str] = []
    started, hung = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        hung.wait(10)

    errands.send("busy", hang)
    assert started.wait(10)
    for lane, again in (("a", True), ("b", True), ("c", False), ("d", False)):
        errands.send(lane, lambda lane=lane: done.append(lane), again=again, newest=True)  # type: ignore[misc]
    errands.send("c", lambda: done.append("c, the newest"), newest=True)
    errands.send("b", lambda: done.append("b, for the first time"), newest=True)
    hung.set()

    eventually(lambda: done == ["c, the newest", "d", "b, for the first time", "a"])
    assert errands._waiting == errands._first == errands._again == {}


def test_a_job_without_a_thread_is_handed_back_to_who_wants_to_know(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    refused: list[str] = []

    def refuse(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        errands.send("a", lambda: done.append("a"), refused=refused.append)
    errands.send("b", lambda: done.append("b"), refused=refused.append)

    eventually(lambda: done == ["b"])
    assert refused == ["RuntimeError: can't start new thread"]

from __future__ import annotations

import threading

import pytest

from kcontroller.process.threads import ThreadGroup

Failures = list[tuple[str, BaseException, str]]


@pytest.fixture
def failures() -> Failures:
    return []


@pytest.fixture
def group(failures: Failures) -> ThreadGroup:
    return ThreadGroup(on_failure=lambda name, error: failures.append((name, error, threading.current_thread().name)))


def test_a_thread_is_named_after_its_job_and_is_a_daemon(group: ThreadGroup) -> None:
    seen = []
    thread = group.spawn("worker", "widget-0", lambda: seen.append(threading.current_thread().name))
    group.spawn("http", "", lambda: seen.append(threading.current_thread().name)).join(10)
    thread.join(10)

    assert sorted(seen) == ["kc-http", "kc-worker-widget-0"]
    assert thread.daemon


def test_what_may_block_runs_apart_or_where_the_system_gives_no_thread_at_once(
    group: ThreadGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def stop() -> None:
        seen.append(threading.current_thread().name)

    thread = group.apart("leave", "p1", stop)
    assert thread is not None
    thread.join(10)

    def start(_thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert group.apart("leave", "p2", stop) is None
    assert seen == ["kc-leave-p1", threading.current_thread().name]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_ends_a_thread_is_told_on_it_with_its_name(
    group: ThreadGroup, failures: Failures, error: BaseException
) -> None:
    def target() -> None:
        raise error

    group.spawn("cluster", "local", target)
    assert group.join(10) == ()

    assert failures == [("kc-cluster-local", error, "kc-cluster-local")]


def test_a_thread_that_ends_well_is_not_told(group: ThreadGroup, failures: Failures) -> None:
    group.spawn("worker", "0", lambda: None)
    group.join(10)

    assert failures == []


def test_a_join_names_who_is_still_there_when_its_time_is_over(group: ThreadGroup) -> None:
    end = threading.Event()
    group.spawn("worker", "stuck", lambda: end.wait(10) and None)
    group.spawn("worker", "done", lambda: None).join(10)

    assert group.join(0.0) == ("kc-worker-stuck",)
    end.set()
    assert group.join(10) == ()


def test_a_thread_may_join_its_own_group(group: ThreadGroup) -> None:
    left: list[tuple[str, ...]] = []
    group.spawn("worker", "0", lambda: left.append(group.join(0.01)))
    group.join(10)

    assert left == [("kc-worker-0",)]


def test_a_thread_may_spawn_another(group: ThreadGroup) -> None:
    ran = threading.Event()
    group.spawn("a", "0", lambda: group.spawn("b", "0", ran.set) and None)

    assert ran.wait(10)
    group.join(10)


def test_ended_threads_are_forgotten(group: ThreadGroup) -> None:
    for number in range(50):
        group.spawn("worker", str(number), lambda: None).join(10)

    assert len(group._threads) == 1


def test_threads_of_one_role_are_joined_apart(group: ThreadGroup) -> None:
    go_on = threading.Event()
    group.spawn("map", "a", lambda: None)
    group.spawn("mapper", "a", lambda: None)
    group.spawn("worker", "a", lambda: go_on.wait(10) and None)

    assert group.join(10, role="map") == ()
    assert group.join(0.01, role="worker") == ("kc-worker-a",)
    go_on.set()
    assert group.join(10) == ()


def test_a_join_beside_a_spawn_meets_no_thread_that_has_not_started(group: ThreadGroup) -> None:
    errors = []
    stop = threading.Event()

    def join() -> None:
        while not stop.is_set():
            try:
                group.join(0.0)
            except RuntimeError as error:
                errors.append(error)

    joiner = threading.Thread(target=join)
    joiner.start()
    for number in range(300):
        group.spawn("worker", str(number), lambda: None)
    stop.set()
    joiner.join(10)
    group.join(10)

    assert errors == []


def test_a_thread_that_the_system_refuses_is_not_recorded(group: ThreadGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            group.spawn("worker", "0", lambda: None)

    assert group.join(1) == ()

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kcontroller.errors import ConnectFailed, KControllerError
from kcontroller.testing import eventually
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.refresh import SOON_SECONDS, Fresh, NotReady, Refreshing, waking


class Loader:
    """Loads 1, 2, 3, ...; `error` makes it fail, `gate` makes it wait."""

    def __init__(self, *, fresh_for: float = 60.0, usable_for: float = 90.0) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.gate: threading.Event | None = None
        self.started = threading.Event()
        self.times = fresh_for, usable_for

    def __call__(self) -> Fresh[int]:
        self.runs += 1
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return Fresh(self.runs, *self.times)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def load() -> Loader:
    return Loader()


@pytest.fixture
def kept_on() -> list[KControllerError]:
    """Why the value could not be renewed while the old one stays in use."""
    return []


@pytest.fixture
def value(clock: VirtualClock, load: Loader, kept_on: list[KControllerError]) -> Refreshing[int]:
    return Refreshing(load, hold=5.0, patience=10.0, clock=clock, on_kept=kept_on.append)


def settled(value: Refreshing[int]) -> int:
    """What it gives once nothing is being loaded."""
    eventually(lambda: not value._loading)
    return value.get()


def test_a_value_is_kept_until_it_is_old(value: Refreshing[int], clock: VirtualClock, load: Loader) -> None:
    assert value.get() == 1
    clock.advance(59.9)
    assert value.get() == 1
    assert load.runs == 1
    clock.advance(0.1)
    assert value.get() == 1
    assert settled(value) == 2


def test_what_is_cheap_is_loaded_where_it_is_asked_for(clock: VirtualClock, load: Loader) -> None:
    value = Refreshing(load, hold=0, clock=clock)
    assert value.get() == 1
    clock.advance(60)
    assert value.get() == 2
    for runs in (3, 4, 5):
        value.invalidate()
        assert value.get() == runs


def test_what_is_cheap_is_loaded_aside_for_a_thread_that_must_not_wait(clock: VirtualClock, load: Loader) -> None:
    value, woken = Refreshing(load, hold=0, clock=clock), threading.Semaphore(0)
    with waking(woken.release):
        for runs in (1, 2):
            with pytest.raises(NotReady):
                value.get()
            assert woken.acquire(timeout=10)
            assert value.get() == runs
            clock.advance(60)
    assert load.runs == 2


def test_what_is_cheap_but_does_not_come_is_done_without(clock: VirtualClock, load: Loader) -> None:
    value = Refreshing(load, hold=0, clock=clock)
    value.get()
    load.gate = threading.Event()
    clock.advance(60)
    with waking(lambda: None):
        with pytest.raises(NotReady):
            value.get()
        clock.advance(SOON_SECONDS)
        assert value.get() == 1
        load.gate.set()
        eventually(lambda: value.get() == 2)


def test_an_invalid_value_is_loaded_again_but_not_within_the_hold(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    for _ in range(100):
        value.invalidate()
        assert value.get() == 1
    clock.advance(5.0)
    value.invalidate()
    assert value.get() == 2
    assert load.runs == 2


def test_who_keeps_calling_it_invalid_is_heard_less_and_less(clock: VirtualClock) -> None:
    load = Loader(fresh_for=math.inf, usable_for=math.inf)
    value = Refreshing(load, hold=5.0, clock=clock)
    value.get()
    pauses, since = [], clock.monotonic()
    while len(pauses) < 7:
        clock.advance(1)
        before = load.runs
        value.invalidate()
        value.get()
        if load.runs > before:
            pauses.append(clock.monotonic() - since)
            since = clock.monotonic()
    assert pauses == [5, 10, 20, 40, 60, 60, 60]


def test_a_value_that_was_good_for_long_is_loaded_at_once_when_it_is_invalid(clock: VirtualClock) -> None:
    load = Loader(fresh_for=math.inf, usable_for=math.inf)
    value = Refreshing(load, hold=5.0, clock=clock)
    value.get()
    for pause in (5, 10, 20, 61, 10):  # After the 61 it begins anew.
        clock.advance(pause)
        value.invalidate()
        value.get()
    assert load.runs == 6


def test_what_others_call_invalid_stays_in_use_while_one_thread_loads(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    clock.advance(5.0)
    load.gate = threading.Event()
    load.started.clear()

    def refused() -> int:
        value.invalidate()
        return value.get()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(refused)
        assert load.started.wait(10)
        second = pool.submit(refused)
        clock.wait_for_waiters(1)  # It wants another value than the one that was refused.
        assert value.get() == 1
        load.gate.set()
        assert (first.result(10), second.result(10), value.get()) == (2, 2, 2)
    assert load.runs == 2


def test_a_thread_that_must_not_wait_gets_the_old_value(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    clock.advance(5.0)
    load.gate = threading.Event()
    with waking(lambda: None):
        value.invalidate()
        assert value.get() == value.get() == 1
        load.gate.set()
        assert settled(value) == 2
    assert load.runs == 2


def test_a_thread_that_must_not_wait_is_woken_when_there_is_a_value(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    load.gate, woken = threading.Event(), threading.Semaphore(0)
    with waking(woken.release):
        for _ in range(3):
            with pytest.raises(NotReady, match="not ready yet") as raised:
                value.get()
            assert raised.value.ours
        load.gate.set()
        assert woken.acquire(timeout=10)
        assert value.get() == 1
        clock.advance(90)
        with pytest.raises(NotReady):
            value.get()
        assert woken.acquire(timeout=10)
        assert value.get() == 2
    assert not woken.acquire(blocking=False)


def test_a_thread_that_must_not_wait_is_woken_by_a_failure_and_told(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    load.error, woken = ConnectFailed("down"), threading.Event()
    with waking(woken.set):
        with pytest.raises(NotReady):
            value.get()
        assert woken.wait(10)
        with pytest.raises(ConnectFailed, match="down"):
            value.get()
    assert load.runs == 1


def test_a_load_aside_that_fails_is_told_once_and_not_repeated_within_the_hold(
    value: Refreshing[int], clock: VirtualClock, load: Loader, kept_on: list[KControllerError]
) -> None:
    value.get()
    load.error = ConnectFailed("down")
    clock.advance(60)
    for _ in range(3):
        assert value.get() == 1
        assert settled(value) == 1
        clock.advance(2.5)
    eventually(lambda: load.runs == 3)
    assert settled(value) == 1
    assert list(map(str, kept_on)) == ["down"]


def test_a_load_aside_that_fails_for_whoever_waits_is_told_to_him_alone(
    value: Refreshing[int], load: Loader, kept_on: list[KControllerError], caplog: pytest.LogCaptureFixture
) -> None:
    load.error, woken = ConnectFailed("down"), threading.Event()
    with waking(woken.set):
        with pytest.raises(NotReady):
            value.get()
        assert woken.wait(10)
        with pytest.raises(ConnectFailed, match="down"):
            value.get()
    eventually(lambda: not any(thread.name == "kc-load-credentials" for thread in threading.enumerate()))

    assert caplog.records == [] == kept_on


def test_a_load_aside_that_finds_no_thread_has_failed(
    value: Refreshing[int], clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    value.get()
    clock.advance(60)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert value.get() == 1
    monkeypatch.undo()
    clock.advance(5)
    assert value.get() == 1
    assert settled(value) == 2


def test_a_value_that_comes_back_is_the_same_object(clock: VirtualClock) -> None:
    value = Refreshing(lambda: Fresh([1, 2], 60.0), hold=5.0, clock=clock)
    first = value.get()
    clock.advance(5)
    value.invalidate()
    assert value.get() is first


def test_an_old_value_is_used_while_loading_fails_and_until_it_is_of_no_use(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    load.error = ConnectFailed("down")
    clock.advance(60.0)
    assert value.get() == 1
    clock.advance(30.0)
    with pytest.raises(ConnectFailed, match="down"):
        value.get()


def test_a_thread_whose_value_is_invalid_is_told_when_loading_fails(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    load.error = ConnectFailed("down")
    clock.advance(5.0)
    value.invalidate()
    with pytest.raises(ConnectFailed, match="down"):
        value.get()
    assert value.get() == 1


def test_a_failure_is_told_again_for_the_hold_and_then_tried_again(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    load.error = ConnectFailed("down")
    for _ in range(3):
        with pytest.raises(ConnectFailed):
            value.get()
    assert load.runs == 1
    load.error = None
    clock.advance(5.0)
    assert value.get() == 2


def test_a_bug_in_the_loader_does_not_block_the_next_call(value: Refreshing[int], load: Loader) -> None:
    load.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        value.get()
    load.error = None
    assert value.get() == 2


def test_many_threads_share_one_load(value: Refreshing[int], clock: VirtualClock, load: Loader) -> None:
    load.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(value.get) for _ in range(8)]
        clock.wait_for_waiters(7)
        load.gate.set()
        assert {answer.result(10) for answer in answers} == {1}
    assert load.runs == 1


def test_no_thread_waits_for_a_load_while_the_old_value_can_be_used(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    clock.advance(60.0)
    load.gate = threading.Event()
    assert value.get() == value.get() == 1
    load.gate.set()
    assert settled(value) == 2
    assert load.runs == 2


def test_a_thread_gives_up_on_a_load_after_its_patience(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    load.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(value.get)
        assert load.started.wait(10)
        waiting = pool.submit(value.get)
        clock.wait_for_waiters(1)
        clock.advance(10.0)
        with pytest.raises(ConnectFailed, match="not ready within 10 s"):
            waiting.result(10)
        load.gate.set()
        assert loading.result(10) == 1

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kcontroller.errors import ConnectFailed
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.refresh import Fresh, Refreshing


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
def value(clock: VirtualClock, load: Loader) -> Refreshing[int]:
    return Refreshing(load, hold=5.0, patience=10.0, clock=clock)


def test_a_value_is_kept_until_it_is_old(value: Refreshing[int], clock: VirtualClock) -> None:
    assert value.get() == 1
    clock.advance(59.9)
    assert value.get() == 1
    clock.advance(0.1)
    assert value.get() == 2


def test_an_invalid_value_is_loaded_again_but_not_within_the_hold(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    for _ in range(100):
        value.invalidate()
        assert value.get() == 1
    clock.advance(5.0)
    assert value.get() == 2
    assert load.runs == 2


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


def test_an_invalid_value_is_not_used_when_loading_fails(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    load.error = ConnectFailed("down")
    clock.advance(5.0)
    value.invalidate()
    with pytest.raises(ConnectFailed, match="down"):
        value.get()


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


def test_a_thread_does_not_wait_for_a_load_while_the_old_value_can_be_used(
    value: Refreshing[int], clock: VirtualClock, load: Loader
) -> None:
    value.get()
    clock.advance(60.0)
    load.gate = threading.Event()
    load.started.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(value.get)
        assert load.started.wait(10)
        assert value.get() == 1
        load.gate.set()
        assert loading.result(10) == 2


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

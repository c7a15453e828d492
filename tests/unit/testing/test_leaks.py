from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from kcontroller.testing.leaks import LeakCheck

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in Linux's /proc")


def test_a_thread_of_ours_that_stays_is_named() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(10,), name="kc-worker-left")
    with pytest.raises(AssertionError, match=r"^left behind: thread kc-worker-left$"), LeakCheck(within=0.005):
        thread.start()
    release.set()
    thread.join(10)


def test_threads_of_others_and_those_of_before_are_not_ours() -> None:
    release = threading.Event()
    threads = [threading.Thread(target=release.wait, args=(10,), name=name) for name in ("kc-before", "other")]
    threads[0].start()
    with LeakCheck(within=0.005):
        threads[1].start()
    release.set()
    for thread in threads:
        thread.join(10)


def test_a_thread_has_a_moment_to_end() -> None:
    release = threading.Event()
    with LeakCheck():
        threading.Thread(target=release.wait, args=(10,), name="kc-late").start()
        threading.Timer(0.01, release.set).start()


@on_linux
def test_a_socket_that_stays_open_is_counted() -> None:
    opened: list[socket.socket] = []
    with pytest.raises(AssertionError, match=r"^left behind: 2 x socket$"), LeakCheck(within=0.005):
        opened += socket.socketpair()
    for each in opened:
        each.close()


def keep_open_in_a_cycle() -> None:
    first, second = socket.socketpair()
    second.close()
    cycle: list[object] = [first]
    cycle.append(cycle)


@on_linux
def test_what_only_a_cycle_keeps_open_is_not_a_leak() -> None:
    with pytest.warns(ResourceWarning), LeakCheck():
        keep_open_in_a_cycle()


@on_linux
def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "left.txt"
    with pytest.raises(AssertionError, match=r"1 x .*left\.txt"), LeakCheck(within=0.005):
        file = path.open("w")
    file.close()


def test_descriptors_can_be_left_out() -> None:
    with LeakCheck(within=0.005, descriptors=False):
        opened = socket.socketpair()
    for each in opened:
        each.close()


def test_a_failure_of_the_block_is_not_covered_up() -> None:
    opened: list[socket.socket] = []

    def fail() -> None:
        opened.extend(socket.socketpair())
        raise KeyError

    with pytest.raises(KeyError), LeakCheck(within=0.005):
        fail()
    for each in opened:
        each.close()

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import kcontroller
from kcontroller.process.signals import ECHO_SECONDS, SIGNALS, SignalWait
from kcontroller.testing import eventually

ROOT = Path(kcontroller.__file__).parents[1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_wait_with_its_name(number: signal.Signals) -> None:
    with SignalWait() as signals:
        signal.raise_signal(number)
        assert signals.wait() == number.name


def test_a_signal_before_the_wait_is_not_lost_and_the_wait_may_be_repeated() -> None:
    with SignalWait() as signals:
        signal.raise_signal(signal.SIGTERM)

        assert (signals.wait(), signals.wait()) == ("SIGTERM", "SIGTERM")


def test_one_wish_that_is_delivered_twice_counts_once() -> None:
    with SignalWait() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

        assert signals.wait() == "SIGTERM"


def test_one_inside_another_has_the_signals_until_it_ends() -> None:
    with SignalWait() as outer:
        with SignalWait() as inner:
            signal.raise_signal(signal.SIGTERM)
            assert (inner.wait(), inner.received, outer.received) == ("SIGTERM", "SIGTERM", "")
        signal.raise_signal(signal.SIGINT)
        assert outer.wait() == "SIGINT"


def test_another_thread_ends_the_wait_without_a_name() -> None:
    with SignalWait() as signals:
        threading.Thread(target=signals.wake).start()

        assert signals.wait() == ""


def test_waking_never_blocks_and_is_harmless_afterwards() -> None:
    with SignalWait() as signals:
        for _ in range(100_000):
            signals.wake()
    signals.wake()


def test_the_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with SignalWait():
        assert [signal.getsignal(number) for number in SIGNALS] != before

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_no_socket_is_left() -> None:
    with SignalWait():
        pass
    gc.collect()  # A ResourceWarning would fail the test.


SECOND = f"""
import signal, time
from kcontroller.process.signals import SignalWait
with SignalWait() as signals:
    signal.raise_signal(signal.SIGTERM)
    signals.wait()
    until = time.monotonic() + {ECHO_SECONDS} + 0.01
    while time.monotonic() < until: pass
    signal.raise_signal(signal.SIGTERM)
    print("still here")
"""


def test_a_second_signal_ends_the_process_with_1_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SECOND], cwd=ROOT, capture_output=True, check=False, timeout=30)

    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"SIGTERM again: ended at once\n")


ENDS = {
    "the second": "with SignalWait() as signals:\n    tell(); signals.wait(); time.sleep(30)",
    "one before anything has begun": "end_at_once_with(1); tell(); time.sleep(30)",
}

LEAVING = """
import subprocess, time
from kcontroller.process.early import end_at_once_with, taking_along
from kcontroller.process.signals import SignalWait

def child():
    return subprocess.Popen(["sleep", "60"], start_new_session=True)

def tell():
    print(taken.pid, gone.pid, left.pid, flush=True)

taken, gone, left = child(), child(), child()
forget = taking_along(taken.pid)
taking_along(left.pid)()
taking_along(gone.pid)
gone.kill()
gone.wait()
"""


@pytest.mark.parametrize("end", ENDS)
def test_a_signal_that_ends_the_process_at_once_takes_along_what_it_was_told_to(end: str) -> None:
    command = [sys.executable, "-c", LEAVING + ENDS[end]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        taken, _, left = map(int, process.stdout.readline().split())
        eventually(lambda: process.poll() is not None or process.send_signal(signal.SIGTERM) is not None)
        try:
            assert process.returncode == 1
            eventually(lambda: not Path(f"/proc/{taken}/cwd").exists())
            assert Path(f"/proc/{left}/cwd").exists()
        finally:
            os.killpg(left, signal.SIGKILL)


FROZEN = """
import signal, sys
from kcontroller.process.signals import SignalWait
import threading
for _ in range(3):  # The kernel may choose any of them to receive the signal.
    threading.Thread(target=threading.Event().wait, daemon=True).start()
with SignalWait() as signals:
    print("ready", flush=True)
    sys.exit(0 if signals.wait() == "SIGTERM" else 1)
"""


def test_a_signal_that_arrives_while_the_process_is_frozen_is_not_lost() -> None:
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", FROZEN], cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
                process.send_signal(number)
            assert process.wait(10) == 0

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from kcontroller.process.stop import StopToken
from kcontroller.transport.exec_process import Outcome, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENV = {"PATH": os.environ["PATH"]}


def sh(script: str, timeout: float = 10.0) -> Outcome:
    return run(["/bin/sh", "-c", script], env=ENV, timeout=timeout)


def test_both_outputs_of_a_program_are_collected() -> None:
    outcome = sh("echo out; echo err >&2")
    assert (outcome.problem, outcome.stdout, outcome.stderr) == ("", b"out\n", b"err\n")


def test_a_failing_program_is_told_by_its_status() -> None:
    assert sh("exit 3").problem == "exited with status 3"


def test_a_killed_program_is_told_by_its_signal() -> None:
    assert sh("kill -TERM $$").problem == "was ended by SIGTERM"


def test_a_program_that_is_none_is_told() -> None:
    assert run(["/nonexistent/x"], env=ENV, timeout=1).problem == "cannot be started: No such file or directory"


def test_a_program_that_does_not_end_is_killed_with_its_children(
    tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    began = time.monotonic()
    outcome = sh(f"sleep 60 & echo $! > {tmp_path}/child; wait", timeout=0.3)
    assert outcome.problem == "did not end in time"
    assert time.monotonic() - began < 10
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not alive(child))


@pytest.mark.parametrize("script", ["wait", "exec >&- 2>&-; wait"], ids=["waits", "closed its outputs"])
def test_a_program_that_is_stopped_is_killed_with_its_children_at_once(
    tmp_path: Path, eventually: Callable[[Callable[[], bool]], None], script: str
) -> None:
    stop, outcomes, child = StopToken(), list[Outcome](), tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; {script}"
    thread = threading.Thread(
        target=lambda: outcomes.append(run(["/bin/sh", "-c", script], env=ENV, timeout=30, stop=stop))
    )
    thread.start()
    eventually(lambda: child.exists() and bool(child.read_text()))
    stop.stop("the cluster left")
    thread.join(10)

    assert [outcome.problem for outcome in outcomes] == ["was ended: the cluster left"]
    eventually(lambda: not alive(int(child.read_text())))


def test_a_child_that_left_the_group_does_not_hold_who_is_stopped(tmp_path: Path) -> None:
    stop = StopToken()
    threading.Timer(0.2, stop.stop, ["enough"]).start()
    began = time.monotonic()

    assert run(["setsid", "sleep", "15"], env=ENV, timeout=30, stop=stop).problem == "was ended: enough"
    assert time.monotonic() - began < 10


def test_a_program_does_not_outlive_the_process(
    tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    code = (
        "import pathlib, threading\n"
        "from kcontroller.testing import eventually\n"
        "from kcontroller.transport.exec_process import run\n"
        f"child, command = pathlib.Path({str(tmp_path / 'child')!r}), ['/bin/sh', '-c', {script!r}]\n"
        "threading.Thread(target=run, args=(command,), kwargs={'env': {}, 'timeout': 60}, daemon=True).start()\n"
        "eventually(lambda: child.exists() and child.read_text())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

    eventually(lambda: not alive(int((tmp_path / "child").read_text())))


def test_a_child_that_holds_the_output_open_does_not_hold_us() -> None:
    assert sh("sleep 60 & echo done", timeout=0.3).problem == "did not end in time"


def test_a_program_that_closes_its_outputs_and_lingers_is_killed() -> None:
    assert sh("exec >&- 2>&-; exec sleep 60", timeout=0.3).problem == "did not end in time"


def test_a_program_that_prints_without_end_is_killed() -> None:
    outcome = sh("exec yes")
    assert outcome.problem == "printed more than 1024 KiB"
    assert outcome.stdout == b""


def test_only_the_end_of_the_complaints_is_kept() -> None:
    outcome = sh("yes complaint | head -c 300000 >&2; echo last >&2")
    assert len(outcome.stderr) == 4096
    assert outcome.stderr.endswith(b"last\n")


def test_a_program_has_no_input_and_only_the_environment_it_was_given() -> None:
    assert sh("cat; env | grep -c SECRET || true").stdout == b"0\n"


def test_the_repr_of_an_outcome_hides_what_was_printed() -> None:
    assert "hunter2" not in repr(Outcome("", b"hunter2", b"hunter2"))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a zombie counts as gone
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.process.repeats import NAMED, Repeats
from kcontroller.testing.clock import VirtualClock
from kcontroller.transport import exec_runs
from kcontroller.transport.exec_runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kcontroller.transport.exec_process import Outcome

ENV = {"PATH": os.environ["PATH"]}
HANGS = ("/bin/sh", "-c", "echo $$ > $0; exec sleep 60")


class Running:
    """A run of a plugin that hangs, on a thread."""

    def __init__(self, runs: Runs, folder: Path) -> None:
        self.outcomes: list[Outcome] = []
        self._pid = folder / f"pid-{id(self)}"
        self.thread = threading.Thread(target=self._run, args=(runs,))
        self.thread.start()

    def _run(self, runs: Runs) -> None:
        self.outcomes.append(runs.run((*HANGS, str(self._pid)), env=ENV, timeout=20))

    @property
    def began(self) -> bool:
        return self._pid.exists() and bool(self._pid.read_text().strip())

    def ended(self) -> Outcome:
        self.thread.join(10)
        (outcome,) = self.outcomes
        return outcome


@pytest.fixture
def runs() -> Runs:
    return Runs("exec plugin /bin/login", where='user "me"', repeats=Repeats(clock=VirtualClock()))


def test_a_run_ends_with_the_last_user(runs: Runs, tmp_path: Path, eventually: Callable[..., None]) -> None:
    first, second = runs.join(), runs.join()
    running = Running(runs, tmp_path)
    eventually(lambda: running.began)
    first()
    first()
    assert running.thread.is_alive()
    second()

    assert running.ended().problem == "was ended: nobody waits for it any more"


def test_after_that_it_runs_again_for_whoever_asks(runs: Runs) -> None:
    runs.join()()

    assert runs.run(("/bin/sh", "-c", "echo one"), env=ENV, timeout=20).stdout == b"one\n"


def test_one_that_takes_long_is_a_trouble_while_it_runs_and_one_warning(
    runs: Runs,
    tmp_path: Path,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(exec_runs, "SLOW_SECONDS", 0.05)
    for _ in range(2):
        leave = runs.join()
        running = Running(runs, tmp_path)
        eventually(lambda: runs.trouble.startswith("exec plugin /bin/login has not answered for "))
        eventually(lambda: caplog.messages)
        leave()
        running.ended()
    assert runs.trouble == ""
    assert caplog.messages == [
        "exec plugin /bin/login has not answered for 0 s; run it by hand to see what it waits for"
    ]


def test_of_many_users_whose_plugin_takes_long_a_few_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exec_runs, "SLOW_SECONDS", 0.01)
    repeats = Repeats(clock=VirtualClock())
    for number in range(NAMED + 3):
        plugin = Runs("exec plugin /bin/login", where=f"user {number}", repeats=repeats)
        assert plugin.run(("/bin/sleep", "60"), env=ENV, timeout=0.02).problem == "did not end in time"

    assert len(caplog.records) == NAMED + 1


def test_one_that_answers_is_no_trouble(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs.run(("/bin/sh", "-c", "echo one"), env=ENV, timeout=20)

    assert (runs.trouble, caplog.messages) == ("", [])

"""``kcontroller demo`` as people run it: a process of its own, with and without a terminal."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kcontroller
from kcontroller.process.signals import ECHO_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(kcontroller.__file__).parents[1]
RESULT = re.compile(
    r'\{"clusters":(\d+),"widgets":(\d+),"widgets_ready":(\d+),"reconciles":(\d+),"errors":(\d+),"seconds":(\d+\.\d)\}\n'
)
BROKEN = """
from widget_as_it_is import Widget, WidgetReconciler as Whole

class WidgetReconciler(Whole):
    def reconcile_object(self, ctx, widget):
        if widget.metadata.name == "widget-1":
            raise RuntimeError("out of order")
        super().reconcile_object(ctx, widget)

del Whole
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kcontroller", "demo", *arguments]


def test_all_widgets_of_all_clusters_become_ready_and_the_last_line_says_so() -> None:
    done = subprocess.run(
        command("--duration", "3s", "--projects", "2", "--widgets", "3", "--json"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    result = RESULT.fullmatch(done.stdout)

    assert done.returncode == 0, done.stderr
    assert result is not None, done.stdout
    assert result.groups()[:3] == ("2", "6", "6")
    assert (
        int(result[4]) > 6 * 2
    )  # Each was reconciled for itself and for its ConfigMap, and then there were the deeds.
    assert result[5] == "0"
    assert float(result[6]) >= 3
    assert "6 of 6 Widgets in 2 clusters are ready" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_smallest_demo_without_deeds_and_without_json() -> None:
    done = subprocess.run(
        command("--duration", "0", "--projects", "1", "--widgets", "1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("1 of 1 Widgets in 1 cluster are ready: ")


def test_a_signal_ends_it_early_and_in_order() -> None:
    with subprocess.Popen(
        command("--duration", "10m", "--projects", "1", "--widgets", "2", "--json"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "changing them" in line:
                break
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert json.loads(out)["widgets_ready"] == 2
    assert "Traceback" not in errors


@pytest.fixture
def out_of_order(tmp_path: Path) -> Path:
    """The package beside an example whose controller fails for one Widget."""
    (tmp_path / "kcontroller").symlink_to(ROOT / "kcontroller")
    example = tmp_path / "examples" / "widget"
    example.mkdir(parents=True)
    whole = ROOT / "examples" / "widget"
    (example / "crd.yaml").write_bytes((whole / "crd.yaml").read_bytes())
    (example / "widget_as_it_is.py").write_bytes((whole / "widget.py").read_bytes())
    (example / "widget.py").write_text(BROKEN)
    return tmp_path


def test_a_widget_that_does_not_become_ready_makes_it_end_with_1(out_of_order: Path) -> None:
    with subprocess.Popen(
        command("--projects", "1", "--widgets", "2", "--json"),
        cwd=out_of_order,
        env={**os.environ, "PYTHONPATH": str(out_of_order)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "out of order" in line:
                break
        process.send_signal(signal.SIGINT)  # So that it waits three seconds instead of thirty.
        out, errors = process.communicate(timeout=30)
    result = json.loads(out)

    assert process.returncode == 1, errors
    assert (result["widgets"], result["widgets_ready"]) == (2, 1)
    assert result["errors"] >= 1


# ---- on a terminal ---------------------------------------------------------------------------------------------------


class Terminal:
    """A process on a pseudo-terminal, and what it has written so far."""

    def __init__(self, *arguments: str, cwd: Path = ROOT) -> None:
        self.text = ""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(cwd), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read_until(self, condition: Callable[[], Any], within: float = 40.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"nothing new within {within:g} s after: {self.text[-2000:]}"
            try:
                self.text += os.read(self._master, 65536).decode()
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return  # The other side is closed: the process has ended.

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(*arguments: str, cwd: Path = ROOT) -> Terminal:
        made.append(Terminal(*arguments, cwd=cwd))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_on_a_terminal_a_table_lives_until_ctrl_c(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("--duration", "10m", "--projects", "2", "--widgets", "2")
    shown.read_until(lambda: "project-2: scaled widget-1 to 2" in shown.text)
    os.kill(shown.process.pid, signal.SIGINT)
    shown.read_until(lambda: False)
    table = shown.text.rpartition("Cluster ")[2]

    assert shown.process.wait(10) == 0
    for text in ("project-1", "project-2", "2 clusters", "all Widgets are ready", "4 of 4 Widgets in 2 clusters"):
        assert text in table
    assert shown.text.count("\x1b[?25l") == shown.text.count("\x1b[?25h") == 1  # The cursor went and came back.
    assert "Traceback" not in shown.text


def test_a_project_that_is_not_ready_leaves_the_table_and_comes_back(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("--duration", "9s", "--projects", "2", "--widgets", "2")
    shown.read_until(lambda: "project-2 is not ready: its cluster leaves" in shown.text)
    shown.read_until(lambda: re.search(r"project-2 [^\r\n]*left", shown.text))
    shown.read_until(lambda: "project-2 is ready again: its cluster is back" in shown.text)
    shown.read_until(lambda: False)

    assert shown.process.wait(10) == 0
    assert re.search(r"4 of 4 Widgets in 2 clusters are ready: \d+ reconciles, 0 errors", shown.text)


def test_a_second_ctrl_c_does_not_wait_and_gives_the_cursor_back(
    terminal: Callable[..., Terminal], out_of_order: Path
) -> None:
    shown = terminal("--projects", "1", "--widgets", "2", cwd=out_of_order)
    shown.read_until(lambda: "out of order" in shown.text)
    os.kill(shown.process.pid, signal.SIGINT)
    moment = time.monotonic() + 2 * ECHO_SECONDS
    shown.read_until(lambda: time.monotonic() > moment)
    os.kill(shown.process.pid, signal.SIGINT)
    shown.read_until(lambda: False)

    assert shown.process.wait(10) == 1
    assert shown.text.endswith("Aborted!\r\n")
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")
    assert "Traceback" not in shown.text

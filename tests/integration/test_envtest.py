from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kcontroller.testing import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENVTEST = [sys.executable, "-m", "kcontroller.testing.envtest"]
SAY_READY_AND_WAIT = "import signal; print('ready', flush=True); signal.pause()"
EXIT_3_ON_SIGTERM = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); " + SAY_READY_AND_WAIT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENVTEST, *arguments], capture_output=True, text=True, check=False, timeout=50)


def test_an_unknown_command_is_127_and_starts_nothing() -> None:
    done = run("run", "--", "no-such-command")
    assert (done.returncode, done.stderr) == (127, "Error: no-such-command: command not found\n")


def test_missing_servers_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run("run", "--", "true")
    assert done.returncode == 1
    assert done.stderr.endswith("run `bin/envtest build` first\n")


@pytest.fixture
def real_servers() -> None:
    if binaries.find() is None:
        pytest.skip("they need the real kube-apiserver and etcd; `bin/envtest build` adds them")


@pytest.mark.real
@pytest.mark.usefixtures("real_servers")
def test_the_command_gets_a_kubeconfig_and_its_exit_code_is_passed_on() -> None:
    script = "import os; print(os.path.getsize(os.environ['KUBECONFIG']) > 0); raise SystemExit(7)"
    done = run("run", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (7, "True\n"), done.stderr
    assert re.fullmatch(r"envtest: started envtest-0 at https://127.0.0.1:\d+; KUBECONFIG=\S+\n", done.stderr)


@pytest.fixture
def wrapped(real_servers: None) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        command = [*ENVTEST, "run", "--", sys.executable, "-c", script]
        # A session of its own: no terminal, so that the test is the same at a desk and in CI.
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.real
def test_sigterm_is_the_commands_to_answer(wrapped: Callable[[str], subprocess.Popen[str]]) -> None:
    process = wrapped(EXIT_3_ON_SIGTERM)
    process.terminate()
    assert process.wait(30) == 3


@pytest.mark.real
def test_a_command_ended_by_a_signal_is_128_and_its_number(wrapped: Callable[[str], subprocess.Popen[str]]) -> None:
    process = wrapped(SAY_READY_AND_WAIT)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.real
def test_a_killed_wrapper_leaves_no_server(
    wrapped: Callable[[str], subprocess.Popen[str]], eventually: Callable[[Callable[[], bool]], None]
) -> None:
    process = wrapped("import os; print('ready', flush=True); os.read(0, 1)")  # Ends with the pipe to this test.
    assert process.stderr is not None
    directory = Path(re.split(r"KUBECONFIG=", process.stderr.readline())[1].strip()).parent
    assert directory.exists()
    process.send_signal(signal.SIGKILL)
    eventually(lambda: not directory.exists())
    eventually(lambda: not commands_naming(directory))


def commands_naming(directory: Path) -> list[str]:
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if str(directory) in line]


COUNT_SIGINTS = """
import select, signal
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
print("ready", flush=True)
while not hits:
    select.select([], [], [], 0.02)
select.select([], [], [], 0.3)
raise SystemExit(10 + len(hits))
"""
AT_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.real
@pytest.mark.usefixtures("real_servers")
def test_ctrl_c_at_a_terminal_reaches_the_command_once() -> None:
    keyboard, terminal = os.openpty()
    command = [sys.executable, "-c", AT_THE_TERMINAL, *ENVTEST, "run", "--", sys.executable, "-c", COUNT_SIGINTS]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(keyboard, 1024)
    os.write(keyboard, b"\x03")
    assert process.wait(30) == 11, seen
    os.close(keyboard)

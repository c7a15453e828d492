"""One bounded run of a program: no shell, no terminal, a time limit, a stop, and a cap on what it may say."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from kcontroller.process.early import taking_along
from kcontroller.process.stop import StopToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

STDOUT_LIMIT: Final = 1024 * 1024
_STDERR_TAIL: Final = 4096
_CHUNK: Final = 65536
_LOOK_SECONDS: Final = 1.0  # A child that has left the group may hold the outputs open, whoever is killed.

_START_SECONDS: Final = 1.0  # At the exit, a program that is just being started is waited for.


class _Exit:
    """The end of this process."""

    def __init__(self) -> None:
        self.stop = StopToken()
        self._changed = threading.Condition()
        self._starting = 0

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Start a program, and hang its end on `stop`."""
        with self._changed:
            self._starting += 1
        try:
            yield
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify_all()

    def begin(self) -> None:
        """Have all programs killed."""
        self.stop.stop("the process ends")
        with self._changed:  # Daemon threads run until this returns, and not a moment longer.
            self._changed.wait_for(lambda: not self._starting, _START_SECONDS)


_exit: Final = _Exit()
atexit.register(_exit.begin)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        problem: "" if the program ended with status 0 within its bounds, else one clause that says what happened.
        stdout: what it printed; both outputs may hold secrets.
        stderr: the last 4 KiB of its complaints.
        stopped: whether it was killed because it was asked to stop.
    """

    problem: str
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    stopped: bool = False


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    stop: StopToken | None = None,
    slow: float = math.inf,
    on_slow: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a program to its end, or kill it and its children: after `timeout` seconds or 1 MiB of output, or when asked.

    The limit is real time, because the program lives in it. Never raises for what the program does. It does not outlive
    this process, unless that is ended by SIGKILL, which nobody can handle, or by another signal without a handler; or
    by a second signal in the very instant in which the program starts.

    Args:
        command: the program and its arguments.
        env: its environment.
        timeout: seconds.
        stop: has it killed at once.
        slow: seconds after which `on_slow` is called.
        on_slow: called once at most, on this thread.
    """
    with StopToken(*((_exit.stop,) if stop is None else (_exit.stop, stop))) as ends:
        return _run(command, env, _Bounds(ends, timeout, slow, on_slow))


class _Bounds:
    """When a run is over, whatever the program does."""

    def __init__(self, stop: StopToken, timeout: float, slow: float, on_slow: Callable[[], None]) -> None:
        now = time.monotonic()
        self.stop = stop
        self._deadline = now + timeout
        self._slow_at = now + slow
        self._on_slow = on_slow

    @property
    def patience(self) -> float:
        """Seconds until the next look."""
        return min(_LOOK_SECONDS, max(0.0, min(self._deadline, self._slow_at) - time.monotonic()))

    def problem(self) -> str:
        """Why to kill the program now, or ""."""
        now = time.monotonic()
        if self.stop.stopped:
            return _ended(self.stop)
        if now >= self._slow_at:
            self._slow_at = math.inf
            self._on_slow()
        return "did not end in time" if now >= self._deadline else ""


def _ended(stop: StopToken) -> str:
    return f"was ended: {stop.reason}"


def _run(command: Sequence[str], env: Mapping[str, str], bounds: _Bounds) -> Outcome:
    try:
        with _exit.starting():
            if bounds.stop.stopped:
                return Outcome(_ended(bounds.stop), stopped=True)
            process = subprocess.Popen(  # noqa: S603 - the caller checked the command against the policy
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                start_new_session=True,
            )
            leave_behind = taking_along(process.pid)
            # By who stops it: at the exit this thread may not get its turn.
            forget = bounds.stop.on_stop(partial(_kill_group, process))
    except (OSError, ValueError) as error:
        return Outcome(f"cannot be started: {getattr(error, 'strerror', None) or type(error).__name__}")
    problem, stdout, stderr = "was interrupted", b"", b""
    with process:
        try:
            problem, stdout, stderr = _read(process, bounds)
        finally:
            forget()
            if problem:  # Before the exit of `with` reaps it: until then nobody else can have its number.
                _kill_group(process)
            leave_behind()
    if not problem and not process.returncode:
        return Outcome("", stdout, stderr)
    if bounds.stop.stopped:  # Killed by that, it has ended by itself to all appearances.
        return Outcome(_ended(bounds.stop), stopped=True)
    return Outcome(problem or _status(process.returncode), stdout, stderr)


def _read(process: subprocess.Popen[bytes], bounds: _Bounds) -> tuple[str, bytes, bytes]:
    """Collect both outputs until they end, the time is over or there is too much."""
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, into in ((process.stdout, stdout), (process.stderr, stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, into)
        while selector.get_map():
            if problem := bounds.problem():
                return problem, bytes(stdout), bytes(stderr)
            for ready, _ in selector.select(bounds.patience):
                _drain(ready, selector)
            del stderr[:-_STDERR_TAIL]
            if len(stdout) > STDOUT_LIMIT:
                return f"printed more than {STDOUT_LIMIT // 1024} KiB", b"", bytes(stderr)
    return _wait(process, bounds), bytes(stdout), bytes(stderr)


def _wait(process: subprocess.Popen[bytes], bounds: _Bounds) -> str:
    """Wait for the end of one that has closed its outputs; the problem if there is one."""
    while True:
        try:
            process.wait(bounds.patience)
        except subprocess.TimeoutExpired:
            if problem := bounds.problem():
                return problem
        else:
            return ""


def _drain(ready: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
    stream: IO[bytes] = ready.fileobj  # type: ignore[assignment] # what we registered
    chunk = os.read(stream.fileno(), _CHUNK)
    if chunk:
        ready.data.extend(chunk)
    else:
        selector.unregister(stream)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _status(code: int) -> str:
    if code > 0:
        return f"exited with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"

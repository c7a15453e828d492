"""One bounded run of a program: no shell, no terminal, a time limit, and a cap on what it may say."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STDOUT_LIMIT: Final = 1024 * 1024
_STDERR_TAIL: Final = 4096
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        problem: "" if the program ended with status 0 within its bounds, else one clause that says what happened.
        stdout: what it printed; both outputs may hold secrets.
        stderr: the last 4 KiB of its complaints.
    """

    problem: str
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


def run(command: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Outcome:
    """Run a program to its end, or kill it and its children after `timeout` seconds or 1 MiB of output.

    The limit is real time, because the program lives in it. Never raises for what the program does.
    """
    deadline = time.monotonic() + timeout
    try:
        process = subprocess.Popen(  # noqa: S603 - the caller checked the command against the policy
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Outcome(f"cannot be started: {getattr(error, 'strerror', None) or type(error).__name__}")
    problem, stdout, stderr = "was interrupted", b"", b""
    with process:
        try:
            problem, stdout, stderr = _read(process, deadline)
        finally:
            if problem:  # Before the exit of `with` reaps it: until then nobody else can have its number.
                _kill_group(process)
    if not problem and process.returncode:
        problem = _status(process.returncode)
    return Outcome(problem, stdout, stderr)


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[str, bytes, bytes]:
    """Collect both outputs until they end, the time is over or there is too much."""
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, into in ((process.stdout, stdout), (process.stderr, stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, into)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return "did not end in time", bytes(stdout), bytes(stderr)
            for ready, _ in selector.select(left):
                _drain(ready, selector)
            del stderr[:-_STDERR_TAIL]
            if len(stdout) > STDOUT_LIMIT:
                return f"printed more than {STDOUT_LIMIT // 1024} KiB", b"", bytes(stderr)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "did not end in time", bytes(stdout), bytes(stderr)
    return "", bytes(stdout), bytes(stderr)


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

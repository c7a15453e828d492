"""Server processes for tests: reserved ports, logs in files, signals by name, and an end that is certain."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START_SECONDS: Final = 60.0
_TERMINATE_SECONDS: Final = 60.0
_REAP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_LOG_LINES: Final = 15


class PortReservation:
    """A TCP port of 127.0.0.1 that stays ours while servers on it come and go.

    The socket is bound with ``SO_REUSEPORT`` and never listens: a server that sets the option too can bind the port, no
    other program is given it, and a client is refused while no server runs.
    """

    def __init__(self) -> None:
        """Take a free port."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class Guardian:
    """A helper process that ends the registered servers and removes `directory` once this process is gone."""

    def __init__(self, directory: Path) -> None:
        """Start it, in a session of its own so that no Ctrl-C reaches it."""
        self._guarded: set[int] = set()
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py")), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def add(self, pid: int) -> None:
        """Guard a process."""
        self._guarded.add(pid)
        self._write(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        """Forget a process that has ended, before the system gives its number to another one."""
        if pid in self._guarded:
            self._guarded.remove(pid)
            self._write(f"-{pid}\n")

    def close(self) -> None:
        """Let it clean up and wait for its end."""
        self._guarded.clear()
        stream = self._process.stdin
        if stream is not None and not stream.closed:
            stream.close()
        self._process.wait(_REAP_SECONDS)

    def _write(self, line: str) -> None:
        stream = self._process.stdin
        if stream is None:
            return
        try:
            stream.write(line)
            stream.flush()
        except BrokenPipeError:
            msg = "the guardian of the test servers was killed; servers may be left behind"
            raise ControlPlaneError(msg) from None


class ServerProcess:
    """One server program that can be started again after its end.

    Args:
        name: for errors, such as ``etcd``.
        command: program and arguments; the same at each start.
        log: the file that standard output and error are added to.
        ready: asked about fifty times a second while starting.
        guardian: ends the process if this one is killed.

    Not for use by several threads at once.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, ready: Callable[[], bool], guardian: Guardian
    ) -> None:
        """Keep the recipe; nothing runs yet."""
        self.name = name
        self._command = tuple(command)
        self._log = log
        self._ready = ready
        self._guardian = guardian
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there, be it ready or paused."""
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._guardian.remove(self._process.pid)
        return False

    @property
    def pid(self) -> int:
        """Number of the process.

        Raises:
            ControlPlaneError: it is not running.
        """
        return self._alive().pid

    def launch(self) -> None:
        """Start the program without waiting for it.

        Raises:
            ControlPlaneError: it already runs, or the file cannot be executed.
        """
        if self.running:
            msg = f"{self.name} is already running"
            raise ControlPlaneError(msg)
        with self._log.open("ab") as log:
            try:
                # Its own session: Ctrl-C at the terminal is for the command under test, which still needs the server.
                self._process = subprocess.Popen(  # noqa: S603 - a server that the caller built
                    self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                msg = f"{self.name} does not start: {error.strerror}: {self._command[0]}"
                raise ControlPlaneError(msg) from None
        self._guardian.add(self._process.pid)

    def wait_ready(self, *, seconds: float = _START_SECONDS) -> None:
        """Wait until the server answers.

        Raises:
            ControlPlaneError: it ended, or `seconds` are over; the text carries the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        while not self._ready():
            if not self.running:
                code = self._process.returncode if self._process is not None else "none"
                msg = f"{self.name} ended with code {code} while starting:\n{self.log_tail()}"
                raise ControlPlaneError(msg)
            if time.monotonic() > deadline:
                msg = f"{self.name} is not ready after {seconds:.0f} s:\n{self.log_tail()}"
                raise ControlPlaneError(msg)
            time.sleep(_POLL_SECONDS)

    def start(self, *, seconds: float = _START_SECONDS) -> Self:
        """Launch and wait until it is ready."""
        self.launch()
        self.wait_ready(seconds=seconds)
        return self

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would; returns when it is gone. Nothing happens if it does not run."""
        self._end(signal.SIGKILL, seconds=_REAP_SECONDS)

    def terminate(self, *, seconds: float = _TERMINATE_SECONDS) -> None:
        """End it in its own way with SIGTERM; returns when it is gone. Nothing happens if it does not run.

        Raises:
            ControlPlaneError: it is still there after `seconds`.
        """
        self._end(signal.SIGTERM, seconds=seconds)

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections stay open and nothing answers."""
        self._alive().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._alive().send_signal(signal.SIGCONT)

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        """Read the last lines of its log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.running:
            msg = f"{self.name} is not running"
            raise ControlPlaneError(msg)
        return self._process

    def _end(self, how: signal.Signals, *, seconds: float) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            msg = f"{self.name} is still there {seconds:.0f} s after {how.name}:\n{self.log_tail()}"
            raise ControlPlaneError(msg) from None
        self._guardian.remove(process.pid)
        self._process = None

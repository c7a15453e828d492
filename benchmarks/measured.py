"""A process that is measured from outside: what it used from its start to its end, and up to a moment between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_END_SECONDS: Final = 10.0


class Failed(Exception):
    """A contender did not do its work; the text says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used in its whole life.

    Attributes:
        cpu_s: seconds of CPU, user and system, of all threads and of the children it waited for.
        wall_s: seconds from before it was started until it had ended.
        rss_mb: the most memory it ever held, MiB.
    """

    cpu_s: float
    wall_s: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment.

    Attributes:
        rss_mb: memory, MiB.
        peak_mb: the most memory it has held so far, MiB.
        threads: how many it has.
        descriptors: how many it has open.
    """

    rss_mb: float
    peak_mb: float
    threads: int
    descriptors: int


class Measured:
    """A running program; to be used as a context, which ends it if it still runs.

    Args:
        command: the program and its arguments.
        environment: all it finds around it.
        seconds: it is killed if it runs for longer.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, seconds: float) -> None:
        self._seconds = seconds
        self._timed_out = False
        with ExitStack() as cleanup:
            self._errors: IO[bytes] = cleanup.enter_context(tempfile.TemporaryFile())
            reading, writing = os.pipe()
            self._report = cleanup.enter_context(os.fdopen(reading, encoding="ascii"))
            with os.fdopen(writing):
                self._launcher = subprocess.Popen(  # noqa: S603 - our own programs
                    [sys.executable, "-I", "-S", str(_LAUNCHER), str(writing), *command],
                    env=dict(environment),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    pass_fds=(writing,),
                    text=True,
                )
            cleanup.enter_context(self._launcher)
            self._pid = int(self._report.readline() or 0)
            self._timer = threading.Timer(seconds, self._time_out)
            self._timer.start()
            cleanup.callback(self._timer.cancel)
            self._cleanup = cleanup.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._kill()
        self._cleanup.close()

    def line(self) -> str:
        """Wait for the next line that it prints.

        Raises:
            Failed: it ended instead.
        """
        assert self._launcher.stdout is not None
        text = self._launcher.stdout.readline()
        if not text.endswith("\n"):
            raise Failed(self._why(self._ended()[0]))
        return text.rstrip("\n")

    def go_on(self) -> None:
        """Send it a line: it waits for one after it has printed ``synced``."""
        assert self._launcher.stdin is not None
        print("go", file=self._launcher.stdin, flush=True)

    def cpu_s(self) -> float:
        """The CPU that it has used so far, by the kernel's clock of the process (``clock_getcpuclockid``)."""
        return time.clock_gettime((~self._pid << 3) | 2)

    def held(self) -> Held:
        """What it holds now, by ``/proc``."""
        lines = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        rss, peak, threads = (int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "Threads"))
        return Held(rss / 1024, peak / 1024, threads, sum(1 for _ in Path(f"/proc/{self._pid}/fd").iterdir()))

    def end(self) -> Usage:
        """Wait for its end and say what it used.

        Raises:
            Failed: its exit status is not 0.
        """
        code, wall, cpu, peak = self._ended()
        if code:
            raise Failed(self._why(code))
        return Usage(cpu_s=float(cpu), wall_s=float(wall), rss_mb=int(peak) / 1024)

    def _ended(self) -> tuple[int, str, str, str]:
        code, wall, cpu, peak = (self._report.readline() or "1 0 0 0").split()
        return int(code), wall, cpu, peak

    def _why(self, code: int) -> str:
        self._launcher.wait(_END_SECONDS)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        what = f"took longer than {self._seconds:g} s" if self._timed_out else f"ended with {code}"
        return f"{what}\n{said[-2000:]}"

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        if self._pid and self._launcher.poll() is None:  # While the launcher lives, the id is not another's.
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

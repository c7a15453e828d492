"""What this process has used, by its own account: the same sources as in go/main.go."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Point:
    """What a process has used up to a moment.

    Attributes:
        wall_s: seconds since its parent started it.
        cpu_s: seconds of CPU, user and system, all threads.
        peak_mb: the most memory it ever held (VmHWM), MiB.
        rss_mb: what it holds now (VmRSS), MiB.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    rss_mb: float


def now(started: float) -> Point:
    """Measure; `started` is the time of day at which the parent started this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = _STATUS.read_text(encoding="ascii")
    return Point(time.time() - started, used.ru_utime + used.ru_stime, _mb(status, "VmHWM:"), _mb(status, "VmRSS:"))


def _mb(status: str, name: str) -> float:
    return int(status.split(name, 1)[1].split(None, 1)[0]) / 1024

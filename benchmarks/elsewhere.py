"""Measuring in a process of its own, so that nothing of earlier measurements is in the way, and summing up."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.contenders import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_elsewhere(module: str, *arguments: str) -> dict[str, float]:
    """Run a module of ours in a new process; returns what it prints as JSON."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def spread(figures: Sequence[float], *, digits: int) -> dict[str, float]:
    """Give the median, the smallest and the largest of some figures."""
    return {
        "median": round(statistics.median(figures), digits),
        "min": round(min(figures), digits),
        "max": round(max(figures), digits),
    }

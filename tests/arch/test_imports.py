from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# VmHWM and not ru_maxrss: on Linux that one starts at the size of the process that started us.
MEASURE = """
import json, sys, time
import {module}
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({{"mb": int(peak.split()[1]) / 1024, "cpu": time.process_time(), "modules": sorted(sys.modules)}}))
"""

on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


def measure(module: str, *, times: int = 1) -> tuple[float, float, set[str]]:
    answers = []
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE.format(module=module)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        )
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    best = [min(answer[figure] for answer in answers) for figure in ("mb", "cpu")]
    return best[0], best[1], set(answers[0]["modules"])


def test_a_room_imports_only_rooms_below_it() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@on_linux
def test_the_package_imports_within_25_mb() -> None:
    megabytes, _cpu, _modules = measure("kcontroller", times=2)
    assert megabytes <= 25


RUN = "kcontroller.cli.run, kcontroller.plugins, kcontroller.transport.kubeconfig, kcontroller.manager"
"""What ``kcontroller run`` imports before it looks for plugins."""
LIBRARIES = "cheroot.wsgi, click, msgspec, prometheus_client, pycurl, yaml"


@on_linux
def test_run_imports_within_42_mb() -> None:
    measure(RUN)  # The first time compiles, which takes 2 MB more.
    megabytes, _cpu, _modules = measure(RUN, times=3)
    assert megabytes <= 42


@on_linux
def test_run_imports_in_at_most_twice_the_cpu_time_of_its_libraries() -> None:
    """The design's 0.15 s hold on one machine; the ratio holds on all. The libraries alone took 0.10 s there."""
    measure(RUN)  # The first time compiles.
    _megabytes, ours, _modules = measure(RUN, times=7)
    _megabytes, theirs, _modules = measure(LIBRARIES, times=7)
    assert ours <= 2 * theirs


@on_linux
def test_run_does_not_import_the_official_client() -> None:
    _megabytes, _cpu, modules = measure(RUN)
    assert not {"kubernetes", "pydantic", "aiohttp", "kcontroller.testing"} & modules

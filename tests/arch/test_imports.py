from __future__ import annotations

import json
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
            [sys.executable, "-c", MEASURE.format(module=module)], capture_output=True, text=True, check=False, cwd=ROOT
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


@on_linux
def test_the_command_imports_within_42_mb_and_150_ms_of_cpu() -> None:
    megabytes, cpu, _modules = measure("kcontroller.cli.main", times=5)
    assert megabytes <= 42
    assert cpu <= 0.15


@on_linux
def test_the_command_does_not_import_the_official_client() -> None:
    _megabytes, _cpu, modules = measure("kcontroller.cli.main")
    assert not {"kubernetes", "pydantic", "kcontroller.testing"} & modules

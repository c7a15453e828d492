from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from kcontroller.process.descriptors import raise_open_files_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
print(raise_open_files_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)

    assert answer.stdout.split() == ["200", "200", "200"]


STARVED = """
import resource
from kcontroller.process.descriptors import no_room
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
print(repr(no_room(10)))
print(no_room(20))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_it_says_when_there_is_no_room_for_more_clusters() -> None:
    answer = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, check=True, timeout=30)

    assert answer.stdout.splitlines() == [
        "''",
        "the limit of 200 open files leaves no room for another cluster; raise it (ulimit -n)",
    ]

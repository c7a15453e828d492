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

"""The program that outlives a killed test run and ends its servers.

Run by its path with ``-I -S``, so that it starts in milliseconds and imports nothing of the package. It reads lines
``+PID`` and ``-PID`` from standard input. At the end of input, which the kernel brings about however the parent ended,
it kills what is still on the list and removes the directory it was given. The parent takes a process off the list when
it sees its end, so that a number that the system has given to another process is not killed.

(``PR_SET_PDEATHSIG`` is no way to do this: it fires when the *thread* that started the server ends.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Guard until the end of input, then clean up."""
    guarded: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            guarded.add(pid)
        else:
            guarded.discard(pid)
    for pid in guarded:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()

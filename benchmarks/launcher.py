"""Starts one program, waits for its end and says what it used, from outside of it.

Linux counts what a process held before `exec` to the peak of the program that it becomes: a program started by one of
100 MB has a peak of at least 100 MB, by ``fork`` and by ``posix_spawn`` alike. So the program is started by this file,
which imports next to nothing.

``python -I -S launcher.py FD PROGRAM ARGUMENT...`` writes to FD a line with the program's process id, and at its end
one with its exit status, and the seconds, seconds of CPU and KiB of peak memory that it took.
"""

import os
import sys
import time


def main(report: int, command: list[str]) -> None:
    """Run the command and report."""
    os.set_inheritable(report, False)
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    os.write(report, b"%d\n" % pid)
    _pid, status, used = os.wait4(pid, 0)
    wall = time.monotonic() - started
    cpu = used.ru_utime + used.ru_stime
    code = os.waitstatus_to_exitcode(status)
    os.write(report, b"%d %.6f %.6f %d\n" % (code, wall, cpu, used.ru_maxrss))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

"""Room for a thousand connections: the limit of open files."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

if sys.platform != "win32":
    import resource

_ENOUGH: Final = 1 << 20  # Some systems report no hard limit, and refuse to be taken at their word.


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one, where allowed; returns the limit now in force, 0 for none.

    A cluster takes seven descriptors, and many systems start a process with 1,024.
    """
    if sys.platform == "win32":
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

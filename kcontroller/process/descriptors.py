"""Room for a thousand connections: the limit of open files."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

if sys.platform != "win32":
    import resource

_ENOUGH: Final = 1 << 20  # Some systems report no hard limit, and refuse to be taken at their word.


PER_CLUSTER: Final = 8
"""What a cluster takes: seven, and a request now and then."""

_SPARE: Final = 64
"""Kept for health probes, requests, and files."""


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one, where allowed; returns the limit now in force, 0 for none.

    Many systems start a process with 1,024, which is room for some hundred clusters.
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


def no_room(clusters: int) -> str:
    """Say why there is no room for so many more clusters; "" if there is.

    A process without descriptors answers no health probe any more, and every connection of the clusters that it has
    fails in turn.
    """
    if sys.platform == "win32":
        return ""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or _count() + _SPARE + PER_CLUSTER * clusters <= limit:
        return ""
    return f"the limit of {limit} open files leaves no room for another cluster; raise it (ulimit -n)"


def _count() -> int:
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    # Linux 6.2 and newer say how many there are; to list thousands for each of a thousand clusters takes seconds.
    told = os.stat(folder).st_size if sys.platform == "linux" else 0  # noqa: PTH116 - no object for each look
    return told or len(os.listdir(folder))  # noqa: PTH208 - it counts

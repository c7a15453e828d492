"""Large bundles of certificates in memory, under a path that libcurl can read.

libcurl copies certificates that it is given from memory for every stream: with a bundle as large as those of systems
a thousand clusters are 240 MiB of copies. Of a path it keeps the path alone, and reads it once for all streams of a
loop. What it has read it believes for a day; so a path must always lead to the same certificates.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

LARGE_BYTES: Final = 32 * 1024
"""Smaller ones may as well be copied."""

MOST_BUNDLES: Final = 16
"""So many of a process get a path. They keep it to the end: a number that is free again would lead to another one."""

_lock: Final = threading.Lock()
_paths: Final[dict[bytes, str]] = {}


def path_of(pem: bytes) -> str | None:
    """Give the path of a large bundle; None if it has none, and is to be handed over as it is.

    Nobody can change what is found there. Linux only; elsewhere there are no paths.
    """
    if len(pem) < LARGE_BYTES:
        return None
    path = _paths.get(pem)
    if path is None:
        with _lock:
            path = _paths.get(pem)
            if path is None and len(_paths) < MOST_BUNDLES:
                with suppress(OSError, AttributeError):  # No descriptor is left; not Linux.
                    path = _paths[pem] = _sealed(pem)
    return path


def _sealed(pem: bytes) -> str:
    descriptor = os.memfd_create("certificates", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    path = f"/proc/self/fd/{descriptor}"
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        Path(path).stat()  # Without /proc nobody finds it.
    except BaseException:
        os.close(descriptor)
        raise
    return path

"""A thread that is about to wait says so first, and whoever could use its time hears of it.

What blocks inside of kcontroller (a request, an own write's echo, a stop token) calls `about_to_wait`. A worker of a
controller has asked to be told, and lets another worker go on meanwhile.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class _Listener(threading.local):
    tell: Callable[[], None] | None = None


_listener = _Listener()


def on_wait(tell: Callable[[], None] | None) -> None:
    """Have `tell` called on this thread before each wait; it must not block. None ends it."""
    _listener.tell = tell


def about_to_wait() -> None:
    """Say that this thread is about to wait for something."""
    tell = _listener.tell
    if tell is not None:
        tell()

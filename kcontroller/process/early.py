"""The end at once: nobody is waited for, and the programs that we run are taken along.

So a signal ends the process before anything has begun, and the second one does at any time.

Imported first of all, and it imports next to nothing: what comes before it is the interpreter's own start.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable  # noqa: TC003 - typing, which could tell, is not loaded yet

_groups: set[int] = set()
"""Changed by one call each, and read by one: a handler that interrupts anybody needs no lock, and finds it whole."""


def taking_along(group: int) -> Callable[[], None]:
    """Have `exit_at_once` kill a process group; returns how to forget it, before its number can be another's.

    No handler runs at a SIGKILL, or at a signal that nobody has taken over: the group outlives these.

    Args:
        group: its number, which is the process id of its leader.
    """
    _groups.add(group)
    return lambda: _groups.discard(group)


def exit_at_once(code: int) -> None:
    """End the process, and the groups of `taking_along`; neither waits nor locks, for a signal's handler.

    Args:
        code: what the process ends with.
    """
    for group in tuple(_groups):
        with contextlib.suppress(OSError):  # It has ended by itself.
            os.killpg(group, signal.SIGKILL)
    os._exit(code)


class EndAtOnce:
    """The handler of a signal.

    Attributes:
        code: what the process ends with; whoever knows better may set it.
    """

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code

    def __call__(self, *_: object) -> None:
        """End the process."""
        exit_at_once(self.code)


def end_at_once_with(code: int) -> None:
    """Let SIGINT and SIGTERM end the process with this exit code, until somebody else takes the signals.

    Python's own answer is a traceback, and the kernel's is -15; as PID 1, for which the kernel drops a signal without
    a handler, there is no answer at all. No exception is raised, since anything may be interrupted: an import would
    take it for a failure of its own, and a finalizer would print it.

    Args:
        code: what the process ends with.
    """
    handler = EndAtOnce(code)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)

"""Signals before anything has begun: nobody is waited for, so that the process ends at once.

Imported first of all, and it imports next to nothing: what comes before it is the interpreter's own start.
"""

from __future__ import annotations

import os
import signal


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
        os._exit(self.code)


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

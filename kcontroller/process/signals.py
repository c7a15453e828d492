"""SIGINT and SIGTERM: the first asks to stop, the second ends the process at once.

The kernel may hand a signal to any thread, and Python runs its handler on the main thread, which may be blocked in a
system call and then never gets to it. So the main thread waits on a socket that Python's own C handler writes the
signal's number to (`signal.set_wakeup_fd`); the handler itself, which may interrupt anything, only notes what came.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from kcontroller.process.early import EndAtOnce, exit_at_once

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SECOND_SIGNAL_EXIT: Final = 1
ECHO_SECONDS: Final = 0.1
"""Wrappers such as timeout(1) deliver one Ctrl-C to the process and to its group: that is one wish, not two."""


class SignalWait:
    """Owns the signals while its ``with`` block runs, on the main thread only.

    Attributes:
        code: the exit code, when it is known: where `early` gets the signals back, they end the process with it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}
        self._received: str = ""
        self._received_at = 0.0
        self._woken = False
        self._wakeup_before = -1
        self.code: int | None = None

    def __enter__(self) -> Self:
        """Take the signals over.

        Raises:
            RuntimeError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            self._close()
            msg = "signals are heard on the main thread only; embed a manager with start() and stop() instead of run()"
            raise RuntimeError(msg)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, before in self._before.items():
            if self.code is not None and isinstance(before, EndAtOnce):
                before.code = self.code
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup_before)
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()

    @property
    def received(self) -> str:
        """The name of the first signal; "" while there was none."""
        return self._received

    def wake(self) -> None:
        """End `wait` without a signal; any thread."""
        self._woken = True
        with contextlib.suppress(OSError):  # Full, or closed: the wait is over in both cases.
            self._writer.send(b"\0")

    def wait(self) -> str:
        """Wait for a signal or `wake`; returns the signal's name, or ""."""
        while not self._received and not self._woken:
            (number,) = self._reader.recv(1)
            if number in SIGNALS and not self._received:  # Others that the program handles are written here too.
                self._received, self._received_at = signal.Signals(number).name, time.monotonic()
        return self._received

    @staticmethod
    def _say_the_end(name: str) -> None:
        # Not by a logger: whoever was interrupted may hold its lock.
        with contextlib.suppress(OSError):
            os.write(2, f"{name} again: ended at once\n".encode())

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received:
            if now - self._received_at > ECHO_SECONDS:
                self._say_the_end(signal.Signals(number).name)
                exit_at_once(SECOND_SIGNAL_EXIT)
            return
        self._received, self._received_at = signal.Signals(number).name, now

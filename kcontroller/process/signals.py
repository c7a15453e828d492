"""SIGINT and SIGTERM: the first asks to stop, the second ends the process at once.

A handler may run between any two instructions of the main thread, also inside a lock, so it only writes a byte to a
socket; the main thread waits on the other end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SECOND_SIGNAL_EXIT: Final = 1
ECHO_SECONDS: Final = 0.1
"""Wrappers such as timeout(1) deliver one Ctrl-C to the process and to its group: that is one wish, not two."""


class SignalWait:
    """Owns the signals while its ``with`` block runs, on the main thread only."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}
        self._received: str = ""
        self._received_at = 0.0

    def __enter__(self) -> Self:
        """Take the signals over.

        Raises:
            RuntimeError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            self._close()
            msg = "signals are heard on the main thread only; embed a manager with start() and stop() instead of run()"
            raise RuntimeError(msg)
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()

    def wake(self) -> None:
        """End `wait` without a signal; any thread."""
        with contextlib.suppress(OSError):  # Full, or closed: the wait is over in both cases.
            self._writer.send(b"w")

    def wait(self) -> str:
        """Wait for a signal or `wake`; returns the signal's name, or ""."""
        self._reader.recv(1, socket.MSG_PEEK)  # A handler may run meanwhile; Python then goes on waiting (PEP 475).
        return self._received

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received:
            if now - self._received_at > ECHO_SECONDS:
                os._exit(SECOND_SIGNAL_EXIT)
            return
        self._received, self._received_at = signal.Signals(number).name, now
        self.wake()

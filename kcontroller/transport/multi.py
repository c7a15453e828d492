"""One CurlMulti with the poller that watches its sockets and the pair that wakes it.

Everything but `Multi.wake` belongs to the thread that drives it: a multi that two threads touch loses requests or ends
the process. `select()` is never used for it; it fails above 1,024 descriptors.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pycurl as P  # noqa: N812 - half of libcurl's constants are longer than the lines they stand in

if TYPE_CHECKING:
    from kcontroller.transport.pollers import Poller

_LONG_MILLISECONDS: Final = 1000
_PACE_SECONDS: Final = 0.25  # Time-outs of streams that began together take one turn, not one each.


class Multi:
    """Drives transfers one turn at a time.

    Args:
        poller: watches the sockets; closed with the multi.
    """

    def __init__(self, poller: Poller) -> None:
        """Watch nothing but the wake pair."""
        self._poller = poller
        self._due: float | None = None
        self._paced = False  # Whether libcurl's timer is a time-out.
        self._acts_late = False  # Whether it acts on one: what it then asks for is the time-out of another stream.
        self._failure: BaseException | None = None
        self._closing = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wake_fd = self._reader.fileno()
        poller.watch(self._wake_fd, P.POLL_IN)
        self._multi = P.CurlMulti()
        self._multi.setopt(P.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(P.M_TIMERFUNCTION, self._on_timer)

    def add(self, handle: P.Curl) -> None:
        """Start a transfer. Never from inside a callback of this multi."""
        self._multi.add_handle(handle)
        self._raise_failure()

    def remove(self, handle: P.Curl) -> None:
        """End a transfer: over HTTP/2 its stream is reset, over HTTP/1.1 an unfinished one closes its connection."""
        self._multi.remove_handle(handle)

    def turn(self, timeout: float) -> None:
        """Wait for sockets, for libcurl's timer or for `wake`, at most `timeout` seconds, and act on what came."""
        for fd, bits in self._poller.wait(self._patience(timeout)):
            if fd == self._wake_fd:
                self._drain()
            else:
                self._act(fd, bits)
        self.act_if_due()

    def wait_for(self, fd: int, what: int, seconds: float) -> bool:
        """Wait for a socket that libcurl has left to us, or for `wake`; False if so many seconds passed first.

        Args:
            fd: the socket.
            what: one of libcurl's ``POLL_*``.
            seconds: at most.
        """
        self._poller.watch(fd, what)
        ready = self._poller.wait(seconds)
        for each, _ in ready:
            if each == self._wake_fd:
                self._drain()
        return bool(ready)

    def act_if_due(self) -> None:
        """Do what libcurl's timer asks for by now, such as the first step of a transfer that was just added."""
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._acts_late = self._paced
            self._act(P.SOCKET_TIMEOUT, 0)
            self._acts_late = False

    def finished(self) -> list[tuple[P.Curl, int, str]]:
        """Take the transfers that ended since the last call, each with libcurl's code (0: in full) and text."""
        ended: list[tuple[P.Curl, int, str]] = []
        waiting = 1
        while waiting:
            waiting, done, failed = self._multi.info_read()
            ended += [(handle, 0, "") for handle in done]
            ended += failed
        return ended

    def wake(self) -> None:
        """End the current or the next `turn` early. Any thread, also after `close`."""
        with self._closing, contextlib.suppress(OSError):  # Full: it is awake. Closed: nobody sleeps.
            self._writer.send(b"\0")

    def close(self) -> None:
        """Close the connections and all descriptors; the handles must have been removed."""
        self._multi.close()
        self._poller.close()
        self._reader.close()
        with self._closing:  # Or its number may be another descriptor's when a late `wake` writes to it.
            self._writer.close()

    def _patience(self, timeout: float) -> float:
        if self._due is None:
            return timeout
        return max(0.0, min(timeout, self._due - time.monotonic()))

    def _act(self, fd: int, bits: int) -> None:
        self._multi.socket_action(fd, bits)
        self._raise_failure()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)  # What may be left ends the next turn.

    # An exception that left one of these two would make the multi unusable for good.

    def _on_socket(self, what: int, fd: int, _multi: Any, _data: Any) -> int:
        try:
            if what == P.POLL_REMOVE:
                self._poller.forget(fd)
            else:
                self._poller.watch(fd, what)
        except BaseException as error:  # noqa: BLE001
            self._failure = error
        return 0

    def _on_timer(self, milliseconds: int) -> int:
        # libcurl's timers are real time, whatever clock the rest of the process is given.
        due = time.monotonic() + milliseconds / 1000
        self._paced = self._acts_late or milliseconds > _LONG_MILLISECONDS
        if self._paced and milliseconds > 1:  # Less means at once.
            due = math.ceil(due / _PACE_SECONDS) * _PACE_SECONDS
        self._due = None if milliseconds < 0 else due
        return 0

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

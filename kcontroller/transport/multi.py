"""One CurlMulti with the selector that watches its sockets and the pair that wakes it.

Everything but `Multi.wake` belongs to the thread that drives it: a multi that two threads touch loses requests or ends
the process. `select()` is never used for it; it fails above 1,024 descriptors.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import Any, Final

import pycurl as P  # noqa: N812 - half of libcurl's constants are longer than the lines they stand in

_NOT_WAKE: Final = object()
_EVENTS: Final = {
    P.POLL_IN: selectors.EVENT_READ,
    P.POLL_OUT: selectors.EVENT_WRITE,
    P.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
_BITS: Final = {
    selectors.EVENT_READ: P.CSELECT_IN,
    selectors.EVENT_WRITE: P.CSELECT_OUT,
    selectors.EVENT_READ | selectors.EVENT_WRITE: P.CSELECT_IN | P.CSELECT_OUT,
}


class Multi:
    """Drives transfers one turn at a time.

    Args:
        selector: watches the sockets; closed with the multi. A poll selector costs no descriptor, epoll scales.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        """Watch nothing but the wake pair."""
        self._selector = selector
        self._due: float | None = None
        self._failure: BaseException | None = None
        self._watched: set[int] = set()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        selector.register(self._reader, selectors.EVENT_READ)
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
        for key, events in self._selector.select(self._patience(timeout)):
            if key.data is _NOT_WAKE:
                self._act(key.fd, _BITS[events])
            else:
                self._drain()
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._act(P.SOCKET_TIMEOUT, 0)

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
        with contextlib.suppress(OSError):  # Full: it is awake. Closed: nobody sleeps.
            self._writer.send(b"\0")

    def close(self) -> None:
        """Close the connections and all descriptors; the handles must have been removed."""
        self._multi.close()
        self._selector.close()
        self._reader.close()
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
            while self._reader.recv(4096):
                pass

    # An exception that left one of these two would make the multi unusable for good.

    def _on_socket(self, what: int, fd: int, _multi: Any, _data: Any) -> int:
        try:
            if what == P.POLL_REMOVE:
                # Also for descriptors that were never ours: libcurl has an eventfd of its own.
                if fd in self._watched:
                    self._watched.discard(fd)
                    self._selector.unregister(fd)
            elif fd in self._watched:
                self._selector.modify(fd, _EVENTS[what], _NOT_WAKE)
            else:
                self._selector.register(fd, _EVENTS[what], _NOT_WAKE)
                self._watched.add(fd)
        except BaseException as error:  # noqa: BLE001
            self._failure = error
        return 0

    def _on_timer(self, milliseconds: int) -> int:
        # libcurl's timers are real time, whatever clock the rest of the process is given.
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
        return 0

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

"""Handles that keep their connections between requests.

A handle runs one request at a time over HTTP/1.1 and has a multi of its own, because only a multi can be woken: a
stopped request ends at once for some 15 µs more per request. Handles move between threads, one at a time.
"""

from __future__ import annotations

import selectors
import threading
from typing import TYPE_CHECKING, Final

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.faults import TIMED_OUT
from kcontroller.transport.multi import Multi

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock

# Unlike epoll it costs no descriptor, and a handle watches two or three.
_PollSelector: Final[type[selectors.BaseSelector]] = getattr(selectors, "PollSelector", selectors.SelectSelector)

_LONGEST_TURN: Final = 60.0  # A bound only; libcurl's timers end a turn earlier.


class Handle:
    """One libcurl handle with its connection.

    Attributes:
        curl: the handle, without options from earlier requests.
        idle_since: when it was given back.
        usable: False after an error inside libcurl's machinery; such a handle is not kept.
        resolving: whether the last transfer was given up before its host had an address.
    """

    __slots__ = ("_fd", "_multi", "curl", "idle_since", "resolving", "usable")

    def __init__(self) -> None:
        """Open no connection yet."""
        self.curl = P.Curl()
        self.idle_since = 0.0
        self.usable = True
        self.resolving = False
        self._multi = Multi(_PollSelector())
        self._fd = -1

    def run(self, stopped: Callable[[], bool]) -> tuple[int, str] | None:
        """Run the prepared transfer to its end; returns libcurl's code and text, or None if it was stopped.

        `stopped` is asked at the start and after each `wake`; an unfinished transfer loses its connection.
        """
        self.usable = False
        self._multi.add(self.curl)
        try:
            ended = self._drive(stopped)
            self.resolving = (ended is None or ended[0] == TIMED_OUT) and self.curl.getinfo(P.NAMELOOKUP_TIME) == 0
            self._fd = self.curl.getinfo(P.ACTIVESOCKET) if ended else -1
        finally:
            self._multi.remove(self.curl)
        self.usable = True
        return ended

    def _drive(self, stopped: Callable[[], bool]) -> tuple[int, str] | None:
        while not stopped():
            self._multi.turn(_LONGEST_TURN)
            for _, code, text in self._multi.finished():
                return code, text
        return None

    def wake(self) -> None:
        """Make the running transfer ask whether it is stopped. Any thread."""
        self._multi.wake()

    def forget_dead_connection(self) -> None:
        """Demand a new connection if the old one has ended while it was idle.

        libcurl looks only at connections idle for a second. A GET would be repeated in silence; a write would be sent
        into nothing, and its outcome would be unknown without need.
        """
        if self._fd >= 0 and _is_readable(self._fd):
            self.curl.setopt(P.FRESH_CONNECT, 1)

    def close(self) -> None:
        """Close connection and descriptors."""
        self.curl.close()
        self._multi.close()


def _is_readable(fd: int) -> bool:
    # An idle connection has nothing to say but that it ends.
    with _PollSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


class HandlePool:
    """Idle handles, the last one used first; safe for use from many threads.

    May be shared by requesters: libcurl reuses a connection only for the same host, trust and client certificate.

    Args:
        max_idle: how many handles to keep; more may run.
        idle_seconds: how long an idle one is kept; looked at when one is taken or given back.
        clock: the time by which they age.
    """

    def __init__(self, *, max_idle: int = 32, idle_seconds: float = 90.0, clock: Clock = SYSTEM_CLOCK) -> None:
        """Start empty."""
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Handle] = []
        self._closed = False

    def take(self) -> Handle:
        """Give out the handle used last, or a new one."""
        with self._lock:
            old = self._take_old_locked()
            handle = self._idle.pop() if self._idle else None
        for aged in old:
            aged.close()
        return handle or Handle()

    def give_back(self, handle: Handle) -> None:
        """Keep a handle for the next request, or close it if there are enough."""
        if handle.resolving:
            _close_aside(handle)
            return
        handle.curl.reset()  # Now, because its callbacks hold the last answer.
        handle.idle_since = self._clock.monotonic()
        with self._lock:
            old = self._take_old_locked()
            if self._closed or not handle.usable or len(self._idle) >= self._max_idle:
                old.append(handle)
            else:
                self._idle.append(handle)
        for aged in old:
            aged.close()

    def close(self) -> None:
        """Close the idle handles now and the others when they come back."""
        with self._lock:
            self._closed = True
            old, self._idle = self._idle, []
        for handle in old:
            handle.close()

    def _take_old_locked(self) -> list[Handle]:
        limit = self._clock.monotonic() - self._idle_seconds
        count = next((at for at, handle in enumerate(self._idle) if handle.idle_since > limit), len(self._idle))
        old, self._idle[:count] = self._idle[:count], []
        return old


def _close_aside(handle: Handle) -> None:
    # libcurl joins its resolver's thread on close, which a dead name server can hold for many seconds.
    threading.Thread(target=handle.close, name="kc-close-handle", daemon=True).start()

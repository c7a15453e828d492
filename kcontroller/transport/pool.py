"""Handles that keep their connections between requests, shared by all that talk to one server.

A handle runs one request at a time over HTTP/1.1 and has a multi of its own, because only a multi can be woken: a
stopped request ends at once for some 15 µs more per request. Handles move between threads, one at a time.

A thousand projects behind one host are one endpoint: they differ in path and headers, which belong to the request, so
that they share a few connections. What belongs to a connection keeps them apart: scheme, host, port, proxy, what we
trust, the name we expect, and our client certificate.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.faults import TIMED_OUT
from kcontroller.transport.multi import Multi
from kcontroller.transport.pollers import is_readable, light_poller

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

_LONGEST_TURN: Final = 60.0  # A bound only; libcurl's timers end a turn earlier.


class Handle:
    """One libcurl handle with its connection.

    Attributes:
        curl: the handle, without options from earlier requests.
        identity: what its connection was made with beyond the endpoint: trust and client certificate.
        idle_since: when it was given back.
        usable: False after an error inside libcurl's machinery; such a handle is not kept.
        resolving: whether the last transfer was given up before its host had an address.
    """

    __slots__ = ("_fd", "_multi", "curl", "identity", "idle_since", "resolving", "usable")

    def __init__(self, identity: Hashable = None) -> None:
        """Open no connection yet."""
        self.curl = P.Curl()
        self.identity = identity
        self.idle_since = 0.0
        self.usable = True
        self.resolving = False
        self._multi = Multi(light_poller())
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
        if stopped():
            return None
        self._multi.act_if_due()  # No socket is watched yet: to poll first would only give the interpreter away.
        while True:
            for _, code, text in self._multi.finished():
                return code, text
            if stopped():
                return None
            self._multi.turn(_LONGEST_TURN)

    def wake(self) -> None:
        """Make the running transfer ask whether it is stopped. Any thread."""
        self._multi.wake()

    def forget_dead_connection(self) -> None:
        """Demand a new connection if the old one has ended while it was idle.

        libcurl looks only at connections idle for a second. A GET would be repeated in silence; a write would be sent
        into nothing, and its outcome would be unknown without need. An idle connection has nothing to say but that it
        ends.
        """
        if self._fd >= 0 and is_readable(self._fd):
            self.curl.setopt(P.FRESH_CONNECT, 1)

    def close(self) -> None:
        """Close connection and descriptors."""
        self.curl.close()
        self._multi.close()


class HandlePool:
    """Idle handles of one endpoint, the last one used first; safe for use from many threads.

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

    def take(self, identity: Hashable = None) -> Handle:
        """Give out the handle of that identity used last, or a new one."""
        with self._lock:
            old = self._take_old_locked()
            handle = self._take_locked(identity)
        for aged in old:
            aged.close()
        return handle or Handle(identity)

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

    def _take_locked(self, identity: Hashable) -> Handle | None:
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].identity == identity:
                return self._idle.pop(at)
        return None

    def _take_old_locked(self) -> list[Handle]:
        limit = self._clock.monotonic() - self._idle_seconds
        old = []
        while self._idle and self._idle[0].idle_since <= limit:
            old.append(self._idle.pop(0))
        return old


class Pools:
    """One pool for each endpoint, from its first user to its last; safe for use from many threads."""

    def __init__(self) -> None:
        """Know no endpoint."""
        self._lock = threading.Lock()
        self._pools: dict[Hashable, tuple[HandlePool, int]] = {}

    def join(self, config: Config, *, clock: Clock) -> tuple[HandlePool, Callable[[], None]]:
        """Give the pool of a server, and what its user calls when he needs it no longer, once.

        The last one to leave closes it.
        """
        endpoint = config.origin, config.tls, config.proxy, clock
        with self._lock:
            pool, users = self._pools.get(endpoint) or (HandlePool(clock=clock), 0)
            self._pools[endpoint] = pool, users + 1
        return pool, lambda: self._leave(endpoint)

    def _leave(self, endpoint: Hashable) -> None:
        with self._lock:
            pool, users = self._pools.pop(endpoint)
            if users > 1:
                self._pools[endpoint] = pool, users - 1
                return
        pool.close()


SHARED: Final = Pools()
"""The pools of the process."""


def _close_aside(handle: Handle) -> None:
    # libcurl joins its resolver's thread on close, which a dead name server can hold for many seconds.
    threading.Thread(target=handle.close, name="kc-close-handle", daemon=True).start()

"""Connections that are kept between requests, shared by all that talk to one server.

A thousand projects behind one host are one endpoint: they differ in path and headers, which belong to the request, so
that they share a few connections. What belongs to a connection keeps them apart: scheme, host, port, where they lead,
proxy, what we trust, the name we expect, and our client certificate.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config
    from kcontroller.transport.curl import Trust


class ConnectionPool:
    """Idle connections to one endpoint, the last one used first; safe for use from many threads.

    Args:
        max_idle: how many to keep; more may carry requests.
        idle_seconds: how long an idle one is used; closed when the next one is given back.
        clock: the time by which they age.
    """

    def __init__(self, *, max_idle: int = 32, idle_seconds: float = 90.0, clock: Clock = SYSTEM_CLOCK) -> None:
        """Start empty."""
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def take(self, trust: Trust) -> Connection:
        """Give out the connection of that trust used last that still stands, or one to be made.

        One that its server has ended while it was idle is closed and passed over: a write would be sent into nothing,
        and its outcome would be unknown without need.
        """
        while True:
            with self._lock:
                kept = self._take_locked(trust)
            if kept is None:
                return Connection(trust)
            if kept.is_quiet():
                return kept
            kept.close()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request if it stands; too many of them: the one used longest ago goes."""
        if connection.resolving:
            _close_aside(connection)
            return
        connection.idle_since = self._clock.monotonic()
        with self._lock:
            old = self._take_old_locked()
            if self._closed or not connection.stands:
                old.append(connection)
            else:
                self._idle.append(connection)
            if len(self._idle) > self._max_idle:
                old.append(self._idle.pop(0))
        for aged in old:
            aged.close()

    def close(self) -> None:
        """Close the idle connections now and the others when they come back."""
        with self._lock:
            self._closed = True
            old, self._idle = self._idle, []
        for connection in old:
            connection.close()

    def _take_locked(self, trust: Trust) -> Connection | None:
        # What is too old is left for `give_back` to close: a request need not wait for that.
        oldest = self._clock.monotonic() - self._idle_seconds
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].trust == trust and self._idle[at].idle_since > oldest:
                return self._idle.pop(at)
        return None

    def _take_old_locked(self) -> list[Connection]:
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
        self._pools: dict[Hashable, tuple[ConnectionPool, int]] = {}

    def join(self, config: Config, *, clock: Clock) -> tuple[ConnectionPool, Callable[[], None]]:
        """Give the pool of a server, and what its user calls when he needs it no longer, once.

        The last one to leave closes it.
        """
        endpoint = config.connection, clock
        with self._lock:
            pool, users = self._pools.get(endpoint) or (ConnectionPool(clock=clock), 0)
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


def _close_aside(connection: Connection) -> None:
    # libcurl joins its resolver's thread on close, which a dead name server can hold for many seconds.
    threading.Thread(target=connection.close, name="kc-close-connection", daemon=True).start()

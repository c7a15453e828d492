"""Threads for the loops of many clusters.

A cluster has a thread of its own, and with it a connection. A thousand projects behind one host would be a thousand
handshakes with one server, and a thousand copies of what we trust; a client that shares its connections makes ten. So
from the 17th cluster of one endpoint on, clusters share loops: each is a tenant of one, its streams travel on the
loop's connection, and what it does wrong ends it alone.

Those on one loop take turns: in each it takes what has arrived. What they do share is the connection: if it dies, they
all begin anew.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.exec_plugin import ExecCredentials
from kcontroller.transport.shares import PROBE_SECONDS, SILENCE_SECONDS, LoopShare
from kcontroller.transport.streams import StreamLoop

if TYPE_CHECKING:
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.threads import ThreadGroup
    from kcontroller.transport.config import Config

OWN_LOOPS: Final = 16
"""So many clusters of one endpoint have a loop each."""

SHARED_LOOPS: Final = 4
"""So many loops the others share."""

_log: Final = Log("kcontroller.transport")
_Endpoint: TypeAlias = "tuple[object, ...]"


class SharedLoops:
    """Gives each cluster its loop; of one process.

    Args:
        threads: the group of the threads that clusters share; those with a loop of their own start it in another.
        clock: the time of all loops.
        own: see `OWN_LOOPS`.
        shared: see `SHARED_LOOPS`.
        silence: see `SILENCE_SECONDS`.
        probe_timeout: see `PROBE_SECONDS`.
    """

    def __init__(
        self,
        threads: ThreadGroup,
        *,
        clock: Clock = SYSTEM_CLOCK,
        own: int = OWN_LOOPS,
        shared: int = SHARED_LOOPS,
        silence: float = SILENCE_SECONDS,
        probe_timeout: float = PROBE_SECONDS,
    ) -> None:
        self._threads = threads
        self._clock = clock
        self._limits = own, shared
        self._silence = silence
        self._probe_timeout = probe_timeout
        self._lock = threading.Lock()
        self._own: dict[_Endpoint, int] = {}  # Loops that work.
        self._shared: dict[_Endpoint, list[_Carrier]] = {}
        self._numbers = itertools.count(1)

    def loop(self, config: Config, *, name: str, metrics: Metrics | None) -> StreamLoop | LoopShare:
        """Give a cluster a loop of its own, or a share of one; it ends with its `stop`.

        Raises:
            ConfigError: libcurl or a header is unfit.
        """
        endpoint = endpoint_of(config)
        with self._lock:
            own = self._own.get(endpoint, 0)
            if own < self._limits[0]:
                ended = partial(self._end_own, endpoint)
                loop = StreamLoop(config, name=name, metrics=metrics, clock=self._clock, on_stop=ended)
                self._own[endpoint] = own + 1
                return loop
            carrier = self._carrier(endpoint, config)
            share = LoopShare(
                carrier.loop,
                config,
                name=name,
                metrics=metrics,
                clock=self._clock,
                began=partial(self._begin, carrier),
                ended=partial(self._leave, endpoint, carrier),
                moved=partial(self._close, endpoint, carrier),
                fits=lambda config: (
                    isinstance(config.credentials, StaticCredentials) or endpoint_of(config) == endpoint
                ),
                silence=self._silence,
                probe_timeout=self._probe_timeout,
            )
            carrier.shares.add(share)
            carriers = self._shared.setdefault(endpoint, [])  # Only now: what could not be made is not kept.
            if carrier not in carriers:
                carriers.append(carrier)
            return share

    def _end_own(self, endpoint: _Endpoint) -> None:
        with self._lock:
            self._own[endpoint] -= 1
            if not self._own[endpoint]:
                del self._own[endpoint]  # With the credentials in it.

    def _carrier(self, endpoint: _Endpoint, config: Config) -> _Carrier:
        carriers = self._shared.get(endpoint, ())
        if len(carriers) < self._limits[1]:
            root = replace(config, server=config.origin)
            loop = StreamLoop(root, name=f"shared-{next(self._numbers)}", clock=self._clock, roams=True)
            return _Carrier(loop)
        return min(carriers, key=lambda carrier: len(carrier.shares))

    def _begin(self, carrier: _Carrier) -> None:
        with self._lock:
            if not carrier.runs:
                self._threads.spawn("cluster", carrier.loop.name, partial(self._run, carrier))
                carrier.runs = True

    def _run(self, carrier: _Carrier) -> None:
        failure: BaseException | None = None
        try:
            carrier.loop.run()
        except BaseException as error:  # noqa: BLE001 - its clusters fail, and are engaged again
            failure = error
            _log.exception_of(error, "the loop of many clusters failed: %s", described(error))
        with self._lock:
            shares = tuple(carrier.shares)
            carrier.shares.clear()
            for endpoint in tuple(self._shared):
                self._drop(endpoint, carrier)
        for share in shares:
            if failure is not None:
                share.fail(failure)
            share.leave_loop()

    def _leave(self, endpoint: _Endpoint, carrier: _Carrier, share: LoopShare) -> None:
        with self._lock:
            carrier.shares.discard(share)
            if carrier.shares:
                return
            self._drop(endpoint, carrier)
        carrier.loop.stop()

    def _close(self, endpoint: _Endpoint, carrier: _Carrier) -> None:
        """Let nobody join a loop that leads to several endpoints."""
        with self._lock:
            self._drop(endpoint, carrier)

    def _drop(self, endpoint: _Endpoint, carrier: _Carrier) -> None:
        carriers = self._shared.get(endpoint, [])
        if carrier in carriers:
            carriers.remove(carrier)
        if not carriers:
            self._shared.pop(endpoint, None)


def endpoint_of(config: Config) -> tuple[object, ...]:
    """What clusters that share a loop have in common.

    A client certificate belongs to the connection. Credentials that read files or run programs may block a loop, so
    that only those share it who have the same; a plugin runs once for each object that stands for it, also if these
    are equal.
    """
    credentials = config.credentials
    if isinstance(credentials, StaticCredentials):
        return (*config.connection, credentials.certificate)
    runs = isinstance(credentials, ExecCredentials) or not isinstance(credentials, Hashable)
    return (*config.connection, _Same(credentials) if runs else credentials)


class _Same:
    """Equal to what holds the very same object."""

    __slots__ = ("_it",)

    def __init__(self, it: object) -> None:
        self._it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._it is other._it

    def __hash__(self) -> int:
        return id(self._it)


class _Carrier:
    """A loop that clusters share."""

    __slots__ = ("loop", "runs", "shares")

    def __init__(self, loop: StreamLoop) -> None:
        self.loop = loop
        self.runs = False
        self.shares: set[LoopShare] = set()

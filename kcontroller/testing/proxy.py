"""A TCP proxy on loopback that makes the network as bad as a test wants it.

::

    with FaultProxy(server.url) as proxy:
        config = proxy.config(config)              # the same server, credentials and CA, through the proxy
        with proxy.add(Latency(0.2), direction="down"):
            ...
        proxy.add(BlackHole(), probability=0.5)    # every second connection, the same ones in each run
        proxy.clear()                              # all is well again, also on the connections that are open
        proxy.down()                               # connections are refused
        proxy.up()

TLS passes through it untouched. `HttpFaultProxy` knows what is asked, and can fail single paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit, urlunsplit

from kcontroller.testing.active import ActiveToxic
from kcontroller.testing.loop_thread import LoopThread
from kcontroller.testing.pipes import Connection, close
from kcontroller.testing.processes import PortReservation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from kcontroller.testing.active import Active
    from kcontroller.testing.pipes import ActiveToxics
    from kcontroller.testing.toxics import Direction, Toxic
    from kcontroller.transport.config import Config

_BACKLOG: Final = 1024
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Counts:
    """What has gone through a proxy.

    Attributes:
        connections: accepted since the start.
        unreachable: of them, those for which the target could not be reached; they were reset.
        resets: of them, those that ended by RST, whoever wanted it.
        bytes_up: from clients to the server.
        bytes_down: from the server to clients.
    """

    connections: int = 0
    unreachable: int = 0
    resets: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class FaultProxy:
    """Carries TCP connections to a target and applies toxics to them; runs from its making to `stop`.

    Toxics may be added and removed at any time, from any thread, and act on open connections at once.

    Args:
        target: ``https://127.0.0.1:6443/base``, or ``127.0.0.1:6443``.
        seed: makes what is random (probabilities, jitter) the same for the same connection in each run.

    Attributes:
        url: the target's URL with the proxy's address.
        port: where it listens on 127.0.0.1, also after `down` and `up`.
    """

    def __init__(self, target: str, *, seed: int = 0) -> None:
        parts = urlsplit(target if "//" in target else f"tcp://{target}")
        if not parts.hostname:
            msg = f"not a target: {target!r}; give a URL, or host:port"
            raise ValueError(msg)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        self._address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
        self._seed = seed
        self._toxics: tuple[ActiveToxic, ...] = ()
        self._numbers = itertools.count(1)
        self._counts = Counts()
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._reservation = PortReservation()
        self.port = self._reservation.port
        self.url = urlunsplit((parts.scheme, f"127.0.0.1:{self.port}", parts.path, "", "")).removeprefix("tcp://")
        self._thread = LoopThread(f"kc-proxy-{self.port}")
        self._change = self._thread.call(asyncio.Event)
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.up()

    # ---- what tests call -----------------------------------------------------------------------------------------

    def add(
        self,
        toxic: Toxic,
        *,
        direction: Direction | None = None,
        probability: float = 1.0,
        connections: Collection[int] | None = None,
    ) -> ActiveToxic:
        """Let a toxic act from now on.

        Args:
            toxic: one of `toxics`.
            direction: ``up`` (to the server) or ``down``; None for both.
            probability: the share of connections it acts on; a connection is drawn once.
            connections: only these, counted from 1 in the order they were accepted.
        """
        active = ActiveToxic(
            toxic,
            direction=direction,
            number=next(self._numbers),
            probability=probability,
            connections=connections,
            remove=self.remove,
        )
        self._thread.call(lambda: self._set((*self._toxics, active)))
        return active

    def remove(self, active: Active) -> None:
        """Take a toxic off; nothing happens if it is off."""
        self._thread.call(lambda: self._set(tuple(each for each in self._toxics if each is not active)))

    def clear(self) -> None:
        """Take all toxics off; what a black hole held goes on its way."""
        self._thread.call(lambda: self._set(()))

    def down(self) -> None:
        """End every connection and refuse new ones."""
        self._thread.run(self._go_down())

    def up(self) -> None:
        """Accept connections again; nothing happens if it does."""
        self._thread.call(self._go_up)

    def cut(self, *, reset: bool = False) -> None:
        """End every open connection, in the usual way or by RST; new ones are accepted."""
        self._thread.run(self._end_all(reset=reset))

    @property
    def counts(self) -> Counts:
        """What has gone through until now."""
        return self._counts

    @property
    def connections(self) -> tuple[int, ...]:
        """The numbers of the open connections."""
        return tuple(connection.number for connection in tuple(self._open))

    def config(self, config: Config) -> Config:
        """Reach the server of a configuration, which must be the target, through this proxy."""
        return config.with_server(urlunsplit(urlsplit(config.server)._replace(netloc=f"127.0.0.1:{self.port}")))

    def stop(self) -> None:
        """End every connection and the proxy; a second call does nothing."""
        with contextlib.suppress(RuntimeError):  # It has stopped.
            self.down()
        self._thread.stop()
        self._reservation.close()

    def __enter__(self) -> Self:
        """Return the proxy, which runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # ---- on the loop ---------------------------------------------------------------------------------------------

    def _set(self, toxics: tuple[ActiveToxic, ...]) -> None:
        self._toxics = toxics
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def _changed(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._change.wait()

    def _go_up(self) -> None:
        if self._listener is None:
            listener = self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(_BACKLOG)
            self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def _go_down(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        self._listener = self._accepting = None
        await self._end_all(reset=False)

    async def _end_all(self, *, reset: bool) -> None:
        tasks = list(self._open.values())
        for connection in self._open:
            connection.end(reset=reset)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        opening: set[asyncio.Task[None]] = set()
        try:
            while True:
                client, _ = await loop.sock_accept(listener)
                self._count(connections=1)
                task = loop.create_task(self._connect(client, self._counts.connections))
                opening.add(task)
                task.add_done_callback(opening.discard)
        finally:
            for task in opening:
                task.cancel()

    async def _connect(self, client: socket.socket, number: int) -> None:
        family, kind, protocol, _, address = self._address
        server = socket.socket(family, kind, protocol)
        server.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(server, address)
        except OSError:
            self._count(unreachable=1, resets=1)
            close(client, reset=True)
            server.close()
            return
        except BaseException:
            close(client, reset=True)
            server.close()
            raise
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(
            number,
            client,
            server,
            seed=f"{self._seed}/{number}",
            toxics=self._chooser(number),
            changed=self._changed,
            count=self._count_bytes,
        )
        self._open[connection] = asyncio.get_running_loop().create_task(self._carry(connection))

    async def _carry(self, connection: Connection) -> None:
        try:
            if await connection.carry():
                self._count(resets=1)
        finally:
            del self._open[connection]

    def _chooser(self, number: int) -> Callable[[Direction], ActiveToxics]:
        drawn: dict[int, float] = {}

        def chosen(active: ActiveToxic) -> bool:
            if active.number not in drawn:
                chance = random.Random(f"{self._seed}/{number}/{active.number}")  # noqa: S311 - to be repeated
                drawn[active.number] = chance.random()
            named = active.connections is None or number in active.connections
            return named and drawn[active.number] < active.probability

        def toxics(direction: Direction) -> ActiveToxics:
            return [
                (each.number, each.toxic)
                for each in self._toxics
                if each.direction in {None, direction} and chosen(each)
            ]

        return toxics

    def _count_bytes(self, direction: Direction, size: int) -> None:
        self._count(**{f"bytes_{direction}": size})

    def _count(self, **more: int) -> None:
        self._counts = replace(self._counts, **{name: getattr(self._counts, name) + by for name, by in more.items()})

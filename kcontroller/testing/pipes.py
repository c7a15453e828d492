"""One connection through `FaultProxy`: two pipes between two sockets, and what the toxics do to them.

Everything here runs on the proxy's loop. The sockets are used bare, without asyncio's buffers, so that a connection
ends exactly as it is told to: by FIN, by RST, or in the middle of a piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import TYPE_CHECKING, Final, TypeVar

from kcontroller.testing.toxics import Bandwidth, BlackHole, Latency, Limit, Reset, Slicer, SlowClose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from kcontroller.testing.toxics import Direction, Toxic

T = TypeVar("T")

_CHUNK: Final = 65_536
_CHUNKS_HELD: Final = 64  # As much as a socket's buffer would hold of what cannot go on.
_PACE_SECONDS: Final = 0.02
BY_RST: Final = struct.pack("ii", 1, 0)

ActiveToxics = list[tuple[int, "Toxic"]]
"""The toxics that act on a pipe now, each with its number."""


class Connection:
    """A client's socket, the server's, and the pipes between them.

    Args:
        number: counts the proxy's connections from 1.
        client: the accepted socket.
        server: the connected one.
        seed: makes what is random the same in each run.
        toxics: gives what acts on a direction of this connection.
        changed: waits until that may have changed, so many seconds at most.
        count: is told how many bytes have passed.
    """

    def __init__(
        self,
        number: int,
        client: socket.socket,
        server: socket.socket,
        *,
        seed: str,
        toxics: Callable[[Direction], ActiveToxics],
        changed: Callable[[float | None], Awaitable[None]],
        count: Callable[[Direction, int], None],
    ) -> None:
        self.number = number
        self.toxics = toxics
        self.changed = changed
        self._sockets = (client, server)
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pipes = (
            Pipe(self, "up", client, server, seed=f"{seed}/up", count=count),
            Pipe(self, "down", server, client, seed=f"{seed}/down", count=count),
        )

    def end(self, *, reset: bool = False) -> None:
        """End the connection on both sides, by RST or in the usual way."""
        if not self._ended.done():
            self._ended.set_result(reset)

    async def carry(self) -> bool:
        """Carry bytes until the connection has ended on both sides; returns whether that was by RST."""
        tasks = [asyncio.create_task(each) for each in (self._run_pipes(), self._watch_for_ends())]
        reset = False
        try:
            reset = await self._ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in self._sockets:
                close(each, reset=reset)
        return reset

    async def _run_pipes(self) -> None:
        await asyncio.gather(*(pipe.run() for pipe in self._pipes))
        self.end()

    async def _watch_for_ends(self) -> None:
        since: dict[int, float] = {}
        while True:
            now = asyncio.get_running_loop().time()
            ends = []
            for number, toxic in (*self.toxics("up"), *self.toxics("down")):
                began = since.setdefault(number, now)
                if isinstance(toxic, Reset):
                    ends.append((began + toxic.after, True))
                elif isinstance(toxic, BlackHole) and toxic.close_after is not None:
                    ends.append((began + toxic.close_after, False))
            first, reset = min(ends, default=(None, False))
            if first is not None and first <= now:
                self.end(reset=reset)
                return
            await self.changed(None if first is None else first - now)


class Pipe:
    """One direction of a connection."""

    def __init__(
        self,
        connection: Connection,
        direction: Direction,
        source: socket.socket,
        sink: socket.socket,
        *,
        seed: str,
        count: Callable[[Direction, int], None],
    ) -> None:
        self._connection = connection
        self._direction = direction
        self._source = source
        self._sink = sink
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated
        self._count = count
        self._passed = 0
        self._held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_HELD)

    async def run(self) -> None:
        """Carry until the source has ended."""
        try:
            await asyncio.gather(self._read(), self._write())
        except OSError:
            await self._wait_in_black_hole()
            self._connection.end(reset=True)  # One side has reset it; the other one learns it.

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        data = b"begin"
        while data:
            data = await loop.sock_recv(self._source, _CHUNK)
            await self._held.put((loop.time(), data))

    async def _write(self) -> None:
        while True:
            arrived, data = await self._held.get()
            await self._wait_for_latency(arrived)
            if not data:
                await self._close()
                return
            for piece in self._pieces(data):
                await self._wait_in_black_hole()
                if not await self._send(piece):
                    return
                if (slicer := self._first(Slicer)) is not None:
                    await self._pause(slicer, slicer.pause)

    async def _send(self, piece: bytes) -> bool:
        """Send a piece at the speed there is; False if that was the last the limit let pass."""
        loop = asyncio.get_running_loop()
        ahead = memoryview(piece)
        while ahead:
            limit = self._first(Limit)
            allowed = len(ahead) if limit is None else max(0, limit.bytes - self._passed)
            speed = self._first(Bandwidth)
            size = len(ahead) if speed is None else max(1, int(speed.bytes_per_second * _PACE_SECONDS))
            now, ahead = ahead[: min(size, allowed)], ahead[min(size, allowed) :]
            await loop.sock_sendall(self._sink, now)
            self._passed += len(now)
            self._count(self._direction, len(now))
            if limit is not None and self._passed >= limit.bytes:
                self._connection.end(reset=limit.reset)
                return False
            if speed is not None:
                await self._pause(speed, len(now) / speed.bytes_per_second)
        return True

    async def _pause(self, toxic: Bandwidth | Slicer, seconds: float) -> None:
        """Wait for so long, or until that toxic is no longer the one that acts; others may come and go."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while self._first(type(toxic)) is toxic and (left := due - loop.time()) > 0:
            await self._connection.changed(left)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            slicer = self._first(Slicer)
            size = len(data)
            if slicer is not None:
                size = max(1, slicer.size + self._chance.randint(-slicer.jitter, slicer.jitter))
            yield data[start : start + size]
            start += size

    async def _wait_for_latency(self, arrived: float) -> None:
        loop = asyncio.get_running_loop()
        draw = self._chance.uniform(-1, 1)
        while True:
            active = self._all(Latency)
            due = arrived + sum(each.seconds + draw * each.jitter for each in active)
            if due <= loop.time():
                return
            await self._connection.changed(due - loop.time())

    async def _wait_in_black_hole(self) -> None:
        while self._all(BlackHole):
            await self._connection.changed(None)

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (slow := self._first(SlowClose)) is not None and loop.time() < began + slow.seconds:
            await self._connection.changed(began + slow.seconds - loop.time())
        await self._wait_in_black_hole()
        with contextlib.suppress(OSError):  # The other side may have closed it altogether.
            self._sink.shutdown(socket.SHUT_WR)

    def _all(self, sort: type[T]) -> list[T]:
        return [toxic for _, toxic in self._connection.toxics(self._direction) if isinstance(toxic, sort)]

    def _first(self, sort: type[T]) -> T | None:
        return next(iter(self._all(sort)), None)


def close(sock: socket.socket, *, reset: bool) -> None:
    """Close a socket, by RST if asked to."""
    if reset:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BY_RST)
    sock.close()

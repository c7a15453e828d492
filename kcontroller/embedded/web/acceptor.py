"""Takes connections on a listening socket, and ends so that none of them is left half-way.

asyncio's own server fails an assertion for a connection that it takes in the moment it is closed, and forgets those
whose TLS handshake is not finished: they stay open with nobody behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

_PAUSE_SECONDS: Final = 0.1  # When there is no descriptor left; who connects waits in the backlog meanwhile.
_LAST_TURNS: Final = 2  # A transport that was aborted closes its socket in the next turn of the loop.
_AT_ONCE: Final = 64  # The connections that are open have their turn in between.


class Acceptor:
    """Accepts from its making to `end`. On the loop only.

    Args:
        listener: bound and not blocking; closed by `end`.
        protocol: makes the protocol of a connection.
        tls: the server's side of TLS.
        backlog: how many connections may wait to be taken.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        tls: ssl.SSLContext,
        backlog: int = 1024,
    ) -> None:
        """Listen."""
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._starting: dict[asyncio.Task[None], socket.socket] = {}
        self._pause: asyncio.TimerHandle | None = None
        self.port: int = listener.getsockname()[1]
        listener.listen(backlog)
        self._go_on()

    async def end(self) -> None:
        """Listen no more, and end the connections that have not finished their handshake; the others live on."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        self._listener.close()
        starting = dict(self._starting)
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)
        for client in starting.values():
            client.close()  # A task that never began has no transport that would do it.

    def _go_on(self) -> None:
        self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(_PAUSE_SECONDS, self._go_on)
                return
            task = self._loop.create_task(self._start(client))
            self._starting[task] = client
            task.add_done_callback(self._starting.pop)

    async def _start(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # It went away, or speaks no TLS.
            await self._loop.connect_accepted_socket(self._protocol, client, ssl=self._tls)

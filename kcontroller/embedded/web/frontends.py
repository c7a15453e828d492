"""One listening address of the embedded server: its port, its connections, and the version it may be frozen at."""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING, Final, Self

from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from kcontroller.embedded.web.acceptor import Acceptor
from kcontroller.errors import ControlPlaneError

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from aiohttp.web_request import BaseRequest

    from kcontroller.embedded.web.app import App
    from kcontroller.embedded.web.loop_thread import LoopThread

HOST: Final = "127.0.0.1"
"""Where every embedded server listens: it has no business on a network."""

_HEADER_BYTES: Final = 1024 * 1024 + 4096
"""The longest request line or header: net/http's DefaultMaxHeaderBytes and what Go adds to it."""
_LINGER_SECONDS: Final = 2.0  # For the rest of a body that was refused: closing at once would lose the answer.
_KEEPALIVE_SECONDS: Final = 180.0
_CLOSE_SECONDS: Final = 1.0
_SERVER_ERROR: Final = 500
_REASONS: Final = {
    errno.EADDRINUSE: "the port is in use; stop what uses it, or choose another port (0 for any that is free)",
    errno.EACCES: "ports below 1024 need a privilege; choose a higher port (0 for any that is free)",
}
_log: Final = logging.getLogger("kcontroller.embedded")


class _Connection(RequestHandler):
    """Answers what is no HTTP request as Go's net/http does."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer in plain text; never with what aiohttp found."""
        _log.debug("no request: %s", message or exc)
        if isinstance(exc, LineTooLong):
            status, said = 431, "431 Request Header Fields Too Large"
        else:
            said = "400 Bad Request" if status < _SERVER_ERROR else f"{status} Internal Server Error"
        response = Response(status=status, text=said, content_type="text/plain", charset="utf-8")
        response.force_close()
        response.headers["Connection"] = "close"  # For want of a request aiohttp answers as HTTP/1.0 and leaves it out.
        return response


class _Http(Server):
    """Makes a `_Connection` for each client."""

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's way to have none
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            auto_decompress=False,
        )


class FrontEnd:
    """An address of the server. All of them share one store; a frozen one is an API server that lags behind.

    Made by `EmbeddedServer.front_end`; closed with the server, by `close`, or by the end of a ``with`` block.

    Args:
        app: what answers.
        tls: the server's side of TLS.
        port: where to listen; 0 picks a free port, which stays the same from then on.
        thread: the server's loop.
    """

    def __init__(self, app: App, tls: ssl.SSLContext, *, port: int, thread: LoopThread) -> None:
        """Nothing listens before `serve`."""
        self._app = app
        self._tls = tls
        self._port = port
        self._thread = thread
        self._frozen: int | None = None
        self._acceptor: Acceptor | None = None
        self._http: _Http | None = None
        self._is_closed = False

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """``https://127.0.0.1:<port>``."""
        return f"https://{HOST}:{self._port}"

    @property
    def frozen(self) -> int | None:
        """The version at which it stands still, or None."""
        return self._frozen

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._http.connections) if self._http is not None else 0

    def freeze(self) -> int:
        """Show from now on what there is now, to watches and to reads that name a version; returns the version.

        Writes still happen, and a read that names no version sees them: an API server that lags behind asks etcd for
        it. A streaming list that must be newer has its end mark when it thaws.
        """
        return self._thread.call(self._freeze)

    def thaw(self) -> None:
        """Show what there is; watches are told what they missed."""
        self._thread.call(self._thaw)

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        self._thread.call(self._cut)

    def close(self) -> None:
        """Listen no more, and reset every connection; a second call does nothing."""
        self._is_closed = True
        if self._thread.is_running:
            self._thread.wait(self.end())

    def __enter__(self) -> Self:
        """Give it back; it serves already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    async def serve(self) -> None:
        """Listen, unless it was closed. On the loop.

        Raises:
            ControlPlaneError: the port is taken.
        """
        if self._is_closed:
            return
        listener = _listen(self._port)
        self._port = listener.getsockname()[1]
        self._http = _Http(self._handle, handler_cancellation=True)
        self._acceptor = Acceptor(listener, self._http, tls=self._tls)

    async def end(self) -> None:
        """Stop listening, reset every connection, and wait until their requests have ended. On the loop."""
        if self._acceptor is None or self._http is None:
            return
        await self._acceptor.end()
        self._cut()
        await self._http.shutdown(_CLOSE_SECONDS)
        self._acceptor = self._http = None

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        return await self._app.handle(request, self._shown)

    def _shown(self) -> int | None:
        return self._frozen

    def _freeze(self) -> int:
        self._frozen = self._app.api.backend.store.version
        return self._frozen

    def _thaw(self) -> None:
        self._frozen = None
        for _, _, topic in self._app.api.backend.store.topics():
            topic.wake()

    def _cut(self) -> None:
        for connection in self._http.connections if self._http is not None else ():
            if connection.transport is not None:
                connection.transport.abort()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        msg = f"cannot listen on {HOST}:{port}: {_REASONS.get(error.errno or 0, error.strerror)}"
        raise ControlPlaneError(msg) from error
    except OverflowError:
        listener.close()
        msg = f"{port} is no port; choose one from 1 to 65535, or 0 for any that is free"
        raise ControlPlaneError(msg) from None
    return listener

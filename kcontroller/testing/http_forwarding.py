"""How `HttpFaultProxy` passes a request on and its answer back; all of it on the proxy's loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

from kcontroller.testing.pipes import BY_RST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from aiohappyeyeballs import AddrInfoType

    from kcontroller.testing.http_faults import Rule, Truncate
    from kcontroller.testing.http_recording import Exchange
    from kcontroller.testing.http_target import Destination

_OF_ONE_HOP: Final = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"})
_LAST_TURNS: Final = 10  # Of the loop: a socket that has ended is read, its transport closed, its protocol told.
_OWN_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Forwarder:
    """Speaks with the targets.

    Args:
        session: from `open`, whose sockets are `sockets`.
        sockets: all that the session has made.
        stand_still: waits while an answer that is under way must not go on.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        sockets: weakref.WeakSet[socket.socket],
        *,
        stand_still: Callable[[web.BaseRequest], Awaitable[None]],
    ) -> None:
        self._session = session
        self._sockets = sockets
        self._stand_still = stand_still
        self._answers: dict[int, _Answering] = {}

    @classmethod
    async def open(cls, *, stand_still: Callable[[web.BaseRequest], Awaitable[None]]) -> Self:
        """Make one with a session of its own."""
        sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

        def noted(address: AddrInfoType) -> socket.socket:
            made = socket.socket(*address[:3])
            sockets.add(made)
            return made

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=noted),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=_OWN_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return cls(session, sockets, stand_still=stand_still)

    async def close(self) -> None:
        """End the connections with the targets."""
        await self._session.close()
        # Python 3.11 loses a TLS connection whose opening is cancelled before its handshake begins
        # (sslproto.SSLProtocol._start_shutdown returns in state UNWRAPPED); the end of its socket ends it.
        for made in tuple(self._sockets):
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    async def forward(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        where: Destination,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
        cut: bool = False,
        truncate: Truncate | None = None,
    ) -> web.StreamResponse:
        """Pass a request on, and its answer back.

        Args:
            request: from the client.
            exchange: where to note what the client is sent.
            where: the server, and the path there.
            before: waited for when the answer is there, before any of it is sent back.
            cut: send nothing back, and end the connection.
            truncate: send a part back, and end the connection.
        """
        try:
            async with self._ask(request, where) as answer:
                try:
                    if before is not None:
                        await before()
                    return end(request) if cut else await self._send_back(request, exchange, answer, truncate)
                finally:
                    _abandon(answer)
        except aiohttp.ClientError:
            return end(request, reset=True)

    async def rewrite(
        self, request: web.BaseRequest, where: Destination, change: Callable[[bytes], bytes]
    ) -> web.StreamResponse:
        """Pass a request on, and its answer back as `change` makes it if it is a success."""
        try:
            async with self._ask(request, where) as answer:
                body = await answer.read()
                done = change(body) if answer.ok else body
                return web.Response(status=answer.status, body=done, content_type=answer.content_type)
        except aiohttp.ClientError:
            return end(request, reset=True)

    def _ask(self, request: web.BaseRequest, where: Destination) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP]
        return self._session.request(
            request.method,
            URL(where.target.origin + where.path, encoded=True),
            ssl=where.target.trust,
            headers=headers,
            data=_body(request) if request.body_exists else None,
            allow_redirects=False,
        )

    async def tell(self, lines: bytes, rule: Rule, *, over: bool) -> int:
        """Put lines into the answers that a rule means, and let them be over if asked; gives how many they are."""
        meant = [each for each in self._answers.values() if rule.matches(each.exchange.method, each.exchange.target)]
        for answering in meant:
            if lines:
                answering.exchange.body += lines
                await answering.response.write(lines)
            if over:
                answering.end()
        return len(meant)

    async def _send_back(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        answer: aiohttp.ClientResponse,
        truncate: Truncate | None,
    ) -> web.StreamResponse:
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_ONE_HOP]
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(headers)
        await response.prepare(request)
        exchange.status = answer.status
        self._answers[id(request)] = _Answering(exchange, response, answer)
        try:
            return await self._pass_on(request, self._answers[id(request)], truncate)
        finally:
            del self._answers[id(request)]

    async def _pass_on(
        self, request: web.BaseRequest, answering: _Answering, truncate: Truncate | None
    ) -> web.StreamResponse:
        response, left = answering.response, -1 if truncate is None else truncate.bytes
        async for data in answering.answer.content.iter_any():
            await self._stand_still(request)
            passed = data if truncate is None else data[:left]
            answering.exchange.sent(passed)
            await response.write(passed)
            left -= len(data)
            if truncate is not None and left <= 0:
                return end(request, reset=truncate.reset)
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class _Answering:
    """An answer that is being passed on."""

    exchange: Exchange
    response: web.StreamResponse
    answer: aiohttp.ClientResponse

    def end(self) -> None:
        """Let it be over for the client, and give the rest up."""
        transport = self.answer.connection.transport if self.answer.connection is not None else None
        self.answer.content.feed_eof()
        if transport is not None:
            transport.abort()  # It would go back into the pool in the middle of an answer.


def end(request: web.BaseRequest, *, reset: bool = False) -> web.StreamResponse:
    """End a connection; gives aiohttp an answer to send into nothing."""
    transport: Any = request.transport
    if transport is not None and reset:
        sock = transport.get_extra_info("socket")
        if sock is not None:  # The client may have gone.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BY_RST)
        transport.abort()
    elif transport is not None:
        transport.close()  # What was written before still arrives.
    return web.Response()


def _abandon(answer: aiohttp.ClientResponse) -> None:
    """End the connection of an answer that was not read to its end, without a TLS farewell that takes its time."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for data in request.content.iter_any():
        yield data

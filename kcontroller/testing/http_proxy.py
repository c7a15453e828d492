"""A proxy on loopback that knows what is asked: faults for single paths, methods, watches and projects.

::

    with HttpFaultProxy(server.url, ca_pem=server.ca_pem) as proxy:
        config = proxy.config(config)
        proxy.add(Refuse(429, retry_after=1), path_prefix="/api/v1/configmaps", times=2)
        with proxy.add(Hang(), project="p2"):      # one project stands still, the others do not notice
            ...
        proxy.tell(line)                           # an event of the test's own, into the watches that are open
        proxy.exchanges                            # what was asked and answered

It ends TLS with a certificate authority of its own and speaks HTTP/1.1 with the target, whose certificate it verifies.
Tokens pass through; client certificates cannot, and neither can upgraded connections (exec, attach, port-forward).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp import web
from yarl import URL

from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.embedded.web.acceptor import Acceptor
from kcontroller.embedded.web.certificates import Certificates
from kcontroller.testing.active import ActiveRule
from kcontroller.testing.http_faults import Answer, HoldAnswer, Rule, Truncate
from kcontroller.testing.http_recording import Exchange
from kcontroller.testing.http_target import Destination, Target
from kcontroller.testing.loop_thread import LoopThread
from kcontroller.testing.pipes import BY_RST
from kcontroller.transport.config import TLSConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from types import TracebackType

    from kcontroller.testing.active import Active
    from kcontroller.testing.http_faults import HttpFault
    from kcontroller.transport.config import Config

_CLOSE_SECONDS: Final = 1.0
_OF_ONE_HOP: Final = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"})
_OWN_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class HttpFaultProxy:
    """Forwards requests to one API server unless a rule says otherwise; runs from its making to `stop`.

    Rules may be added and removed at any time, from any thread.

    Args:
        target: ``https://127.0.0.1:6443``.
        ca_pem: the certificates that may sign the target's.
        seed: makes what is random (probabilities) the same for the same order of requests.
        record: keep `exchanges`, with all that watches were sent.

    Attributes:
        url: the proxy's own, with the path of the target.
        ca_pem: the certificate authority of the proxy.
    """

    def __init__(self, target: str, *, ca_pem: str, seed: int = 0, record: bool = False) -> None:
        self._target = Target.of(target, ca_pem)
        self._record = record
        self._seed = seed
        self._rules: tuple[Rule, ...] = ()
        self._made = 0
        self._done: Counter[str] = Counter()
        self._open: dict[int, web.BaseRequest] = {}  # By id: aiohttp's requests cannot be hashed.
        self._exchanges: list[Exchange] = []
        self._answers: dict[int, _Answering] = {}
        certificates = Certificates.make()
        self.ca_pem = certificates.ca_pem
        self._thread = LoopThread("kc-http-proxy")
        self._change, self._session, self._http, self._acceptor = self._thread.run(self._start(certificates))
        self.port = self._acceptor.port
        self.url = f"https://127.0.0.1:{self.port}{urlsplit(target).path.rstrip('/')}"

    # ---- what tests call -----------------------------------------------------------------------------------------

    def add(
        self,
        fault: HttpFault,
        *,
        path_prefix: str = "",
        project: str = "",
        methods: Collection[str] = (),
        watch: bool | None = None,
        query: str = "",
        times: int | None = None,
        probability: float = 1.0,
    ) -> ActiveRule:
        """Let a fault act on requests from now on; of several the first decides, after the delays before it.

        Args:
            fault: one of `http_faults`. `Hang` and `HoldAnswer` also hold the answers that are under way, such as
                watches, unless they have `times` or a `probability`; taken off, they let everything go on.
            path_prefix: what the path begins with, below the proxy's address.
            project: the project whose control plane the path leads to, in either form of Milo's paths.
            methods: ``GET``, ``PATCH``...; () means all.
            watch: True for watches only, False for all but watches.
            query: what the query contains, such as ``continue=`` or ``sendInitialEvents=true``.
            times: how many requests it acts on before it is spent; None for no limit.
            probability: the share of the requests it acts on.
        """
        self._made += 1
        chance = random.Random(f"{self._seed}/{self._made}")  # noqa: S311 - to be repeated
        rule = Rule(fault, path_prefix, project, methods, watch, times, probability, chance, query)
        self._thread.call(lambda: self._set((*self._rules, rule)))
        return ActiveRule(rule, self.remove)

    def remove(self, active: Active) -> None:
        """Take a rule off; nothing happens if it is off."""
        gone = active.rule if isinstance(active, ActiveRule) else None
        self._thread.call(lambda: self._set(tuple(rule for rule in self._rules if rule is not gone)))

    def clear(self) -> None:
        """Take all rules off."""
        self._thread.call(lambda: self._set(()))

    def cut(self, *, path_prefix: str = "", project: str = "", watch: bool | None = None, reset: bool = False) -> int:
        """End the connections of the answers that are under way, watches for example; returns how many."""
        rule = Rule(Hang(), path_prefix, project, (), watch, None, 1.0, random.Random(0))  # noqa: S311

        def cut() -> int:
            meant = [each for each in self._open.values() if rule.matches(each.method, each.raw_path)]
            return len([_end(request, reset=reset) for request in meant])

        return self._thread.call(cut)

    def tell(self, lines: bytes, *, path_prefix: str = "", project: str = "", end: bool = False) -> int:
        """Put lines into the watches that are under way, as if the server had sent them; returns into how many.

        Args:
            lines: whole lines; a watch in the middle of a line of the server's would be garbled.
            path_prefix: what the path begins with, below the proxy's address.
            project: as in `add`.
            end: end the watches in order after that.
        """
        rule = Rule(Hang(), path_prefix, project, (), True, None, 1.0, random.Random(0))  # noqa: S311

        async def tell() -> int:
            meant = [
                each for each in self._answers.values() if rule.matches(each.exchange.method, each.exchange.target)
            ]
            for answering in meant:
                if lines:
                    answering.exchange.body += lines
                    await answering.response.write(lines)
                if end:
                    answering.end()
            return len(meant)

        return self._thread.run(tell())

    def lead_to(self, target: str, *, ca_pem: str) -> None:
        """Forward to another server from now on, as a load balancer may; what is under way stays (see `cut`)."""
        other = Target.of(target, ca_pem)

        def lead() -> None:
            self._target = other

        self._thread.call(lead)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was asked and answered until now, in the order of the requests; none without ``record=True``."""
        return self._thread.call(lambda: tuple(self._exchanges))

    @property
    def counts(self) -> Counter[str]:
        """How many requests were ``forwarded``, ``delayed``, ``hung``, ``cut``, or answered with ``429`` and so on."""
        return self._thread.call(self._done.copy)

    def config(self, config: Config) -> Config:
        """Reach the server of a configuration, which must be the target, through this proxy."""
        server = urlunsplit(urlsplit(config.server)._replace(netloc=f"127.0.0.1:{self.port}"))
        return replace(config.with_server(server), tls=TLSConfig(ca=self.ca_pem.encode()))

    def stop(self) -> None:
        """End every connection and the proxy; a second call does nothing."""
        with contextlib.suppress(RuntimeError):  # It has stopped.
            self._thread.run(self._finish())
        self._thread.stop()

    def __enter__(self) -> Self:
        """Return the proxy, which runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # ---- on the loop ---------------------------------------------------------------------------------------------

    async def _start(
        self, certificates: Certificates
    ) -> tuple[asyncio.Event, aiohttp.ClientSession, web.Server, Acceptor]:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=_OWN_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # A client that has gone must not leave its watch open at the target.
        http = web.Server(self._serve, handler_cancellation=True, access_log=None)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        return asyncio.Event(), session, http, Acceptor(listener, http, tls=certificates.server_context())

    async def _finish(self) -> None:
        self._set(())
        await self._acceptor.end()
        # Also those that have been closed and wait for their client's TLS farewell.
        for connection in self._http.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._http.shutdown(_CLOSE_SECONDS)
        await self._session.close()

    def _set(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._open[id(request)] = request
        exchange = Exchange(request.method, request.raw_path, recorded=self._record)
        if self._record:
            self._exchanges.append(exchange)
        try:
            response = await self._apply_rules(request, exchange)
        finally:
            del self._open[id(request)]
        exchange.status = exchange.status or response.status
        return response

    async def _apply_rules(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        for rule in self._rules:
            if not rule.takes(request.method, request.raw_path):
                continue
            match rule.fault:
                case Delay(seconds):
                    self._done["delayed"] += 1
                    await asyncio.sleep(seconds)
                case Refuse() as refuse:
                    return self._refuse(refuse)
                case Hang():
                    self._done["hung"] += 1
                    await self._wait_while_there(rule)
                    break
                case HoldAnswer():
                    self._done["hung"] += 1
                    return await self._forward(request, exchange, hold=rule)
                case Cut(after=happened):
                    self._done["cut"] += 1
                    return await self._forward(request, exchange, cut=True) if happened else _end(request)
                case Truncate() as truncate:
                    self._done["cut"] += 1
                    return await self._forward(request, exchange, truncate=truncate)
                case Answer(body, code):
                    self._done[str(code)] += 1
                    exchange.sent(body)
                    return web.Response(status=code, body=body, headers={"Content-Type": "application/json"})
        return await self._forward(request, exchange)

    def _refuse(self, refuse: Refuse) -> web.Response:
        self._done[str(refuse.code)] += 1
        refusal = refuse.refusal()
        body = json.dumps(refusal.document()).encode()
        headers = {"Content-Type": "application/json", **refusal.headers}
        return web.Response(status=refuse.code, body=body, headers=headers)

    def _destination(self, raw_path: str) -> Destination | None:
        """Where a request goes; None for nowhere, which is answered with 404."""
        return Destination(self._target, raw_path)

    async def _forward(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        *,
        cut: bool = False,
        truncate: Truncate | None = None,
        hold: Rule | None = None,
    ) -> web.StreamResponse:
        where = self._destination(request.raw_path)
        if where is None:
            return self._refuse(Refuse(404))
        self._done["forwarded"] += 1
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP]
        try:
            async with self._session.request(
                request.method,
                URL(where.target.origin + where.path, encoded=True),
                ssl=where.target.trust,
                headers=headers,
                data=_body(request) if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                try:
                    if hold is not None:
                        await self._wait_while_there(hold)
                    return _end(request) if cut else await self._send_back(request, exchange, answer, truncate)
                finally:
                    _abandon(answer)
        except aiohttp.ClientError:
            return _end(request, reset=True)

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
            while any(rule.holds(request.method, request.raw_path) for rule in self._rules):
                await self._change.wait()
            passed = data if truncate is None else data[:left]
            answering.exchange.sent(passed)
            await response.write(passed)
            left -= len(data)
            if truncate is not None and left <= 0:
                return _end(request, reset=truncate.reset)
        await response.write_eof()
        return response

    async def _wait_while_there(self, rule: Rule) -> None:
        while rule in self._rules:
            await self._change.wait()


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


def _end(request: web.BaseRequest, *, reset: bool = False) -> web.StreamResponse:
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

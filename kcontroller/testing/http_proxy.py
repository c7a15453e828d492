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
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit, urlunsplit

from aiohttp import web

from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.embedded.web.acceptor import Acceptor
from kcontroller.embedded.web.certificates import HOSTS, Certificates
from kcontroller.testing.active import ActiveRule
from kcontroller.testing.http_faults import Answer, HoldAnswer, Rule, Truncate
from kcontroller.testing.http_forwarding import Forwarder, end
from kcontroller.testing.http_recording import Exchange
from kcontroller.testing.http_target import Destination, Target
from kcontroller.testing.loop_thread import LoopThread
from kcontroller.transport.config import TLSConfig

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from kcontroller.testing.active import Active
    from kcontroller.testing.http_faults import HttpFault
    from kcontroller.transport.config import Config

_CLOSE_SECONDS: Final = 1.0


class HttpFaultProxy:
    """Forwards requests to one API server unless a rule says otherwise; runs from its making to `stop`.

    Rules may be added and removed at any time, from any thread.

    Args:
        target: ``https://127.0.0.1:6443``.
        ca_pem: the certificates that may sign the target's.
        seed: makes what is random (probabilities) the same for the same order of requests.
        record: keep `exchanges`, with all that watches were sent.
        hosts: the DNS names of its certificate, besides loopback.

    Attributes:
        url: the proxy's own, with the path of the target.
        ca_pem: the certificate authority of the proxy.
    """

    def __init__(
        self, target: str, *, ca_pem: str, seed: int = 0, record: bool = False, hosts: Collection[str] = HOSTS
    ) -> None:
        self._target = Target.of(target, ca_pem)
        self._record = record
        self._seed = seed
        self._rules: tuple[Rule, ...] = ()
        self._made = 0
        self._done: Counter[str] = Counter()
        self._open: dict[int, web.BaseRequest] = {}  # By id: aiohttp's requests cannot be hashed.
        self._exchanges: list[Exchange] = []
        certificates = Certificates.make(hosts)
        self.ca_pem = certificates.ca_pem
        self._thread = LoopThread("kc-http-proxy")
        self._change, self._forwarder, self._http, self._acceptor = self._thread.run(self._start(certificates))
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
            return len([end(request, reset=reset) for request in meant])

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

        return self._thread.run(self._forwarder.tell(lines, rule, over=end))

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

    async def _start(self, certificates: Certificates) -> tuple[asyncio.Event, Forwarder, web.Server, Acceptor]:
        forwarder = await Forwarder.open(stand_still=self._stand_still)
        # A client that has gone must not leave its watch open at the target.
        http = web.Server(self._serve, handler_cancellation=True, access_log=None)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        return asyncio.Event(), forwarder, http, Acceptor(listener, http, tls=certificates.server_context())

    async def _finish(self) -> None:
        self._set(())
        await self._acceptor.end()
        # Also those that have been closed and wait for their client's TLS farewell.
        for connection in self._http.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._http.shutdown(_CLOSE_SECONDS)
        # A request that is still on its way to the target would open its connection behind our back.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._forwarder.close()

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
                    return await self._forward(request, exchange, cut=True) if happened else end(request)
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

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:  # noqa: ARG002 - for subclasses
        """Where a request to a host goes; None for nowhere, which is answered with 404."""
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
        where = self._destination(request.raw_path, host=request.host)
        if where is None:
            return self._refuse(Refuse(404))
        self._done["forwarded"] += 1
        before = None if hold is None else lambda: self._wait_while_there(hold)
        return await self._forwarder.forward(request, exchange, where, before=before, cut=cut, truncate=truncate)

    async def _stand_still(self, request: web.BaseRequest) -> None:
        while any(rule.holds(request.method, request.raw_path) for rule in self._rules):
            await self._change.wait()

    async def _wait_while_there(self, rule: Rule) -> None:
        while rule in self._rules:
            await self._change.wait()

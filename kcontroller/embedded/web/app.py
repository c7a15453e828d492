"""The HTTP application: one handler for every path, on aiohttp's low-level server.

A request goes its way once: path -> user -> may they -> health, discovery, or a resource -> faults -> `Api` -> answer.
Whatever is refused becomes a Status; what fails unexpectedly is logged, kept for tests, and told as 500.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, cast

import msgspec
from aiohttp.web_response import Response, StreamResponse

from kcontroller.embedded import calls, intake, statuses
from kcontroller.embedded.faults import Cut, Delay, Hang, Refuse
from kcontroller.embedded.milo import visible
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.discovery import AGGREGATED, Discovery, etag
from kcontroller.embedded.views.openapi import OpenApi
from kcontroller.embedded.views.representation import negotiate
from kcontroller.embedded.web import reviews
from kcontroller.embedded.web.answers import answer, page_not_found, refused, text
from kcontroller.embedded.web.exchange import Exchange, Malformed
from kcontroller.embedded.web.pages import health, indented, index
from kcontroller.embedded.web.streams import Cut as CutStream
from kcontroller.embedded.web.streams import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from aiohttp.web_request import BaseRequest

    from kcontroller.embedded.api import Api
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.faults import Faults, Rule
    from kcontroller.embedded.kinds import Catalog
    from kcontroller.embedded.recorded import Recorded
    from kcontroller.embedded.requests import RequestLog
    from kcontroller.embedded.views.representation import Representation
    from kcontroller.embedded.web.identity import Identity

_NOT_FOUND: Final = 404
_HTTP11: Final = (1, 1)
_OPENAPI: Final = "/openapi/v3/"
_log: Final = logging.getLogger("kcontroller.embedded")


class App:
    """Answers requests. Used from the server's loop only.

    Args:
        api: the verbs.
        identity: the users.
        faults: the rules for what goes wrong.
        log: where requests are logged.
        recorded: the built-in kinds and the version.
        milo: whether control planes are served below paths.
        body_seconds: how long a client may take to send a body.
        write_seconds: how long a watch waits for a client that does not read, before its connection is cut.
    """

    def __init__(
        self,
        api: Api,
        identity: Identity,
        faults: Faults,
        log: RequestLog,
        recorded: Recorded,
        *,
        milo: bool,
        body_seconds: float = 30.0,
        write_seconds: float = 30.0,
    ) -> None:
        """Start without failures."""
        self.failures: list[Exception] = []
        self.api = api
        self._identity = identity
        self._faults = faults
        self._log = log
        self._version = recorded.version
        self._discovery = Discovery(api.backend.catalog, recorded)
        self._openapi = OpenApi(api.backend.catalog, recorded)
        self._milo = milo
        self._body_seconds = body_seconds
        self._write_seconds = write_seconds
        self._streams: set[Stream] = set()

    def look_at_faults(self) -> None:
        """Let every open watch look at the rules."""
        for stream in tuple(self._streams):
            stream.look()

    async def handle(self, request: BaseRequest, frozen: Callable[[], int | None]) -> StreamResponse:
        """Answer a request; `frozen` gives the version at which its front end stands still, or None."""
        exchange = Exchange(request, time.perf_counter())
        try:
            response = await self._answer(exchange, frozen)
        except Refusal as refusal:
            response = refused(request, refusal, refusal.warnings)
        except Malformed:
            response = text(request, 400, "400 Bad Request")
            response.force_close()
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:  # noqa: BLE001 - one request must not end the server; tests ask for `failures`
            self._failed(exchange, error)
            response = refused(request, statuses.internal_error(f"{type(error).__name__} in the embedded API server"))
        exchange.log(self._log, response.status)
        return response

    async def _answer(self, exchange: Exchange, frozen: Callable[[], int | None]) -> StreamResponse:
        exchange.locate(milo=self._milo)
        exchange.identify(self._identity)
        first, _, rest = exchange.inner[1:].partition("/")
        if first in {"api", "apis", "openapi"}:
            if (found := self._document(exchange)) is not None:
                return found
            if first != "openapi" and rest:
                return await self._resource(exchange, frozen)
        return self._page(exchange)

    def _document(self, exchange: Exchange) -> StreamResponse | None:
        """Answer for discovery and OpenAPI; None for any other path."""
        request, path = exchange.request, exchange.inner
        accept = request.headers.get("Accept", "")
        documents = self._openapi if path.startswith("/openapi") else self._discovery
        found = documents.answer(path, accept, lambda kind: visible(exchange.plane, kind))
        if found is None or (path.startswith(_OPENAPI) and path.endswith("/")):
            # The handler of these answers by itself, without a body.
            return Response(status=404) if path.startswith(_OPENAPI) else None
        # The lists of groups are answered by a handler of their own, which does not look at the method.
        if request.method != "GET" and documents is self._discovery and path.rstrip("/") != "/apis":
            raise statuses.method_not_allowed()
        body, content_type = found
        if content_type != AGGREGATED:
            return answer(request, 200, body, content_type)
        headers = {"ETag": etag(body), "Vary": "Accept"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return answer(request, 304, b"", content_type, headers=headers)
        return answer(request, 200, body, content_type, headers=headers)

    def _page(self, exchange: Exchange) -> StreamResponse:
        request, path = exchange.request, exchange.inner
        if (healthy := health(path, exchange.query)) is not None:
            return text(request, 200, healthy)
        if path in {"/version", "/version/"}:
            if request.method != "GET":
                raise statuses.method_not_allowed()
            return answer(request, 200, indented(self._version))
        if path in {"/", "/index.html"}:
            return answer(request, 200, index(self.api.backend.catalog))
        return page_not_found(request)

    async def _resource(self, exchange: Exchange, frozen: Callable[[], int | None]) -> StreamResponse:
        request = exchange.request
        try:
            call = exchange.call = self._parsed(exchange)
        except Refusal as refusal:
            if (
                refusal.details == {}
                and refusal.code == _NOT_FOUND
                and not _has_own_handler(self.api.backend.catalog, exchange.inner)
            ):
                return page_not_found(request)
            raise
        body = await exchange.read_body(self._body_seconds)
        if (rules := self._faults.on_request(call)) and await self._cut_before(rules, call):
            return self._cut(exchange)
        representation = _negotiated(request, call)
        if call.verb == "watch":
            return await self._watch(exchange, call, representation, frozen)
        code, done, warnings = self._done(exchange, call, body, representation, frozen())
        if any(rule.action == Cut(after=True) for rule in rules):
            return self._cut(exchange)
        return answer(request, code, done, representation.content_type, warnings=warnings)

    def _parsed(self, exchange: Exchange) -> Call:
        assert exchange.user is not None  # noqa: S101 - `identify` came before
        request = exchange.request
        call = calls.parse(
            self.api.backend.catalog,
            request.method,
            exchange.inner,
            exchange.query,
            exchange.user,
            plane=exchange.plane,
            agent=request.headers.get("User-Agent", ""),
        )
        _check_name(call.name)
        return call

    @staticmethod
    async def _cut_before(rules: Sequence[Rule], call: Call) -> bool:
        """Do what rules want before the verb; returns whether the connection is to be cut."""
        for rule in rules:
            match rule.action:
                case Refuse() as action:
                    raise action.refusal()
                case Delay(seconds):
                    await asyncio.sleep(seconds)
                case Hang():
                    await rule.wait()
                case Cut(after):
                    if not after or call.verb == "watch":
                        return True
        return False

    def _done(
        self, exchange: Exchange, call: Call, body: bytes, representation: Representation, frozen: int | None
    ) -> tuple[int, bytes, tuple[str, ...]]:
        said = (call.kind.deprecation,) if call.kind.deprecation else ()
        if call.verb == "get":
            return 200, self.api.get(call, representation, frozen=frozen), said
        if call.verb == "list":
            return 200, self.api.list(call, representation, frozen=frozen), said
        content_type = exchange.request.headers.get("Content-Type", "")
        if reviews.answers(call):
            document, warnings = intake.from_body(self.api.backend.catalog, call, body, content_type)
            review = reviews.answer(self._identity, call, document, self.api.backend.timestamp())
            return 201, msgspec.json.encode(review) + b"\n", said + warnings
        done = self.api.write(call, body, content_type, representation)
        return done.code, done.body, said + done.warnings

    async def _watch(
        self, exchange: Exchange, call: Call, representation: Representation, frozen: Callable[[], int | None]
    ) -> StreamResponse:
        request = exchange.request
        call.number("timeoutSeconds")  # Once the answer has begun it cannot be refused.
        chunks = cast("AsyncGenerator[bytes]", self.api.watch(call, representation, frozen=frozen))
        response = StreamResponse(
            headers={"Content-Type": representation.content_type, "Cache-Control": "no-cache, private"}
        )
        if request.version >= _HTTP11:
            response.enable_chunked_encoding()
        exchange.log(self._log, 200)

        async def send(data: bytes) -> None:
            async with asyncio.timeout(self._write_seconds):
                await response.write(data)

        stream = Stream(call, self._faults, send)
        self._streams.add(stream)
        try:
            async with aclosing(chunks):
                await response.prepare(request)
                await stream.run(chunks)
                await response.write_eof()
        except (CutStream, TimeoutError):
            self._abort(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `handle`, but the answer has begun
            self._failed(exchange, error)
            self._abort(request)
        finally:
            self._streams.discard(stream)
        return response

    def _cut(self, exchange: Exchange) -> StreamResponse:
        exchange.log(self._log, 0)
        self._abort(exchange.request)
        return Response()

    @staticmethod
    def _abort(request: BaseRequest) -> None:
        if request.transport is not None:
            request.transport.abort()

    def _failed(self, exchange: Exchange, error: Exception) -> None:
        _log.error("%s %s failed", exchange.request.method, exchange.path, exc_info=error)
        self.failures.append(error)


def _check_name(name: str) -> None:
    """Refuse a name that is none (path.IsValidPathSegmentName of apimachinery)."""
    why = next((f"may not contain '{part}'" for part in ("/", "%") if part in name), "")
    if name in {".", ".."}:
        why = f"may not be '{name}'"
    if why:
        raise statuses.bad_request(f'Name parameter invalid: "{name}": {why}')


def _has_own_handler(catalog: Catalog, path: str) -> bool:
    """Whether a path is in a built-in group: what nobody serves gets a Status there, and plain text elsewhere."""
    first, group = path[1:].split("/")[:2]
    return first == "api" or any(kind.builtin and kind.group == group for kind in catalog)


def _negotiated(request: BaseRequest, call: Call) -> Representation:
    accept = request.headers.get("Accept", "")
    return negotiate(accept, watch=call.verb == "watch", include=call.query.get("includeObject", ""))

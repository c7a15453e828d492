"""What is known of one HTTP request on its way through the application."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from kcontroller.embedded import bodies
from kcontroller.embedded.calls import User
from kcontroller.embedded.milo import place_of
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.store import ROOT
from kcontroller.embedded.web.identity import MASTERS, Attributes, impersonated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.web_request import BaseRequest

    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.requests import RequestLog
    from kcontroller.embedded.web.identity import Identity

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_CONTROL_PLANE: Final = "/control-plane"
_NO_QUERY: Final[Mapping[str, str]] = {}


class Malformed(Exception):
    """The request target is none; Go's HTTP server answers such a request before any handler sees it."""


class Exchange:
    """One request: what it asks for, who asks, and the entry it leaves in the log.

    Attributes:
        request: aiohttp's.
        path: raw, as sent, without the query.
        query: the first value of each parameter, as Go's Values.Get gives it.
        plane: the control plane.
        inner: the path below the control plane, with every escape that is no slash resolved once.
        user: who asks, after impersonation; None before `identify`.
        call: the resource request, once it is parsed.
        body: what was read of it.
    """

    __slots__ = ("_extra", "_logged", "body", "call", "inner", "path", "plane", "query", "request", "started", "user")

    def __init__(self, request: BaseRequest, started: float) -> None:
        """Take the request as it is; `locate` reads its target."""
        self.request = request
        self.started = started
        self.path = request.raw_path
        self.query: Mapping[str, str] = _NO_QUERY
        self.plane = ROOT
        self.inner = self.path
        self.user: User | None = None
        self.call: Call | None = None
        self.body = b""
        self._extra: Mapping[str, tuple[str, ...]] = {}
        self._logged = False

    def locate(self, *, milo: bool) -> None:
        """Split the target into path and query, and find the control plane.

        Raises:
            Malformed: it is no path.
        """
        path, mark, query = self.path.partition("?")
        if not path.startswith("/"):
            if "://" not in path:
                raise Malformed
            path = urlsplit(path).path or "/"  # A proxy asks with the whole address.
        self.path = self.inner = path
        if mark:
            self.query = _query(query)
        if milo and _CONTROL_PLANE in path:
            place = place_of(path)
            self.plane, self.inner, self._extra = place.plane, place.path, place.extra
            self.query = place.confined(self.query)
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                raise Malformed
            # Go routes by the decoded path: an escaped slash is a slash. What parses it next decodes once more.
            self.inner = unquote(self.inner).replace("%", "%25")

    def identify(self, identity: Identity) -> None:
        """Find out who asks, and refuse what they may not.

        Raises:
            Refusal: 400, 401 or 403.
        """
        headers = self.request.headers
        user = self.user = identity.authenticate(headers, self.inner)
        if any(name[:12].lower() == "impersonate-" for name in headers):
            user = self.user = impersonated(user, headers, self._attributes())
        if MASTERS not in user.groups:
            attributes = self._attributes()
            if not attributes.allowed_to(user.groups):
                raise attributes.forbidden(user)
        if self._extra:
            self.user = User(user.name, user.groups, {**user.extra, **self._extra}, user.uid)

    def _attributes(self) -> Attributes:
        return Attributes.of(self.request.method, self.inner, self.query)

    async def read_body(self, seconds: float) -> bytes:
        """Read the body, all of it.

        Raises:
            Refusal: 413 if it is too long, 408 if it takes longer than `seconds`.
        """
        request = self.request
        if not request.body_exists:
            return b""
        if (request.content_length or 0) > bodies.LIMIT:
            raise bodies.too_large()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(seconds):
                while chunk := await request.content.readany():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > bodies.LIMIT:
                        raise bodies.too_large()
        except TimeoutError:
            raise Refusal(408, "Timeout", f"the body did not arrive within {seconds:g} s") from None
        self.body = b"".join(chunks)
        return self.body

    def log(self, log: RequestLog, status: int) -> None:
        """Log the request with its answer; a second call does nothing."""
        if self._logged:
            return
        self._logged = True
        call = self.call
        known: dict[str, Any] = {"verb": self.request.method.lower()}
        if call is not None:
            known = {
                "verb": call.verb,
                "resource": call.kind.resource,
                "namespace": call.namespace,
                "name": call.name,
                "subresource": call.subresource,
            }
        log.add(
            method=self.request.method,
            path=self.path,
            query=self.query,
            plane=self.plane,
            user=self.user.name if self.user is not None else "",
            agent=self.request.headers.get("User-Agent", ""),
            status=status,
            seconds=time.perf_counter() - self.started,
            body=self.body,
            **known,
        )


def _query(text: str) -> dict[str, str]:
    """Read a query as Go does: the first value counts, and a pair with a semicolon is none."""
    if ";" in text:
        text = "&".join(pair for pair in text.split("&") if ";" not in pair)
    query: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        query.setdefault(name, value)
    return query

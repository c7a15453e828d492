"""The embedded API without sockets and threads: a client's requests are function calls, 0.1 ms each."""

from __future__ import annotations

import json
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from kcontroller.embedded import calls
from kcontroller.embedded.boot import boot
from kcontroller.embedded.recorded import load
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.views.discovery import Discovery
from kcontroller.embedded.views.representation import negotiate
from kcontroller.transport.messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.stop import StopToken

_ADMIN: Final = calls.User("admin", ("system:masters",))
_NOT_FOUND: Final = HttpResponse(404, {"content-type": "text/plain"}, b"404 page not found\n")


def _utc() -> datetime:
    return datetime.now(UTC)


class InProcessServer:
    """One control plane with everything the embedded server checks, for one client at a time; watches are not served.

    It has the methods of a `Sender`, so that `DirectPort` and `RestMapper` work on it.

    Args:
        now: the server's clock, UTC.
        controllers: whether dependents follow their owners and namespaces are emptied, after the write that is the
            cause.
    """

    def __init__(self, *, now: Callable[[], datetime] = _utc, controllers: bool = False) -> None:
        self._lock = threading.Lock()
        self._later: deque[Callable[[], None]] = deque()
        self.api = boot(load(), now=now, soon=self._later.append, controllers=controllers)
        self._discovery = Discovery(self.api.backend.catalog, load())

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = 30.0,  # noqa: ARG002
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Answer a request as the embedded server does.

        Raises:
            Stopped: `stop` was stopped.
        """
        if stop is not None:
            stop.raise_if_stopped()
        with self._lock:
            try:
                return self._answer(request)
            except Refusal as refusal:
                headers = {name.lower(): value for name, value in refusal.headers.items()}
                return HttpResponse(refusal.code, headers, json.dumps(refusal.document()).encode())
            finally:
                while self._later:
                    self._later.popleft()()

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask for JSON, as `EmbeddedServer.request` does."""
        data = None if body is None else json.dumps(body).encode()
        answer = self.send(HttpRequest(method, path, body=data, content_type="application/json"))
        try:
            return answer.status, json.loads(answer.body)
        except ValueError:
            return answer.status, answer.body.decode()

    def _answer(self, request: HttpRequest) -> HttpResponse:
        path, _, query = request.target.partition("?")
        values: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            values.setdefault(name, value)
        document = self._discovery.answer(path, request.accept, lambda _kind: True)
        if document is not None:
            return HttpResponse(200, {"content-type": document[1]}, document[0])
        catalog = self.api.backend.catalog
        try:
            call = calls.parse(catalog, request.method, path, values, _ADMIN, agent="kcontroller/testing")
        except Refusal:
            if path.split("/")[2:3] not in [[group] for group in catalog.groups()] and not path.startswith("/api/"):
                return _NOT_FOUND
            raise
        shown = negotiate(request.accept)
        headers = {"content-type": shown.content_type}
        match call.verb:
            case "get":
                return HttpResponse(200, headers, self.api.get(call, shown))
            case "list":
                return HttpResponse(200, headers, self.api.list(call, shown))
            case "watch":
                msg = "a watch needs a server with a socket; use EmbeddedServer"
                raise NotImplementedError(msg)
            case _:
                done = self.api.write(call, request.body or b"", request.content_type, shown)
                return HttpResponse(done.code, headers, done.body)

"""From method and path to a function, as one WSGI application. No framework: there are three paths and one method."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from kcontroller.process.logs import Log

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

TEXT: Final = "text/plain; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD"})

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What a handler is told.

    Attributes:
        rest: the path below the handler's own, without the leading slash; "" for the path itself.
        query: the parameters; one without a value (``?verbose``) has the value "".
        local: whether it came from this machine (in a pod: from the pod), over loopback or a unix socket.
    """

    rest: str
    query: Mapping[str, list[str]]
    local: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


Handler = Callable[[Question], Answer]


def respond(answer: Answer, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Write an answer as WSGI wants it."""
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-cache, private"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", ", ".join(sorted(METHODS))))
    if answer.status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    start_response(f"{answer.status.value} {answer.status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]


def is_local(address: str) -> bool:
    """Whether a peer's address is one of this machine's own; that of a unix socket is ""."""
    if not address:
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    # An IPv4 peer of a socket for both families.
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class Application:
    """A WSGI application of handlers by path; each also gets the paths below its own.

    Unknown paths answer 404, other methods than GET and HEAD 405, a handler that raises 500 without saying why (the log
    does).
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """Take handlers by path, such as ``{"/metrics": page}``."""
        self._handlers = dict(handlers)

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return respond(self._answer(environ), environ, start_response)

    def _answer(self, environ: Mapping[str, Any]) -> Answer:
        head, _, rest = str(environ["PATH_INFO"]).lstrip("/").partition("/")
        handler = self._handlers.get(f"/{head}")
        if handler is None:
            return Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")
        if environ["REQUEST_METHOD"] not in METHODS:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"method not allowed\n")
        query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
        try:
            return handler(Question(rest, query, local=is_local(str(environ.get("REMOTE_ADDR", "?")))))
        except Exception:  # noqa: BLE001 - it is logged, and the worker must go on
            _log.exception("a handler failed", path=f"/{head}")
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal server error\n")

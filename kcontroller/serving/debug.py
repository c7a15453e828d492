"""``/debug``: threads with their stacks, queues, and objects of the cache, for who looks into a running process.

It is always on the control socket. On a port it is only where ``--debug-bind-address`` names one, on this machine
alone: pages are read by anybody who reaches the port, and show objects. Values of Secrets are in no page, nor are the
local variables of stacks. A browser page that was led here by its DNS is refused by the Host that it asks for.
"""

from __future__ import annotations

import sys
import threading
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.cluster.written import SECRET, without_content
from kcontroller.controller.names import NotKnown
from kcontroller.errors import ConfigError
from kcontroller.process.logs import without_secrets
from kcontroller.serving.address import parse
from kcontroller.serving.dispatch import Answer, Application, is_local, respond

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType
    from wsgiref.types import StartResponse

    from kcontroller.api.keys import GVK
    from kcontroller.controller.controller import Controller
    from kcontroller.controller.explaining import Explainer
    from kcontroller.serving.dispatch import Question

OPTION: Final = "--debug-bind-address"

_JSON: Final = "application/json"
_PAGES: Final = "threads, queue, queue/CONTROLLER, cache?cluster=NAME&kind=KIND&key=NAMESPACE/NAME"


class DebugPages:
    """The pages below ``/debug``.

    Args:
        controllers: all of them.
        explainer: finds kinds and objects.
    """

    def __init__(self, controllers: Iterable[Controller], explainer: Explainer) -> None:
        self._controllers = controllers
        self._explainer = explainer

    def answer(self, question: Question) -> Answer:
        """Answer a request for one of them."""
        page, _, rest = question.rest.partition("/")
        try:
            match page:
                case "threads":
                    return Answer(HTTPStatus.OK, threads_in_words().encode())
                case "queue":
                    return _json([_queue(each) for each in self._controllers if rest in ("", each.name)])
                case "cache":
                    cluster, kind, key = (question.query.get(name, [""])[0] for name in ("cluster", "kind", "key"))
                    return _json(self._cached(self._explainer.names.called(cluster), kind, Key.parse(key)))
        except NotKnown as error:
            return Answer(HTTPStatus.NOT_FOUND, f"{error}\n".encode())
        except ValueError as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode())
        return Answer(HTTPStatus.NOT_FOUND, f"there are: {_PAGES}\n".encode())

    def _cached(self, cluster: str, kind: str, key: Key) -> list[dict[str, Any]]:
        names = self._explainer.names
        kinds = {gvk for controller in self._controllers for gvk in names.kinds_of(controller, cluster, kind)}
        if not kinds:
            msg = f"no controller here has to do with {kind}"
            raise NotKnown(msg)
        entries = [(gvk, self._explainer.shown(cluster, gvk, key)) for gvk in sorted(kinds, key=str)]
        found = [{"kind": str(gvk), "object": _object(gvk, entry.raw)} for gvk, entry in entries if entry is not None]
        if not found:
            msg = f"no cache shows {kind} {key}"
            raise NotKnown(msg)
        return found


class LocalOnly:
    """A WSGI application for this machine alone, whatever address it is reached by.

    Args:
        app: what it guards.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        host = _host_of(str(environ.get("HTTP_HOST", "")))
        if not is_local(str(environ.get("REMOTE_ADDR", "?"))) or not _is_loopback(host):
            answer = Answer(HTTPStatus.FORBIDDEN, b"only for this machine, as localhost\n")
            return respond(answer, environ, start_response)
        return self._app(environ, start_response)


def application(pages: DebugPages) -> LocalOnly:
    """Make the WSGI application for a port."""
    return LocalOnly(Application({"/debug": pages.answer}))


def check_local(address: str) -> None:
    """Refuse an address that others could reach.

    Raises:
        ConfigError: it is none of this machine's own.
    """
    host, _port = parse(address, option=OPTION)
    if not _is_loopback(host):
        msg = f"{OPTION}: {address} can be reached from elsewhere; write 127.0.0.1:6060, [::1]:6060, or 0 for none"
        raise ConfigError(msg)


def threads_in_words() -> str:
    """Every thread with its stack: files, lines and functions, and nothing of what they hold."""
    frames: Mapping[int, FrameType] = sys._current_frames()  # noqa: SLF001 - the documented way
    parts = []
    for thread in sorted(threading.enumerate(), key=lambda each: each.name):
        frame = frames.get(thread.ident or 0)
        stack = "" if frame is None else "".join(traceback.format_list(traceback.extract_stack(frame)))
        parts.append(f"{thread.name}\n{stack}")
    return "\n".join(parts)


def _queue(controller: Controller) -> dict[str, Any]:
    queue = controller.queue
    return {
        "controller": controller.name,
        "workers": controller.workers,
        "in_flight": queue.in_flight,
        "ready": len(queue),
        "waiting_for": controller.waiting_for(),
    }


def _object(gvk: GVK, raw: bytes) -> Any:
    document = msgspec.json.decode(raw)
    if (gvk.group, gvk.kind) == (SECRET.group, SECRET.kind):
        document = without_content(document)
    return without_secrets(document)


def _host_of(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (bool(host) and is_local(host))


def _json(value: Any) -> Answer:
    return Answer(HTTPStatus.OK, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", _JSON)

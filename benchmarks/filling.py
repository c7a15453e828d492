"""A server full of objects."""

from __future__ import annotations

import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.pods import pod, status
from benchmarks.widgets import GROUP, NAMESPACES, definition, namespace, widget
from kcontroller.testing.crds import install_crds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.testing.control_plane import ApiServer

    Call = tuple[str, str, str, dict[str, Any]]  # Method, path, content type, body.

_CONNECTIONS: Final = 24  # More do not make two cores of kube-apiserver faster.
_NAMESPACES: Final = "/api/v1/namespaces"
_GOOD: Final = (200, 201)
_EXISTS: Final = 409


def fill(server: ApiServer, kind: str, objects: int) -> float:
    """Create so many ``widgets``, ``gadgets`` or ``pods``; returns the mean size of one on the wire, in bytes.

    Raises:
        RuntimeError: the server refused one; the text says why.
    """
    if kind != "pods":
        install_crds(server, definition("Widget"), definition("Gadget"), within=30)
    trust = ssl.create_default_context(cadata=server.ca_pem)
    create(server, trust, _namespace_calls, range(min(NAMESPACES, objects)))
    calls = _pod_calls if kind == "pods" else partial(_widget_calls, kind)
    batches = [range(first, objects, _CONNECTIONS) for first in range(min(_CONNECTIONS, objects))]
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fill") as pool:
        return sum(pool.map(lambda numbers: create(server, trust, calls, numbers), batches)) / objects


def path(kind: str, number: int) -> str:
    """Name where an object is found."""
    return f"{_collection(kind, number)}/{_singular(kind).lower()}-{number:06}"


def _collection(kind: str, number: int) -> str:
    prefix = "/api/v1" if kind == "pods" else f"/apis/{GROUP}/v1"
    return f"{prefix}/namespaces/{namespace(number)}/{kind}"


def _singular(kind: str) -> str:
    return kind.removesuffix("s").capitalize()


def _namespace_calls(number: int) -> Iterator[Call]:
    yield "POST", _NAMESPACES, "application/json", {"metadata": {"name": namespace(number)}}


def _widget_calls(kind: str, number: int) -> Iterator[Call]:
    where = f"{_collection(kind, number)}?fieldManager=bench"
    yield "POST", where, "application/json", widget(number, _singular(kind))


def _pod_calls(number: int) -> Iterator[Call]:
    where = f"{_collection('pods', number)}?fieldManager=kube-controller-manager"
    yield "POST", where, "application/json", pod(number)
    reported = f"{path('pods', number)}/status?fieldManager=kubelet"
    yield "PATCH", reported, "application/merge-patch+json", {"status": status(number)}


def create(server: ApiServer, trust: ssl.SSLContext, calls: Callable[[int], Iterator[Call]], numbers: range) -> int:
    """Send the calls of some numbers on one connection; returns the bytes of the last answers to each.

    Raises:
        RuntimeError: the server refused one; the text says why.
    """
    address = urlsplit(server.url)
    size = 0
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=60, context=trust)
    with closing(connection):
        for number in numbers:
            for call in calls(number):
                last = _exchange(connection, server.token, call)
            size += last
    return size


def _exchange(connection: http.client.HTTPSConnection, token: str, call: Call) -> int:
    method, where, content, body = call
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content}
    connection.request(method, where, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in _GOOD and (answer.status, where) != (_EXISTS, _NAMESPACES):  # From another kind.
        msg = f"{method} {where}: {answer.status} {text[:300].decode(errors='replace')}"
        raise RuntimeError(msg)
    return len(text)

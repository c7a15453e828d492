"""The two ports on HTTP: every call is a request to the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.api.paths import collection_path, creation_path, object_path, with_query
from kcontroller.client.answers import SUCCESS, api_error, list_page, stamped
from kcontroller.client.discovery import REQUEST_SECONDS
from kcontroller.client.metadata import PARTIAL_LIST, PARTIAL_OBJECT, reduced
from kcontroller.client.settling import is_open, settle
from kcontroller.errors import Expired, KindNotServed, NotCached, NotFound, RequestTimeout, ServerError, TransportError
from kcontroller.process.stop import StopToken
from kcontroller.transport.messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key, ResourceMapping
    from kcontroller.client.discovery import RestMapper, Sender
    from kcontroller.client.ports import Selection, Write
    from kcontroller.process.stop import Deadline

PAGE_SIZE: Final = 500
"""client-go's default page size for lists."""

_JSON: Final = "application/json"
_METHODS: Final = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


class DirectPort(msgspec.Struct, frozen=True):
    """Reads and writes at the server; implements `Reader` and `Writer`.

    Attributes:
        sender: sends the requests.
        mapper: knows how kinds are served.
        stop: ends a running request with `Stopped`.
        deadline: no request takes longer than this leaves.
        guard: called right before each sending of a write; it may refuse, see `NotLeader`.
    """

    sender: Sender
    mapper: RestMapper
    stop: StopToken | None = None
    deadline: Deadline | None = None
    guard: Callable[[], None] | None = None

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        """Read one object from the server, or its metadata."""
        resource = self._resolve(kind)
        accept = PARTIAL_OBJECT if metadata else _JSON
        request = HttpRequest("GET", object_path(resource, key, subresource), accept=accept, verb="get")
        body = self._ask(request, resource, subresource)
        return reduced(body, resource.gvk) if metadata else body

    def list(self, kind: KindRef, selection: Selection, *, metadata: bool = False) -> Sequence[bytes]:
        """Read a list page by page; a page that expired makes one unpaged list, as in client-go's pager."""
        if selection.index is not None:
            msg = f"index {selection.index[0]!r} of {gvk_of(kind)} can only be read from a cache; declare it in setup"
            raise NotCached(msg)
        resource = self._resolve(kind)
        accept = PARTIAL_LIST if metadata else _JSON
        try:
            items = self._pages(resource, selection, PAGE_SIZE, accept)
        except Expired:
            items = self._pages(resource, selection, 0, accept)
        return [reduced(item, resource.gvk) for item in items] if metadata else items

    def _pages(self, resource: ResourceMapping, selection: Selection, limit: int, accept: str) -> Sequence[bytes]:
        path = collection_path(resource, selection.namespace)
        token, items = "", []
        while True:
            query = (
                ("labelSelector", str(selection.labels)),
                ("fieldSelector", str(selection.fields)),
                ("limit", str(limit) if limit else ""),
                ("continue", token),
            )
            request = HttpRequest("GET", with_query(path, query), accept=accept, verb="list")
            body = self._ask(request, resource, "")
            try:
                _version, token, page = list_page(body)
                items += [stamped(item, resource.gvk) for item in page]
            except (ValueError, RecursionError) as error:
                msg = f"list {resource}: the answer is not a list"
                raise TransportError(msg) from error
            if not token:
                return items

    def write(self, write: Write) -> bytes:
        """Send a write; returns the body of the answer. An open outcome is settled, see `settling`."""
        resource = self._resolve(write.kind)
        if write.verb == "create" and not write.subresource:
            path = creation_path(resource, write.key)
        else:
            path = object_path(resource, write.key, write.subresource)
        request = HttpRequest(
            _METHODS[write.verb],
            with_query(path, write.query),
            body=write.body,
            content_type=write.content_type,
            verb=write.verb,
        )

        def send() -> bytes:
            return self._ask(request, resource, write.subresource)

        try:
            return send()
        except (TransportError, ServerError) as lost:
            if not is_open(lost):
                raise
            return settle(write, lost, read=lambda: self.get(write.kind, write.key), again=send, pause=self._pause)

    def _ask(self, request: HttpRequest, resource: ResourceMapping, subresource: str) -> bytes:
        timeout = self._seconds_left(f"{request.verb} {resource}")
        answer = self.sender.send(request, timeout=timeout, stop=self.stop, guard=self.guard)
        if answer.status in SUCCESS:
            return answer.body
        name = f"{resource}/{subresource}" if subresource else str(resource)
        error = api_error(answer.status, answer.body, verb=request.verb, resource=name, headers=answer.headers)
        if isinstance(error, NotFound) and not error.reason and not subresource:
            # The path itself is unknown, not the object: the CRD is gone or serves another version.
            self.mapper.forget(resource.gvk)
            msg = f"the server does not serve {resource.gvk} any more; {error}"
            raise KindNotServed(msg) from error
        raise error

    def _resolve(self, kind: KindRef) -> ResourceMapping:
        known = self.mapper.known(kind)
        if known is not None:
            return known
        return self.mapper.resolve(kind, timeout=self._seconds_left(f"discovery of {gvk_of(kind)}"), stop=self.stop)

    def _pause(self, seconds: float) -> None:
        if self.deadline is not None:
            seconds = min(seconds, max(0.0, self.deadline.remaining()))  # What is sent next says that time is over.
        with StopToken(*([self.stop] if self.stop else [])) as token:
            token.wait(seconds)
            token.raise_if_stopped()

    def _seconds_left(self, what: str) -> float:
        if self.deadline is None:
            return REQUEST_SECONDS
        seconds = min(REQUEST_SECONDS, self.deadline.remaining())
        if seconds <= 0:
            msg = f"the reconcile's time is over; {what} was not sent"
            raise RequestTimeout(msg, sent=False)
        return seconds

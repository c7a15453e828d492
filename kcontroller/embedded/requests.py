"""The request log: what the server was asked, for tests that count requests or want none.

::

    mark = server.requests.mark()
    ...
    server.requests.assert_none(verb="update", resource="widgets", since=mark)
    server.requests.assert_count(1, verb="patch", subresource="status", name="a", since=mark)

A request is logged when its answer is known and before it is sent: whoever has the answer finds the request here. A
watch is logged when it starts.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BODY_BYTES: Final = 65_536
"""How much of a body is kept."""

WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
"""The verbs that change something."""

_SHOWN: Final = 20  # Requests that a failed assertion lists.
_DRY: Final = "dryRun"


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request and how it was answered.

    Attributes:
        number: position in the log, from 1; grows by one for each request.
        verb: as RBAC names it, ``watch`` included; the method in lower case for what is no resource.
        path: as it was sent, with the control plane's prefix, without the query.
        query: the first value of each parameter.
        plane: the control plane, empty for the root.
        resource: ``plural.group``, empty for what is no resource.
        user: who asked, after impersonation; empty if nobody knew.
        status: of the answer; 0 if the connection was cut instead.
        seconds: from the request's head to its answer, faults included.
        body: at most `BODY_BYTES` of it.
        body_bytes: how long it was.
    """

    number: int
    verb: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    plane: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    user: str = ""
    agent: str = ""
    status: int = 0
    seconds: float = 0.0
    body: bytes = b""
    body_bytes: int = 0

    @property
    def watch(self) -> bool:
        """Whether it is a watch."""
        return self.verb == "watch"

    @property
    def is_write(self) -> bool:
        """Whether it could change something: a write that is no dry run, whatever became of it."""
        return self.verb in WRITES and bool(self.resource) and _DRY not in self.query

    def json(self) -> Any:
        """Decode the body.

        Raises:
            ValueError: it is not JSON, or was longer than what is kept.
        """
        return json.loads(self.body)

    def __str__(self) -> str:
        """Say it in one line, for messages."""
        target = "/".join(part for part in (self.resource or self.path, self.subresource) if part)
        name = f"{self.namespace}/{self.name}".strip("/")
        plane = f"[{self.plane}] " if self.plane else ""
        query = f" ?{'&'.join(f'{key}={value}' for key, value in self.query.items())}" if self.query else ""
        return f"#{self.number} {plane}{self.verb} {target} {name}".rstrip() + f"{query} -> {self.status} ({self.user})"


class RequestLog:
    """The last requests; may be read from any thread.

    Args:
        size: how many are kept.
        body_bytes: how many bytes of bodies are kept together; the oldest requests go first.
    """

    def __init__(self, *, size: int = 10_000, body_bytes: int = 32 * 1024 * 1024) -> None:
        """Start empty."""
        self._size = size
        self._body_bytes = body_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._requests: deque[LoggedRequest] = deque()
        self._last = 0

    def add(self, **fields: Any) -> LoggedRequest:
        """Log a request; `fields` are those of `LoggedRequest` without its number."""
        body: bytes = fields.pop("body", b"")
        with self._lock:
            self._last += 1
            # A copy: a slice of a large body would keep all of it alive.
            request = LoggedRequest(number=self._last, body=bytes(body[:BODY_BYTES]), body_bytes=len(body), **fields)
            self._requests.append(request)
            self._held += len(request.body)
            while len(self._requests) > self._size or (self._held > self._body_bytes and len(self._requests) > 1):
                self._held -= len(self._requests.popleft().body)
        return request

    def mark(self) -> int:
        """Give the number of the newest request, for `since`."""
        with self._lock:
            return self._last

    def clear(self) -> None:
        """Forget all; the numbers go on."""
        with self._lock:
            self._requests.clear()
            self._held = 0

    def __len__(self) -> int:
        """Count the requests that are kept."""
        with self._lock:
            return len(self._requests)

    def where(self, *, since: int = 0, **wanted: Any) -> list[LoggedRequest]:
        """Find requests, the oldest first.

        Args:
            since: a mark; only requests after it.
            wanted: fields of `LoggedRequest` and their value, or a collection of values that may stand there. A
                ``resource`` without a group (``widgets``) matches the plural in every group.

        Raises:
            TypeError: there is no such field.
        """
        _check_fields(wanted)
        with self._lock:
            found = [request for request in self._requests if request.number > since]
        return [request for request in found if _matches(request, wanted)]

    def writes(self, *, since: int = 0, **wanted: Any) -> list[LoggedRequest]:
        """Find the writes, those that failed too; dry runs and virtual kinds such as reviews are none."""
        return [
            request
            for request in self.where(since=since, **wanted)
            if request.is_write and not request.resource.endswith((".authorization.k8s.io", ".authentication.k8s.io"))
        ]

    def assert_none(self, *, since: int = 0, **wanted: Any) -> None:
        """Fail if there are such requests.

        Raises:
            AssertionError: lists them.
        """
        __tracebackhide__ = True
        self.assert_count(0, since=since, **wanted)

    def assert_count(self, count: int, *, since: int = 0, **wanted: Any) -> list[LoggedRequest]:
        """Fail unless there are exactly so many such requests; returns them.

        Raises:
            AssertionError: lists what there was.
        """
        __tracebackhide__ = True
        found = self.where(since=since, **wanted)
        if len(found) != count:
            self._complain(f"{count or 'no'} {_plural(count)} with {_criteria(wanted)}", found, since)
        return found

    def assert_no_writes(self, *, since: int = 0, **wanted: Any) -> None:
        """Fail if something was written.

        Raises:
            AssertionError: lists the writes.
        """
        __tracebackhide__ = True
        if found := self.writes(since=since, **wanted):
            self._complain(f"no writes with {_criteria(wanted)}", found, since)

    def _complain(self, wanted: str, found: Sequence[LoggedRequest], since: int) -> None:
        __tracebackhide__ = True
        after = f" after #{since}" if since else ""
        lines = [f"expected {wanted}{after}, there {'was' if len(found) == 1 else 'were'} {len(found)}"]
        if found:
            lines += _listed(found)
        else:
            others = self.where(since=since)
            lines += ["all requests:", *_listed(others)] if others else ["there were no requests at all"]
        raise AssertionError("\n".join(lines))


def _check_fields(wanted: Iterable[str]) -> None:
    known = {*LoggedRequest.__dataclass_fields__, "watch", "is_write"}
    if unknown := sorted(set(wanted) - known):
        msg = f"a request has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        raise TypeError(msg)


def _matches(request: LoggedRequest, wanted: Mapping[str, Any]) -> bool:
    return all(_is(name, getattr(request, name), value) for name, value in wanted.items())


def _is(name: str, value: Any, wanted: Any) -> bool:
    if isinstance(wanted, (set, frozenset, list, tuple)):
        return any(_is(name, value, each) for each in wanted)
    if name == "resource" and wanted and "." not in wanted:
        return bool(value.partition(".")[0] == wanted)
    return bool(value == wanted)


def _plural(count: int) -> str:
    return "request" if count == 1 else "requests"


def _criteria(wanted: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any fields"


def _listed(requests: Sequence[LoggedRequest]) -> list[str]:
    lines = [f"  {request}" for request in requests[-_SHOWN:]]
    return [f"  … {len(requests) - _SHOWN} before these", *lines] if len(requests) > _SHOWN else lines

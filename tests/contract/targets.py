"""The way to an API server by the standard library."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT: Final = "contract/1.0"
JSON: Final = "application/json"
EVENT_SECONDS: Final = 5.0
"""How long the next event of a watch may take."""
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """An API server and the tokens of the users ``admin`` and ``nobody``."""

    url: str
    ca_pem: str
    tokens: Mapping[str, str]


class Line:
    """The way to a target for one thread; keeps one connection for all but watches."""

    def __init__(self, target: Target) -> None:
        self._address = urlsplit(target.url)
        self._tls = ssl.create_default_context(cadata=target.ca_pem)
        self._tokens = target.tokens
        self._kept: http.client.HTTPSConnection | None = None

    def connect(self, seconds: float = _SECONDS) -> http.client.HTTPSConnection:
        host, port = self._address.hostname or "", self._address.port
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)

    def headers(self, user: str, given: Mapping[str, str]) -> dict[str, str]:
        """`user` may also be ``nobody`` without rights, ``stranger`` with a wrong token, or empty: no token."""
        headers = {"User-Agent": AGENT, "Accept": JSON, **given}
        if user:
            headers["Authorization"] = f"Bearer {self._tokens.get(user, 'wrong')}"
        return headers

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        for again in (True, False):
            fresh = self._kept is None
            connection = self._kept = self._kept or self.connect()
            try:
                connection.request(method, path, body=body, headers=dict(headers))
                response = connection.getresponse()
                text = response.read()
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if fresh or not again:
                    raise
                continue  # The kept connection had been closed meanwhile.
            if response.will_close:
                self.close()
            return response, text
        raise AssertionError

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class Stream:
    """An open watch."""

    def __init__(
        self, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse, record: dict[str, Any]
    ) -> None:
        self._connection = connection
        self._response = response
        self._record = record

    def read(self, count: int = 1) -> list[Any]:
        """Take the next `count` events, or fewer if the watch ends or a time limit passes.

        Bookmarks are taken only at the end of the initial events: all others come when the server likes.
        """
        events: list[Any] = self._record.setdefault("events", [])
        start = len(events)
        while len(events) < start + count:
            event = self._next()
            if isinstance(event, str):
                self._record["end"] = event
                break
            if _is_passing_bookmark(event):
                continue
            events.append(event)
        return events[start:]

    def end(self) -> None:
        """Take what still comes until the server ends the watch."""
        self.read(1_000_000)

    def _next(self) -> Any:
        try:
            line = self._response.readline()
        except TimeoutError:
            return "nothing more came"
        return json.loads(line) if line else "ended by the server"

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def _is_passing_bookmark(event: Any) -> bool:
    if event.get("type") != "BOOKMARK":
        return False
    return "k8s.io/initial-events-end" not in event["object"]["metadata"].get("annotations", {})

"""A request and its answer, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpRequest(msgspec.Struct, frozen=True):
    """What to send.

    Attributes:
        method: one of `METHODS`.
        target: path and query below `Config.server`; begins with ``/`` and is percent-encoded.
        body: the bytes to send, or None.
        content_type: the header of that name; the API server answers 415 to a body without one.
        accept: the header of that name.
        verb: RBAC's word for it (``list``), for metrics; "" means the method.
        compressed: ask for gzip. Worth it for lists over a slow line; costs more than it saves on a LAN.
    """

    method: str
    target: str
    body: bytes | None = None
    content_type: str = ""
    accept: str = "application/json"
    verb: str = ""
    compressed: bool = False

    @property
    def read_only(self) -> bool:
        """Whether sending it twice changes nothing."""
        return self.method in {"GET", "HEAD"}


class HttpResponse(msgspec.Struct, frozen=True):
    """What came back, whatever its status.

    Attributes:
        status: the HTTP status.
        headers: names in lower case; of equal names the last.
        body: all of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait; None without the header and, as in client-go, for its date form."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isascii() and value.isdigit() else None

"""A server that `HttpFaultProxy` or `MiloRouter` forwards to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, and who may have signed its certificate.

    Attributes:
        origin: scheme, host and port, such as ``https://127.0.0.1:6443``.
        trust: what its certificate is verified against.
    """

    origin: str
    trust: ssl.SSLContext

    @classmethod
    def of(cls, url: str, ca_pem: str) -> Self:
        """Make one of a server's address; a path in it does not count."""
        origin = urlunsplit(urlsplit(url)._replace(path="", query="", fragment=""))
        return cls(origin, ssl.create_default_context(cadata=ca_pem))


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one request goes: a server, and path and query there, encoded as they came."""

    target: Target
    path: str

"""What a connection to an API server needs; `loading` finds it.

A `Config` is a value: two that are equal lead to the same server with the same rights (files count by path). No
``repr`` and no error of this room shows a token, password, key or proxy password.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from kcontroller.errors import ConfigError
from kcontroller.transport.urls import base_path_of, host_of, normalise_address, normalise_server, origin_of

if TYPE_CHECKING:
    from kcontroller.transport.files import WatchedFile


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


class Credentials(Protocol):
    """Who we are to an API server.

    Safe to call from any thread. A call may block while a file is read or a plugin runs, which has a time limit; what
    then fails raises `ConnectFailed`: nothing was sent.
    """

    def authorization(self) -> str | None:
        """Give the whole value of the Authorization header (``Bearer x``, ``Basic y``): printable ASCII, or None."""
        ...

    def client_certificate(self) -> ClientCertificate | None:
        """Give the certificate of the next connection, or None. The same object as long as nothing changed."""
        ...

    def invalidate(self) -> None:
        """Say that the server answered 401: the next call reads or runs again, once for all threads.

        Threads that were not refused may go on with what there is. A plugin runs after five seconds at the earliest,
        and less and less often for a server that refuses whatever it brings.
        """
        ...


@dataclass(frozen=True, slots=True)
class TLSConfig:
    """How the server proves who it is.

    Attributes:
        ca: the PEM certificates that may sign the server's; None means `ca_file`, or the system's bundle.
        server_name: the name expected in the certificate; "" means the host of the URL.
        verify: False trusts anyone (``insecure-skip-tls-verify``).
        ca_file: instead of `ca`, a file that may be replaced while we run.
    """

    ca: bytes | None = field(default=None, repr=False)
    server_name: str = ""
    verify: bool = True
    ca_file: WatchedFile | None = None

    def ca_pem(self) -> bytes | None:
        """Give the PEM certificates as they are now, the same object as long as nothing changed; None: system bundle.

        Reads the file again at most every five seconds. Safe to call from any thread.
        """
        return self.ca if self.ca_file is None else self.ca_file.read()


@dataclass(frozen=True, slots=True)
class Config:
    """One API server and how to reach it.

    Attributes:
        server: ``https://host:port/base`` in the normal form of `urls.normalise_server`: without trailing slash and
            default port.
        credentials: who we are.
        tls: how the server proves who it is.
        proxy: the URL of a proxy, decided when this was loaded; "" means none, whatever the environment says.
        namespace: the context's, or the pod's.
        source: where it came from, for messages: ``context "kind" of /home/me/.kube/config``.
        extra_headers: whole header lines for every request (``Impersonate-User: jane``).
        qps: requests a second at most, as client-go's ``QPS``; 0 for no limit. Each client of a server counts for
            itself, and informers are not limited.
        burst: how many of them may go at once; 0 is client-go's default of 10.
        resolve: ``address:port`` to connect to instead of where the server's name leads, as curl's ``--connect-to``; ""
            asks the resolver. The name that the server must prove stays that of the URL.
    """

    server: str
    credentials: Credentials = field(repr=False)
    tls: TLSConfig = TLSConfig()
    proxy: str = field(default="", repr=False)
    namespace: str = "default"
    source: str = ""
    extra_headers: tuple[str, ...] = ()
    qps: float = 0.0
    burst: int = 0
    resolve: str = ""

    def __post_init__(self) -> None:
        """Bring the server into normal form; raises ConfigError if it is not an HTTP URL, or for no usable rate."""
        where = self.source or "configuration"
        object.__setattr__(self, "server", normalise_server(self.server, where=where))
        if self.resolve:
            object.__setattr__(self, "resolve", normalise_address(self.resolve, where=where))
        if not 0 <= self.qps < math.inf or self.burst < 0:
            msg = f"{where}: qps and burst must be 0 or more, 0 for no limit; got qps={self.qps}, burst={self.burst}"
            raise ConfigError(msg)

    @property
    def origin(self) -> str:
        """``https://host:port``, the port always there."""
        return origin_of(self.server)

    @property
    def host(self) -> str:
        """``host:port``, the port always there: the label of metrics."""
        return host_of(self.server)

    @property
    def base_path(self) -> str:
        """The path before ``/api`` and ``/apis``, without trailing slash; "" for most servers."""
        return base_path_of(self.server)

    @property
    def connection(self) -> tuple[object, ...]:
        """What keeps connections apart: who differs in it cannot share one."""
        return self.origin, self.resolve, self.tls, self.proxy

    def with_server(self, server: str) -> Config:
        """Make the configuration of another server (or base path) that takes the same credentials.

        Proxy and TLS stay as they are, and `resolve` for the same host. Raises ConfigError if credentials for https
        would travel over http.
        """
        other = replace(self, server=server)
        if other.resolve and other.origin != self.origin:
            other = replace(other, resolve="")
        if self.server.startswith("https:") and not other.server.startswith("https:"):
            msg = f"{self.source or 'configuration'}: server {other.server} would get credentials in clear; use https"
            raise ConfigError(msg)
        return other

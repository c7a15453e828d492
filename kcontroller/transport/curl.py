"""What every handle is told about a server: address, trust, identity, headers, limits.

The rest of the room calls libcurl by its own names (``P.URL``); this module is where they are explained once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.errors import ConfigError
from kcontroller.transport.bundles import path_of
from kcontroller.transport.faults import Failure, Peer
from kcontroller.transport.urls import name_of
from kcontroller.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.transport.config import ClientCertificate, Config

USER_AGENT: Final = f"kcontroller/{VERSION}"
CONNECT_SECONDS: Final = 10.0

# Known to libcurl 8.9, unnamed by pycurl.
_TCP_KEEPCNT: Final = 326
_SUPPRESS_CONNECT_HEADERS: Final = 265

_HEADER_LINE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_LINES_KEPT: Final = 32


def check_build() -> None:
    """Refuse a libcurl that cannot do our work, with one line that says what to install."""
    version = P.version_info()
    missing = [
        name
        for name, there in (
            ("HTTP/2", version[4] & P.VERSION_HTTP2),
            ("TLS", version[4] & P.VERSION_SSL),
            ("version 8.9 or newer", version[2] >= 0x080900),  # noqa: PLR2004 - TCP_KEEPCNT
            ("certificates from memory", hasattr(P, "CAINFO_BLOB")),
        )
        if not there
    ]
    if missing:
        msg = (
            f"libcurl {version[1]} lacks {', '.join(missing)}: install pycurl from its binary wheel "
            "(glibc 2.28 or newer, macOS or Windows), not from source or a distribution"
        )
        raise ConfigError(msg)


_check_build_once: Final = cache(check_build)


def check_target(target: str) -> None:
    """Raise ValueError unless a path and query can go on the wire as they are."""
    if not _TARGET.fullmatch(target):
        msg = f"not a percent-encoded path: {target[:100]!r}; quote its segments before asking"
        raise ValueError(msg)


class Trust(NamedTuple):
    """What a connection is made with, besides its endpoint; it is no secret who shows it.

    Attributes:
        ca: the certificates that may sign the server's; None for the system's.
        certificate: ours, or None.
    """

    ca: bytes | None
    certificate: ClientCertificate | None


class Identity(NamedTuple):
    """Who we are and whom we trust, at one moment; files and plugins may bring another one for the next request.

    Attributes:
        authorization: the value of the header of that name.
        trust: what the connection is made with.
    """

    authorization: str | None
    trust: Trust

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Identity()"


class Endpoint:
    """One `Config` in libcurl's terms; safe for use from many threads.

    Args:
        config: the server and who we are.
        user_agent: the header of that name.
    """

    def __init__(self, config: Config, *, user_agent: str = USER_AGENT) -> None:
        """Work out what does not change between requests; raises ConfigError if libcurl or a header is unfit."""
        _check_build_once()
        self.config = config
        self.encrypted = config.server.startswith("https:")
        self.peer = Peer(
            server=config.origin,
            name=config.tls.server_name or name_of(config.server),
            source=config.source or "the configuration",
            own_ca=config.tls.ca is not None or config.tls.ca_file is not None,
            proxied=bool(config.proxy),
        )
        self._base = config.server
        self.base_path = config.base_path
        self._lines: dict[tuple[str, str, str | None], list[str]] = {}
        self._headers = [self._line(*_split_header(line)) for line in config.extra_headers]
        self._headers += [self._line("User-Agent", user_agent), self._line("Host", urlsplit(config.server).netloc)]
        self._fixed = _fixed_options(encrypted=self.encrypted, proxy=config.proxy, verify=config.tls.verify)
        if self.encrypted and config.tls.server_name:
            self._use_server_name(config, config.tls.server_name)
        elif config.resolve:
            self._connect_to(config.resolve)

    def _use_server_name(self, config: Config, name: str) -> None:
        # The URL decides SNI and the expected name; the connection goes elsewhere and the Host header stays.
        parts = urlsplit(config.server)
        host, _, port = config.host.rpartition(":")
        shown = f"[{name}]" if ":" in name else name
        self._base = f"https://{shown}:{port}{parts.path}"
        self._connect_to(config.resolve or f"{host}:{port}")

    def _connect_to(self, address: str) -> None:
        self._fixed += ((P.CONNECT_TO, [f"::{address}"]),)

    def identity(self) -> Identity:
        """Ask who we are now; raises what the credentials raise. May block, see `Credentials`."""
        credentials = self.config.credentials
        authorization = credentials.authorization()
        if not self.encrypted:
            return Identity(authorization, _NO_TRUST)
        return Identity(authorization, Trust(self.config.tls.ca_pem(), credentials.client_certificate()))

    def prepare(self, handle: P.Curl, target: str, *, timeout: float, accept: str, identity: Identity) -> None:
        """Set the options of a GET on a handle that was just made.

        Args:
            handle: the libcurl handle.
            target: path and query below the server, percent-encoded.
            timeout: seconds for the whole transfer; connecting may take `CONNECT_SECONDS` of them.
            accept: the Accept header.
            identity: from `identity`.

        Raises:
            ValueError: the target is not percent-encoded, or a header value is not printable ASCII.
        """
        check_target(target)
        self.prepare_connection(handle, timeout=timeout, trust=identity.trust)
        handle.setopt(P.URL, self._base + target)
        handle.setopt(P.HTTPHEADER, self.header_lines(accept, "", identity.authorization))

    def prepare_connection(self, handle: P.Curl, *, timeout: float, trust: Trust) -> None:
        """Set the options that say where to connect and whom to trust; see `prepare`."""
        handle.setopt(P.URL, self._base)
        for option, value in self._fixed:
            handle.setopt(option, value)
        handle.setopt(P.TIMEOUT_MS, _milliseconds(timeout))
        handle.setopt(P.CONNECTTIMEOUT_MS, _milliseconds(min(timeout, CONNECT_SECONDS)))
        if self.encrypted:
            _identify(handle, trust)

    def header_lines(self, accept: str, content_type: str, authorization: str | None) -> list[str]:
        """Give every header line of a request but those that tell of its body; not to be changed.

        Raises:
            ConfigError: a value is not printable ASCII.
        """
        # A client sends the same few sets of headers all its life; a token that is rotated makes new ones.
        wanted = accept, content_type, authorization
        lines = self._lines.get(wanted)
        if lines is None:
            lines = [*self._headers, self._line("Accept", accept)]
            if content_type:
                lines.append(self._line("Content-Type", content_type))
            if authorization is not None:
                lines.append(self._line("Authorization", authorization))
            if len(self._lines) >= _LINES_KEPT:
                self._lines = {}
            self._lines[wanted] = lines
        return lines

    def _line(self, name: str, value: str) -> str:
        # libcurl sends CR and LF inside a value as they are: the rest of it would be a header of its own.
        line = f"{name}: {value}"
        if not _HEADER_LINE.fullmatch(line):
            msg = f"the header {name[:40]!r} for {self.peer.server} holds a character that no header may hold"
            raise ConfigError(msg)
        return line


_NO_TRUST: Final = Trust(None, None)


@lru_cache(maxsize=64)  # The same for nearly all clusters of a fleet.
def _fixed_options(*, encrypted: bool, proxy: str, verify: bool) -> tuple[tuple[int, object], ...]:
    options: list[tuple[int, object]] = [
        (P.NOSIGNAL, 1),
        (P.PROTOCOLS, P.PROTO_HTTP | P.PROTO_HTTPS),
        (P.PATH_AS_IS, 1),  # Folding ".." is the server's business, after it has decoded the path.
        # Both always, or the environment decides.
        (P.PROXY, proxy),
        (P.NOPROXY, ""),
        (P.TCP_KEEPALIVE, 1),
        (P.TCP_KEEPIDLE, 30),
        (P.TCP_KEEPINTVL, 5),
        (_TCP_KEEPCNT, 3),
    ]
    if proxy:
        options.append((_SUPPRESS_CONNECT_HEADERS, 1))
    if encrypted:
        options += [
            (P.SSLVERSION, P.SSLVERSION_TLSv1_2),
            (P.SSL_VERIFYPEER, int(verify)),
            (P.SSL_VERIFYHOST, 2 if verify else 0),
        ]
    return tuple(options)


def _identify(handle: P.Curl, trust: Trust) -> None:
    # Not the user's paths: libcurl keeps what it once read from one, so that a rotated file would never be seen.
    if trust.ca is not None:
        path = path_of(trust.ca)
        if path is None:
            handle.setopt(P.CAINFO_BLOB, trust.ca)
        else:
            handle.setopt(P.CAINFO, path)
        handle.unsetopt(P.CAPATH)  # Some builds preset it, and it would be trusted beside the blob.
    if trust.certificate is not None:
        handle.setopt(P.SSLCERT_BLOB, trust.certificate.certificate)
        handle.setopt(P.SSLKEY_BLOB, trust.certificate.key)


def failure_of(handle: P.Curl, code: int, text: str, *, sent: bool | None = None) -> Failure:
    """Describe how a handle ended without an answer.

    `sent` is what the caller knows of it; None asks libcurl, which counts a proxy's CONNECT as well.
    """
    if sent is None:
        sent = handle.getinfo(P.REQUEST_SIZE) > 0
    return Failure(code, text, errno=handle.getinfo(P.OS_ERRNO), sent=sent)


def _split_header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip(" ")


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # 0 would mean no limit.


class Headers(Mapping[str, str]):
    """The header lines of one answer: names in lower case, the last of equal names wins.

    Nobody looks at the headers of most answers, so that they are taken apart at the first look.
    """

    __slots__ = ("_lines", "_values")

    def __init__(self, lines: list[bytes]) -> None:
        """Keep the lines; those of a proxy and of "100 Continue" may come first, each with a status line before."""
        self._lines = lines
        self._values: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._parsed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())

    def _parsed(self) -> dict[str, str]:
        if self._values is None:
            self._values = _parse(self._lines)
        return self._values


def _parse(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in b"".join(lines).decode("latin-1").split("\n"):
        if line.startswith("HTTP/"):
            headers.clear()
            continue
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers

"""Server URLs in one normal form, so that equal servers compare equal and share connections."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from kcontroller.errors import ConfigError
from kcontroller.process.logs import one_line

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_LAST_PORT: Final = 65_535
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]")
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_NAME_LENGTH: Final = 253
_QUERY: Final = re.compile(r"[?#]")
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~"
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")


def normalise_server(server: str, *, where: str) -> str:
    """Bring a server's URL into normal form: lower-case scheme and host, no default port, no trailing slash.

    Idempotent. Raises ConfigError, beginning with `where`, for another scheme, user-info (it would reach logs), a
    query, a fragment, dot segments, or a host or port that cannot be one.
    """
    try:
        return _normal_form(server)
    except _UnusableError as error:
        msg = f"{where}: server {error}"
        raise ConfigError(msg) from None


class _UnusableError(Exception):
    """A URL is none of a server; says why."""


@lru_cache(maxsize=4096)  # Many clusters of one server; each of them is asked several times.
def _normal_form(server: str) -> str:
    text = server.strip()
    if "@" in text.partition("?")[0]:
        msg = "must not contain '@'; put user and password into the user entry"
        raise _UnusableError(msg)
    shown = one_line(_QUERY.split(text, maxsplit=1)[0][:200])  # A query may hold a token.
    parts, problem = _split(text, shown)
    if parts is None:
        msg = f"{shown!r} {problem}"
        raise _UnusableError(msg)
    host = parts.netloc.lower()
    name, port = _host_and_port(parts)
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        host = name
    return f"{parts.scheme}://{host}{quote(parts.path.rstrip('/'), safe=_PATH_SAFE)}"


def normalise_address(address: str, *, where: str) -> str:
    """Bring ``address:port`` into lower case. Raises ConfigError, beginning with `where`, if it is anything else."""
    text = address.strip().lower()
    host, colon, port = text.rpartition(":")
    if not (colon and _HOST.fullmatch(host) and port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        shown = one_line(address[:200])
        msg = f"{where}: {shown!r} is not where to connect to; write address:port, such as 10.0.0.1:443"
        raise ConfigError(msg)
    return f"{host}:{int(port)}"


def is_host(text: str) -> bool:
    """Whether it is a host name or an address, without brackets, zone or port."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= _NAME_LENGTH and _NAME.fullmatch(text) is not None
    return "%" not in text


def _split(text: str, shown: str) -> tuple[SplitResult | None, str]:
    """Give the parts of a usable URL, or what is wrong with it."""
    if _UNSAFE.search(text):
        return None, "contains a space, backslash or control character"
    if "://" not in text:
        return None, f"has no scheme; write https://{shown}"
    try:
        parts = urlsplit(text)
        name, port = _host_and_port(parts)
    except ValueError:
        return None, "is not a URL; write https://host:port"
    problem = ""
    if parts.scheme not in _DEFAULT_PORTS:
        problem = f"has the scheme {parts.scheme!r}; use https"
    elif not _HOST.fullmatch(name) or port == 0:
        problem = "has no usable host and port; write https://host:port"
    elif "?" in text or "#" in text:
        problem = "has a query or fragment; remove it"
    elif any(segment in {".", ".."} for segment in parts.path.replace("%2e", ".").replace("%2E", ".").split("/")):
        problem = "has a dot segment in its path; remove it"
    return (None, problem) if problem else (parts, "")


def _host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    name = parts.hostname or ""
    return (f"[{name}]" if ":" in name else name), parts.port


@lru_cache(maxsize=4096)
def host_of(server: str) -> str:
    """Give ``host:port`` of a server in normal form, the port always there."""
    parts = urlsplit(server)
    name, port = _host_and_port(parts)
    return f"{name}:{port or _DEFAULT_PORTS[parts.scheme]}"


@lru_cache(maxsize=4096)
def name_of(server: str) -> str:
    """Give the host name or address of a server in normal form, without brackets and port."""
    return urlsplit(server).hostname or ""


@lru_cache(maxsize=4096)
def origin_of(server: str) -> str:
    """Give ``https://host:port`` of a server in normal form, the port always there."""
    return f"{server.partition(':')[0]}://{host_of(server)}"


@lru_cache(maxsize=4096)
def base_path_of(server: str) -> str:
    """Give the path of a server in normal form, without trailing slash."""
    return urlsplit(server).path

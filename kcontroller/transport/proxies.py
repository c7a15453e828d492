"""Which proxy a server is reached through, by the rules of Go's ``http.ProxyFromEnvironment``.

Python's own rules differ (no CIDR, no loopback exception), and libcurl's again.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kcontroller.errors import ConfigError
from kcontroller.transport.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]")


def check_proxy(url: str, *, what: str) -> str:
    """Give a proxy's URL back, with ``http://`` where no scheme is; raises ConfigError if it is none.

    The error does not show the URL: it may hold a password.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0 and not _UNSAFE.search(text)
    except ValueError:
        usable = False
    if not usable:
        msg = f"{what} is not the URL of a proxy; write http://host:port (or https, socks5, socks5h)"
        raise ConfigError(msg)
    return text


def proxy_from_environ(server: str, environ: Mapping[str, str]) -> str:
    """Choose the proxy for a server from HTTPS_PROXY or HTTP_PROXY, and NO_PROXY; "" for none.

    Upper case wins over lower case. Loopback is never proxied. Raises ConfigError for a variable that is no URL.
    """
    name = "HTTPS_PROXY" if server.lower().startswith("https:") else "HTTP_PROXY"
    url = environ.get(name) or environ.get(name.lower()) or ""
    if not url.strip():
        return ""
    exceptions = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    return "" if _bypassed(server, exceptions) else check_proxy(url, what=f"environment variable {name}")


def is_loopback(server: str) -> bool:
    """Whether a server in normal form is this machine by its name or address."""
    host = _host_and_port(server)[0]
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _host_and_port(server: str) -> tuple[str, str]:
    host, _, port = host_of(server.lower()).rpartition(":")
    return host.strip("[]").rstrip("."), port


def _bypassed(server: str, exceptions: str) -> bool:
    if is_loopback(server):
        return True
    host, port = _host_and_port(server)
    address = _address(host)
    entries = [entry.strip().lower() for entry in exceptions.split(",")]
    return any(_matches(entry, host, port, address) for entry in entries if entry)


def _matches(entry: str, host: str, port: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted_port = entry.rpartition(":")
    if colon and wanted_port.isdigit() and _address(entry) is None:
        if wanted_port != port:
            return False
        entry = name
    entry = entry.strip("[]").rstrip(".")
    if (exact := _address(entry)) is not None:
        return address == exact
    suffix = entry.removeprefix("*")
    return host.endswith(suffix) if suffix.startswith(".") else host == entry or host.endswith(f".{entry}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

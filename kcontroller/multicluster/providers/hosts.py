"""Where a kubeconfig that somebody else wrote may lead.

Who may write such a Secret chooses where this process connects. Names are compared as they are written and not
resolved, so that **a name in DNS that leads inside is not recognised**, not even one that leads to this machine: what
it leads to must only show a certificate for this name, of an authority that the kubeconfig names or the system trusts.
Where the authors of the Secrets are not trusted, name the hosts (allow-hosts).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_NUMERIC: Final = re.compile(r"[0-9a-fx.]+")
_BRACKETS: Final = re.compile(r"\[(.*)\]")
_BARE_IPV6: Final = re.compile(r"[^/\[\]]*:[^/\[\]]*")
_SHOWN: Final = 200
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LAST_PORT: Final = 65_535
_HERE: Final = re.compile(
    r"(.*\.)?localhost([46]?\.localdomain[46]?|[46])?|ip6-(localhost|loopback)|host\.(docker|containers)\.internal|"
    r"metadata(\.goog(le\.internal)?)?|instance-data(\.ec2\.internal)?"
)
_EMBEDDING: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""The last 32 bits are an IPv4 address: RFC 6052, RFC 4291 2.5.5.1, RFC 2765."""

_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
"""RFC 8215: where in it the IPv4 address stands only the network's owner knows."""

_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
            *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
        ),
    )
)
"""Metadata services outside of link-local addresses: AWS and Google (IPv6); Alibaba, Azure, Oracle."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Hosts that may be reached: ``api.example.com``, ``*.example.com``, ``10.0.0.0/8``, ``*``, each with ``:PORT``.

    An IPv6 address stands in brackets, since its end could be meant as a port.

    Attributes:
        name: of the host; "" where it is a network.
        network: of addresses; an address is never matched by a name but ``*``.
        port: None for every port.
    """

    name: str
    network: Network | None
    port: int | None

    @classmethod
    def of(cls, text: str) -> HostPattern:
        """Read one.

        Raises:
            ValueError: it is none.
        """
        host, port = _split(text.strip().lower())
        if host == "*" or (_NAME.fullmatch(host) and _address(host) is None):
            return cls(host, None, port)
        with suppress(ValueError):
            if not _BARE_IPV6.fullmatch(host):
                return cls("", ipaddress.ip_network(_BRACKETS.sub(r"\1", host)), port)
        msg = (
            f"{text[:_SHOWN]!r} is no host; write api.example.com, *.example.com, 10.0.0.0/8 or [2001:db8::1], "
            "if need be with :PORT"
        )
        raise ValueError(msg)

    def matches(self, host: str, address: Address | None, port: int) -> bool:
        """Whether a host, whose address is known if it is written as one, may be reached at a port."""
        if self.port not in {None, port}:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        if self.name == "*":
            return True
        if address is not None:
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name


def refusal(server: str, allowed: Iterable[HostPattern], *, server_name: str = "") -> str:
    """Say why a server may not be reached; "" if it may.

    Args:
        server: its URL, in normal form.
        allowed: where it must be; without any, everywhere but on this machine and its link, where what cannot be
            reached from elsewhere answers: loopback, link-local and multicast addresses, metadata services. A name in
            DNS that leads there is not recognised.
        server_name: the name that its certificate must be for, if it is another one than the host's. It needs
            `allowed`: with it a name could lead to any server inside whose authority is known.
    """
    parts = urlsplit(server)
    host = (parts.hostname or "").rstrip(".")
    address, port = _address(host), parts.port or 443
    patterns = tuple(allowed)
    if patterns:
        is_allowed = any(pattern.matches(host, address, port) for pattern in patterns)
        return "" if is_allowed else f"{host}:{port} is not among the hosts that may be reached; see allow-hosts"
    if _HERE.fullmatch(host) if address is None else _is_here(address):
        return f"{host} is this machine, its link or a metadata service; name it in allow-hosts if it is meant"
    if server_name:
        why = f"since {host} could then lead to any server inside"
        return f"tls-server-name is refused here, {why}; remove it, or name the host in allow-hosts"
    return ""


def _split(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if colon and (":" not in host or host.endswith("]")) and _PORT.fullmatch(port) and int(port) <= _LAST_PORT:
        return host, int(port)
    return text, None


def _address(host: str) -> Address | None:
    """The address that a host is written as, also in the odd forms that resolvers take: ``127.1``, ``0x7f000001``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _NUMERIC.fullmatch(host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_here(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and any(map(_is_here, _inner(address))):
        return True
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address in _METADATA
        or address in _LOCAL_NAT64
    )


def _inner(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that a gateway or tunnel makes of it (6to4: RFC 3056, Teredo: RFC 4380)."""
    if any(address in network for network in _EMBEDDING):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()

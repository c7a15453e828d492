"""Where a kubeconfig that somebody else wrote may lead.

Who may write such a Secret chooses where this process connects. Names are compared as they are written and not
resolved: what a name leads to must still show a certificate for it, of an authority that the kubeconfig names or the
system trusts, since kubeconfigs that switch verification off are refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_NUMERIC: Final = re.compile(r"[0-9a-fx.]+")
_BRACKETS: Final = re.compile(r"\[(.*)\]")
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")
_HERE: Final = re.compile(
    r"(.*\.)?localhost(\.localdomain)?|ip6-(localhost|loopback)|metadata(\.google\.internal)?|"
    r"instance-data(\.ec2\.internal)?"
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
"""Metadata services outside of link-local addresses: AWS (IPv6), Alibaba, Azure, Oracle."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Hosts that may be reached: ``api.example.com``, ``*.example.com``, ``10.0.0.0/8``, ``*``, each with ``:PORT``.

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
        try:
            return cls("", ipaddress.ip_network(_BRACKETS.sub(r"\1", host)), port)
        except ValueError:
            msg = f"{text!r} is no host; write api.example.com, *.example.com or 10.0.0.0/8, if need be with :PORT"
            raise ValueError(msg) from None

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


def refusal(server: str, allowed: Iterable[HostPattern]) -> str:
    """Say why a server may not be reached; "" if it may.

    Args:
        server: its URL, in normal form.
        allowed: where it must be; without any, everywhere but on this machine and its link, where what cannot be
            reached from elsewhere answers: loopback, link-local and multicast addresses, metadata services.
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
    return ""


def _split(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
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
    if isinstance(address, ipaddress.IPv6Address) and (inner := _inner(address)) is not None and _is_here(inner):
        return True
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address in _METADATA
    )


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a gateway makes of it (RFC 6052, RFC 3056)."""
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.sixtofour

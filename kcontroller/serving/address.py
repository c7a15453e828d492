"""Bind addresses as Kubernetes writes them: ``:8081``, ``127.0.0.1:8081``, ``[::1]:8081``, ``localhost:8081``."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

OFF: Final = "0"
"""The address that switches a server off; whoever starts servers compares with it, `listen` refuses it."""

BACKLOG: Final = 128
_HIGHEST_PORT: Final = 65535


def parse(address: str, *, option: str) -> tuple[str, int]:
    """Split an address into host ("" for all interfaces) and port (0 for any free one).

    Raises:
        ConfigError: it is not an address; the text names `option` and shows one that is.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""  # Where an IPv6 address ends and its port begins cannot be told without the brackets.
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        msg = f"{option}: '{address}' is not an address; write :8081, 127.0.0.1:8081 or [::1]:8081, or 0 for none"
        raise ConfigError(msg)
    return host, int(port)


def listen(address: str, *, option: str) -> socket.socket:
    """Open a listening socket; without a host on all interfaces, IPv6 and IPv4 where the machine has both.

    A port that someone listens on is refused: ``SO_REUSEADDR`` is set (a restart must not wait for TIME_WAIT),
    ``SO_REUSEPORT``, with which two processes share a port in silence, never is.

    Raises:
        ConfigError: the address cannot be had; the text names it, `option` and the remedy.
    """
    host, port = parse(address, option=option)
    failure: OSError | None = None
    for family, target in _targets(host, port, address=address, option=option):
        try:
            return _open(family, target)
        except OSError as error:
            failure = error
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                break
    msg = f"{option}: cannot listen on {address}: {_remedy(failure)}"
    raise ConfigError(msg) from failure


def _open(family: int, target: tuple[str, int]) -> socket.socket:
    if target[0] == "::":
        return socket.create_server(target, family=family, backlog=BACKLOG, dualstack_ipv6=True)
    return socket.create_server(target, family=family, backlog=BACKLOG)


def _targets(host: str, port: int, *, address: str, option: str) -> Iterator[tuple[int, tuple[str, int]]]:
    if not host:
        if socket.has_dualstack_ipv6():
            yield socket.AF_INET6, ("::", port)
        yield socket.AF_INET, ("0.0.0.0", port)  # noqa: S104 - probes come from the node, not from localhost
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        msg = f"{option}: the host of {address} has no address; write :{port} for all interfaces"
        raise ConfigError(msg) from error
    for family, _, _, _, sockaddr in found:
        yield family, (str(sockaddr[0]), port)


def _remedy(error: OSError | None) -> str:
    code = error.errno if error else None
    if code == errno.EADDRINUSE:
        return "the port is in use; stop what uses it, or choose another port (0 switches this server off)"
    if code == errno.EACCES:
        return "no right to use this port; choose one above 1023"
    if code == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; leave the host out to listen on all interfaces"
    return os.strerror(code) if code else "no address"

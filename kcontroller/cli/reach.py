"""Talks to a daemon on this machine over its control socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click

from kcontroller.cli.failures import Failure
from kcontroller.cli.options import Option
from kcontroller.serving import control_socket

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS: Final = 10.0

socket_option: Final[Callable[[Any], Any]] = click.option(
    "--socket",
    "socket_path",
    cls=Option,
    scope="CONTROL",
    metavar="PATH",
    help="The daemon's control socket; by default that of the only one of this user here.",
)
"""Which daemon is meant."""


class Refused(Failure):
    """The daemon's answer to a question that it cannot answer."""


class Daemon:
    """One running process.

    Args:
        path: of its control socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, path: str, **query: str) -> Any:
        """Ask for a page.

        Raises:
            Refused: the daemon says why not.
            Failure: it does not answer.
        """
        return self._ask("GET", path, query)

    def post(self, path: str, **query: str) -> Any:
        """Give a command; raises as `get`."""
        return self._ask("POST", path, query)

    def _ask(self, method: str, path: str, query: dict[str, str]) -> Any:
        with contextlib.closing(_Connection(str(self.path))) as connection:
            try:
                connection.request(method, f"{path}?{urlencode(query)}")
                response = connection.getresponse()
                body = response.read()
            except PermissionError as error:
                msg = f"{self.path} belongs to another user; run this as the user of the daemon"
                raise Failure(msg) from error
            except (OSError, http.client.HTTPException) as error:
                why = getattr(error, "strerror", "") or str(error) or type(error).__name__
                msg = f"no daemon answers at {self.path}: {why}"
                raise Failure(msg) from error
        if response.status != http.client.OK:
            raise Refused(body.decode(errors="replace").strip())
        return json.loads(body)


def find(path: str | None) -> Daemon:
    """Find the daemon that is meant.

    Raises:
        Failure: there is none, or more than one; the text says what to do.
    """
    if path and path != control_socket.AUTOMATIC:  # The daemon's own option has the same variable.
        return Daemon(Path(path))
    found = [Daemon(each) for each in control_socket.sockets() if control_socket.is_served(each)]
    if len(found) == 1:
        return found[0]
    if not found:
        msg = (
            f"no daemon of this user runs here (no socket in {control_socket.folder()}); start one with 'kcontroller "
            "run', name its --socket, or ask in its pod: kubectl exec deploy/NAME -- kcontroller ..."
        )
        raise Failure(msg)
    there = "; ".join(f"--socket {each.path} ({_command_of(each)})" for each in found)
    msg = f"several daemons run here, name one: {there}"
    raise Failure(msg)


def _command_of(daemon: Daemon) -> str:
    try:
        return str(daemon.get("/about")["command"])
    except Failure:
        return "it does not answer"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

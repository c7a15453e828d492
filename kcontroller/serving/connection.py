"""One connection of a server: its TLS handshake and the head of its request, gathered without blocking.

cheroot parses a whole head and answers it; it is told what it asks its server for by `Settings`.
"""

from __future__ import annotations

import contextlib
import enum
import io
import logging
import selectors
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from cheroot import wsgi
from cheroot.server import HTTPConnection

from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from kcontroller.process.clock import Clock

HEAD_LIMIT: Final = 8 * 1024
_HEAD_BYTES: Final = HEAD_LIMIT + 1024  # More than the limit, so that a worker can say 413 without reading on.
_WRITE_SECONDS: Final = 10.0  # For a whole answer: as long as Prometheus waits for a scrape.
_END_OF_HEAD: Final = b"\r\n\r\n"
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"this port speaks HTTPS\n"
)

_log = Log(__name__)


class Progress(enum.Enum):
    """How far a connection has come."""

    READS = selectors.EVENT_READ
    WRITES = selectors.EVENT_WRITE
    WHOLE = "a worker can parse it"
    GONE = "the peer has gone, or speaks something else"


class Connection(HTTPConnection):
    """cheroot's connection, which knows whether its request's head is complete.

    Args:
        settings: what cheroot asks for.
        accepted: the socket, which must not block.
        clock: the loop's: `since` tells by it when the connection was accepted.
        tls: with it the peer has to shake hands first.

    Raises:
        OSError: the peer has gone already.
    """

    rbufsize = _HEAD_BYTES

    def __init__(
        self, settings: Settings, accepted: socket.socket, *, clock: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self.since = clock.monotonic()
        self._encrypted = tls is not None
        self._shaken = tls is None
        if tls is not None:
            accepted.getpeername()  # Without a peer `wrap_socket` would raise too, but leave the socket open.
            accepted = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        super().__init__(settings, accepted)
        self.wfile = _Writer(self.socket, clock=clock)

    def gather(self) -> Progress:
        """Go as far as is possible without waiting."""
        # ssl's "not yet" are OSErrors too; caught as such, they would close every connection.
        try:
            if not self._shaken:
                self.socket.do_handshake()
                self._shaken = True
            return self._read_head()
        except ssl.SSLWantReadError:
            return Progress.READS
        except ssl.SSLWantWriteError:
            return Progress.WRITES
        except OSError as error:
            if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
                with contextlib.suppress(OSError):
                    socket.socket.send(self.socket, _PLAIN_ANSWER)
            return Progress.GONE
        except ValueError:  # It was closed meanwhile.
            return Progress.GONE

    def answer(self) -> None:
        """Answer the request; reads nothing from the peer, who could take its time."""
        with contextlib.closing(self.rfile) as gathered:
            self.rfile = io.BytesIO(gathered.peek(0))
        self.communicate()  # type: ignore[no-untyped-call]

    def _read_head(self) -> Progress:
        # OpenSSL takes one record from the socket at a time, and what one holds above our buffer is above the limit: so
        # nothing is left decrypted where no selector would see it.
        before = self._length()
        head = self.rfile.peek(_HEAD_BYTES)
        if _END_OF_HEAD in head or len(head) > HEAD_LIMIT:
            return Progress.WHOLE
        return Progress.READS if len(head) > before else Progress.GONE

    def _length(self) -> int:
        return len(self.rfile.peek(0)) if self.rfile.has_data() else 0

    def close(self) -> None:
        """Close it, whatever state it is in."""
        if self._encrypted and self._shaken:
            with contextlib.suppress(OSError, ValueError):
                # Tells the peer that the answer was not cut short; does not wait for the same from it.
                self.socket.settimeout(0)
                self.socket.unwrap()
        with contextlib.suppress(OSError, ValueError):
            super().close()


class _Writer:
    """What cheroot writes an answer to. One time is for all of it: one for each piece would never end.

    Args:
        connection: where it goes.
        clock: the time, which begins with the first byte.
    """

    def __init__(self, connection: socket.socket, *, clock: Clock) -> None:
        self._socket = connection
        self._clock = clock
        self._deadline: Deadline | None = None

    def write(self, data: bytes) -> int:
        """Send all of it; raises TimeoutError when the time is over."""
        if self._deadline is None:
            self._deadline = Deadline.after(_WRITE_SECONDS, clock=self._clock)
        rest = memoryview(data)
        while rest:
            seconds = self._deadline.remaining()
            if not seconds:
                msg = "timed out"  # cheroot knows it by this text.
                raise TimeoutError(msg)
            self._socket.settimeout(seconds)
            rest = rest[self._socket.send(rest) :]
        return len(data)


class Settings(wsgi.Server):
    """What cheroot's parser and gateway ask their server for; it never binds, listens or starts a thread."""

    max_request_header_size = HEAD_LIMIT
    software = "kcontroller"

    def __init__(self, app: WSGIApplication) -> None:
        super().__init__(("127.0.0.1", 0), app, numthreads=1, server_name="kcontroller")

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's signature
        """Write to our log; what a client can provoke stays at debug."""
        if level < logging.ERROR:
            _log.debug(msg)
        elif traceback:
            _log.exception(msg)
        else:
            _log.error(msg)

    def forget(self) -> None:
        """Leave the process-wide table of statistics that cheroot enters each server in."""
        table: dict[str, Any] = getattr(logging, "statistics", {})
        table.pop(f"Cheroot HTTPServer {id(self)}", None)

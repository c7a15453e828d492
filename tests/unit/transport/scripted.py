"""An HTTP/1.1 server on a real socket whose every answer, and every failure, a test writes down."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

PATIENCE = 10.0

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def tls(*, names: tuple[str, ...] = ("127.0.0.1", "localhost"), authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    """Serve a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@dataclass
class Seen:
    """One complete request."""

    method: str
    target: str
    headers: dict[str, str]
    lines: list[str]
    body: bytes
    connection: int
    number: int


@dataclass
class Call:
    """A request and the socket to answer it on."""

    request: Seen
    sock: socket.socket
    stopped: threading.Event
    open: bool = True

    def reply(self, status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        """Answer in full."""
        self.send(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    def begin(self, status: int = 200) -> None:
        """Begin an answer without end."""
        self.send(head(status, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        """Send a piece of it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        """End it."""
        self.send(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def close(self) -> None:
        """End the connection."""
        self.open = False

    def reset(self) -> None:
        """End the connection without the TLS farewell."""
        self.open = False
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def hold(self) -> None:
        """Say nothing until the server is closed."""
        self.stopped.wait(PATIENCE)
        self.open = False


def head(status: int, headers: dict[str, str]) -> bytes:
    """Write a status line and headers."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def ok(call: Call) -> None:
    """Answer every request with what it was."""
    call.reply(body=json.dumps({"method": call.request.method, "target": call.request.target}).encode())


@dataclass
class Server:
    """Runs a script for each request, one thread per connection."""

    script: Callable[[Call], None] = ok
    context: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait for something that requests or connections change."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE)

    def refuse(self) -> None:
        """Take no more connections, and keep those there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.refuse()
        with self.changed:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                self.connections += 1
                self._open.add(sock)
                number = self.connections
                self.changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(sock, number))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        sock = plain
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(lambda: self._forget(plain, sock))
            if self.context is not None:
                sock = self.context.wrap_socket(plain, server_side=True)
                with self.changed:
                    self._open.discard(plain)
                    self._open.add(sock)
            elif plain.recv(1, socket.MSG_PEEK) == b"\x16":  # A TLS handshake.
                plain.recv(65536)
                plain.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return
            stream = stack.enter_context(sock.makefile("rb"))
            for request in self._requests(stream, number):
                call = Call(request, sock, self._stopped)
                self.script(call)
                if not call.open:
                    break

    def _forget(self, plain: socket.socket, sock: socket.socket) -> None:
        with self.changed:
            self._open -= {plain, sock}
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(0.0)  # Say farewell, do not wait for the answer.
                with contextlib.suppress(OSError, ValueError):
                    sock.unwrap()
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            plain.close()
            self.changed.notify_all()

    def _requests(self, stream: object, number: int) -> Iterator[Seen]:
        while line := stream.readline():
            method, target, _ = line.decode().split()
            lines = []
            while (text := stream.readline().decode().rstrip("\r\n")) != "":
                lines.append(text)
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)
            }
            body = stream.read(int(headers.get("content-length", "0")))
            with self.changed:
                request = Seen(method, target, headers, lines, body, number, len(self.seen))
                self.seen.append(request)
                self.changed.notify_all()
            yield request


def relay(client: socket.socket, address: tuple[str, int]) -> None:
    """Carry bytes both ways until one side ends."""
    with socket.create_connection(address) as server, selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while ready := selector.select(PATIENCE):
            for key, _ in ready:
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)

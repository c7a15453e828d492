"""A server of plain bytes on a real socket: it answers what it is told to, and notes how its connections end."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

PATIENCE = 10.0


class EchoServer:
    """Sends back what it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.ends: list[str] = []
        self.received = bytearray()
        self.changed = threading.Condition()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def wait_for_ends(self, *expected: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.ends) >= len(expected), PATIENCE)
            assert tuple(self.ends) == expected

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        end = "fin"
        with sock:
            try:
                while data := sock.recv(65536):
                    self.received += data
                    sock.sendall(data)
            except ConnectionResetError:
                end = "rst"
            except OSError:
                end = "gone"
        with self.changed:
            self.ends.append(end)
            self.changed.notify_all()


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes, or up to the end."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data

"""An HTTP server that keeps answering: one loop thread gathers request heads, a few workers answer whole ones.

cheroot parses requests and speaks WSGI. Its own accept loop is not used: it hands a connection to a worker before the
first byte is there, so that as many silent or slow connections as there are workers stop a probe from being answered.
Here a connection costs a descriptor and at most `_HEAD_BYTES` until its head is complete; after `_HEAD_SECONDS`, or
when `_MAX_WAITING` newer ones wait, it is closed. Every answer closes its connection, so no body is ever read.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import queue
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from cheroot import wsgi
from cheroot.server import HTTPConnection

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline
from kcontroller.serving.address import listen

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

_WORKERS: Final = 3
_HEAD_LIMIT: Final = 8 * 1024
_HEAD_BYTES: Final = _HEAD_LIMIT + 1024  # More than the limit, so that a worker can say 413 without reading on.
_HEAD_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 5.0
_MAX_WAITING: Final = 64
_MAX_QUEUED: Final = 64
_SWEEP_SECONDS: Final = 1.0
_NO_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE}

_log = Log(__name__)


class HttpServer:
    """Serves one WSGI application on one address.

    Args:
        address: ``:8081``, ``127.0.0.1:0``, ``[::1]:8081``.
        app: called on the workers; it should answer at once.
        name: of the threads, ``kc-<name>`` and ``kc-<name>-<number>``.
        option: what an error about the address names, such as ``--health-probe-bind-address``.
        clock: by which slow connections are closed.
    """

    def __init__(
        self, *, address: str, app: WSGIApplication, name: str, option: str = "", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Open nothing yet."""
        self.name = name
        self._address = address
        self._option = option or f"the address of {name}"
        self._clock = clock
        self._settings = _Settings(app)
        self._listener: socket.socket | None = None
        self._loop: _Loop | None = None
        self._queue: queue.SimpleQueue[_Connection | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def bind(self) -> None:
        """Take the address; nothing is answered before `start`.

        Raises:
            ConfigError: it cannot be had; the text names the address, the option and the remedy.
        """
        if self._listener is None:
            self._listener = listen(self._address, option=self._option)

    @property
    def port(self) -> int:
        """The port that `bind` took."""
        return int(self._bound().getsockname()[1])

    def _bound(self) -> socket.socket:
        if self._listener is None:
            msg = f"{self.name} has no port before bind()"
            raise RuntimeError(msg)
        return self._listener

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on, on supervised threads of `threads`; binds if `bind` was not called."""
        self.bind()
        self._loop = _Loop(self._bound(), self._settings, self._queue, self._clock)
        self._threads = [threads.spawn(self.name, "", self._loop.run)]
        self._threads += [threads.spawn(self.name, str(number), self._work) for number in range(1, _WORKERS + 1)]
        _log.info("serving", name=self.name, address=self._address, port=self.port)

    def stop(self, *, timeout: float = 5.0) -> tuple[str, ...]:
        """Close the port, let running answers end for at most `timeout` seconds; returns the threads still alive.

        May be called twice, and without `start`.
        """
        if self._loop is not None:
            self._loop.stop()
        for _ in self._threads:
            self._queue.put(None)
        deadline = Deadline.after(timeout, clock=self._clock)
        for thread in self._threads:
            thread.join(deadline.remaining())
        if self._listener is not None:
            self._listener.close()
        self._settings.forget()
        alive = tuple(thread.name for thread in self._threads if thread.is_alive())
        self._drop_queued()
        for _ in alive:
            self._queue.put(None)
        return alive

    def _drop_queued(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (connection := self._queue.get_nowait()) is not None:
                    connection.close()

    def _work(self) -> None:
        while (connection := self._queue.get()) is not None:
            try:
                connection.socket.settimeout(_WRITE_SECONDS)
                connection.communicate()  # type: ignore[no-untyped-call]
            except OSError as error:
                _log.debug("a connection broke", name=self.name, error=type(error).__name__)
            finally:
                connection.close()
            del connection  # A worker that waits must not keep the last request alive.


class _Loop:
    """Accepts, gathers heads without blocking, and puts connections with a whole head into the queue."""

    def __init__(
        self,
        listener: socket.socket,
        settings: _Settings,
        ready: queue.SimpleQueue[_Connection | None],
        clock: Clock,
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._ready = ready
        self._clock = clock
        self._stopping = threading.Event()
        self._woken, self._wake = socket.socketpair()
        self._waiting: dict[int, _Connection] = {}  # Oldest first.
        self._starved = False

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                self._listener.setblocking(False)
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    self._turn(selector)
        finally:
            for connection in self._waiting.values():
                connection.close()
            for end in (self._listener, self._woken, self._wake):
                end.close()

    def _turn(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(_SWEEP_SECONDS if self._waiting else None):
            if key.fileobj is self._listener:
                self._accept(selector)
            elif key.data is not None:
                self._gather(selector, key.data)
        overdue = self._clock.monotonic() - _HEAD_SECONDS
        for connection in [late for late in self._waiting.values() if late.since <= overdue]:
            self._release(selector, connection)
            connection.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            accepted, peer = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                if not self._starved:
                    _log.warning("no file descriptor is left to answer with; raise the limit of open files (ulimit -n)")
                self._starved = True
                self._stopping.wait(0.1)  # The listener stays readable; without a pause this would spin.
            return
        self._starved = False
        accepted.setblocking(False)
        connection = _Connection(self._settings, accepted, since=self._clock.monotonic())
        connection.remote_addr, connection.remote_port = peer[:2]
        self._waiting[accepted.fileno()] = connection
        selector.register(accepted, selectors.EVENT_READ, connection)
        if len(self._waiting) > _MAX_WAITING:
            oldest = next(iter(self._waiting.values()))
            self._release(selector, oldest)
            oldest.close()

    def _gather(self, selector: selectors.BaseSelector, connection: _Connection) -> None:
        state = connection.gather()
        if state is None:
            return
        self._release(selector, connection)
        if state and self._ready.qsize() < _MAX_QUEUED:
            self._ready.put(connection)
        else:
            connection.close()

    def _release(self, selector: selectors.BaseSelector, connection: _Connection) -> None:
        selector.unregister(connection.socket)
        del self._waiting[connection.socket.fileno()]


class _Connection(HTTPConnection):
    """cheroot's connection, which knows whether its request's head is complete."""

    rbufsize = _HEAD_BYTES

    def __init__(self, settings: _Settings, accepted: socket.socket, *, since: float) -> None:
        super().__init__(settings, accepted)
        self.since = since

    def gather(self) -> bool | None:
        """Read what is there; True when a worker can parse it, False when the peer has gone, None to wait for more."""
        before = self._length()
        try:
            head = self.rfile.peek(_HEAD_BYTES)
        except OSError:
            return False
        if b"\r\n\r\n" in head or len(head) >= _HEAD_LIMIT:
            return True
        return None if len(head) > before else False

    def _length(self) -> int:
        return len(self.rfile.peek(0)) if self.rfile.has_data() else 0

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().close()
        # What could not be sent is still in it; left open, its finalizer would try once more, and complain.
        with contextlib.suppress(OSError, ValueError):
            self.wfile.close()


class _Settings(wsgi.Server):
    """What cheroot's parser and gateway ask their server for; it never binds, listens or starts a thread."""

    max_request_header_size = _HEAD_LIMIT
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

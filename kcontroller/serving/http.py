"""An HTTP server that keeps answering: one loop thread gathers request heads, a few workers answer whole ones.

cheroot parses requests and speaks WSGI. Its own accept loop is not used: it hands a connection to a worker before the
first byte is there, so that as many silent or slow connections as there are workers stop a probe from being answered.
Here a connection costs a descriptor and at most 9 KiB until its head is complete; after `_HEAD_SECONDS`, in which TLS
is agreed on too, or when `_MAX_WAITING` newer ones wait, it is closed. A worker reads nothing from a peer, and has one
time to write all of an answer. Every answer closes its connection, so no body is ever read.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Final

from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.process.stop import Deadline
from kcontroller.serving.address import listen
from kcontroller.serving.connection import Connection, Progress, Settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

    from kcontroller.process.clock import Clock
    from kcontroller.process.threads import ThreadGroup

WORKERS: Final = 3

_HEAD_SECONDS: Final = 10.0
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
        tls: gives what a new connection is encrypted with; without it HTTP is spoken in the clear. It is asked by
            `bind` first, and then on the loop: it must not block.
        workers: how many answers may be made at once.
        opened: opens the listening socket, where that is not one of an IP address.
        admits: whether the process at the other end of a new connection may ask at all.
        clock: by which slow connections are closed, and slow answers cut off.
    """

    def __init__(
        self,
        *,
        address: str,
        app: WSGIApplication,
        name: str,
        option: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        workers: int = WORKERS,
        opened: Callable[[], socket.socket] | None = None,
        admits: Callable[[socket.socket], bool] = lambda _connection: True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Open nothing yet."""
        self.name = name
        self._address = address
        self._option = option or f"the address of {name}"
        self._tls = tls
        self._workers = workers
        self._opened = opened
        self._admits = admits
        self._clock = clock
        self._settings = Settings(app)
        self._listener: socket.socket | None = None
        self._loop: _Loop | None = None
        self._queue: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def bind(self) -> None:
        """Take the address; nothing is answered before `start`.

        Raises:
            ConfigError: it cannot be had, or there is no certificate; the text names the option and the remedy.
        """
        if self._tls is not None:
            self._tls()
        if self._listener is None:
            self._listener = listen(self._address, option=self._option) if self._opened is None else self._opened()

    @property
    def port(self) -> int:
        """The port that `bind` took; 0 of a unix socket."""
        name = self._bound().getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    def _bound(self) -> socket.socket:
        if self._listener is None:
            msg = f"{self.name} has no port before bind()"
            raise RuntimeError(msg)
        return self._listener

    def start(self, threads: ThreadGroup) -> None:
        """Answer from now on, on supervised threads of `threads`; binds if `bind` was not called."""
        self.bind()
        self._loop = _Loop(
            self._bound(), self._settings, self._queue, tls=self._tls, admits=self._admits, clock=self._clock
        )
        self._threads = [threads.spawn(self.name, "", self._loop.run)]
        self._threads += [threads.spawn(self.name, str(number), self._work) for number in range(1, self._workers + 1)]
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
                connection.answer()
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
        settings: Settings,
        ready: queue.SimpleQueue[Connection | None],
        *,
        tls: Callable[[], ssl.SSLContext] | None,
        admits: Callable[[socket.socket], bool],
        clock: Clock,
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._tls = tls
        self._admits = admits
        self._ready = ready
        self._clock = clock
        self._stopping = threading.Event()
        self._woken, self._wake = socket.socketpair()
        self._waiting: dict[int, Connection] = {}  # Oldest first.
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
            elif (waiting := self._waiting.get(key.fd)) is not None and waiting is key.data:  # None: it just gave way.
                self._gather(selector, waiting)
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
        if not self._admits(accepted):
            accepted.close()
            return
        accepted.setblocking(False)
        try:
            tls = None if self._tls is None else self._tls()
            connection = Connection(self._settings, accepted, clock=self._clock, tls=tls)
        except OSError:
            accepted.close()
            return
        if isinstance(peer, tuple):  # A unix socket's has no address.
            connection.remote_addr, connection.remote_port = peer[:2]
        self._waiting[connection.socket.fileno()] = connection
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        if len(self._waiting) > _MAX_WAITING:
            oldest = next(iter(self._waiting.values()))
            self._release(selector, oldest)
            oldest.close()

    def _gather(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        progress = connection.gather()
        if progress in {Progress.READS, Progress.WRITES}:
            selector.modify(connection.socket, progress.value, connection)
            return
        self._release(selector, connection)
        if progress is Progress.WHOLE and self._ready.qsize() < _MAX_QUEUED:
            self._ready.put(connection)
        else:
            connection.close()

    def _release(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        selector.unregister(connection.socket)
        del self._waiting[connection.socket.fileno()]

"""One GET on a loop's multi: a stream for a receiver, or the probe that asks whether the connection lives."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.errors import ConnectFailed, ServerSilent, TransportError
from kcontroller.process.logs import Log
from kcontroller.transport.curl import Headers, failure_of
from kcontroller.transport.faults import CUT_SHORT, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.transport.curl import Endpoint, Trust

_REFUSE: Final = -1  # From a callback: end this transfer. Over HTTP/2 its siblings go on.
_FINAL_STATUS: Final = 200
_SERVER_ERROR: Final = 500

_log: Final = Log("kcontroller.transport")


class Receiver(Protocol):
    """What a stream tells; always on the loop's thread, and the loop waits meanwhile.

    An exception ends the stream: `on_end` gets it as the cause of a TransportError, or itself if it is one.
    """

    def on_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the status, whatever it is, and the headers with names in lower case. At most once, before any data."""
        ...

    def on_data(self, chunk: bytes) -> None:
        """Take the next bytes of the body, cut anywhere."""
        ...

    def on_end(self, error: TransportError | None) -> None:
        """Learn that nothing more comes: None after a complete body. Exactly once, unless the stream was closed."""
        ...


class Owner(Protocol):
    """Whose a transfer is, and what it tells.

    Attributes:
        endpoint: where it leads.
        stopped: whether nothing is to be told any more.
    """

    endpoint: Endpoint
    stopped: bool

    def hear(self) -> float:
        """Bytes arrived; gives the loop's time."""
        ...

    def answered(self, status: int, *, shared: bool, waits: bool) -> None:
        """A stream has its status.

        Args:
            status: which.
            shared: whether its connection carries others at the same time.
            waits: whether an answer of 5xx says when to come again.
        """
        ...

    def unanswered(self, error: TransportError | None) -> None:
        """A stream ended without a status."""
        ...

    def remove_soon(self, stream: Stream) -> None:
        """A stream was closed by its user."""
        ...


class Transfer:
    """A GET in flight; `Stream` and `Probe` say what becomes of its answer.

    Attributes:
        owner: whose it is.
        timeout: seconds it may take in all.
        started: when it was handed to libcurl, by the loop's clock.
        status: the status of the answer once it is there.
        shared: whether the answer came by HTTP/2.
        heard: when its last bytes came.
        trust: what its connection was made with.
        dead: set by the loop that found the connection dead, so that the error says so.
    """

    def __init__(self, owner: Owner, target: str, *, timeout: float, accept: str) -> None:
        """Send nothing yet."""
        self.handle: Any = None
        self.started = 0.0
        self.status: int | None = None
        self.shared = False
        self.heard = 0.0
        self.trust: Trust | None = None
        self.dead = False
        self.owner = owner
        self._endpoint = owner.endpoint
        self._target = target
        self.timeout = timeout
        self._accept = accept
        self._lines: list[bytes] = []
        self._fault: BaseException | None = None

    def begin(self, *, now: float, share: bool) -> Any:
        """Make the handle; raises what the credentials or the configuration raise.

        Args:
            now: the loop's time.
            share: wait for a connection that others open and travel on it, if it turns out to be one over HTTP/2.
        """
        endpoint = self._endpoint = self.owner.endpoint
        identity = endpoint.identity()
        handle = P.Curl()
        try:
            endpoint.prepare(handle, self._target, timeout=self.timeout, accept=self._accept, identity=identity)
        except BaseException:
            handle.close()
            raise
        handle.setopt(P.HTTP_VERSION, P.CURL_HTTP_VERSION_2TLS)
        handle.setopt(P.PIPEWAIT, int(share))  # Without it, streams that start together take a connection each.
        handle.setopt(P.HEADERFUNCTION, self._on_header)
        handle.setopt(P.WRITEFUNCTION, self._on_body)
        self.handle, self.trust = handle, identity.trust
        self.started = self.heard = now
        return handle

    @property
    def is_sent(self) -> bool:
        """Whether its connection stands, so that its request is on the way."""
        return bool(self.handle.getinfo(P.PRETRANSFER_TIME))

    @property
    def waits(self) -> bool:
        """Whether it waits for a connection that another one opens."""
        return not self.is_sent and not self.handle.getinfo(P.NAMELOOKUP_TIME)

    def stop_sharing(self, *, now: float) -> None:
        """Take a connection of its own at the next start, which is now."""
        self.handle.setopt(P.PIPEWAIT, 0)
        self.started = now

    @property
    def socket(self) -> int:
        """The descriptor of its connection; negative without one."""
        fd: int = self.handle.getinfo(P.ACTIVESOCKET)
        return fd

    def shut_down(self) -> None:
        """Shut the socket down, so that every stream on it ends and libcurl will not reuse it."""
        fd = self.socket
        if fd < 0:
            return
        with contextlib.suppress(OSError):  # It ended by itself.
            sock = socket.socket(fileno=fd)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            finally:
                sock.detach()

    def error(self, code: int, text: str) -> TransportError | None:
        """Say how the transfer ended; None if it was answered in full."""
        peer = self._endpoint.peer
        if self._fault is not None:
            return self._receiver_error(self._fault)
        if not code:
            if self.status is not None:
                return None
            code = CUT_SHORT  # To libcurl a head without end is an answer without a body.
        if self.dead:
            return ServerSilent(f"the connection with {peer.server} is dead: it was silent, and a probe too")
        failure = failure_of(self.handle, code, text)
        if self.status is None and failure.lost_at_start:
            return ConnectFailed(f"cannot connect to {peer.server}: it gave up while HTTP/2 was starting")
        return error_of(failure, peer, asked="GET", read_only=True)

    def take_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Handle the answer's head."""

    def take_data(self, chunk: bytes) -> None:
        """Handle a piece of its body."""

    def ended(self, error: TransportError | None) -> None:
        """Handle its end."""

    def refuses(self) -> bool:
        """Whether no more bytes are wanted."""
        return False

    def _receiver_error(self, fault: BaseException) -> TransportError:
        if isinstance(fault, TransportError):
            return fault
        path = self._target.partition("?")[0]
        error = TransportError(f"the stream of {path} ended because its receiver raised {type(fault).__name__}")
        error.__cause__ = fault
        return error

    # An exception that left one of these two would be printed and lost.

    def _on_header(self, line: bytes) -> int | None:
        begins = line.startswith(b"HTTP/")
        if not begins and line.strip():
            self._lines.append(line)  # They come together: what there is to do is done at the first and the last one.
            return None
        try:
            self.heard = self.owner.hear()
            if begins:
                self._lines = [line]
            elif self.status is None and line.endswith(b"\n"):  # Else these are trailers, or a head that was cut.
                self._head()
        except BaseException as fault:  # noqa: BLE001
            self._fault = fault
            return _REFUSE
        return _REFUSE if self.refuses() else None

    def _head(self) -> None:
        status = int(self._lines[0].split(None, 2)[1])
        if status < _FINAL_STATUS:
            return
        self.status = status
        self.shared = not self._lines[0].startswith(b"HTTP/1")
        self.take_response(status, Headers(self._lines))

    def _on_body(self, chunk: bytes) -> int | None:
        if self.refuses():
            return _REFUSE
        try:
            self.heard = self.owner.hear()
            self.take_data(chunk)
        except BaseException as fault:  # noqa: BLE001
            self._fault = fault
            return _REFUSE
        return _REFUSE if self.refuses() else None


class Probe(Transfer):
    """Asks whether the connection lives; any status is a yes.

    Attributes:
        took: the socket that it travelled on, once it has ended; negative if none.
        judge: gets the probe and how it ended.
    """

    def __init__(self, owner: Owner, *, timeout: float, judge: Callable[[Probe, TransportError | None], None]) -> None:
        """Ask for what every API server answers, to anyone, at no cost."""
        super().__init__(owner, "/version", timeout=timeout, accept="application/json")
        self.took = -1
        self.judge = judge


class Stream(Transfer):
    """A GET whose answer goes to a receiver, from `StreamLoop.open`.

    Attributes:
        closed: whether `close` was called or the loop has stopped; no callback follows.
    """

    def __init__(self, owner: Owner, target: str, receiver: Receiver, *, timeout: float, accept: str) -> None:
        """Send nothing yet."""
        super().__init__(owner, target, timeout=timeout, accept=accept)
        self._receiver = receiver
        self.closed = False

    def close(self) -> None:
        """Reset the stream; no callback follows. Loop thread only, also inside callbacks and more than once."""
        if not self.closed:
            self.closed = True
            self.owner.remove_soon(self)

    def refuses(self) -> bool:
        """Whether it was closed, or its user has stopped."""
        return self.closed or self.owner.stopped

    def take_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Tell the loop, then the receiver."""
        waits = status >= _SERVER_ERROR and "retry-after" in headers  # Else nobody need take the headers apart.
        self.owner.answered(status, shared=self.shared, waits=waits)
        if not self.refuses():
            self._receiver.on_response(status, headers)

    def take_data(self, chunk: bytes) -> None:
        """Tell the receiver."""
        self._receiver.on_data(chunk)

    def ended(self, error: TransportError | None) -> None:
        """Tell the receiver, once."""
        if self.refuses():
            return
        self.closed = True
        try:
            self._receiver.on_end(error)
        except BaseException:  # noqa: BLE001 - the other streams of the loop must not pay for it
            _log.exception("the receiver of a stream raised at its end", path=self._target.partition("?")[0])

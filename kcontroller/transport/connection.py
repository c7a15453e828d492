"""A connection that libcurl makes and that we speak HTTP/1.1 on.

libcurl finds the address, passes proxies, shakes hands and judges the certificate, and then carries bytes
(``CONNECT_ONLY``). Its own HTTP machine, made for any transfer there is, costs a request three times as much as
`exchange`, and repeats a request on a new connection in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.transport.curl import failure_of
from kcontroller.transport.faults import TIMED_OUT, Failure
from kcontroller.transport.multi import Multi
from kcontroller.transport.pollers import light_poller

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.transport.curl import Endpoint, Trust

_LONGEST_TURN: Final = 60.0  # A bound only; libcurl's timers end a turn earlier.
_PIECE: Final = 16_384  # libcurl gives one TLS record at a time, and none is larger.


class ConnectionBroken(Exception):
    """The connection did not come about, or is of no use any more; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        """Keep what libcurl says."""
        super().__init__(failure.text)
        self.failure = failure


class Connection:
    """One connection to a server, of one request at a time. It moves between threads, one at a time.

    Attributes:
        trust: what it is made with beyond its endpoint.
        stands: whether it was made and has carried nothing but whole exchanges.
        idle_since: when it was given back.
        resolving: whether it was given up before its host had an address.
    """

    __slots__ = ("_curl", "_fd", "_multi", "idle_since", "resolving", "stands", "trust")

    def __init__(self, trust: Trust) -> None:
        """Connect to nothing yet; raises OSError without a file descriptor."""
        self.trust = trust
        self.stands = False
        self.idle_since = 0.0
        self.resolving = False
        self._fd = -1
        self._multi = Multi(light_poller())
        self._curl = P.Curl()

    def open(self, endpoint: Endpoint, *, timeout: float, stopped: Callable[[], bool]) -> None:
        """Connect within so many seconds, once.

        Args:
            endpoint: whom to.
            timeout: seconds; no more than `CONNECT_SECONDS` of them are used.
            stopped: asked at the start and after each `wake`; when it says yes, this returns with `stands` unset.

        Raises:
            ConnectionBroken: it did not come about.
        """
        curl = self._curl
        endpoint.prepare_connection(curl, timeout=timeout, trust=self.trust)
        curl.setopt(P.HTTP_VERSION, P.CURL_HTTP_VERSION_1_1)
        curl.setopt(P.CONNECT_ONLY, 1)
        if endpoint.peer.proxied:
            curl.setopt(P.HTTPPROXYTUNNEL, 1)  # Also for http://, or we would have to speak to the proxy ourselves.
        self._multi.add(curl)
        ended = self._drive(stopped)
        code, text = ended or (TIMED_OUT, "")
        self.resolving = code == TIMED_OUT and curl.getinfo(P.NAMELOOKUP_TIME) == 0
        if ended is None:
            return
        if code:
            raise ConnectionBroken(failure_of(curl, code, text, sent=False))
        self._fd = curl.getinfo(P.ACTIVESOCKET)
        self.stands = True

    def _drive(self, stopped: Callable[[], bool]) -> tuple[int, str] | None:
        if stopped():
            return None
        self._multi.act_if_due()
        while True:
            for _, code, text in self._multi.finished():
                return code, text
            if stopped():
                return None
            self._multi.turn(_LONGEST_TURN)

    def is_quiet(self) -> bool:
        """Whether it stands and has nothing to say, as an idle one should."""
        try:
            self._curl.recv(1)
        except BlockingIOError:
            return True
        except P.error:
            pass
        return False

    def send(self, data: memoryview) -> int:
        """Send what there is room for; returns how many bytes.

        Raises:
            BlockingIOError: there is no room now. The next call must bring the same bytes.
            ConnectionBroken: it is lost.
        """
        try:
            return int(self._curl.send(data))
        except P.error as error:
            raise self._broken(error) from error

    def receive(self) -> bytes:
        """Take what has come; empty when the other side has ended.

        Raises:
            BlockingIOError: nothing has come.
            ConnectionBroken: it is lost.
        """
        try:
            return bytes(self._curl.recv(_PIECE))
        except P.error as error:
            raise self._broken(error) from error

    def wait(self, seconds: float, *, for_room: bool = False) -> bool:
        """Wait for something to read, for `wake`, or at most so long; False if nothing came of it.

        Args:
            seconds: at most.
            for_room: return also when there is room to send.
        """
        return self._multi.wait_for(self._fd, P.POLL_INOUT if for_room else P.POLL_IN, seconds)

    def wake(self) -> None:
        """End the present or the next `wait` early, and make `open` ask whether it is stopped. Any thread."""
        self._multi.wake()

    def close(self) -> None:
        """Close it and its descriptors."""
        self.stands = False
        self._curl.close()
        self._multi.close()

    def _broken(self, error: P.error) -> ConnectionBroken:
        code, text = error.args
        return ConnectionBroken(Failure(code, text))

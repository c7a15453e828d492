"""Blocking requests over HTTP/1.1, from any thread.

Why not HTTP/2 as for streams: it costs 20 to 40 % more CPU, and a request that timed out leaves its dead connection to
the next one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pycurl as P  # noqa: N812 - see multi.py

from kcontroller.errors import ConnectFailed, KControllerError, RequestTimeout, Stopped
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.process.waits import about_to_wait
from kcontroller.transport.curl import USER_AGENT, Endpoint, Headers, failure_of, is_complete
from kcontroller.transport.faults import CUT_SHORT, error_of, reason_of
from kcontroller.transport.limiter import DEFAULT_BURST, RateLimiter
from kcontroller.transport.measure import NO_ANSWER, RequestMeter
from kcontroller.transport.messages import METHODS, HttpResponse
from kcontroller.transport.pool import SHARED
from kcontroller.transport.retries import Retries

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.transport.config import Config
    from kcontroller.transport.curl import Identity
    from kcontroller.transport.messages import HttpRequest
    from kcontroller.transport.pool import Handle, Pools

_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})  # A missing body is an empty one, with Content-Length: 0.
_UNAUTHORIZED: Final = 401


class Requester:
    """Sends requests to one server. Safe for use from many threads; each running request has a connection of its own.

    Args:
        config: the server and who we are.
        metrics: where to count.
        clock: the time of retries and of idle connections.
        user_agent: the header of that name.
        pools: where connections are shared with all that talk to the same server.
        repeats: whether a request may be sent again as `retries` says; without, its first outcome stands.
    """

    def __init__(
        self,
        config: Config,
        *,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
        user_agent: str = USER_AGENT,
        pools: Pools = SHARED,
        repeats: bool = True,
    ) -> None:
        """Open no connection yet; raises ConfigError if libcurl or a header is unfit."""
        self._endpoint = Endpoint(config, user_agent=user_agent)
        self._credentials = config.credentials
        self._clock = clock
        self._repeats = repeats
        self._limiter = RateLimiter(config.qps, config.burst or DEFAULT_BURST, clock=clock) if config.qps else None
        self._meter = RequestMeter(metrics, host=config.host)
        self._stop = StopToken(clock=clock)
        self._lock = threading.Lock()
        self._running: set[Handle] = set()
        self._pool, self._leave_pool = pools.join(config, clock=clock)

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = 30.0,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send a request and wait for its answer, whatever its status.

        A 401 makes the credentials look again; if they changed, the request is sent once more. `retries` says when
        else it is.

        Args:
            request: what to send.
            timeout: seconds for each sending, connecting included.
            stop: ends the wait within 100 ms.
            guard: called before a connection is sought for a write, and again when it stands, right before each
                sending; what it raises goes to the caller, and nothing was sent.

        Raises:
            ConnectFailed: no connection, or no file descriptor for one; nothing was sent.
            TLSFailed: no connection, because one side does not trust the other.
            RequestTimeout: no answer in time; `sent` says whether it may have arrived.
            OutcomeUnknown: it was sent and the answer lost; not for GET.
            TransportError: a GET was lost, time and again.
            Stopped: `stop` was stopped, or the requester closed. A write may have happened.
            ValueError: the request cannot go on the wire.
        """
        if request.method not in METHODS:
            msg = f"not an HTTP method: {request.method[:20]!r}"
            raise ValueError(msg)
        verb = request.verb or request.method
        started = self._clock.monotonic()
        retries = Retries(
            read_only=request.read_only,
            timeout=timeout,
            pause=lambda seconds: self._pause(seconds, stop),
            on_retry=lambda code: self._meter.retried(code=code, verb=verb),
            clock=self._clock,
        )
        try:
            if not self._repeats:
                return self._send_authorized(request, timeout, stop, guard)
            return retries.run(lambda: self._send_authorized(request, timeout, stop, guard))
        finally:
            self._meter.took(self._clock.monotonic() - started, verb=verb)

    def close(self) -> None:
        """End the running requests with Stopped; later ones raise it. Idle connections go with their last user."""
        self._stop.stop("the connection to the cluster was closed")
        with self._lock:
            running = list(self._running)
            leave, self._leave_pool = self._leave_pool, lambda: None
        for handle in running:
            handle.wake()
        leave()
        self._meter.close()

    def _send_authorized(
        self, request: HttpRequest, timeout: float, stop: StopToken | None, guard: Callable[[], None] | None
    ) -> HttpResponse:
        verb = request.verb or request.method
        left = timeout - self._wait_for_turn(timeout, stop, verb)
        identity = self._identity()
        response = self._send_once(request, identity, left, stop, guard)
        if response.status != _UNAUTHORIZED:
            return response
        self._credentials.invalidate()
        renewed = self._identity()
        if renewed == identity:
            return response
        self._meter.retried(code=str(_UNAUTHORIZED), verb=verb)
        left = timeout - self._wait_for_turn(timeout, stop, verb)
        return self._send_once(request, renewed, left, stop, guard)

    def _wait_for_turn(self, timeout: float, stop: StopToken | None, verb: str) -> float:
        if self._limiter is None:
            return 0.0
        turn = self._limiter.reserve(within=timeout)
        if turn is None:
            msg = f"the rate limit of {self._endpoint.peer.server} (qps, burst) has no turn for {verb} within its time"
            raise RequestTimeout(msg, sent=False)
        if turn.wait:
            try:
                self._pause(turn.wait, stop)
            except Stopped:
                self._limiter.give_back(turn)
                raise
        self._meter.waited(turn.wait, verb=verb)
        return turn.wait

    def _identity(self) -> Identity:
        try:
            return self._endpoint.identity()
        except KControllerError:
            raise
        except Exception as error:
            # Only what it is: a user's exception may show a secret.
            msg = f"{self._endpoint.peer.server}: the credentials: {type(error).__name__}"
            raise ConnectFailed(msg) from error

    def _send_once(
        self,
        request: HttpRequest,
        identity: Identity,
        timeout: float,
        stop: StopToken | None,
        guard: Callable[[], None] | None,
    ) -> HttpResponse:
        self._raise_if_stopped(stop)
        handle = self._take_handle(identity)
        try:
            once = self._prepare(handle, request, identity, timeout, guard)
            if guard is not None and not request.read_only:
                guard()
            return self._exchange(handle, request, once, stop)
        finally:
            self._pool.give_back(handle)

    def _take_handle(self, identity: Identity) -> Handle:
        try:
            return self._pool.take(identity.trust)
        except OSError as error:
            server = self._endpoint.peer.server
            msg = f"cannot connect to {server}: {reason_of(error.errno or 0)}"
            raise ConnectFailed(msg) from error

    def _prepare(
        self,
        handle: Handle,
        request: HttpRequest,
        identity: Identity,
        timeout: float,
        guard: Callable[[], None] | None,
    ) -> _Once | None:
        curl = handle.curl
        self._endpoint.prepare(
            curl,
            request.target,
            timeout=timeout,
            accept=request.accept,
            content_type=request.content_type,
            identity=identity,
        )
        curl.setopt(P.HTTP_VERSION, P.CURL_HTTP_VERSION_1_1)
        if request.compressed:
            curl.setopt(P.ACCEPT_ENCODING, "gzip")
        if request.method == "HEAD":
            curl.setopt(P.NOBODY, 1)
        elif request.method != "GET":
            if request.body is not None or request.method in _WITH_LENGTH:
                curl.setopt(P.POSTFIELDS, request.body or b"")
            curl.setopt(P.CUSTOMREQUEST, request.method)
        if request.method == "GET":
            return None
        once = _Once(None if request.read_only else guard)
        handle.forget_dead_connection()
        curl.setopt(P.PREREQFUNCTION, once)
        return once

    def _exchange(
        self, handle: Handle, request: HttpRequest, once: _Once | None, stop: StopToken | None
    ) -> HttpResponse:
        # The methods of lists are callbacks that cannot raise, and cost no Python frame.
        lines: list[bytes] = []
        chunks: list[bytes] = []
        handle.curl.setopt(P.HEADERFUNCTION, lines.append)
        handle.curl.setopt(P.WRITEFUNCTION, chunks.append)
        with self._lock:
            self._running.add(handle)
        withdraw = stop.on_stop(handle.wake) if stop is not None else None
        try:
            about_to_wait()
            ended = handle.run(lambda: self._stop.stopped or (stop is not None and stop.stopped))
        finally:
            if withdraw is not None:
                withdraw()
            with self._lock:
                self._running.discard(handle)
        if once is not None:
            once.raise_refusal()
        if ended is None:
            self._raise_if_stopped(stop)
        code, text = ended or (0, "")
        if code or not is_complete(lines):
            self._meter.answered(code=NO_ANSWER, method=request.method)
            raise error_of(
                failure_of(handle.curl, code or CUT_SHORT, text, sent=once.passed if once else None),
                self._endpoint.peer,
                asked=request.method,
                read_only=request.read_only,
            )
        status = handle.curl.getinfo(P.RESPONSE_CODE)
        self._meter.answered(code=str(status), method=request.method)
        return HttpResponse(status, Headers(lines), b"".join(chunks))

    def _raise_if_stopped(self, stop: StopToken | None) -> None:
        if stop is not None:
            stop.raise_if_stopped()
        self._stop.raise_if_stopped()

    def _pause(self, seconds: float, stop: StopToken | None) -> None:
        with self._stop.child(*([stop] if stop is not None else [])) as token:
            token.wait(seconds)
            token.raise_if_stopped()


class _Once:
    """Lets a request leave once, if its guard agrees, and knows whether it did.

    libcurl calls it when a connection stands, which can take many seconds, and sends right after it. It sends again,
    POST and DELETE too, when a connection that it reused ends before the answer.
    """

    __slots__ = ("_guard", "_refusal", "passed")

    def __init__(self, guard: Callable[[], None] | None) -> None:
        self.passed = False
        self._guard = guard
        self._refusal: BaseException | None = None

    def __call__(self, *_: object) -> int:
        if self.passed:
            return int(P.PREREQFUNC_ABORT)
        if self._guard is not None:
            try:
                self._guard()
            except BaseException as error:  # noqa: BLE001 - nothing can be raised through libcurl
                self._refusal = error
                return int(P.PREREQFUNC_ABORT)
        self.passed = True
        return int(P.PREREQFUNC_OK)

    def raise_refusal(self) -> None:
        """Raise what the guard raised, if it did."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # Its traceback has this frame.

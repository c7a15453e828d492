"""Blocking requests over HTTP/1.1, from any thread.

Why not HTTP/2 as for streams: it costs 20 to 40 % more CPU, and a request that timed out leaves its dead connection to
the next one. Nothing is sent a second time behind the caller's back but a read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, NoReturn

from kcontroller.errors import ConnectFailed, KControllerError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.process.waits import about_to_wait
from kcontroller.transport.connection import ConnectionBroken
from kcontroller.transport.curl import USER_AGENT, Endpoint, check_target
from kcontroller.transport.exchange import Exchange, request_bytes
from kcontroller.transport.faults import error_of, reason_of
from kcontroller.transport.limiter import NO_LIMITS
from kcontroller.transport.measure import NO_ANSWER, RequestMeter
from kcontroller.transport.messages import METHODS
from kcontroller.transport.pool import SHARED
from kcontroller.transport.retries import TOO_MANY, Retries
from kcontroller.transport.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.transport.config import Config
    from kcontroller.transport.connection import Connection
    from kcontroller.transport.curl import Identity
    from kcontroller.transport.limiter import RateLimits
    from kcontroller.transport.messages import HttpRequest, HttpResponse
    from kcontroller.transport.pool import Pools

_UNAUTHORIZED: Final = 401


class Requester:
    """Sends requests to one server. Safe for use from many threads; each running request has a connection of its own.

    Args:
        config: the server and who we are.
        metrics: where to count.
        clock: the time of retries and of idle connections.
        user_agent: the header of that name.
        pools: where connections are shared with all that talk to the same server.
        repeats: whether a request may be sent again as `retries` says, and waits while the server wants none; without,
            its first outcome stands.
        limits: rates beside those of `config`.
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
        limits: RateLimits = NO_LIMITS,
    ) -> None:
        """Open no connection yet; raises ConfigError if libcurl or a header is unfit."""
        self._endpoint = Endpoint(config, user_agent=user_agent)
        self._credentials = config.credentials
        self._clock = clock
        self._repeats = repeats
        server = self._endpoint.peer.server
        self._throttle = Throttle(*limits.limiters(config, clock=clock), server=server, clock=clock)
        self._meter = RequestMeter(metrics, host=config.host)
        self._stop = StopToken(clock=clock)
        self._lock = threading.Lock()
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
            timeout: seconds for each sending, connecting included, and for the wait for its turn before that.
            stop: ends the wait within 100 ms; credentials that have to be had first take their own time, see
                `Credentials`.
            guard: called before a connection is sought for a write, and again when it stands, as the last thing before
                each sending; what it raises goes to the caller, and nothing was sent.

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
        self.retire()

    def retire(self) -> None:
        """Let go of idle connections, and count no more; running requests go on to their end."""
        with self._lock:
            leave, self._leave_pool = self._leave_pool, lambda: None
        leave()
        self._meter.close()

    def _send_authorized(
        self, request: HttpRequest, timeout: float, stop: StopToken | None, guard: Callable[[], None] | None
    ) -> HttpResponse:
        verb = request.verb or request.method
        self._wait_for_turn(timeout, stop, verb)
        until = time.monotonic() + timeout
        identity = self._identity()
        response = self._send_once(request, identity, until, stop, guard)
        if response.status == _UNAUTHORIZED:
            self._credentials.invalidate()
            renewed = self._identity()
            if renewed != identity:
                self._meter.retried(code=str(_UNAUTHORIZED), verb=verb)
                self._wait_for_turn(timeout, stop, verb)
                until = time.monotonic() + timeout
                response = self._send_once(request, renewed, until, stop, guard)
        if response.status == TOO_MANY:
            self._heed(request, response, timeout)
        return response

    def _heed(self, request: HttpRequest, response: HttpResponse, timeout: float) -> None:
        # An eviction is refused so on account of a PodDisruptionBudget, and that says nothing of the server.
        about_all = not request.target.partition("?")[0].endswith("/eviction")
        if self._repeats and about_all and response.retry_after:
            self._throttle.hold(min(response.retry_after, timeout))

    def _wait_for_turn(self, timeout: float, stop: StopToken | None, verb: str) -> None:
        if not self._throttle.idle:
            waited = self._throttle.wait(lambda seconds: self._pause(seconds, stop), within=timeout, verb=verb)
            self._meter.waited(waited, verb=verb)

    def _identity(self) -> Identity:
        try:
            return self._endpoint.identity()
        except KControllerError:
            raise
        except Exception as error:
            # Only what it is: a user's exception may show a secret.
            msg = f"{self._endpoint.peer.server}: the credentials: {type(error).__name__}"
            raise ConnectFailed(msg, ours=True) from error

    def _send_once(
        self,
        request: HttpRequest,
        identity: Identity,
        until: float,
        stop: StopToken | None,
        guard: Callable[[], None] | None,
    ) -> HttpResponse:
        if request.read_only:
            guard = None
        lines = self._endpoint.header_lines(request.accept, request.content_type, identity.authorization)
        target = self._endpoint.base_path + request.target
        check_target(target)
        data = request_bytes(request.method, target, lines, request.body, compressed=request.compressed)
        while True:
            self._raise_if_stopped(stop)
            if guard is not None:
                guard()
            connection = self._take(identity)
            reused = connection.stands
            try:
                if not reused:
                    self._connect(connection, until, stop)
                    self._raise_if_stopped(stop)
                if guard is not None:
                    guard()
                exchange = Exchange(connection, until=until, stops=(self._stop, stop) if stop else (self._stop,))
                response = exchange.run(data, to_head=request.method == "HEAD", compressed=request.compressed)
            except ConnectionBroken as broken:
                # A server may end an idle connection at the very moment in which we use it.
                if reused and request.read_only and not exchange.answered and not broken.failure.is_timeout:
                    continue
                self._fail(broken, request)
            finally:
                self._pool.give_back(connection)
            self._meter.answered(code=str(response.status), method=request.method)
            return response

    def _take(self, identity: Identity) -> Connection:
        try:
            return self._pool.take(identity.trust)
        except OSError as error:
            server = self._endpoint.peer.server
            msg = f"cannot connect to {server}: {reason_of(error.errno or 0)}"
            raise ConnectFailed(msg, ours=True) from error

    def _connect(self, connection: Connection, until: float, stop: StopToken | None) -> None:
        about_to_wait()
        with contextlib.ExitStack() as hung:
            hung.callback(self._stop.on_stop(connection.wake))
            if stop is not None:
                hung.callback(stop.on_stop(connection.wake))
            connection.open(
                self._endpoint,
                timeout=max(0.0, until - time.monotonic()),
                stopped=lambda: self._stop.stopped or (stop is not None and stop.stopped),
            )

    def _fail(self, broken: ConnectionBroken, request: HttpRequest) -> NoReturn:
        self._meter.answered(code=NO_ANSWER, method=request.method)
        raise error_of(
            broken.failure, self._endpoint.peer, asked=request.method, read_only=request.read_only
        ) from broken

    def _raise_if_stopped(self, stop: StopToken | None) -> None:
        if stop is not None:
            stop.raise_if_stopped()
        self._stop.raise_if_stopped()

    def _pause(self, seconds: float, stop: StopToken | None) -> None:
        with self._stop.child(*([stop] if stop is not None else [])) as token:
            token.wait(seconds)
            token.raise_if_stopped()

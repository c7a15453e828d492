"""Reading and writing the one Lease over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.codec import encode
from kcontroller.api.paths import creation_path, object_path
from kcontroller.client.answers import SUCCESS, api_error
from kcontroller.errors import Forbidden, NotFound, TransportError
from kcontroller.leaderelection.record import LEASES, Lease
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.pool import Pools
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config


class LeaseClient:
    """Asks for one Lease, over connections of its own, so that busy traffic does not hold up a renewal.

    Only a 401 sends a request again, with new credentials: the elector has a rhythm and a deadline of its own.

    Args:
        config: the server.
        key: of the Lease.
        clock: the time.
        metrics: where to count.
    """

    def __init__(self, config: Config, key: Key, *, clock: Clock, metrics: Metrics) -> None:
        self._requester = Requester(config, metrics=metrics, clock=clock, pools=Pools(), repeats=False)
        self._collection = creation_path(LEASES, key)
        self._path = object_path(LEASES, key)

    def read(self, *, timeout: float, stop: StopToken | None) -> Lease | None:
        """Read the Lease; None if there is none.

        Raises:
            ApiError, TransportError: it could not be read.
            Stopped: `stop` was stopped.
        """
        try:
            return self._ask(HttpRequest("GET", self._path, verb="get"), timeout, stop)
        except NotFound:
            return None

    def write(self, lease: Lease, *, create: bool, timeout: float, stop: StopToken | None) -> Lease:
        """Create the Lease, or update it if it still has the version that it was read at; returns the new one.

        Raises:
            ApiError, TransportError: it was not written, or nobody knows.
            Stopped: `stop` was stopped; it may have been written.
        """
        method, path, verb = ("POST", self._collection, "create") if create else ("PUT", self._path, "update")
        body = encode(lease.document)
        return self._ask(HttpRequest(method, path, body, "application/json", verb=verb), timeout, stop)

    def close(self) -> None:
        """End the running request and close the connections."""
        self._requester.close()

    def _ask(self, request: HttpRequest, timeout: float, stop: StopToken | None) -> Lease:
        answer = self._requester.send(request, timeout=timeout, stop=stop)
        if answer.status not in SUCCESS:
            raise api_error(answer.status, answer.body, verb=request.verb, resource=str(LEASES))
        try:
            return Lease.parse(answer.body)
        except (ValueError, RecursionError) as error:
            msg = f"{request.verb} {LEASES}: the answer is not a Lease"
            raise TransportError(msg) from error


def in_words(error: Exception, key: Key) -> str:
    """Say what is wrong with the remedy where there is one."""
    if isinstance(error, Forbidden):
        return f"{error}; grant get, create and update on {LEASES} in namespace {key.namespace}"
    if isinstance(error, NotFound):
        return f"{error}; create namespace {key.namespace}, or name another one for the lease"
    return str(error)

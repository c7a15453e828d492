"""Whether another configuration does for a cluster that is in use, before it takes the place of the one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.paths import collection_path, with_query
from kcontroller.cache.poison import UNREADABLE
from kcontroller.client.answers import SUCCESS, api_error
from kcontroller.errors import ApiError, Forbidden, NotFound, TransportError, Unauthorized
from kcontroller.process.stop import Deadline
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.cache.informer import Informer
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config
    from kcontroller.transport.route import Route

REQUEST_SECONDS: Final = 10.0
ALL_REQUESTS_SECONDS: Final = 15.0
"""For all requests together, or a quarter of a second for each where these are more."""

_SECONDS_EACH: Final = 0.25
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500

_REVIEW: Final = HttpRequest(
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
    "application/json",
    verb="create",
)
_VERSION: Final = HttpRequest("GET", "/version", verb="get")
_ANONYMOUS: Final = b"system:anonymous"
"""Whom kube-apiserver takes a request without credentials for; it answers some of them."""

_IDENTITY: Final = HttpRequest("GET", "/api/v1/namespaces/kube-system", verb="get")
"""What stands for a cluster: it has no identity of its own, and nobody deletes this namespace."""


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Namespace(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_decode: Final = msgspec.json.Decoder(_Namespace).decode


def prove(config: Config, informers: Iterable[Informer], *, stop: StopToken, clock: Clock) -> None:
    """Ask for one object of everything that is in memory; waits for the network.

    What the one in use may not list, or finds no more, the other one need not either. Where nothing is left to ask for,
    the server only has to answer, and to know who asks.

    Args:
        config: the one in question.
        informers: what is in memory.
        stop: ends the wait.
        clock: the time.

    Raises:
        Stopped: it took longer than `ALL_REQUESTS_SECONDS`, or `stop` was stopped.
        KControllerError: it does not lead to a server that lets us list these.
    """
    requester = Requester(config, clock=clock)
    try:
        fit = [each for each in informers if not isinstance(each.error, NotFound | Forbidden)]
        targets = [(_one_of(informer), str(informer.mapping)) for informer in fit]
        deadline = Deadline.after(max(ALL_REQUESTS_SECONDS, _SECONDS_EACH * len(targets)), clock=clock)
        with stop.child(deadline=deadline) as own:
            for target, resource in targets:
                own.raise_if_stopped()
                seconds = min(REQUEST_SECONDS, deadline.remaining())
                response = requester.send(HttpRequest("GET", target, verb="list"), timeout=seconds, stop=own)
                if response.status not in SUCCESS:
                    raise api_error(response.status, response.body, verb="list", resource=resource)
            if not targets:
                _prove_known(requester, own)
    finally:
        requester.close()


def leads_elsewhere(used: Config, other: Config) -> bool:
    """Whether another configuration may lead to another server; one with other credentials alone does not."""
    return (used.server, used.connection) != (other.server, other.connection)


def is_same(used: Route, config: Config, *, stop: StopToken, clock: Clock) -> bool:
    """Whether a configuration leads to the cluster in use, by the uid of namespace kube-system; waits for the network.

    False also where that cannot be known: there is no such namespace, we may not get it, or the server in use does not
    answer any more.

    Args:
        used: leads to the cluster in use.
        config: the one in question.
        stop: ends the wait.
        clock: the time.

    Raises:
        KControllerError: the other server cannot say it now.
    """
    requester = Requester(config, clock=clock)
    try:
        there = _identity(requester, stop)
    except (Forbidden, NotFound):
        return False
    finally:
        requester.close()
    try:
        return bool(there) and there == _identity(used, stop)
    except (ApiError, TransportError):
        return False


def _identity(server: Requester | Route, stop: StopToken) -> str:
    response = server.send(_IDENTITY, timeout=REQUEST_SECONDS, stop=stop)
    if response.status not in SUCCESS:
        raise api_error(response.status, response.body, verb="get", resource="namespaces")
    try:
        return _decode(response.body).metadata.uid
    except UNREADABLE:
        return ""


def _prove_known(requester: Requester, stop: StopToken) -> None:
    response = requester.send(_REVIEW, timeout=REQUEST_SECONDS, stop=stop)
    if response.status == _NOT_FOUND:  # Before Kubernetes 1.28, and what is no whole API server.
        response = requester.send(_VERSION, timeout=REQUEST_SECONDS, stop=stop)
    if _ANONYMOUS in response.body:
        msg = "the server does not know who asks, and takes us for system:anonymous"
        raise Unauthorized(msg, status=_UNAUTHORIZED)
    if response.status == _UNAUTHORIZED or response.status >= _SERVER_ERROR:
        raise api_error(response.status, response.body, verb="create", resource="selfsubjectreviews")


def _one_of(informer: Informer) -> str:
    path = collection_path(informer.mapping, informer.scope.namespace)
    return with_query(path, (*informer.scope.query(), ("limit", "1")))

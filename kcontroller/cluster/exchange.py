"""Whether another configuration does for a cluster that is in use, before it takes the place of the one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.paths import collection_path, with_query
from kcontroller.client.answers import SUCCESS, api_error
from kcontroller.errors import Forbidden, NotFound
from kcontroller.transport.messages import HttpRequest
from kcontroller.transport.requests import Requester

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.cache.informer import Informer
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.config import Config

REQUEST_SECONDS: Final = 10.0

_UNAUTHORIZED: Final = 401
_SERVER_ERROR: Final = 500


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
        KControllerError: it does not lead to a server that lets us list these.
    """
    requester = Requester(config, clock=clock)
    try:
        fit = [each for each in informers if not isinstance(each.error, NotFound | Forbidden)]
        targets = [(_one_of(informer), str(informer.mapping)) for informer in fit]
        for target, resource in targets:
            response = requester.send(HttpRequest("GET", target, verb="list"), timeout=REQUEST_SECONDS, stop=stop)
            if response.status not in SUCCESS:
                raise api_error(response.status, response.body, verb="list", resource=resource)
        if not targets:
            response = requester.send(HttpRequest("GET", "/version", verb="get"), timeout=REQUEST_SECONDS, stop=stop)
            if response.status == _UNAUTHORIZED or response.status >= _SERVER_ERROR:
                raise api_error(response.status, response.body, verb="get", resource="version")
    finally:
        requester.close()


def _one_of(informer: Informer) -> str:
    path = collection_path(informer.mapping, informer.scope.namespace)
    return with_query(path, (*informer.scope.query(), ("limit", "1")))

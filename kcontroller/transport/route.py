"""The way of requests to a server that may be exchanged for another one while they run."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.process.stop import StopToken
    from kcontroller.transport.messages import HttpRequest, HttpResponse
    from kcontroller.transport.requests import Requester


class Route:
    """Sends requests as its `Requester` does; safe for use from many threads.

    A request belongs to one requester from its beginning to its end, retries included: no credentials travel to a
    server that they were not meant for.

    Args:
        requester: the first one.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        # Those with a request still running; most routes are never exchanged.
        self._retired: weakref.WeakSet[Requester] | frozenset[Requester] = frozenset()

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = 30.0,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send a request and wait for its answer; see `Requester.send`."""
        return self._requester.send(request, timeout=timeout, stop=stop, guard=guard)

    def exchange(self, requester: Requester) -> None:
        """Send by another one from now on; what runs ends on the old one."""
        old, self._requester = self._requester, requester
        retired = self._retired if isinstance(self._retired, weakref.WeakSet) else weakref.WeakSet()
        retired.add(old)
        self._retired = retired
        old.retire()

    def close(self) -> None:
        """End all running requests with Stopped; later ones raise it."""
        for requester in (self._requester, *self._retired):
            requester.close()

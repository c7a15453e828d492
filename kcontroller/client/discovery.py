"""Which resource serves a kind: a lazy RESTMapper.

Only the group and version of the kind that was asked for is discovered, one request each. What was found stays until it
proves wrong; what was not found is asked for again soon, because a CRD may be installed at any time. A class that
states its plural and scope needs no discovery at all.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from cachetools import TTLCache

from kcontroller.api.codec import gvk_of, mapping_of
from kcontroller.api.paths import group_version_path
from kcontroller.client.answers import SUCCESS, api_error, mapping_in
from kcontroller.errors import KindNotServed, NotFound
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.transport.messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, ResourceMapping
    from kcontroller.client.shared_mappings import SharedMappings
    from kcontroller.process.clock import Clock
    from kcontroller.process.stop import StopToken
    from kcontroller.transport.messages import HttpResponse


REQUEST_SECONDS: Final = 30.0


ABSENT_SECONDS: Final = 2.0
"""How long a kind that is not served is taken for absent without asking."""
_MAX_ABSENT: Final = 256


class Sender(Protocol):
    """Sends one request; `transport.requests.Requester` is the one in use."""

    def send(
        self,
        request: HttpRequest,
        *,
        timeout: float = ...,
        stop: StopToken | None = None,
        guard: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Return the answer, whatever its status."""
        ...


def kind_from(body: bytes, status: int, gvk: GVK) -> ResourceMapping:
    """Read a discovery answer.

    Raises:
        KindNotServed: the group, the version or the kind is unknown to the server.
        ApiError: the answer is another error.
    """
    missing = f"the server does not serve {gvk}; install its CustomResourceDefinition, or check the group and version"
    if status not in SUCCESS:
        error = api_error(status, body, verb="get", resource=f"discovery of {gvk.api_version}")
        if isinstance(error, NotFound):
            raise KindNotServed(missing) from error
        raise error
    try:
        mapping = mapping_in(body, gvk)
    except (ValueError, RecursionError) as error:
        msg = f"the discovery answer for {gvk.api_version} is not an APIResourceList"
        raise KindNotServed(msg) from error
    if mapping is None:
        raise KindNotServed(missing)
    return mapping


class RestMapper:
    """Remembers how kinds are served; safe for all threads."""

    def __init__(self, sender: Sender, *, clock: Clock = SYSTEM_CLOCK, shared: SharedMappings | None = None) -> None:
        """Know nothing yet but what others `shared`."""
        self._sender = sender
        self._shared = shared
        self._doubted: set[GVK] = set()
        self._lock = threading.Lock()
        self._known: dict[GVK, ResourceMapping] = {}
        self._clock = clock
        # A thousand reconciles that fail for want of one CRD need not ask a thousand times.
        self._absent: TTLCache[GVK, str] | None = None

    def known(self, kind: KindRef) -> ResourceMapping | None:
        """Answer from memory or from the class itself; never asks the server."""
        stated = mapping_of(kind)
        if stated is not None and stated.plural:
            return stated
        gvk = gvk_of(kind)
        with self._lock:
            found = self._known.get(gvk)
            if found is None and self._shared is not None and gvk not in self._doubted:
                found = self._shared.get(gvk)
            return found

    def learn(self, mapping: ResourceMapping) -> None:
        """Remember what someone else discovered."""
        with self._lock:
            self._known[mapping.gvk] = mapping
            if self._absent is not None:
                self._absent.pop(mapping.gvk, None)
        if self._shared is not None:
            self._shared.learn(mapping)

    def forget(self, gvk: GVK) -> None:
        """Ask again next time: the resource answered 404, so that its CRD may be gone or changed."""
        with self._lock:
            self._known.pop(gvk, None)
            self._doubted.add(gvk)

    def resolve(
        self, kind: KindRef, *, timeout: float = REQUEST_SECONDS, stop: StopToken | None = None
    ) -> ResourceMapping:
        """Answer from memory, else ask the server on the calling thread, for `timeout` seconds at most.

        Raises:
            Stopped: `stop` was stopped.
            KindNotServed: the server does not know the kind (yet); remembered for `ABSENT_SECONDS`.
            ApiError, TransportError: discovery failed.
        """
        known = self.known(kind)
        if known is not None:
            return known
        gvk = gvk_of(kind)
        with self._lock:
            absent = None if self._absent is None else self._absent.get(gvk)
        if absent is not None:
            raise KindNotServed(absent)
        answer = self._sender.send(HttpRequest("GET", group_version_path(gvk), verb="get"), timeout=timeout, stop=stop)
        try:
            mapping = kind_from(answer.body, answer.status, gvk)
        except KindNotServed as error:
            self._miss(gvk, str(error))
            raise
        self.learn(mapping)
        return mapping

    def _miss(self, gvk: GVK, why: str) -> None:
        with self._lock:
            if self._absent is None:
                self._absent = TTLCache(_MAX_ABSENT, ttl=ABSENT_SECONDS, timer=self._clock.monotonic)
            self._absent[gvk] = why

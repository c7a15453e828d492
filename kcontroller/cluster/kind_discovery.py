"""Asks the server how a kind is served, again and again until it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.api.paths import group_version_path
from kcontroller.client.discovery import REQUEST_SECONDS, kind_from
from kcontroller.errors import KControllerError
from kcontroller.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.keys import GVK, ResourceMapping
    from kcontroller.cache.feed import Feed, Stoppable
    from kcontroller.errors import TransportError

_BACKOFF: Final = Backoff(initial=0.5, cap=5.0, jitter=0.2)


class KindDiscovery:
    """Discovery of one kind, on its cluster's loop; all of it happens on that thread.

    Args:
        gvk: the kind.
        feed: the cluster's loop.
        on_found: told how the kind is served. What it raises ends the loop.
        on_failed: told why that is not known; it is asked for again.
    """

    def __init__(
        self,
        gvk: GVK,
        *,
        feed: Feed,
        on_found: Callable[[ResourceMapping], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self._gvk = gvk
        self._feed = feed
        self._on_found = on_found
        self._on_failed = on_failed
        self._failures = 0
        self._asking = False
        self._timer: Stoppable | None = None
        self._stopped = False

    def ask(self) -> None:
        """Ask now, unless an answer or a next try is on its way."""
        if not self._asking and self._timer is None:
            self._ask()

    def ask_later(self) -> None:
        """Ask again after a while, although there was an answer."""
        self._again(_BACKOFF.cap)

    def stop(self) -> None:
        """Ask no more; an answer that is on its way is not told."""
        self._stopped = True
        if self._timer is not None:
            self._timer.stop()

    def answered(self, status: int, body: bytes) -> None:
        """Take the answer; for the receiver."""
        self._asking = False
        try:
            mapping = kind_from(body, status, self._gvk)
        except KControllerError as error:
            self.failed(error)
            return
        # The loop lets no exception of a receiver out; one of ours must end it.
        self._feed.call(lambda: self._found(mapping))

    def failed(self, error: Exception) -> None:
        """Take it that there was no answer; for the receiver."""
        self._asking = False
        if not self._stopped:
            self._failures += 1
            self._on_failed(error)
            self._again(_BACKOFF.delay(self._failures))

    def _found(self, mapping: ResourceMapping) -> None:
        if not self._stopped:
            self._failures = 0
            self._on_found(mapping)

    def _again(self, seconds: float) -> None:
        if not self._stopped and self._timer is None:
            self._timer = self._feed.call_later(seconds, self._ask)

    def _ask(self) -> None:
        self._timer = None
        if not self._stopped:
            self._asking = True
            self._feed.open(group_version_path(self._gvk), _Receiver(self), timeout=REQUEST_SECONDS)


class _Receiver:
    """Receives a discovery document."""

    def __init__(self, discovery: KindDiscovery) -> None:
        self._discovery = discovery
        self._status = 0
        self._body: list[bytes] = []

    def on_response(self, status: int, headers: Mapping[str, Any]) -> None:  # noqa: ARG002 - the receiver's signature
        self._status = status

    def on_data(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def on_end(self, error: TransportError | None) -> None:
        if error is not None:
            self._discovery.failed(error)
        else:
            self._discovery.answered(self._status, b"".join(self._body))

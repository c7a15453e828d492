"""The receivers of an informer's streams: pieces of an answer in, one call of the informer out."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Final, Protocol

from kcontroller.client.answers import api_error
from kcontroller.errors import Garbled, TransportError
from kcontroller.transport.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.api.keys import ResourceMapping

_OK: Final = 200
_ERROR_BODY: Final = 64 * 1024  # A Status is small; what is larger is not one.


class Listener(Protocol):
    """What the receivers tell; `informer.Informer` is one."""

    mapping: ResourceMapping

    def on_opened(self) -> None:
        """The server accepted the request."""
        ...

    def on_lines(self, lines: list[bytes]) -> None:
        """Some lines of the watch, none of them empty."""
        ...

    def on_page(self, body: bytes) -> None:
        """A whole page of a list."""
        ...

    def on_failed(self, error: Exception) -> None:
        """The request or the stream failed."""
        ...

    def on_ended(self) -> None:
        """The stream ended cleanly."""
        ...

    def on_fault(self, error: Exception) -> None:
        """Something of ours raised where only the loop would see it."""
        ...


def garbled(error: Exception) -> Garbled:
    """Say that an answer could not be read."""
    return Garbled(f"the answer is not what a Kubernetes API server sends: {error}")


class _Receiver(abc.ABC):
    """Turns the pieces of one answer into one call of the listener; an error's body is collected and decoded.

    The loop survives an exception of a receiver and goes on without it, so that one of ours, unlike a bad answer, must
    be told to the listener: a watch would end for ever and nobody would know.
    """

    _verb = ""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the status; anything but 200 makes the rest an error."""
        self._status, self._headers = status, headers
        if status == _OK:
            self._listener.on_opened()

    def on_data(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._status == _OK:
            try:
                self._good(chunk)
            except TransportError:
                raise
            except Exception as fault:  # noqa: BLE001
                self._listener.on_fault(fault)
        elif self._size < _ERROR_BODY:
            self._keep(chunk)

    def on_end(self, error: TransportError | None) -> None:
        """Tell how it ended."""
        try:
            self._end(error)
        except Exception as fault:  # noqa: BLE001
            self._listener.on_fault(fault)

    def _end(self, error: TransportError | None) -> None:
        if error is not None:
            self._listener.on_failed(error)
        elif self._status != _OK:
            resource = str(self._listener.mapping)
            body = b"".join(self._body)
            self._listener.on_failed(
                api_error(self._status, body, verb=self._verb, resource=resource, headers=self._headers)
            )
        else:
            self._complete()

    def _keep(self, chunk: bytes) -> None:
        self._body.append(chunk)
        self._size += len(chunk)

    @abc.abstractmethod
    def _good(self, chunk: bytes) -> None:
        """Take a piece of a good answer."""

    @abc.abstractmethod
    def _complete(self) -> None:
        """A good answer is whole."""


class WatchReceiver(_Receiver):
    """Cuts a watch into lines."""

    _verb = "watch"

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._lines = LineSplitter()

    def _good(self, chunk: bytes) -> None:
        lines = [line for line in self._lines.feed(chunk) if line]
        if lines:
            self._listener.on_lines(lines)

    def _complete(self) -> None:
        if self._lines.rest.strip():
            self._listener.on_failed(TransportError("the watch was cut in the middle of an event"))
        else:
            self._listener.on_ended()


class PageReceiver(_Receiver):
    """Collects one page of a list."""

    _verb = "list"

    def _good(self, chunk: bytes) -> None:
        self._keep(chunk)

    def _complete(self) -> None:
        self._listener.on_page(b"".join(self._body))

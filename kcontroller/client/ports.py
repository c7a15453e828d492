"""The two ports under `Client`: bytes in, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from kcontroller.api.selectors import FieldSelector, LabelSelector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key


class Selection(msgspec.Struct, frozen=True):
    """Which objects of a kind a list asks for.

    Attributes:
        namespace: "" for all namespaces.
        labels: labels that must match.
        fields: fields that must match.
        index: (name, value) of a declared index; only a cache can answer it.
    """

    namespace: str = ""
    labels: LabelSelector = msgspec.field(default_factory=LabelSelector)
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)
    index: tuple[str, str] | None = None


class Reader(Protocol):
    """Reads objects as JSON bytes that carry apiVersion and kind."""

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        """Read one object, or no more than its metadata; raises `NotFound`."""
        ...

    def list(self, kind: KindRef, selection: Selection, *, metadata: bool = False) -> Sequence[bytes]:
        """Read all objects that the selection names, or no more than their metadata."""
        ...


class Write(msgspec.Struct, frozen=True):
    """One write, ready to be sent.

    Attributes:
        verb: ``create``, ``update``, ``patch`` or ``delete``, RBAC's words.
        kind: what is written.
        key: where; for a create with generateName the name is "".
        body: JSON.
        content_type: how the server reads the body.
        subresource: "" for the object itself.
        query: parameters such as ``fieldManager``.
        fresh_name: whether the name was made for this create alone, see `generated_names`.
    """

    verb: str
    kind: KindRef
    key: Key
    body: bytes = b""
    content_type: str = "application/json"
    subresource: str = ""
    query: tuple[tuple[str, str], ...] = ()
    fresh_name: bool = False

    @property
    def dry_run(self) -> bool:
        """Whether the server is asked to change nothing."""
        return ("dryRun", "All") in self.query


class Writer(Protocol):
    """Sends writes."""

    def write(self, write: Write) -> bytes:
        """Send it and return the body of the answer; raises `ApiError` or `TransportError`."""
        ...

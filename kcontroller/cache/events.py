"""One line of a watch, one page of a list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.versions import parse_version
from kcontroller.cache.poison import TOO_DEEP, UNREADABLE, Undecodable, shallow, undecodable
from kcontroller.cache.turns import BULK, in_turns
from kcontroller.client.answers import list_page, status_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcontroller.cache.entry import Entry
    from kcontroller.cache.projection import Projection
    from kcontroller.errors import ApiError

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""KEP-3157: the bookmark that carries this annotation ends the initial events of a streaming list."""


class Upserted(msgspec.Struct, frozen=True, gc=False):
    """An object was added or modified."""

    entry: Entry


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """An object was deleted; the entry is its last state and carries the version of the deletion."""

    entry: Entry


class Bookmark(msgspec.Struct, frozen=True):
    """Nothing of this kind changed up to `version`."""

    version: int
    initial_events_end: bool = False


class Failure(msgspec.Struct, frozen=True):
    """The server ends the watch with an error."""

    error: ApiError


_ADDED: Final = b'{"type":"ADDED","object":'
_MODIFIED: Final = b'{"type":"MODIFIED","object":'

WatchEvent = Upserted | Deleted | Undecodable | Bookmark | Failure


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] | None = None


class _BookmarkObject(msgspec.Struct):
    metadata: _BookmarkMetadata


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_bookmark = msgspec.json.Decoder(_BookmarkObject).decode


class Page(msgspec.Struct, frozen=True):
    """A page of a list; `token` continues it."""

    version: int
    token: str
    items: list[Entry | Undecodable]


def decode(line: bytes, projection: Projection) -> WatchEvent:
    """Decode one line of a watch; an object that cannot be decoded is `Undecodable`.

    Raises:
        ValueError, RecursionError: it is not a watch event; both are what msgspec raises.
    """
    return _usual(line, projection) or _unusual(line, projection)


def _unusual(line: bytes, projection: Projection) -> WatchEvent:
    try:
        parsed, cut = _decode_line(line), False
    except RecursionError:
        parsed, cut = _decode_line(shallow(line)), True
    match parsed.type:
        case "ADDED" | "MODIFIED":
            item = _read(parsed.object, projection, cut=cut)
            return item if isinstance(item, Undecodable) else Upserted(item)
        case "DELETED":
            item = _read(parsed.object, projection, cut=cut, deleted=True)
            return item if isinstance(item, Undecodable) else Deleted(item)
        case "BOOKMARK":
            metadata = _decode_bookmark(parsed.object).metadata
            ended = (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"
            return Bookmark(parse_version(metadata.resource_version), ended)
        case "ERROR":
            return Failure(status_error(bytes(parsed.object), verb="watch", resource=str(projection.gvk)))
        case _:
            msg = f"unknown watch event type {parsed.type[:40]!r}"
            raise ValueError(msg)


def _usual(line: bytes, projection: Projection) -> Upserted | None:
    """Decode an object that is written as an API server writes it, in one go; None if there is more to find out."""
    if line.startswith(_ADDED):
        start = len(_ADDED)
    elif line.startswith(_MODIFIED):
        start = len(_MODIFIED)
    else:
        return None
    if not line.endswith(b"}}"):
        return None
    try:
        return Upserted(projection.entry(line[start:-1]))
    except UNREADABLE:
        return None


def decode_lines(lines: Iterable[bytes], projection: Projection, *, bulk: bool) -> list[WatchEvent | Exception]:
    """Decode lines in their order; what is no watch event becomes the error that ends the list.

    Args:
        lines: none of them empty.
        projection: makes the entries.
        bulk: they are part of a list, see `turns`; what the network brings at once is a turn.
    """
    if bulk:
        with BULK:
            return _decode_lines(lines, projection)
    return _decode_lines(lines, projection)


def _decode_lines(lines: Iterable[bytes], projection: Projection) -> list[WatchEvent | Exception]:
    events: list[WatchEvent | Exception] = []
    try:
        for line in lines:
            events.append(decode(line, projection))  # noqa: PERF401 - what came before an error counts
    except UNREADABLE as error:
        events.append(error)
    return events


def decode_page(body: bytes, projection: Projection) -> Page:
    """Decode a page of a list; raises as `decode` does."""
    try:
        (version, token, items), cut = list_page(body), False
    except RecursionError:
        (version, token, items), cut = list_page(shallow(body)), True
    read = partial(_read, projection=projection, cut=cut)
    return Page(parse_version(version), token, list(in_turns(read, items)))


def _read(raw: msgspec.Raw, projection: Projection, *, cut: bool, deleted: bool = False) -> Entry | Undecodable:
    if cut and TOO_DEEP in bytes(raw):
        return undecodable(raw, "it is nested too deep", deleted=deleted)
    try:
        return projection.entry(raw)
    except UNREADABLE as error:
        return undecodable(raw, str(error), deleted=deleted)

"""One line of a watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.versions import parse_version
from kcontroller.client.answers import status_error

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry, Projection
    from kcontroller.errors import ApiError

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""KEP-3157: the bookmark that carries this annotation ends the initial events of a streaming list."""


@dataclass(frozen=True, slots=True)
class Upserted:
    """An object was added or modified."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object was deleted; the entry is its last state and carries the version of the deletion."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing of this kind changed up to `version`."""

    version: int
    initial_events_end: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The server ends the watch with an error."""

    error: ApiError


WatchEvent = Upserted | Deleted | Bookmark | Failure


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


def decode(line: bytes, projection: Projection) -> WatchEvent:
    """Decode one line of a watch.

    Raises:
        msgspec.DecodeError, ValueError: it is not a watch event of an object.
    """
    parsed = _decode_line(line)
    match parsed.type:
        case "ADDED" | "MODIFIED":
            return Upserted(projection.entry(parsed.object))
        case "DELETED":
            return Deleted(projection.entry(parsed.object))
        case "BOOKMARK":
            metadata = _decode_bookmark(parsed.object).metadata
            ended = (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"
            return Bookmark(parse_version(metadata.resource_version), ended)
        case "ERROR":
            return Failure(status_error(bytes(parsed.object), verb="watch", resource=str(projection.gvk)))
        case _:
            msg = f"unknown watch event type {parsed.type[:40]!r}"
            raise ValueError(msg)

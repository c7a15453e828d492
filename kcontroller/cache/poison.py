"""Objects that cannot be decoded: one of them must not end the watch of all the others.

A server should never hand one out. An aggregated one may, and whoever may create a custom resource with free-form
fields can nest it so deep that no recursive decoder reads it. Such an object is skipped, counted and named in the log
once; what the cache knew of it before stays, because it does exist.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.api.versions import parse_version

DEEPEST: Final = 256
"""Levels that `shallow` leaves; decoders give up somewhere below a thousand."""

TOO_DEEP: Final = b'"kcontroller: nested too deep"'

UNREADABLE: Final = (ValueError, RecursionError)
"""What msgspec raises: DecodeError and UnicodeDecodeError are ValueErrors, deep nesting is its own."""


class Undecodable(msgspec.Struct, frozen=True):
    """What can still be said of an object that cannot be decoded.

    Attributes:
        key: None if its name cannot be read either.
        version: 0 if it cannot be read either.
        why: for the log; never a piece of the object.
        deleted: it came with a deletion.
    """

    key: Key | None
    version: int
    why: str
    deleted: bool = False


class _Object(msgspec.Struct):
    metadata: msgspec.Raw


class _Identity(msgspec.Struct, rename="camel"):
    name: Any = None
    namespace: Any = None
    resource_version: Any = None


_decode_object: Final = msgspec.json.Decoder(_Object).decode
_decode_identity: Final = msgspec.json.Decoder(_Identity).decode
_TOKENS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def undecodable(raw: bytes | msgspec.Raw, why: str, *, deleted: bool = False) -> Undecodable:
    """Say what can be said; never raises."""
    try:
        meta = _decode_identity(_decode_object(raw).metadata)
    except UNREADABLE:
        return Undecodable(None, 0, why, deleted)
    key = None
    if isinstance(meta.name, str) and meta.name and isinstance(meta.namespace or "", str):
        key = Key(meta.namespace or "", meta.name)
    try:
        version = parse_version(meta.resource_version)
    except (ValueError, AttributeError):  # It may be of any type.
        version = 0
    return Undecodable(key, version, why, deleted)


def shallow(text: bytes) -> bytes:
    """Put `TOO_DEEP` in the place of every value that is nested deeper than `DEEPEST`; works on any text."""
    pieces: list[bytes] = []
    depth = start = 0
    for token in _TOKENS.finditer(text):
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                pieces += (text[start : token.start()], TOO_DEEP)
        elif mark in b"]}":
            depth -= 1
            if depth == DEEPEST:
                start = token.end()
    if depth <= DEEPEST:
        pieces.append(text[start:])
    return b"".join(pieces)

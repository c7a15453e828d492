"""OpenAPI version 2 as protobuf, the only form in which kubectl asks for it: gnostic's ``openapi.v2.Document``.

kubectl checks the items of a ``List`` by the definitions, on its own side; older ones read more. Paths are left out:
what they tell kubectl it learns from version 3.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.bodies import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ACCEPTED: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients accept."""

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the answer is: with the sign it would be no media type."""


def encode(document: Mapping[str, Any]) -> bytes:
    """Encode the title, version and definitions of a document of version 2."""
    info = document["info"]
    definitions = _named(document["definitions"])
    return b"".join(
        (
            _bytes(1, document["swagger"].encode()),
            _bytes(2, _bytes(1, info["title"].encode()) + _bytes(2, info["version"].encode())),
            _bytes(8, b""),
            _bytes(9, definitions),
        )
    )


def _named(schemas: Mapping[str, Any]) -> bytes:
    return b"".join(
        _bytes(1, _bytes(1, name.encode()) + _bytes(2, _schema(schema))) for name, schema in schemas.items()
    )


def _schema(schema: Mapping[str, Any]) -> bytes:
    return b"".join(_field(name, value) for name, value in schema.items())


def _field(name: str, value: Any) -> bytes:
    if name.startswith("x-"):
        return _bytes(31, _bytes(1, name.encode()) + _bytes(2, _any(value)))
    encoder = _ENCODERS.get(name)  # There is none for allOf and the like: no client reads them.
    return encoder[1](encoder[0], value) if encoder else b""


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | wire.FIXED64) + struct.pack("<d", value)


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | wire.VARINT) + _varint(value)


def _any(value: Any) -> bytes:
    return _text(2, json.dumps(value))  # It is YAML.


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


# Field numbers of openapi.v2.Schema.
_ENCODERS: Final[dict[str, tuple[int, Callable[[int, Any], bytes]]]] = {
    "$ref": (1, _text),
    "format": (2, _text),
    "title": (3, _text),
    "description": (4, _text),
    "maximum": (7, _double),
    "exclusiveMaximum": (8, _integer),
    "minimum": (9, _double),
    "exclusiveMinimum": (10, _integer),
    "maxLength": (11, _integer),
    "minLength": (12, _integer),
    "pattern": (13, _text),
    "maxItems": (14, _integer),
    "minItems": (15, _integer),
    "uniqueItems": (16, _integer),
    "maxProperties": (17, _integer),
    "minProperties": (18, _integer),
    "required": (19, _texts),
    "enum": (20, lambda number, values: b"".join(_bytes(number, _any(value)) for value in values)),
    "additionalProperties": (
        21,
        lambda number, value: _bytes(
            number, _bytes(1, _schema(value)) if isinstance(value, dict) else _integer(2, value)
        ),
    ),
    "type": (22, lambda number, value: _bytes(number, _text(1, value))),
    "items": (23, lambda number, value: _bytes(number, _bytes(1, _schema(value)))),
    "properties": (25, lambda number, value: _bytes(number, _named(value))),
}

"""Reads bodies that Go clients send as ``application/vnd.kubernetes.protobuf``.

Such a body is four bytes of magic and a ``runtime.Unknown``: apiVersion, kind, and the object as protobuf. Field numbers,
JSON names and what Go's JSON leaves out are data, recorded from the Go types by testing/protobuf_recording.py; the
document is the one that a Go server would write as JSON after reading the same body.
"""

from __future__ import annotations

import base64
import gzip
import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import statuses, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAGIC: Final = b"k8s\0"
"""What every body starts with."""

META_KINDS: Final = frozenset(
    {"CreateOptions", "DeleteOptions", "GetOptions", "List", "ListOptions", "PatchOptions", "Status", "UpdateOptions"}
)
"""Kinds of apimachinery, the same in every group and version."""

_DATA: Final = "data/protobuf-1.36.3.json.gz"
# Hostile bodies: two bytes can be a message whose zero values take hundreds.
_MAX_DEPTH: Final = 100
_MAX_MESSAGES: Final = 200_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_SCHEMA: Final = "apiextensions.v1.JSONSchemaProps"
_SCALARS: Final[dict[str, tuple[int, Any]]] = {  # Wire type, and what is read where nothing was sent.
    "string": (wire.BYTES, ""),
    "bytes": (wire.BYTES, None),
    "bool": (wire.VARINT, False),
    "int32": (wire.VARINT, 0),
    "int64": (wire.VARINT, 0),
    "float64": (wire.FIXED64, 0),
}


def decode(raw: bytes, *, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """Turn a body into the JSON document that it stands for.

    Args:
        raw: the whole body.
        api_version: what the path expects; fills what the body leaves open, and with `kind` is named in refusals.
        kind: likewise.

    Raises:
        Refusal: 400, worded as kube-apiserver does: no such envelope, an unknown kind, or an object that cannot be read.
    """
    try:
        sent_version, sent_kind, body = _open(raw)
    except wire.MalformedError as error:
        raise statuses.bad_request(_unrecognized(raw, kind, str(error))) from None
    actual_version, actual_kind = sent_version or api_version, sent_kind or kind
    try:
        document = _Decoder().object(actual_version, actual_kind, body, 0)
    except (wire.MalformedError, msgspec.DecodeError, RecursionError) as error:
        version = actual_version.rpartition("/")[2]
        as_what = f'{actual_kind} in version "{version}" cannot be handled as a {kind}: ' if kind else ""
        raise statuses.bad_request(f"{as_what}{error}") from None
    return document


def _open(raw: bytes) -> tuple[str, str, bytes]:
    if not raw:
        raise wire.MalformedError("empty data")
    if not raw.startswith(MAGIC):
        expected = " ".join(map(str, MAGIC))
        msg = f"provided data does not appear to be a protobuf message, expected prefix [{expected}]"
        raise wire.MalformedError(msg)
    if len(raw) == len(MAGIC):
        raise wire.MalformedError("empty body")
    envelope = wire.gather(raw[len(MAGIC) :], "Unknown", {1: wire.BYTES, 2: wire.BYTES})
    names = wire.gather(wire.joined(envelope, 1), "TypeMeta", {1: wire.BYTES, 2: wire.BYTES})
    return wire.text(names, 1), wire.text(names, 2), wire.last(envelope, 2, b"")


def _unrecognized(raw: bytes, kind: str, why: str) -> str:
    if not kind:
        return why
    shown = raw[:30].decode(errors="replace") if raw.startswith(b"{") else raw[:30].hex()
    summary = f"{shown} ..." if len(raw) > 30 else shown or "<empty>"  # noqa: PLR2004 - as summarizeData does
    return f"the object provided is unrecognized (must be of type {kind}): {why} ({summary})"


class _Field(msgspec.Struct, frozen=True):
    """A field of a message; `flags` as the recording writes them."""

    number: int
    name: str
    held: str
    wire: int
    pointer: bool
    repeated: bool
    map: bool
    inline: bool
    omit_empty: bool
    omit_zero: bool


class _Message(msgspec.Struct, frozen=True):
    name: str
    fields: tuple[_Field, ...]
    wires: Mapping[int, int]
    is_list: bool


@cache
def _recorded() -> dict[str, Any]:
    data = resources.files("kcontroller.embedded").joinpath(_DATA).read_bytes()
    recorded: dict[str, Any] = msgspec.json.decode(gzip.decompress(data))
    return recorded


@cache
def _message(name: str) -> _Message:
    fields = tuple(_field(*row) for row in _recorded()["messages"][name])
    is_list = any("l" in row[2] for row in _recorded()["messages"][name])
    return _Message(name.rpartition(".")[2], fields, {field.number: field.wire for field in fields}, is_list)


def _field(number: int, name: str, flags: str, held: str) -> _Field:
    encoded = wire.BYTES if "m" in flags else _SCALARS.get(held, (wire.BYTES, None))[0]
    pointer, repeated, mapped, inline, empty, zero = (flag in flags for flag in "prmioz")
    return _Field(number, name, held, encoded, pointer, repeated, mapped, inline, empty, zero)


class _Decoder:
    """Reads one body; counts its messages."""

    def __init__(self) -> None:
        self._messages = 0
        self._specials: dict[str, Callable[[bytes, int], Any]] = {
            "time": lambda data, _depth: _time(data),
            "microtime": lambda data, _depth: _time(data, micro=True),
            "quantity": lambda data, _depth: wire.text(wire.gather(data, "Quantity", {1: wire.BYTES}), 1, "0"),
            "int-or-string": lambda data, _depth: _int_or_string(data),
            "json": lambda data, _depth: _json(_raw(data)),
            "extension": self._extension,
            "schema-or-array": self._schema_or_array,
            "schema-or-bool": self._schema_or_bool,
            "schema-or-strings": self._schema_or_strings,
        }

    def object(self, api_version: str, kind: str, data: bytes, depth: int) -> dict[str, Any]:
        """Read what an envelope holds."""
        kinds = _recorded()["kinds"]
        if not kind:
            msg = f"Object 'Kind' is missing in 'runtime.TypeMeta{{APIVersion:\"{api_version}\", Kind:\"\"}}'"
            raise wire.MalformedError(msg)
        name = kinds.get(f"v1/{kind}" if kind in META_KINDS else f"{api_version}/{kind}")
        if name is None:
            where = 'in scheme "pkg/runtime/scheme.go:111"'
            raise wire.MalformedError(f'no kind "{kind}" is registered for version "{api_version}" {where}')
        return {"kind": kind, "apiVersion": api_version, **self._read(name, data, depth)}

    def _read(self, name: str, data: bytes, depth: int) -> Any:
        self._messages += 1
        if depth > _MAX_DEPTH or self._messages > _MAX_MESSAGES:
            raise wire.MalformedError("proto: too many or too deeply nested messages")
        message = _message(name)
        seen = wire.gather(data, message.name, message.wires)
        if message.is_list:
            return self._value(message.fields[0], seen.get(1, []), depth)
        document: dict[str, Any] = {}
        for field in message.fields:
            value = self._value(field, seen.get(field.number, []), depth)
            if field.inline:
                document.update(value)
            elif not _left_out(field, value):
                document[field.name] = value
        return document

    def _value(self, field: _Field, seen: list[Any], depth: int) -> Any:
        if field.map:
            return self._map(field.held, seen, depth) if seen else None
        if field.repeated:
            return [self._one(field.held, item, depth) for item in seen] or None
        if not seen:
            if field.pointer:
                return None
            return _SCALARS[field.held][1] if field.held in _SCALARS else self._one(field.held, b"", depth)
        # A message that comes in pieces is merged; joining their bytes is the same.
        whole = seen[-1] if field.held in _SCALARS or len(seen) == 1 else b"".join(seen)
        return self._one(field.held, whole, depth)

    def _map(self, held: str, entries: Iterable[bytes], depth: int) -> dict[str, Any]:
        encoded, absent = _SCALARS.get(held, (wire.BYTES, b""))
        result = {}
        for entry in entries:
            seen = wire.gather(entry, "entry", {1: wire.BYTES, 2: encoded})
            value = wire.last(seen, 2, None)
            if value is not None or held not in _SCALARS:
                value = self._one(held, b"" if value is None else value, depth)
            else:
                value = absent
            result[wire.text(seen, 1)] = value
        return result

    def _one(self, held: str, sent: Any, depth: int) -> Any:
        if held in _SCALARS:
            return _scalar(held, sent)
        special = self._specials.get(held)
        return self._read(held, sent, depth + 1) if special is None else special(sent, depth)

    def _extension(self, data: bytes, depth: int) -> Any:
        raw = _raw(data)
        if not raw.startswith(MAGIC):
            return _json(raw)
        if depth > _MAX_DEPTH:
            raise wire.MalformedError("proto: too many or too deeply nested messages")
        return self.object(*_open(raw), depth + 1)

    def _schema_or_array(self, data: bytes, depth: int) -> Any:
        seen = wire.gather(data, "JSONSchemaPropsOrArray", {1: wire.BYTES, 2: wire.BYTES})
        if 2 in seen:  # noqa: PLR2004 - the field's number
            return [self._read(_SCHEMA, item, depth + 1) for item in seen[2]]
        return self._schema(seen, 1, depth)

    def _schema_or_bool(self, data: bytes, depth: int) -> Any:
        seen = wire.gather(data, "JSONSchemaPropsOrBool", {1: wire.VARINT, 2: wire.BYTES})
        schema = self._schema(seen, 2, depth)
        return bool(wire.last(seen, 1, 0)) if schema is None else schema

    def _schema_or_strings(self, data: bytes, depth: int) -> Any:
        seen = wire.gather(data, "JSONSchemaPropsOrStringArray", {1: wire.BYTES, 2: wire.BYTES})
        if 2 in seen:  # noqa: PLR2004 - the field's number
            return [item.decode(errors="replace") for item in seen[2]]
        return self._schema(seen, 1, depth)

    def _schema(self, seen: Mapping[int, list[Any]], number: int, depth: int) -> Any:
        return self._read(_SCHEMA, wire.joined(seen, number), depth + 1) if number in seen else None


def _left_out(field: _Field, value: Any) -> bool:
    if value is None:
        return field.pointer and field.omit_empty or field.omit_zero or (field.omit_empty and _may_be_empty(field))
    return field.omit_empty and not field.pointer and not value and _may_be_empty(field)


def _may_be_empty(field: _Field) -> bool:
    # To Go's JSON no struct is empty; a message that is a named list is no struct.
    if field.map or field.repeated or field.held in _SCALARS:
        return True
    return field.held in _recorded()["messages"] and _message(field.held).is_list


def _scalar(held: str, sent: Any) -> Any:
    if held == "string":
        return sent.decode(errors="replace")
    if held == "bytes":
        return base64.b64encode(sent).decode()
    if held == "bool":
        return sent != 0
    if held == "float64":
        (value,) = struct.unpack("<d", sent)
        # Go writes a whole number without a point.
        return int(value) if value.is_integer() and abs(value) < 1e21 else value  # noqa: PLR2004
    bits = 32 if held == "int32" else 64
    value = sent & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


def _raw(data: bytes) -> bytes:
    return bytes(wire.last(wire.gather(data, "RawExtension", {1: wire.BYTES}), 1, b""))


def _json(raw: bytes) -> Any:
    return msgspec.json.decode(raw) if raw else None


def _time(data: bytes, *, micro: bool = False) -> str | None:
    if not data:
        return None
    seen = wire.gather(data, "Timestamp", {1: wire.VARINT, 2: wire.VARINT})
    seconds, nanos = _scalar("int64", wire.last(seen, 1, 0)), _scalar("int32", wire.last(seen, 2, 0))
    try:
        when = _EPOCH + timedelta(seconds=seconds, microseconds=int(nanos / 1000) if micro else 0)
    except OverflowError:
        raise wire.MalformedError("proto: a time out of range") from None
    if when == _ZERO_TIME:
        return None
    return when.isoformat(timespec="microseconds" if micro else "seconds").removesuffix("+00:00") + "Z"


def _int_or_string(data: bytes) -> int | str:
    seen = wire.gather(data, "IntOrString", {1: wire.VARINT, 2: wire.VARINT, 3: wire.BYTES})
    match wire.last(seen, 1, 0):
        case 0:
            return int(_scalar("int32", wire.last(seen, 2, 0)))
        case 1:
            return wire.text(seen, 3)
        case _:
            raise wire.MalformedError("impossible IntOrString.Type")

"""Reads bodies that Go clients send as ``application/vnd.kubernetes.protobuf``.

Such a body is four bytes of magic and a ``runtime.Unknown``: apiVersion, kind, and the object as protobuf. Field
numbers, JSON names and what Go's JSON leaves out are data, recorded from the Go types by testing/protobuf_recording.py;
the document is the one that a Go server would write as JSON after reading the same body.
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import statuses
from kcontroller.embedded.bodies import wire
from kcontroller.embedded.bodies.messages import SCALARS, message, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.embedded.bodies.messages import Field
    from kcontroller.embedded.kinds import Kind

MAGIC: Final = b"k8s\0"
"""What every body starts with."""

# Hostile bodies: two bytes can be a message whose zero values take hundreds.
_MAX_DEPTH: Final = 100
_MAX_MESSAGES: Final = 100_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_SCHEMA: Final = "apiextensions.v1.JSONSchemaProps"


def decode(raw: bytes, *, kind: Kind | None = None) -> dict[str, Any]:
    """Turn a body into the JSON document that it stands for.

    Args:
        raw: the whole body.
        kind: what the path asks for: fills what the body leaves open, and is named in refusals. None for DeleteOptions.

    Raises:
        Refusal: 400, worded as kube-apiserver does: no such envelope, an unknown kind, or an object that is broken.
    """
    try:
        sent_version, sent_kind, body = _open(raw)
    except wire.MalformedError as error:
        raise statuses.bad_request(_unrecognized(raw, kind, str(error))) from None
    wanted = (kind.api_version, kind.kind) if kind else ("", "")
    version, name = sent_version or wanted[0], sent_kind or wanted[1]
    try:
        return _Decoder().object(version, name, body, 0)
    except (wire.MalformedError, msgspec.DecodeError, RecursionError) as error:
        as_what = (
            f'{name} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind.kind}: ' if kind else ""
        )
        raise statuses.bad_request(f"{as_what}{error}") from None


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


def _unrecognized(raw: bytes, kind: Kind | None, why: str) -> str:
    if kind is None:
        return why
    shown = raw[:30].decode(errors="replace") if raw.startswith(b"{") else raw[:30].hex()
    summary = f"{shown} ..." if len(raw) > 30 else shown or "<empty>"  # noqa: PLR2004 - as summarizeData does
    return f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({summary})"


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
        if not kind:
            msg = f"Object 'Kind' is missing in 'runtime.TypeMeta{{APIVersion:\"{api_version}\", Kind:\"\"}}'"
            raise wire.MalformedError(msg)
        name = message_of(api_version, kind)
        if not name:
            where = 'in scheme "pkg/runtime/scheme.go:111"'
            raise wire.MalformedError(f'no kind "{kind}" is registered for version "{api_version}" {where}')
        return {"kind": kind, "apiVersion": api_version, **self._read(name, data, depth)}

    def _read(self, name: str, data: bytes, depth: int) -> Any:
        self._messages += 1
        if depth > _MAX_DEPTH or self._messages > _MAX_MESSAGES:
            raise wire.MalformedError("proto: too many or too deeply nested messages")
        shape = message(name)
        seen = wire.gather(data, shape.name, shape.wires)
        if shape.is_list:
            return self._value(shape.fields[0], seen.get(1, []), depth)
        document: dict[str, Any] = {}
        for field in shape.fields:
            value = self._value(field, seen.get(field.number, []), depth)
            if field.inline:
                document.update(value)
            elif not field.left_out(value):
                document[field.name] = value
        return document

    def _value(self, field: Field, seen: list[Any], depth: int) -> Any:
        if field.map:
            return self._map(field.held, seen, depth) if seen else None
        if field.repeated:
            return [self._one(field.held, item, depth) for item in seen] or None
        if not seen:
            if field.pointer:
                return None
            return SCALARS[field.held][1] if field.held in SCALARS else self._one(field.held, b"", depth)
        # A message that comes in pieces is merged; joining their bytes is the same.
        whole = seen[-1] if field.held in SCALARS or len(seen) == 1 else b"".join(seen)
        return self._one(field.held, whole, depth)

    def _map(self, held: str, entries: Iterable[bytes], depth: int) -> dict[str, Any]:
        encoded, absent = SCALARS.get(held, (wire.BYTES, b""))
        result = {}
        for entry in entries:
            seen = wire.gather(entry, "entry", {1: wire.BYTES, 2: encoded})
            value = wire.last(seen, 2, None)
            if value is not None or held not in SCALARS:
                value = self._one(held, b"" if value is None else value, depth)
            else:
                value = absent
            result[wire.text(seen, 1)] = value
        return result

    def _one(self, held: str, sent: Any, depth: int) -> Any:
        if held in SCALARS:
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

"""The wire format of protobuf: numbered fields of four encodings, nothing about what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_GROUP_END: Final = 4
_VARINT_BITS: Final = 64


class MalformedError(Exception):
    """Bytes that are no protobuf, or not of the message expected; worded as Go's generated code does."""


def gather(data: bytes, name: str, wires: Mapping[int, int]) -> dict[int, list[Any]]:
    """Collect the fields of one message, each with all its values in the order sent.

    Varints come as they are, unsigned; everything else as bytes. Numbers sent packed are unpacked.

    Args:
        data: the message.
        name: what errors call it.
        wires: the fields wanted and how they are encoded; others are skipped.

    Raises:
        MalformedError: the bytes end early, or a field is not encoded as wanted.
    """
    seen: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, encoding = key >> 3, key & 7
        if encoding == _GROUP_END:
            raise MalformedError(f"proto: {name}: wiretype end group for non-group")
        if not 0 < number < 1 << 31:
            raise MalformedError(f"proto: {name}: illegal tag {number} (wire type {key})")
        value, at = _next(data, at, encoding)
        wanted = wires.get(number)
        if wanted is None:
            continue
        if encoding == wanted:
            seen.setdefault(number, []).append(value)
        elif encoding == BYTES and wanted == VARINT:
            seen.setdefault(number, []).extend(_packed(value))
        else:
            raise MalformedError(f"proto: wrong wireType = {encoding} for field {number} of {name}")
    return seen


def last(seen: Mapping[int, list[Any]], number: int, absent: Any) -> Any:
    """Give the value that counts where a field may stand once."""
    return seen[number][-1] if number in seen else absent


def joined(seen: Mapping[int, list[Any]], number: int) -> bytes:
    """Give a message that may have come in pieces: joined they are the merged message."""
    return b"".join(seen.get(number, ()))


def text(seen: Mapping[int, list[Any]], number: int, absent: str = "") -> str:
    """Give a string; what is no UTF-8 is replaced, as Go's JSON does."""
    return last(seen, number, absent.encode()).decode(errors="replace")  # type: ignore[no-any-return]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift >= _VARINT_BITS:
            raise MalformedError("proto: integer overflow")
        if at >= len(data):
            raise MalformedError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return value, at
        shift += 7


def _next(data: bytes, at: int, encoding: int) -> tuple[Any, int]:
    if encoding == VARINT:
        return _varint(data, at)
    if encoding == BYTES:
        length, at = _varint(data, at)
    elif encoding in _FIXED:
        length = _FIXED[encoding]
    else:  # Groups: no message of Kubernetes has one.
        raise MalformedError(f"proto: illegal wireType {encoding}")
    if at + length > len(data):
        raise MalformedError("unexpected EOF")
    return data[at : at + length], at + length


def _packed(data: bytes) -> list[int]:
    values = []
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values

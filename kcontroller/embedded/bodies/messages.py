"""The protobuf messages of Kubernetes as recorded: which field stands for what, and when Go's JSON leaves it out."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded.bodies import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

META_KINDS: Final = frozenset(
    {"CreateOptions", "DeleteOptions", "GetOptions", "List", "ListOptions", "PatchOptions", "Status", "UpdateOptions"}
)
"""Kinds of apimachinery, the same in every group and version."""

SCALARS: Final[Mapping[str, tuple[int, Any]]] = {
    "string": (wire.BYTES, ""),
    "bytes": (wire.BYTES, None),
    "bool": (wire.VARINT, False),
    "int32": (wire.VARINT, 0),
    "int64": (wire.VARINT, 0),
    "float64": (wire.FIXED64, 0),
}
"""How each is encoded, and what is read where nothing was sent."""

_DATA: Final = "data/protobuf-1.36.3.json.gz"


class Field(msgspec.Struct, frozen=True):
    """A field of a message.

    Attributes:
        number: what stands on the wire.
        name: in JSON; empty for a message whose fields stand among those around it (`inline`).
        held: a scalar, the name of a message, or of a type whose JSON is not made of its fields (``time``).
        wire: how one value is encoded.
        pointer: whether absent differs from zero.
    """

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

    def left_out(self, value: Any) -> bool:
        """Whether Go's JSON does not write this value."""
        if self.omit_zero and value is None:
            return True
        if not self.omit_empty:
            return False
        return value is None if self.pointer else not value and self._may_be_empty()

    def _may_be_empty(self) -> bool:
        # To Go's JSON no struct is empty; a message that is a named list is no struct.
        if self.map or self.repeated or self.held in SCALARS:
            return True
        return self.held in _recorded()["messages"] and message(self.held).is_list


class Message(msgspec.Struct, frozen=True):
    """A message; one that `is_list` has a single field, and is a list in JSON."""

    name: str
    fields: tuple[Field, ...]
    wires: Mapping[int, int]
    is_list: bool


@cache
def message(name: str) -> Message:
    """Give a message by its name, such as ``core.v1.Pod``."""
    rows = _recorded()["messages"][name]
    fields = tuple(_field(*row) for row in rows)
    wires = {field.number: field.wire for field in fields}
    return Message(name.rpartition(".")[2], fields, wires, any("l" in row[2] for row in rows))


def message_of(api_version: str, kind: str) -> str:
    """Name the message of a kind; empty for a kind that is not recorded."""
    name = f"v1/{kind}" if kind in META_KINDS else f"{api_version}/{kind}"
    return str(_recorded()["kinds"].get(name, ""))


def every_name() -> tuple[str, ...]:
    """Name every message."""
    return tuple(_recorded()["messages"])


@cache
def _recorded() -> dict[str, Any]:
    data = resources.files("kcontroller.embedded").joinpath(_DATA).read_bytes()
    recorded: dict[str, Any] = msgspec.json.decode(gzip.decompress(data))
    return recorded


def _field(number: int, name: str, flags: str, held: str) -> Field:
    encoded = wire.BYTES if "m" in flags else SCALARS.get(held, (wire.BYTES, None))[0]
    pointer, repeated, mapped, inline, empty, zero = (flag in flags for flag in "prmioz")
    return Field(number, name, held, encoded, pointer, repeated, mapped, inline, empty, zero)

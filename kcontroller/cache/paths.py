"""Declared JSON paths: reading the values at them, and cutting them out of a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WHOLE: Final = ""  # No step of a path can be this.
_DOT: Final = re.compile(r"(?<!\\)\.")
_LABELS: Final = ("metadata", "labels")

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def steps_of(path: str) -> tuple[str, ...]:
    r"""Take a path apart: ``metadata.labels.example\.com/team`` has three steps."""
    return tuple(step.replace("\\.", ".") for step in _DOT.split(path))


class PathReader:
    """Reads the values at some paths in one go, and skips everything else."""

    def __init__(self, paths: Iterable[str]) -> None:
        split = [steps_of(path) for path in paths]
        # A label is in the header already, and spares the second look at the object.
        self._label_names = tuple(_label_name(steps) for steps in split)
        elsewhere = [steps for steps in split if not _label_name(steps)]
        self._steps = tuple(tuple((step, _attribute(step)) for step in steps) for steps in split)
        self._decode = _path_decoder(elsewhere) if elsewhere else None

    def values(self, raw: bytes, labels: Mapping[str, str]) -> tuple[Any, ...]:
        """The values in the order of the paths; None where there is none."""
        if not self._steps:
            return ()
        nested = None if self._decode is None else _nested(self._decode, raw)
        return tuple(
            labels.get(label) if label else _walk(nested, steps)
            for label, steps in zip(self._label_names, self._steps, strict=True)
        )


class Cut:
    """Takes the values at some paths out of a text; what stays, stays byte for byte.

    Args:
        paths: each as its steps. Where one leads through something else than objects there is nothing to cut.
    """

    def __init__(self, paths: Iterable[tuple[str, ...]]) -> None:
        self._tree = _tree(paths)

    def of(self, raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
        """The members that are left.

        Raises:
            ValueError, RecursionError: it is not an object.
        """
        return _without(raw, self._tree)


def text_of(members: dict[str, msgspec.Raw]) -> bytes:
    """Make a text of members."""
    # A copy of the size it has: msgspec 0.22 leaves up to half a KB of spare room behind what it encodes.
    return bytes(memoryview(_encode(members)))


def _without(raw: bytes | msgspec.Raw, tree: dict[str, Any]) -> dict[str, msgspec.Raw]:
    members = _members(raw)
    for step, below in tree.items():
        if step not in members:
            continue
        if _WHOLE in below:
            del members[step]
        elif bytes(memoryview(members[step])[:1]) == b"{":
            members[step] = msgspec.Raw(_encode(_without(members[step], below)))
    return members


def _nested(decode: Any, raw: bytes) -> Any:
    try:
        return decode(raw)
    except msgspec.ValidationError:
        # Something else than an object stands where a path goes on: somebody's free-form field, without that value.
        try:
            return msgspec.json.decode(raw)
        except msgspec.ValidationError:  # A number that nobody can hold.
            return None


def _label_name(steps: tuple[str, ...]) -> str:
    return steps[-1] if steps[:-1] == _LABELS else ""


def _walk(value: Any, steps: tuple[tuple[str, str], ...]) -> Any:
    for step, attribute in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, msgspec.Struct):
            value = getattr(value, attribute)
        else:
            return None
    return value


def _tree(paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for steps in paths:
        node = tree
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        node.setdefault(steps[-1], {})[_WHOLE] = {}
    return tree


def _path_decoder(paths: Iterable[tuple[str, ...]]) -> Any:
    """Build a decoder that skips everything but the declared paths."""
    return msgspec.json.Decoder(_struct_of(_tree(paths))).decode


def _struct_of(tree: dict[str, Any]) -> Any:
    if _WHOLE in tree:  # It is asked for itself, and perhaps for parts of it too.
        return Any
    fields = [(_attribute(step), _struct_of(below) | None, None) for step, below in tree.items()]
    return msgspec.defstruct("Paths", fields, rename={_attribute(step): step for step in tree})


def _attribute(step: str) -> str:
    # A step may be anything that JSON takes as a name: `node-name`, `0`, `__init__`.
    return f"step_{step.encode().hex()}"

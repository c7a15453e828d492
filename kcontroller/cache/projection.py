"""From the bytes of an object to an `Entry`: decoded once, immutable from then on.

The bytes are brought to one canonical form (managedFields cut, apiVersion and kind stamped), so that every reader
decodes its own object from them and nobody can corrupt the cache. Beside them stand the few values that predicates,
handlers and indexes ask for again and again.
"""

from __future__ import annotations

import re
from sys import intern
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import GVK, Key
from kcontroller.api.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Owner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An owner reference, as far as finding the owner needs it."""

    api_version: str
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object of the cache.

    Attributes:
        key: namespace and name.
        version: its resourceVersion as a number.
        uid: its identity.
        generation: the server's count of spec changes.
        deleting: whether it has a deletionTimestamp.
        labels: flat (key, value, key, value, ...), sorted by key.
        annotations: the same for annotations.
        finalizers: as they stand.
        owners: its owner references.
        fields: values of the projection's declared paths, in their order.
        raw: its canonical JSON.
    """

    key: Key
    version: int
    uid: str
    generation: int
    deleting: bool
    labels: tuple[str, ...]
    annotations: tuple[str, ...]
    finalizers: tuple[str, ...]
    owners: tuple[Owner, ...]
    fields: tuple[Any, ...]
    raw: bytes


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[Owner, ...] | None = None


_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_metadata: Final = msgspec.json.Decoder(_Metadata).decode
_encode: Final = msgspec.json.Encoder().encode

_WHOLE: Final = ""  # No step of a path can be this.
_DOT: Final = re.compile(r"(?<!\\)\.")
_LABELS: Final = ("metadata", "labels")


def pairs(flat: tuple[str, ...]) -> dict[str, str]:
    """Make a dictionary of an entry's labels or annotations."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _flat(values: Mapping[str, str] | None, shared: Callable[[str], str] = intern) -> tuple[str, ...]:
    if not values:
        return ()
    flat: list[str] = []
    for key in sorted(values):
        flat += intern(key), shared(values[key])
    return tuple(flat)


class Projection:
    """How the objects of one kind become entries.

    Args:
        gvk: stamped onto objects that do not carry it.
        paths: dotted JSON paths, such as ``spec.nodeName``, whose values every entry keeps; a dot inside of a name
            has a backslash before it, as kubectl has it.
    """

    def __init__(self, gvk: GVK, paths: tuple[str, ...] = ()) -> None:
        self.gvk = gvk
        self.paths = paths
        self._api_version = msgspec.Raw(_encode(gvk.api_version))
        self._kind = msgspec.Raw(_encode(gvk.kind))
        split = [[step.replace("\\.", ".") for step in _DOT.split(path)] for path in paths]
        # A label is in the header already, and spares the second look at the object.
        self._label_names = tuple(_label_name(steps) for steps in split)
        elsewhere = [steps for steps in split if not _label_name(steps)]
        self._steps = tuple(tuple((step, _attribute(step)) for step in steps) for steps in split)
        self._fields = _path_decoder(elsewhere) if elsewhere else None

    def entry(self, raw: bytes | msgspec.Raw) -> Entry:
        """Decode one object.

        Raises:
            msgspec.DecodeError: it is not an object with name and resourceVersion.
            ValueError: its resourceVersion cannot be compared, or a string is not UTF-8.
        RecursionError: it is nested too deep.
        """
        members = _members(raw)
        try:
            header = members["metadata"]
        except KeyError:
            msg = "an object without metadata"
            raise msgspec.ValidationError(msg) from None
        meta = _metadata(header)
        return Entry(
            key=Key(intern(meta.namespace), meta.name),
            version=parse_version(meta.resource_version),
            uid=meta.uid,
            generation=meta.generation,
            deleting=bool(meta.deletion_timestamp),
            labels=_flat(meta.labels),
            annotations=_flat(meta.annotations, str),  # Hardly two objects have the same: a table of them is a waste.
            finalizers=meta.finalizers or (),
            owners=meta.owner_references or (),
            fields=self._values(raw, meta.labels or {}),
            raw=self._canonical(raw, members, header),
        )

    def again(self, entry: Entry) -> Entry:
        """Give an entry of another projection this one's fields."""
        return msgspec.structs.replace(entry, fields=self._values(entry.raw, pairs(entry.labels)))

    def _canonical(self, raw: bytes | msgspec.Raw, members: dict[str, msgspec.Raw], header: msgspec.Raw) -> bytes:
        stamped = "apiVersion" in members and "kind" in members
        header_members = _members(header)
        if stamped and "managedFields" not in header_members:
            return bytes(raw)  # A copy: a view would pin the whole receive buffer.
        header_members.pop("managedFields", None)
        members.setdefault("apiVersion", self._api_version)
        members.setdefault("kind", self._kind)
        members["metadata"] = msgspec.Raw(_encode(header_members))
        # A copy of the size it has: msgspec 0.22 leaves up to half a KB of spare room behind what it encodes.
        return bytes(memoryview(_encode(members)))

    def _values(self, raw: bytes | msgspec.Raw, labels: Mapping[str, str]) -> tuple[Any, ...]:
        if not self.paths:
            return ()
        nested = None if self._fields is None else _nested(self._fields, raw)
        return tuple(
            labels.get(label) if label else _walk(nested, steps)
            for label, steps in zip(self._label_names, self._steps, strict=True)
        )


def _nested(fields: Any, raw: bytes | msgspec.Raw) -> Any:
    try:
        return fields(raw)
    except msgspec.ValidationError:
        # Something else than an object stands where a path goes on: somebody's free-form field, without that value.
        try:
            return msgspec.json.decode(raw)
        except msgspec.ValidationError:  # A number that nobody can hold.
            return None


def _label_name(steps: list[str]) -> str:
    return steps[-1] if tuple(steps[:-1]) == _LABELS else ""


def _walk(value: Any, steps: tuple[tuple[str, str], ...]) -> Any:
    for step, attribute in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, msgspec.Struct):
            value = getattr(value, attribute)
        else:
            return None
    return value


def _path_decoder(paths: Iterable[list[str]]) -> Any:
    """Build a decoder that skips everything but the declared paths."""
    tree: dict[str, Any] = {}
    for steps in paths:
        node = tree
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        node.setdefault(steps[-1], {})[_WHOLE] = {}
    return msgspec.json.Decoder(_struct_of(tree)).decode


def _struct_of(tree: dict[str, Any]) -> Any:
    if _WHOLE in tree:  # It is asked for itself, and perhaps for parts of it too.
        return Any
    fields = [(_attribute(step), _struct_of(below) | None, None) for step, below in tree.items()]
    return msgspec.defstruct("Paths", fields, rename={_attribute(step): step for step in tree})


def _attribute(step: str) -> str:
    # A step may be anything that JSON takes as a name: `node-name`, `0`, `__init__`.
    return f"step_{step.encode().hex()}"

"""One object of the cache, and many of them by namespace and name."""

from __future__ import annotations

import itertools
from sys import intern
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kcontroller.cache.packing import Codec, Plain


class Owner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An owner reference, as far as finding the owner needs it."""

    api_version: str
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object of the cache: its JSON, and what predicates, handlers and indexes ask for again and again.

    Attributes:
        namespace: "" if it is cluster-scoped.
        name: its name.
        version: its resourceVersion as a number.
        uid: its identity.
        generation: the server's count of spec changes.
        deleting: whether it has a deletionTimestamp.
        labels: flat (key, value, key, value, ...), sorted by key.
        finalizers: as they stand.
        owners: its owner references.
        fields: values of the projection's declared paths, in their order.
        stored: its canonical JSON, as `codec` packed it.
        codec: unpacks it; None if it is the JSON itself, and packing was not tried.
        paused: who leaves it alone, by its annotation; see `marks.paused_by`.
    """

    namespace: str
    name: str
    version: int
    uid: str
    generation: int
    deleting: bool
    labels: tuple[str, ...]
    finalizers: tuple[str, ...]
    owners: tuple[Owner, ...]
    fields: tuple[Any, ...]
    stored: bytes
    codec: Codec | Plain | None = None
    paused: str = ""

    def __hash__(self) -> int:
        """Not of all fields: those of a declared path may be lists."""
        return hash((self.namespace, self.name))

    @property
    def key(self) -> Key:
        """Namespace and name; made when it is asked for, as the cache has no use for it."""
        return Key(self.namespace, self.name)

    @property
    def raw(self) -> bytes:
        """Its canonical JSON."""
        return self.stored if self.codec is None else self.codec.unpack(self.stored)

    @property
    def annotations(self) -> tuple[str, ...]:
        """As the labels; decoded when they are asked for, as few ask and they are long."""
        return flat(_decode_annotations(self.raw).metadata.annotations)


class _Annotated(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Annotated


_decode_annotations: Final = msgspec.json.Decoder(_Object).decode


def flat(values: Mapping[str, str] | None, name: str = "") -> tuple[str, ...]:
    """Make the flat tuple of a map, with its texts shared; a value that is the object's name is that very text."""
    if not values:
        return ()
    texts: list[str] = []
    for key in sorted(values):
        value = values[key]
        texts += intern(key), name if value == name else intern(value)
    return tuple(texts)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Make a dictionary of an entry's labels or annotations."""
    return dict(zip(texts[::2], texts[1::2], strict=True))


class EntryMap:
    """Entries by namespace and name.

    A dictionary for each namespace spares the key objects, and is the index by namespace at the same time. Not
    guarded: its owner is.
    """

    __slots__ = ("_namespaces",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._namespaces: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self._namespaces.values()))

    def __iter__(self) -> Iterator[Entry]:
        """Walk over them, namespace by namespace."""
        return itertools.chain.from_iterable(map(dict.values, self._namespaces.values()))

    def get(self, namespace: str, name: str) -> Entry | None:
        """Find one."""
        entries = self._namespaces.get(namespace)
        return None if entries is None else entries.get(name)

    def of_namespace(self, namespace: str) -> Iterable[Entry]:
        """Those of one namespace."""
        return self._namespaces.get(namespace, {}).values()

    def put(self, entry: Entry) -> None:
        """Add or replace one."""
        entries = self._namespaces.get(entry.namespace)
        if entries is None:
            entries = self._namespaces[entry.namespace] = {}
        entries[entry.name] = entry

    def drain(self) -> None:
        """Free the entries one by one: to drop them at once would hold up every thread of the process."""
        while self._namespaces:
            _namespace, entries = self._namespaces.popitem()
            while entries:
                entries.popitem()

    def pop(self, namespace: str, name: str) -> Entry | None:
        """Take one out, if it is here."""
        entries = self._namespaces.get(namespace)
        if entries is None:
            return None
        entry = entries.pop(name, None)
        if not entries:
            del self._namespaces[namespace]
        return entry

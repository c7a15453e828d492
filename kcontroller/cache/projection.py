"""From the bytes of an object to an `Entry`: decoded once, immutable from then on.

The bytes are brought to one canonical form (managedFields cut, apiVersion and kind stamped), so that every reader
decodes its own object from them and nobody can corrupt the cache. Beside them stand the few values that predicates,
handlers and indexes ask for again and again.
"""

from __future__ import annotations

import re
from sys import intern
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.marks import PAUSED, paused_by
from kcontroller.api.versions import parse_version
from kcontroller.cache.entry import Entry, Owner, flat, pairs
from kcontroller.cache.packing import packing_of
from kcontroller.cache.paths import Cut, PathReader, steps_of, text_of

if TYPE_CHECKING:
    from kcontroller.api.keys import GVK
    from kcontroller.cache.packing import Codec

__all__ = ["Entry", "Owner", "Projection", "pairs"]

_MANAGED: Final = b'managedFields"'  # Inside of a string a backslash stands before the quote.
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
_AFTER: Final = (b'{"', b',"')
_WITHOUT_MANAGED: Final = Cut([("metadata", "managedFields")])
_PARTIAL: Final = frozenset({"apiVersion", "kind", "metadata"})
_ABSENT: Final = msgspec.Raw()
_PAUSED: Final = PAUSED.encode()


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    name: str
    resource_version: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None  # Read also to know that they are what they must be.
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[Owner, ...] | None = None
    managed_fields: msgspec.Raw = _ABSENT


class _Object(msgspec.Struct, rename="camel", gc=False):
    metadata: _Metadata
    api_version: msgspec.Raw = _ABSENT
    kind: msgspec.Raw = _ABSENT


_decode: Final = msgspec.json.Decoder(_Object).decode
_encode: Final = msgspec.json.Encoder().encode


class Projection:
    r"""How the objects of one kind become entries.

    Args:
        gvk: stamped onto objects that do not carry it.
        paths: dotted JSON paths, such as ``spec.nodeName``, whose values every entry keeps; a dot inside of a name
            has a backslash before it, as kubectl has it.
        drop: paths that are cut out of every object before anything else, such as ``data`` or
            ``metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration``. Whoever reads from the cache
            does not find them, neither do `paths`. What must not be cut is refused by `scope.Holding`.
        metadata_only: keep nothing but the metadata, as of a PartialObjectMetadata; it is stamped as the kind itself.
        compress: keep the JSON compressed; None does so for kinds with many objects that are large.
    """

    def __init__(
        self,
        gvk: GVK,
        paths: tuple[str, ...] = (),
        *,
        drop: tuple[str, ...] = (),
        metadata_only: bool = False,
        compress: bool | None = None,
    ) -> None:
        self.gvk = gvk
        self.paths = paths
        self._drop = drop
        self._metadata_only = metadata_only
        self._compress = compress
        self._reader = PathReader(paths)
        self._cut = Cut([*map(steps_of, drop), ("metadata", "managedFields")]) if drop or metadata_only else None
        self._packing = packing_of((gvk, drop, metadata_only), compress=compress)
        self._api_version = msgspec.Raw(_encode(gvk.api_version))
        self._kind = msgspec.Raw(_encode(gvk.kind))
        self._stamp = b'{"apiVersion":%b,"kind":%b,"' % (bytes(self._api_version), bytes(self._kind))

    def with_paths(self, paths: tuple[str, ...]) -> Projection:
        """The same with other paths."""
        return Projection(self.gvk, paths, drop=self._drop, metadata_only=self._metadata_only, compress=self._compress)

    @property
    def codec(self) -> Codec | None:
        """What packs the entries at the moment."""
        return None if self._packing is None else self._packing.codec

    def entry(self, raw: bytes | msgspec.Raw) -> Entry:
        """Decode one object.

        Raises:
            msgspec.DecodeError: it is not an object with name and resourceVersion.
            ValueError: its resourceVersion cannot be compared, or a string is not UTF-8.
            RecursionError: it is nested too deep.
        """
        text = bytes(raw)  # A copy: a view would pin the whole receive buffer.
        paused = None
        if self._cut is not None:
            if _PAUSED in text:  # Who drops the annotations drops no pause.
                paused = (_decode(text).metadata.annotations or {}).get(PAUSED)
            text = self._reduced(text, self._cut)
        found = _decode(text)
        meta = found.metadata
        text = self._canonical(text, found)
        if not text.isascii():
            text.decode()  # What is not decoded here must not fail every read later.
        name = meta.name
        version = parse_version(meta.resource_version)
        stored, codec = (text, None) if self._packing is None else self._packing.pack(text, meta.uid or name)
        return Entry(
            intern(meta.namespace),
            name,
            version,
            meta.uid,
            meta.generation,
            bool(meta.deletion_timestamp),
            flat(meta.labels, name),
            meta.finalizers or (),
            meta.owner_references or (),
            self._reader.values(text, meta.labels or {}) if self.paths else (),
            stored,
            codec,
            intern(paused_by(meta.annotations.get(PAUSED, paused))) if meta.annotations else paused_by(paused),
        )

    def again(self, entry: Entry) -> Entry:
        """Give an entry of another projection, or of this one from before it had a codec, what it is missing here."""
        raw = entry.raw
        stored, codec = (entry.stored, entry.codec)
        if codec is None and self._packing is not None:
            stored, codec = self._packing.pack(raw, entry.uid or entry.name)
        fields = self._reader.values(raw, pairs(entry.labels))
        return msgspec.structs.replace(entry, fields=fields, stored=stored, codec=codec)

    def _reduced(self, text: bytes, cut: Cut) -> bytes:
        members = cut.of(text)
        if self._metadata_only:
            members = {name: value for name, value in members.items() if name in _PARTIAL}
            members |= {"apiVersion": self._api_version, "kind": self._kind}
        return text_of(members)

    def _canonical(self, text: bytes, found: _Object) -> bytes:
        managed = found.metadata.managed_fields
        if managed is not _ABSENT:
            text = _spliced(text, managed) or text_of(_WITHOUT_MANAGED.of(text))
        if found.api_version is not _ABSENT and found.kind is not _ABSENT:
            return text
        if found.api_version is found.kind and text.startswith(b'{"'):
            return self._stamp + text[2:]
        members = _WITHOUT_MANAGED.of(text)
        members.setdefault("apiVersion", self._api_version)
        members.setdefault("kind", self._kind)
        return text_of(members)


def _spliced(text: bytes, managed: msgspec.Raw) -> bytes:
    """Cut managedFields out where they stand; b"" if that is not beyond doubt."""
    value = memoryview(managed)
    name = text.find(_MANAGED)
    if name < 0 or text.find(_MANAGED, name + 1) >= 0:
        return b""  # Only if there is one in the whole text it is that of the metadata.
    start, colon = name - 1, name + len(_MANAGED)
    end = colon + 1 + len(value)
    if text[start - 1 : name] not in _AFTER or text[colon : colon + 1] != b":" or not text.startswith(value, colon + 1):
        return b""  # Not written as an API server writes it.
    if b"\\u00" in text and _ESCAPED_LETTER.search(text):
        return b""  # The one that counts may be under a name that is not written out.
    if text.startswith(b",", end):
        return text[:start] + text[end + 1 :]
    return text[: start - 1] + text[end:] if text.startswith(b",", start - 1) else b""

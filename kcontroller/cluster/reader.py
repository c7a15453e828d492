"""Answers reads from the cache; what no informer covers is read from the server.

`kind_view` says which informers answer whom. A list never shows one of them in the middle of being replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.codec import decode, gvk_of
from kcontroller.api.objects import Object
from kcontroller.api.versions import parse_version
from kcontroller.cache.indexes import index_values
from kcontroller.cache.projection import pairs
from kcontroller.client.metadata import reduced
from kcontroller.errors import NotCached, NotFound, NotSynced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key
    from kcontroller.api.selectors import FieldSelector
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.projection import Entry
    from kcontroller.client.ports import Reader, Selection
    from kcontroller.cluster.floors import Floors
    from kcontroller.cluster.kind_view import Answering

_OWN_FIELDS: Final = ("metadata.name", "metadata.namespace")


class CachedReader(msgspec.Struct, frozen=True):
    """A `Reader` on the informers of a cluster.

    Reading a kind never starts an informer behind your back: a kind that no controller has declared is read from the
    server, request by request.

    Attributes:
        live: reads at the server.
        floors: what own writes promised.
        cached: finds what answers reads of a kind, or None.
    """

    live: Reader
    floors: Floors
    cached: Callable[[GVK], Answering | None]

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        """Read one object, or its metadata.

        Raises:
            NotCached: nothing but the metadata of the kind is cached.
            NotFound, NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
        """
        gvk = gvk_of(kind)
        cached = self.cached(gvk)
        informers = cached.informers(key.namespace, metadata=metadata) if cached is not None and not subresource else ()
        for informer in informers:
            self.floors.await_key(gvk, key, informer)
            entry = informer.store.get(key)
            if entry is not None:
                return reduced(entry.raw, gvk) if metadata else entry.raw
        if not informers or any(informer.store.closed for informer in informers):
            return self.live.get(kind, key, subresource, metadata=metadata)
        raise absent(informers[0], key)

    def list(self, kind: KindRef, selection: Selection, *, metadata: bool = False) -> Sequence[bytes]:
        """Read the objects that a selection names, or their metadata.

        Raises:
            NotCached: a field or index that was not declared in `setup`, or nothing but the metadata is cached.
            NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
            ApiError, TransportError: it is open whether an object was created that belongs to the list, and the server
                cannot be asked.
        """
        gvk = gvk_of(kind)
        cached = self.cached(gvk)
        informers = (
            cached.informers(selection.namespace, metadata=metadata, paths=_paths(selection))
            if cached is not None
            else ()
        )
        if not informers:
            return self.live.list(kind, selection, metadata=metadata)
        self.floors.resolve(gvk, selection.namespace, informers, lambda key: self._version_at_server(kind, key))
        found = self.floors.await_list(
            gvk,
            selection.namespace,
            informers,
            selection.labels,
            lambda: [entry for informer in informers for entry in _matching(informer, selection)],
        )
        if any(informer.store.closed for informer in informers):
            return self.live.list(kind, selection, metadata=metadata)
        return [reduced(entry.raw, gvk) if metadata else entry.raw for entry in found]

    def _version_at_server(self, kind: KindRef, key: Key) -> int:
        try:
            there = decode(self.live.get(kind, key, metadata=True), Object)
            return parse_version(there.metadata.resource_version)
        except (NotFound, ValueError):  # A version that cannot be compared promises nothing.
            return 0


def entry_of(informer: Informer, key: Key) -> Entry:
    """Look an object up.

    Raises:
        NotFound: as the server would say it.
        NotSynced: the informer was let go meanwhile.
    """
    entry = informer.store.get(key)
    if entry is None and informer.store.closed:
        msg = f"{informer.mapping.gvk} is not cached any more"
        raise NotSynced(msg)
    if entry is None:
        raise absent(informer, key)
    return entry


def absent(informer: Informer, key: Key) -> NotFound:
    """Say that an object does not exist, as the server would."""
    mapping = informer.mapping
    msg = f"{mapping.gvk} {key} does not exist"
    return NotFound(msg, status=404, reason="NotFound", verb="get", resource=str(mapping))


def _paths(selection: Selection) -> tuple[str, ...]:
    fields = (path for path, _equal, _value in selection.fields.terms if path not in _OWN_FIELDS)
    return (*fields, selection.index[0]) if selection.index is not None else tuple(fields)


def _matching(informer: Informer, selection: Selection) -> list[Entry]:
    index = selection.index
    # Before the entries: an index that is declared meanwhile is in later entries only.
    names = informer.store.index_names
    if index is not None and index[0] not in names:
        msg = (
            f"{informer.mapping.gvk} has no index {index[0]!r}; declare it in setup: builder.index(kind, {index[0]!r})"
        )
        raise NotCached(msg)
    for path, _equal, _value in selection.fields.terms:
        if path not in (*_OWN_FIELDS, *names):
            msg = (
                f"the cache cannot select {informer.mapping.gvk} by {path!r}; declare it: builder.index(kind, {path!r})"
            )
            raise NotCached(msg)
    entries = informer.store.entries(selection.namespace, index)
    if selection.labels.requirements:
        entries = [entry for entry in entries if selection.labels.matches(pairs(entry.labels))]
    if selection.fields.terms:
        entries = [entry for entry in entries if _fields_match(entry, selection.fields, names)]
    return entries


def _fields_match(entry: Entry, selector: FieldSelector, names: tuple[str, ...]) -> bool:
    return all((value in _values(entry, path, names)) == equal for path, equal, value in selector.terms)


def _values(entry: Entry, path: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if path == "metadata.name":
        return (entry.key.name,)
    if path == "metadata.namespace":
        return (entry.key.namespace,)
    return index_values(entry.fields[names.index(path)])

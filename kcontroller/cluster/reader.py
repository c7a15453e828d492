"""Answers reads from the cache; what no informer covers is read from the server.

A key is looked up in what holds every object of its namespace, or in turn in all that hold some of them. A list over
several informers has each object once, and none of them in the middle of being replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
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
    from kcontroller.cluster.kind_view import KindView

_OWN_FIELDS: Final = ("metadata.name", "metadata.namespace")


class CachedReader:
    """A `Reader` on the informers of a cluster.

    Reading a kind never starts an informer behind your back: a kind that no controller has declared is read from the
    server, request by request.

    Args:
        live: reads at the server.
        floors: what own writes promised.
        cached: finds what is kept of a kind, or None.
    """

    def __init__(self, live: Reader, floors: Floors, cached: Callable[[GVK], KindView | None]) -> None:
        self._live = live
        self._floors = floors
        self._cached = cached

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        """Read one object, or its metadata.

        Raises:
            NotCached: nothing but the metadata of the kind is cached.
            NotFound, NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
        """
        gvk = gvk_of(kind)
        cached = self._cached(gvk)
        if cached is None or subresource:
            return self._live.get(kind, key, subresource, metadata=metadata)
        informers = cached.informers(key.namespace, metadata=metadata)
        for informer in informers:
            self._floors.await_key(gvk, key, informer)
            entry = informer.store.get(key)
            if entry is not None:
                return reduced(entry.raw, gvk) if metadata else entry.raw
        if any(informer.store.closed for informer in informers):
            return self._live.get(kind, key, metadata=metadata)
        raise absent(informers[0], key)

    def list(self, kind: KindRef, selection: Selection, *, metadata: bool = False) -> Sequence[bytes]:
        """Read the objects that a selection names, or their metadata.

        Raises:
            NotCached: a field or index that was not declared in `setup`, or nothing but the metadata is cached.
            NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
        """
        gvk = gvk_of(kind)
        cached = self._cached(gvk)
        if cached is None:
            return self._live.list(kind, selection, metadata=metadata)
        informers = cached.informers(selection.namespace, metadata=metadata, paths=_paths(selection))
        self._floors.await_kind(gvk, selection.namespace, informers, selection.labels)
        found = _once([_matching(informer, selection) for informer in informers])
        if any(informer.store.closed for informer in informers):
            return self._live.list(kind, selection, metadata=metadata)
        return [reduced(entry.raw, gvk) if metadata else entry.raw for entry in found]


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


def _once(lists: list[list[Entry]]) -> list[Entry]:
    """Join the lists; of an object that is in several, the newest state."""
    if len(lists) == 1:
        return lists[0]
    found: dict[Key, Entry] = {}
    for entries in lists:
        for entry in entries:
            other = found.get(entry.key)
            if other is None or other.version < entry.version:
                found[entry.key] = entry
    return list(found.values())


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

"""Answers reads from the cache; what no informer covers is read from the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.codec import gvk_of
from kcontroller.cache.projection import pairs
from kcontroller.cache.store import index_values
from kcontroller.errors import NotCached, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK, Key
    from kcontroller.api.selectors import FieldSelector
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.projection import Entry
    from kcontroller.client.ports import Reader, Selection
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.floors import Floors

_OWN_FIELDS: Final = ("metadata.name", "metadata.namespace")


class CachedReader:
    """A `Reader` on the informers of a cluster.

    Reading a kind never starts an informer behind your back: a kind that no controller has declared is read from the
    server, request by request.

    Args:
        live: reads at the server.
        floors: what own writes promised.
        cached: finds the cached kind, or None.
    """

    def __init__(self, live: Reader, floors: Floors, cached: Callable[[GVK], CachedKind | None]) -> None:
        self._live = live
        self._floors = floors
        self._cached = cached

    def get(self, kind: KindRef, key: Key, subresource: str = "") -> bytes:
        """Read one object.

        Raises:
            NotFound, NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
        """
        gvk = gvk_of(kind)
        cached = self._cached(gvk)
        if cached is None or subresource:
            return self._live.get(kind, key, subresource)
        (informer, *_none) = cached.informers(key.namespace)
        self._floors.await_key(gvk, key)
        entry = informer.store.get(key)
        if entry is None:
            msg = f"{gvk} {key} does not exist"
            raise NotFound(msg, status=404, reason="NotFound", verb="get", resource=str(informer.mapping))
        return entry.raw

    def list(self, kind: KindRef, selection: Selection) -> Sequence[bytes]:
        """Read the objects that a selection names.

        Raises:
            NotCached: a field or index that was not declared in `setup`.
            NotSynced, UnlistedNamespace, StaleRead, WouldDeadlock: see `errors`.
        """
        gvk = gvk_of(kind)
        cached = self._cached(gvk)
        if cached is None:
            return self._live.list(kind, selection)
        informers = cached.informers(selection.namespace)
        self._floors.await_kind(gvk, selection.namespace)
        return [entry.raw for informer in informers for entry in _matching(informer, selection)]


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

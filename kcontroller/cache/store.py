"""The entries of one informer, with their indexes.

One thread changes the store, any thread reads it. Readers copy references under the lock and decode outside of it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.api.keys import Key
    from kcontroller.cache.projection import Entry, Projection
    from kcontroller.process.clock import Clock


class Change(msgspec.Struct, frozen=True):
    """What a subscriber hears.

    Attributes:
        old: the state before; None if the object is new.
        new: the state after; None if the object is gone.
        initial: part of a first list, or of what a late subscriber is told.
        unseen: a deletion that was found missing from a list; `old` may be an outdated state.
    """

    old: Entry | None
    new: Entry | None
    initial: bool = False
    unseen: bool = False

    @property
    def entry(self) -> Entry:
        """The newest state there is."""
        entry = self.new or self.old
        assert entry is not None  # noqa: S101 - one of the two always is
        return entry


NAMESPACE_INDEX = "metadata.namespace"


class Store:
    """A map of keys to entries with indexes; all operations but `replace` and `reproject` are O(1) per entry.

    Args:
        projection: what the entries' `fields` are, and so which indexes there are.
    """

    def __init__(self, projection: Projection) -> None:
        self._changed = threading.Condition()
        self._projection = projection
        self._entries: dict[Key, Entry] = {}
        self._indexes: dict[str, dict[str, set[Key]]] = {}
        self._bytes = 0
        self._version = 0
        self._resets = 0
        self._waiters = 0
        self._build_indexes()

    @property
    def version(self) -> int:
        """The version up to which everything of this kind has been seen; 0 before the first list."""
        return self._version

    @property
    def resets(self) -> int:
        """How often the server went back in time: versions and identities from before the last time prove nothing."""
        return self._resets

    @property
    def size(self) -> tuple[int, int]:
        """Number of objects, and of bytes of JSON."""
        with self._changed:
            return len(self._entries), self._bytes

    @property
    def index_names(self) -> tuple[str, ...]:
        """The declared paths, each of which is an index."""
        return self._projection.paths

    def get(self, key: Key) -> Entry | None:
        """Look one entry up."""
        with self._changed:
            return self._entries.get(key)

    def entries(self, namespace: str = "", index: tuple[str, str] | None = None) -> list[Entry]:
        """Copy the references of all entries, of a namespace's, or of those with a value in an index.

        Raises:
            KeyError: there is no such index.
        """
        with self._changed:
            if index is not None:
                keys: Iterable[Key] = self._indexes[index[0]].get(index[1], ())
                found = [self._entries[key] for key in keys]
                return [entry for entry in found if entry.key.namespace == namespace] if namespace else found
            if namespace:
                return [self._entries[key] for key in self._indexes[NAMESPACE_INDEX].get(namespace, ())]
            return list(self._entries.values())

    def upsert(self, entry: Entry) -> list[Change]:
        """Store an entry; no change if it is not newer than what stands here, two if the name has a new identity."""
        with self._changed:
            self._advance_locked(entry.version)
            old = self._entries.get(entry.key)
            if old is not None and old.version >= entry.version:
                return []
            self._put(entry, old)
        if old is not None and old.uid != entry.uid:
            return [Change(old, None, unseen=True), Change(None, entry)]
        return [Change(old, entry)]

    def delete(self, entry: Entry) -> list[Change]:
        """Take an entry out; no change if there was none. The change carries the state of the deletion as `old`.

        If the entry has another identity than what stands here, that one is told: it must be gone too.
        """
        old = self._remove(entry.key, entry.version)
        if old is None:
            return []
        return [Change(entry, None) if old.uid == entry.uid else Change(old, None, unseen=True)]

    def forget(self, key: Key, version: int) -> list[Change]:
        """Take an entry out whose last state is not known."""
        old = self._remove(key, version)
        return [] if old is None else [Change(old, None, unseen=True)]

    def replace(self, entries: Iterable[Entry], version: int, *, reset: bool = False) -> list[Change]:
        """Swap the whole content; returns the deletions first, then what is new or changed, in the order given.

        After a `reset` an equal version proves nothing, so that every object that was here counts as changed.
        """
        # An index may have been declared while the list was under way.
        width = len(self._projection.paths)
        current = [entry if len(entry.fields) == width else self._projection.again(entry) for entry in entries]
        with self._changed:
            before = self._entries
            now = self._fill(current)
            self._version = version
            self._resets += reset
            self._wake_locked()
        return _differences(before, now, reset=reset)

    def advance(self, version: int) -> None:
        """Note that everything up to `version` has been seen."""
        with self._changed:
            self._advance_locked(version)

    def reproject(self, projection: Projection) -> None:
        """Give every entry the fields of another projection; the versions stay."""
        with self._changed:
            current = list(self._entries.values())
        fresh = [projection.again(entry) for entry in current]
        with self._changed:
            self._projection = projection
            self._fill(fresh)

    def wait_until(self, reached: Callable[[], bool], *, timeout: float, clock: Clock) -> bool:
        """Wait until `reached`, which must only look at this store, is true; False if `timeout` seconds ran out."""
        deadline = clock.monotonic() + timeout
        with self._changed:
            self._waiters += 1
            try:
                while not reached():
                    remaining = deadline - clock.monotonic()
                    if remaining <= 0:
                        return False
                    clock.wait(self._changed, remaining)
                return True
            finally:
                self._waiters -= 1

    def check_invariants(self) -> None:
        """Assert that the indexes and the byte count say what the entries say."""
        with self._changed:
            assert self._bytes == sum(len(entry.raw) for entry in self._entries.values())  # noqa: S101
            for name, index in self._indexes.items():
                expected: dict[str, set[Key]] = {}
                for entry in self._entries.values():
                    for value in self._values(name, entry):
                        expected.setdefault(value, set()).add(entry.key)
                assert index == expected, name  # noqa: S101

    def _put(self, entry: Entry, old: Entry | None) -> None:
        if old is not None:
            self._take(old)
        self._entries[entry.key] = entry
        self._bytes += len(entry.raw)
        for name, index in self._indexes.items():
            for value in self._values(name, entry):
                index.setdefault(value, set()).add(entry.key)

    def _fill(self, entries: Iterable[Entry]) -> dict[Key, Entry]:
        self._entries, self._bytes = {}, 0
        self._build_indexes()
        for entry in entries:
            self._put(entry, None)
        return self._entries

    def _remove(self, key: Key, version: int) -> Entry | None:
        with self._changed:
            self._advance_locked(version)
            old = self._entries.get(key)
            if old is None or old.version > version:
                return None
            self._take(old)
        return old

    def _take(self, old: Entry) -> None:
        del self._entries[old.key]
        self._bytes -= len(old.raw)
        for name, index in self._indexes.items():
            for value in self._values(name, old):
                keys = index[value]
                keys.discard(old.key)
                if not keys:
                    del index[value]

    def _values(self, name: str, entry: Entry) -> tuple[str, ...]:
        if name == NAMESPACE_INDEX:
            return (entry.key.namespace,)
        return index_values(entry.fields[self._projection.paths.index(name)])

    def _build_indexes(self) -> None:
        self._indexes = {name: {} for name in (NAMESPACE_INDEX, *self._projection.paths)}

    def _advance_locked(self, version: int) -> None:
        self._version = max(self._version, version)
        self._wake_locked()

    def _wake_locked(self) -> None:
        if self._waiters:
            self._changed.notify_all()


def index_values(value: Any) -> tuple[str, ...]:
    """The values under which an index finds a field: itself, or each item of a list.

    Null, objects, and lists in lists have none.
    """
    if isinstance(value, list):
        return tuple({_index_text(item): None for item in value if _is_plain(item)})
    return (_index_text(value),) if _is_plain(value) else ()


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list))


def _index_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _differences(before: dict[Key, Entry], now: dict[Key, Entry], *, reset: bool) -> list[Change]:
    gone = [Change(entry, None, unseen=True) for key, entry in before.items() if not _survives(entry, now.get(key))]
    changed = []
    for key, entry in now.items():
        old = before.get(key)
        if old is None or old.uid != entry.uid:
            changed.append(Change(None, entry))
        elif reset or old.version != entry.version:
            changed.append(Change(old, entry))
    return gone + changed


def _survives(entry: Entry, successor: Entry | None) -> bool:
    return successor is not None and successor.uid == entry.uid

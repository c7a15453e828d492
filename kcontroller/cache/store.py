"""The entries of one informer, with their indexes.

One thread changes the store, any thread reads it. Readers copy references under the lock and decode outside of it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from kcontroller.cache.entry import EntryMap
from kcontroller.cache.indexes import Index, index_values
from kcontroller.cache.turns import in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kcontroller.api.keys import Key
    from kcontroller.cache.entry import Entry
    from kcontroller.cache.projection import Projection
    from kcontroller.process.clock import Clock


class Change(msgspec.Struct, frozen=True, gc=False):
    """What a subscriber hears.

    Attributes:
        old: the state before; None if the object is new.
        new: the state after; None if the object is gone.
        initial: part of a first list, or of what a late subscriber is told.
        unseen: a deletion that was found missing from a list; `old` may be an outdated state.
        resync: told again because the subscriber asked for that from time to time; `old` is None, as at first.
    """

    old: Entry | None
    new: Entry | None
    initial: bool = False
    unseen: bool = False
    resync: bool = False

    @property
    def entry(self) -> Entry:
        """The newest state there is."""
        entry = self.new or self.old
        assert entry is not None  # noqa: S101 - one of the two always is
        return entry


class _Content:
    """Entries with all that is known about them; built aside, and swapped in under the store's lock."""

    __slots__ = ("entries", "indexes", "size")

    def __init__(self, paths: tuple[str, ...], entries: Iterable[Entry] = ()) -> None:
        self.entries = EntryMap()
        self.indexes = {path: Index() for path in paths}
        self.size = 0
        for entry in entries:
            self.put(entry)

    def put(self, entry: Entry) -> None:
        """Add an entry whose place is free."""
        self.entries.put(entry)
        self.size += len(entry.stored)
        if self.indexes:
            for index, field in zip(self.indexes.values(), entry.fields, strict=True):
                index.add(entry, field)

    def take(self, entry: Entry) -> None:
        """Take an entry out that is here."""
        self.entries.pop(entry.namespace, entry.name)
        self.size -= len(entry.stored)
        for index, field in zip(self.indexes.values(), entry.fields, strict=True):
            index.remove(entry, field)

    def drain(self) -> None:
        """Free it bit by bit, when nobody else has it: at once it would hold up every thread of the process."""
        self.drain_indexes()
        self.entries.drain()

    def drain_indexes(self) -> None:
        """Free the indexes alone."""
        for index in self.indexes.values():
            index.drain()


class Store:
    """A map of keys to entries with indexes; all operations but `replace` and `reproject` are O(1) per entry.

    Those two build the new content aside, and no reader waits for them.

    Attributes:
        version: the version up to which everything of this kind has been seen; 0 before the first list.
        resets: how often the server went back in time or became another one: versions and identities from before the
            last time prove nothing.
        outdated: whether the content is of a server that is not asked any more.
        closed: whether its informer was let go: what is absent from it may exist.
        gave_up_at: the version at which a read gave up waiting for an own write; -1 if none has.

    Args:
        projection: what the entries' `fields` are, and so which indexes there are.
    """

    def __init__(self, projection: Projection) -> None:
        # Taken as it is, since a condition's own entrance is one more call; by one thread twice: see `wait_until`.
        self._lock = threading.RLock()
        self._changed: threading.Condition | None = None  # Made for the first one who waits.
        self._projection = projection
        self._content = _Content(projection.paths)
        self._waiters = 0
        self.version = 0
        self.resets = 0
        self.outdated = False
        self.closed = False
        self.gave_up_at = -1

    @property
    def size(self) -> tuple[int, int]:
        """Number of objects, and of bytes that their JSON takes, compressed where it is."""
        with self._lock:
            return len(self._content.entries), self._content.size

    @property
    def index_names(self) -> tuple[str, ...]:
        """The declared paths, each of which is an index."""
        return self._projection.paths

    def get(self, key: Key) -> Entry | None:
        """Look one entry up."""
        with self._lock:
            return self._content.entries.get(key.namespace, key.name)

    def entries(self, namespace: str = "", index: tuple[str, str] | None = None) -> list[Entry]:
        """Copy the references of all entries, of a namespace's, or of those with a value in an index.

        Raises:
            KeyError: there is no such index.
        """
        with self._lock:
            content = self._content
            if index is not None:
                found = list(content.indexes[index[0]].find(index[1]))
            else:
                return list(content.entries.of_namespace(namespace) if namespace else content.entries)
        return [entry for entry in found if entry.namespace == namespace] if namespace else found

    def upsert(self, entry: Entry) -> list[Change]:
        """Store an entry; no change if it is not newer than what stands here, two if the name has a new identity."""
        with self._lock:
            self._advance_locked(entry.version)
            old = self._content.entries.get(entry.namespace, entry.name)
            if old is not None:
                if old.version >= entry.version:
                    return []
                self._content.take(old)
            self._content.put(entry)
        if old is not None and old.uid != entry.uid:
            return [Change(old, None, unseen=True), Change(None, entry)]
        return [Change(old, entry)]

    def delete(self, entry: Entry) -> list[Change]:
        """Take an entry out; no change if there was none. The change carries the state of the deletion as `old`.

        If the entry has another identity than what stands here, that one is told: it must be gone too.
        """
        old = self._remove(entry.namespace, entry.name, entry.version)
        if old is None:
            return []
        return [Change(entry, None) if old.uid == entry.uid else Change(old, None, unseen=True)]

    def forget(self, key: Key, version: int) -> list[Change]:
        """Take an entry out whose last state is not known."""
        old = self._remove(key.namespace, key.name, version)
        return [] if old is None else [Change(old, None, unseen=True)]

    def replace(
        self, entries: Iterable[Entry], version: int, *, reset: bool = False, initial: bool = False
    ) -> Iterator[Change]:
        """Swap the whole content; yields the deletions first, then what is new or changed.

        The swap has happened when this returns. The changes are made one by one, and the old content goes with them:
        to make or free a hundred thousand at once would hold up every thread of the process.

        Args:
            entries: the new content.
            version: up to which everything has been seen.
            reset: the server went back in time; an equal version proves nothing, so that every object that was here
                counts as changed. So it does where the content was outdated.
            initial: mark the changes as such.
        """
        fresh = self._build(self._projection, entries)
        with self._lock:
            before, self._content = self._content, fresh
            self.version = version
            self.resets += reset
            again, self.outdated = reset or self.outdated, False
            self._wake_locked()
        before.drain_indexes()
        return _differences(before.entries, fresh.entries, again=again, initial=initial)

    def outdate(self) -> None:
        """Begin anew at version 0, for another server; the content stays until it is replaced, to find what is gone."""
        with self._lock:
            self.outdated = True
            self.version = 0
            self.resets += 1
            self._wake_locked()

    def advance(self, version: int) -> None:
        """Note that everything up to `version` has been seen."""
        with self._lock:
            self._advance_locked(version)

    def reproject(self, projection: Projection) -> None:
        """Give every entry the fields of another projection; the versions stay."""
        fresh = self._build(projection, in_turns(projection.again, self.entries()))
        with self._lock:
            self._projection = projection
            before, self._content = self._content, fresh
        before.drain()

    def close(self) -> None:
        """The informer was let go: give the memory back. Who waits looks again; what was promised means nothing."""
        nothing = _Content(self._projection.paths)
        with self._lock:
            self.closed = True
            before, self._content = self._content, nothing
            self.resets += 1
            self._wake_locked()
        before.drain()

    def wait_until(self, reached: Callable[[], bool], *, timeout: float, clock: Clock) -> bool:
        """Wait until `reached`, which must only look at this store, is true; False if `timeout` seconds ran out."""
        deadline = clock.monotonic() + timeout
        with self._lock:
            changed = self._changed = self._changed or threading.Condition(self._lock)
            self._waiters += 1
            try:
                while not reached():
                    remaining = deadline - clock.monotonic()
                    if remaining <= 0:
                        return False
                    clock.wait(changed, remaining)
                return True
            finally:
                self._waiters -= 1

    def check_invariants(self) -> None:
        """Assert that the indexes and the byte count say what the entries say."""
        with self._lock:
            content = self._content
            assert content.size == sum(len(entry.stored) for entry in content.entries)  # noqa: S101
            for number, (path, index) in enumerate(content.indexes.items()):
                expected: dict[str, set[Entry]] = {}
                for entry in content.entries:
                    for value in index_values(entry.fields[number]):
                        expected.setdefault(value, set()).add(entry)
                assert index.content() == expected, path  # noqa: S101

    def _build(self, projection: Projection, entries: Iterable[Entry]) -> _Content:
        # An index may have been declared, or a codec made, while the list was under way.
        width, packed = len(projection.paths), projection.codec is not None
        return _Content(
            projection.paths,
            (
                entry
                if len(entry.fields) == width and (entry.codec is not None or not packed)
                else projection.again(entry)
                for entry in entries
            ),
        )

    def _remove(self, namespace: str, name: str, version: int) -> Entry | None:
        with self._lock:
            self._advance_locked(version)
            old = self._content.entries.get(namespace, name)
            if old is None or old.version > version:
                return None
            self._content.take(old)
        return old

    def _advance_locked(self, version: int) -> None:
        self.version = max(self.version, version)
        self._wake_locked()

    def _wake_locked(self) -> None:
        if self._waiters and self._changed is not None:
            self._changed.notify_all()


def _differences(before: EntryMap, now: EntryMap, *, again: bool, initial: bool) -> Iterator[Change]:
    # Collected first, as the loop that finds the others empties `before`.
    for entry in [each for each in before if not _survives(each, now.get(each.namespace, each.name))]:
        before.pop(entry.namespace, entry.name)
        yield Change(entry, None, initial, unseen=True)
    for entry in now:
        old = before.pop(entry.namespace, entry.name)
        if old is None:
            yield Change(None, entry, initial)
        elif again or old.version != entry.version:
            yield Change(old, entry, initial)


def _survives(entry: Entry, successor: Entry | None) -> bool:
    return successor is not None and successor.uid == entry.uid

"""Objects and their history: one sequence of versions for every control plane, as one etcd gives it.

A `Topic` holds the objects of one resource in one control plane, and the last changes to them. From the two it can tell
the state at any version inside the window: consistent paging, watches from a version and stale front ends are reads of
the same history. Nothing is copied per watch: a watch is a position in the history, so that one which does not read
costs nothing, and falls out of the window like any other old version.

Used from the server's loop only.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded.conversion import converted

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

ROOT: Final = ""
"""The control plane that has no path prefix."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One version of one object, as bytes: a reader decodes its own copy."""

    key: Key
    uid: str
    version: int
    labels: Mapping[str, str]
    api_version: str
    raw: bytes

    @classmethod
    def of(cls, document: dict[str, Any], version: int) -> Stored:
        """Stamp the version into a document and encode it; 0 is the version of what was never stored."""
        metadata = document["metadata"]
        if version:
            metadata["resourceVersion"] = str(version)
        else:
            metadata.pop("resourceVersion", None)
        key = Key(metadata.get("namespace", ""), metadata["name"])
        return cls(
            key, metadata["uid"], version, metadata.get("labels") or {}, document["apiVersion"], _encode(document)
        )

    def document(self, api_version: str = "") -> dict[str, Any]:
        """Decode a copy that the caller may change, in a version of the kind."""
        document: dict[str, Any] = _decode(self.raw)
        return converted(document, api_version) if api_version and api_version != self.api_version else document

    def encoded(self, api_version: str) -> bytes:
        """Give the JSON in a version of the kind."""
        return self.raw if api_version == self.api_version else _encode(self.document(api_version))


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One step of the history. A deletion's `after` is the last state, with the version of the deletion."""

    version: int
    type: EventType
    before: Stored | None
    after: Stored


class Topic:
    """The objects of one resource in one control plane, and the window of their changes."""

    def __init__(self, window: int, version: int) -> None:
        """Start empty at a version; keep the last `window` changes."""
        self.objects: dict[Key, Stored] = {}
        self.version = version
        self.oldest = version  # A watch may start from here: every later change is kept.
        self._window = window
        self._keys: list[str] = []  # In etcd's order, which is that of the path, not of (namespace, name).
        self._by_path: dict[str, Key] = {}
        self._changes: deque[Change] = deque()
        self._waiting: set[asyncio.Event] = set()
        self.ended = 0

    def changes_after(self, version: int, *, upto: int | None = None, limit: int = 500) -> list[Change]:
        """Give the next changes after a version that is not below `oldest`, at most `limit`."""
        changes = self._changes
        if not changes or changes[-1].version <= version:
            return []
        # Watches live at the end of the window: walking back from there beats bisecting a deque.
        index = len(changes)
        while index and changes[index - 1].version > version:
            index -= 1
        return [change for change in islice(changes, index, index + limit) if upto is None or change.version <= upto]

    def at(self, version: int) -> dict[Key, Stored]:
        """Give the objects as they were at a version that is not below `oldest`."""
        if not self._changes or version >= self._changes[-1].version:
            return self.objects
        objects = dict(self.objects)
        for change in reversed(self._changes):
            if change.version <= version:
                break
            if change.before is not None:
                objects[change.before.key] = change.before
            else:
                objects.pop(change.after.key, None)
        return objects

    def in_order(
        self, objects: Mapping[Key, Stored], *, namespace: str = "", after: str = ""
    ) -> Iterator[tuple[str, Stored]]:
        """Walk objects in etcd's order with their position, from a position on."""
        if objects is self.objects:
            paths, by_path = self._keys, self._by_path
        else:
            by_path = {path_of(key): key for key in objects}
            paths = sorted(by_path)
        start = bisect_right(paths, after) if after else 0
        if namespace and not after:
            start = bisect_right(paths, f"{namespace}/")
        for path in islice(paths, start, None):
            if namespace and not path.startswith(f"{namespace}/"):
                return
            yield path, objects[by_path[path]]

    def count(self, namespace: str = "") -> int:
        """Count the objects, of one namespace if it is given."""
        return sum(key.namespace == namespace for key in self.objects) if namespace else len(self.objects)

    def commit(self, change: Change) -> None:
        """Add a change, wake the watches, and let the oldest change fall out of the window."""
        key = change.after.key
        path = path_of(key)
        if change.type == "DELETED":
            del self.objects[key]
            del self._by_path[path]
            self._keys.pop(bisect_right(self._keys, path) - 1)
        else:
            if change.type == "ADDED":
                insort(self._keys, path)
                self._by_path[path] = key
            self.objects[key] = change.after
        self.version = change.version
        self._changes.append(change)
        if len(self._changes) > self._window:
            self.oldest = self._changes.popleft().version
        for event in self._waiting:
            event.set()

    def compact(self, version: int) -> None:
        """Forget every change up to a version, as etcd's compaction does."""
        while self._changes and self._changes[0].version <= version:
            self._changes.popleft()
        self.oldest = max(self.oldest, version)
        self.wake()

    def wake(self) -> None:
        """Let every watch look again."""
        for event in self._waiting:
            event.set()

    def end(self) -> None:
        """End every watch that is open: the resource is not served any more, or not as it was."""
        self.ended += 1
        self.wake()

    def attach(self, event: asyncio.Event) -> None:
        """Set the event at every change from now on."""
        self._waiting.add(event)

    def detach(self, event: asyncio.Event) -> None:
        """Undo `attach`."""
        self._waiting.discard(event)

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._waiting)


def path_of(key: Key) -> str:
    """Give the position of an object in etcd's order."""
    return f"{key.namespace}/{key.name}" if key.namespace else key.name


class Store:
    """Every topic of every control plane.

    Args:
        window: how many changes each topic keeps; a watch or page from before them is answered with 410.
    """

    def __init__(self, *, window: int = 10_000) -> None:
        self.version = 1
        self.window = window
        self.started = 0
        """The version that the server was ready at: nothing before it can be watched from."""
        self._topics: dict[tuple[str, str], Topic] = {}
        self._observers: list[Callable[[str, str, Change], None]] = []

    def topic(self, plane: str, storage: str) -> Topic:
        """Find a topic; it is there from the first time it is asked for."""
        topic = self._topics.get((plane, storage))
        if topic is None:
            # Nothing was ever written to it, so that every version since the start may be watched from.
            topic = self._topics[plane, storage] = Topic(self.window, self.started)
        return topic

    def topics(self, plane: str | None = None) -> list[tuple[str, str, Topic]]:
        """List the topics with their control plane and resource."""
        return [(at, storage, topic) for (at, storage), topic in self._topics.items() if plane in {None, at}]

    def planes(self) -> list[str]:
        """Names of the control planes that have been touched."""
        return sorted({plane for plane, _ in self._topics})

    def get(self, plane: str, storage: str, key: Key) -> Stored | None:
        """Find an object."""
        topic = self._topics.get((plane, storage))
        return topic.objects.get(key) if topic else None

    def put(self, plane: str, storage: str, document: dict[str, Any]) -> Stored:
        """Create or replace an object under the next version."""
        self.version += 1
        after = Stored.of(document, self.version)
        topic = self.topic(plane, storage)
        before = topic.objects.get(after.key)
        self._commit(plane, storage, Change(self.version, "MODIFIED" if before else "ADDED", before, after))
        return after

    def remove(self, plane: str, storage: str, document: dict[str, Any]) -> Stored:
        """Delete an object; `document` is the last state that watches are told."""
        self.version += 1
        after = Stored.of(document, self.version)
        before = self.topic(plane, storage).objects[after.key]
        self._commit(plane, storage, Change(self.version, "DELETED", before, after))
        return after

    def observe(self, observer: Callable[[str, str, Change], None]) -> None:
        """Call with (control plane, storage, change) after each change, in the middle of the write: do not write."""
        self._observers.append(observer)

    def compact(self) -> None:
        """Forget the history: every watch and page that is not at the newest version gets 410."""
        for topic in self._topics.values():
            topic.compact(self.version)

    def _commit(self, plane: str, storage: str, change: Change) -> None:
        self.topic(plane, storage).commit(change)
        for observer in self._observers:
            observer(plane, storage, change)

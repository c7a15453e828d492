"""Finds fields over which a controller fights with somebody else: each writes its own value, and finds the other's.

A controller that sends the same write of the same object again and again finds each time that what it wants is not
there. At the fourth time, before the write, the object is read from the server, where ``managedFields`` says who wrote
what is there now: the manager that owns a field which the write would change is the other side. A write that would
change nothing, or only what nobody else owns, is no contest.

A controller's own name is a field manager too, so that two controllers of one process are found like any others.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cachetools import LRUCache

from kcontroller.api import patches
from kcontroller.api.codec import gvk_of
from kcontroller.api.differences import same
from kcontroller.errors import ApiError, ClusterUnavailable, KindNotServed, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from kcontroller.api.keys import GVK, Key
    from kcontroller.client.ports import Reader, Write
    from kcontroller.process.clock import Clock

    _Place: TypeAlias = tuple[str, GVK, Key, str, int]

TIMES: Final = 4
"""So often the same is written before anybody looks: three times it was found changed."""
APART: Final = 300.0
"""Seconds; what is written again after more than that begins anew."""
LOOK_SECONDS: Final = 60.0
"""Between two readings for one controller."""

_PLACES: Final = 1024
_VERSION: Final = re.compile(rb'"resourceVersion":"[0-9]*",?')
_ABSENT: Final = object()


class Contest(msgspec.Struct, frozen=True):
    """A field that two managers set.

    Attributes:
        controller: ours.
        manager: the other side, by its name in ``managedFields``.
        cluster: where.
        kind: of the object.
        key: of the object.
        path: the field, such as ``spec.replicas``; what the object holds is not told.
        seconds: in which the controller has written the same `TIMES` times.
    """

    controller: str
    manager: str
    cluster: str
    kind: GVK
    key: Key
    path: str
    seconds: float

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.controller} and {self.manager} fight over {self.path} of {self.kind} {self.key}: {self.controller} "
            f"wrote the same {TIMES} times in {self.seconds:.0f} s, and found it changed each time"
        )


class _Repeats:
    """How often a write was sent."""

    __slots__ = ("count", "first", "last")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.first = self.last = now


class Contests:
    """The detector of one controller; a `Rail`. Any thread.

    Args:
        controller: its name, which is its field manager.
        clock: the time.
        on_contest: told of each contest that was found; it must not block.
    """

    def __init__(self, controller: str, *, clock: Clock, on_contest: Callable[[Contest], None]) -> None:
        self._controller = controller
        self._clock = clock
        self._on_contest = on_contest
        self._lock = threading.Lock()
        self._repeats: LRUCache[_Place, _Repeats] = LRUCache(_PLACES)
        self._next_look = 0.0

    def before(self, cluster: str, write: Write, live: Reader) -> None:
        """Take note of a write; reads its object where the same was sent too often."""
        if write.verb not in {"patch", "update"} or write.content_type == patches.JSON or write.dry_run:
            return
        place = (cluster, gvk_of(write.kind), write.key, write.subresource, hash(_unconditional(write.body)))
        seconds = self._seconds(place)
        if seconds is not None:
            self._look(cluster, write, live, seconds)

    def _seconds(self, place: _Place) -> float | None:
        """Count a write; in how much time it was sent too often, None if it was not, or nobody may look now."""
        now = self._clock.monotonic()
        with self._lock:
            repeats = self._repeats.get(place)
            if repeats is None or now - repeats.last > APART:
                repeats = self._repeats[place] = _Repeats(now)
            repeats.count += 1
            repeats.last = now
            if repeats.count < TIMES or now < self._next_look:
                return None
            del self._repeats[place]
            self._next_look = now + LOOK_SECONDS
            return now - repeats.first

    def _look(self, cluster: str, write: Write, live: Reader, seconds: float) -> None:
        try:
            found = msgspec.json.decode(live.get(write.kind, write.key))
            wanted = msgspec.json.decode(write.body)
        except (ApiError, TransportError, KindNotServed, ClusterUnavailable, msgspec.DecodeError):
            return  # The write itself will tell.
        kind = gvk_of(write.kind)
        for path, manager in contested(_said(wanted, write.subresource), found, ours=self._controller):
            self._on_contest(Contest(self._controller, manager, cluster, kind, write.key, path, seconds))
            return


def contested(wanted: dict[str, Any], found: dict[str, Any], *, ours: str) -> Iterator[tuple[str, str]]:
    """Walk over the fields that a write would change and somebody else has set: path and manager.

    Args:
        wanted: what is to be written; a merge patch or a whole object.
        found: the object as the server has it, with its ``managedFields``.
        ours: a manager that is not somebody else.
    """
    for entry in found.get("metadata", {}).get("managedFields") or ():
        manager = entry.get("manager") or "unknown"
        if manager != ours:
            for path in _changed(entry.get("fieldsV1") or {}, wanted, found, ()):
                yield ".".join(path), manager


def _changed(fields: dict[str, Any], wanted: Any, found: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Walk along a fieldsV1 set, where ``f:`` is a member, and ``k:`` an item of a list by its keys."""
    for name, below in fields.items():
        mark, _, rest = name.partition(":")
        step, ours, theirs = _step(mark, rest, wanted, found)
        if ours is _ABSENT:
            continue
        where = (*path, step)
        if below and isinstance(ours, dict | list) and isinstance(theirs, dict | list):
            yield from _changed(below, ours, theirs, where)
        elif not same(ours, None if theirs is _ABSENT else theirs):
            yield where


def _step(mark: str, rest: str, wanted: Any, found: Any) -> tuple[str, Any, Any]:
    if mark == "f" and isinstance(wanted, dict) and isinstance(found, dict):
        return rest, wanted.get(rest, _ABSENT), found.get(rest, _ABSENT)
    if mark == "k" and isinstance(wanted, list) and isinstance(found, list):
        keys = msgspec.json.decode(rest)
        return rest, _item(wanted, keys), _item(found, keys)
    return rest, _ABSENT, _ABSENT  # An item of a set, or an index: whoever adds one does not change another's.


def _item(items: list[Any], keys: dict[str, Any]) -> Any:
    return next((each for each in items if isinstance(each, dict) and keys.items() <= each.items()), _ABSENT)


def _said(wanted: dict[str, Any], subresource: str) -> dict[str, Any]:
    """What of a document the server takes: the status, or all but the status."""
    return {name: value for name, value in wanted.items() if (name == "status") == (subresource == "status")}


def _unconditional(body: bytes) -> bytes:
    """The body without the version that it is made from, which differs each time."""
    return _VERSION.sub(b"", body) if b'"resourceVersion"' in body else body

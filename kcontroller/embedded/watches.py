"""Watches: a position in the history of one topic, told as lines of JSON.

A watch holds no events: it reads the next ones from the topic when it is woken. One that falls behind the window is
ended, as kube-apiserver ends a watcher that does not keep up; the client comes back and is told 410.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded import gotext, options, statuses
from kcontroller.embedded.calls import Selection
from kcontroller.embedded.selection import matcher
from kcontroller.embedded.store import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.statuses import Refusal
    from kcontroller.embedded.store import Change, EventType, Topic
    from kcontroller.embedded.views.representation import Representation

BOOKMARK_SECONDS: Final = 60.0
"""How often an idle watch is told how far it has come; kube-apiserver's own period."""

_DEFAULT_SECONDS: Final = 1800.0  # kube-apiserver's --min-request-timeout; it adds up to as much again at random.
_LAST_BOOKMARK_SECONDS: Final = 2.0  # Before the end of a watch with a time limit (bookmarkFrequency of the cacher).
_MATCH: Final = "resourceVersionMatch"
_CHUNK_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch, parsed; `stream` is its life."""

    backend: Backend
    call: Call
    representation: Representation
    topic: Topic
    matches: Callable[[Stored], bool] | None
    frozen: Callable[[], int | None]

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield chunks of whole lines until the time limit, or until the watch falls out of the window."""
        woken = asyncio.Event()
        self.topic.attach(woken)
        try:
            async for chunk in self._told(woken):
                yield chunk
        finally:
            self.topic.detach(woken)

    async def _told(self, woken: asyncio.Event) -> AsyncIterator[bytes]:
        ended = self.topic.ended
        position, first = self._start()
        owed = self._marked_at(position)
        for chunk in first:
            yield chunk
        loop = asyncio.get_running_loop()
        end = loop.time() + (self.call.number("timeoutSeconds") or _DEFAULT_SECONDS)
        bookmarks = self.call.flag("allowWatchBookmarks")
        bookmark_at = min(loop.time() + BOOKMARK_SECONDS, end - _LAST_BOOKMARK_SECONDS)
        while True:
            woken.clear()
            if position < self.topic.oldest:
                return
            frozen = self.frozen()
            changes = self.topic.changes_after(position, upto=frozen)
            if changes:
                position = changes[-1].version
                lines = b"".join(filter(None, map(self._line, changes)))
                if lines:
                    yield lines
                continue
            if owed and (frozen is None or frozen >= owed):
                # A list no older than the version asked for ends where a server that lags behind has reached it.
                position = max(position, owed)
                yield self.representation.bookmark(self.call.kind, position, initial_end=True)
                owed = 0
            now = loop.time()
            if now >= end or self.topic.ended != ended:
                return
            if bookmarks and now >= bookmark_at:
                # Nothing is pending, so that everything up to the newest version has been told.
                position = max(position, self.backend.store.version if frozen is None else frozen)
                yield self.representation.bookmark(self.call.kind, position, initial_end=False)
                bookmark_at = now + BOOKMARK_SECONDS
            until = min(end, bookmark_at) if bookmarks and bookmark_at > now else end
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), until - now)

    def _start(self) -> tuple[int, Iterator[bytes]]:
        """Find where the changes begin, and what is told before them."""
        frozen = self.frozen()
        now = self.backend.store.version if frozen is None else frozen
        text = self.call.query.get("resourceVersion", "")
        initial = self.call.query.get("sendInitialEvents")
        if self.call.flag("sendInitialEvents"):
            marked = self.call.flag("allowWatchBookmarks") and not self._marked_at(now)
            return now, self._initial(now, end_marked=marked)
        version = int(text) if text else 0
        if version == 0 and initial is None:
            return now, self._initial(now, end_marked=False)
        return version or now, iter(())

    def _marked_at(self, position: int) -> int:
        """The version at which the initial events end; 0 if that is at once, or if they are not marked."""
        if not (self.call.flag("sendInitialEvents") and self.call.flag("allowWatchBookmarks")):
            return 0
        text = self.call.query.get("resourceVersion", "")
        asked = int(text) if text else self.backend.store.version
        return asked if asked > position else 0

    def _initial(self, version: int, *, end_marked: bool) -> Iterator[bytes]:
        kind, chunk = self.call.kind, bytearray()
        # All at once: while a client reads slowly, objects come and go.
        found = [stored for _, stored in self.topic.in_order(self.topic.at(version), namespace=self.call.namespace)]
        for stored in found:
            if self.matches is None or self.matches(stored):
                chunk += self.representation.event(kind, "ADDED", stored)
            if len(chunk) > _CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        if end_marked:
            chunk += self.representation.bookmark(kind, version, initial_end=True)
        if chunk:
            yield bytes(chunk)

    def _line(self, change: Change) -> bytes | None:
        """Tell a change as this watch sees it: for a selector an object comes and goes with its labels."""
        namespace = self.call.namespace
        if namespace and change.after.key.namespace != namespace:
            return None
        told: tuple[EventType, Stored] = (change.type, change.after)
        if self.matches is not None:
            was = change.before is not None and self.matches(change.before)
            is_now = change.type != "DELETED" and self.matches(change.after)
            if change.type == "DELETED":
                if not was:
                    return None
            elif is_now:
                told = ("MODIFIED" if was else "ADDED", change.after)
            elif was and change.before is not None:
                told = ("DELETED", Stored.of(change.before.document(), change.version))
            else:
                return None
        return self.representation.event(self.call.kind, *told)


def open_watch(
    backend: Backend,
    call: Call,
    representation: Representation,
    *,
    frozen: Callable[[], int | None] = lambda: None,
) -> AsyncIterator[bytes]:
    """Check the options of a watch and start it.

    Raises:
        Refusal: the options are refused before the stream begins. A version that is too old is told in the stream.
    """
    match, initial = call.query.get("resourceVersionMatch", ""), call.query.get("sendInitialEvents")
    if initial is not None:
        _check_initial(match)
    elif match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise options.refused("ListOptions", [options.forbidden(_MATCH, why)])
    text = call.query.get("resourceVersion", "")
    if text and not text.isdecimal():
        raise statuses.Refusal(500, "", options.unreadable_version(text))
    topic = backend.store.topic(call.plane, call.kind.storage)
    matches = _matches(call)
    # A list "not older than" a version is any newer one, whatever has been forgotten since.
    if text and 0 < int(text) < topic.oldest and not call.flag("sendInitialEvents"):
        return _only(_error_line(statuses.too_old(int(text), topic.oldest)))
    return Watch(backend, call, representation, topic, matches, frozen).stream()


def _matches(call: Call) -> Callable[[Stored], bool] | None:
    matches = matcher(call.kind, Selection.of(call))
    if not call.name:
        return matches
    key = Key(call.namespace, call.name)
    return lambda stored: stored.key == key and (matches is None or matches(stored))


def _check_initial(match: str) -> None:
    if match == "NotOlderThan":
        return
    why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    causes = [options.forbidden(_MATCH, why)]
    if match:
        said = f'Unsupported value: {gotext.quoted(match)}: supported values: "NotOlderThan"'
        causes.append(statuses.Cause("FieldValueNotSupported", said, _MATCH))
    raise options.refused("ListOptions", causes)


def _error_line(refusal: Refusal) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": refusal.document()}) + b"\n"


async def _only(line: bytes) -> AsyncIterator[bytes]:
    yield line

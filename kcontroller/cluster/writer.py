"""Sends writes and notes what they promise to the next read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.api.versions import parse_version
from kcontroller.cache.poison import UNREADABLE
from kcontroller.cluster.floors import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.api.keys import GVK
    from kcontroller.cache.informer import Informer
    from kcontroller.client.ports import Write, Writer
    from kcontroller.cluster.floors import Floors
    from kcontroller.cluster.tracked import Tracker

    Covering = Callable[[GVK, Key, Mapping[str, str]], Informer | None]


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    finalizers: list[str] | None = None
    labels: dict[str, str] | None = None


class _Details(msgspec.Struct):
    uid: str = ""


class _Answer(msgspec.Struct):
    kind: str = ""
    metadata: _Metadata | None = None
    details: _Details | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class PromisingWriter:
    """A `Writer` on another one.

    Args:
        writer: sends the writes.
        floors: where promises are noted.
        covering: finds the informer that reads of an object with this kind, key and labels are answered from, or None.
        tracker: is told what was promised, too.
    """

    def __init__(self, writer: Writer, floors: Floors, covering: Covering, tracker: Tracker | None = None) -> None:
        self._writer = writer
        self._floors = floors
        self._covering = covering
        self._tracker = tracker

    def write(self, write: Write) -> bytes:
        """Send it; note what its answer promises."""
        body = self._writer.write(write)
        if not write.dry_run and write.subresource in {"", "status"}:
            # The write has happened, whatever its answer looks like; what cannot be read promises nothing.
            with contextlib.suppress(*UNREADABLE):
                self._note(write, body)
        return body

    def _note(self, write: Write, body: bytes) -> None:
        gvk = gvk_of(write.kind)
        answer = _decode(body)
        meta = answer.metadata or _Metadata()
        key = Key(meta.namespace, meta.name) if meta.name else write.key
        informer = self._covering(gvk, key, meta.labels or {})
        if informer is None:
            return
        resets = informer.store.resets
        if write.verb == "delete":
            uid = meta.uid or (answer.details.uid if answer.details else "")
            if uid:
                self._promise(gvk, key, Promise(informer, uid=uid, resets=resets))
        elif answer.kind == gvk.kind:
            gone = bool(meta.deletion_timestamp) and not meta.finalizers
            uid, version = (meta.uid, 0) if gone else ("", parse_version(meta.resource_version))
            self._promise(gvk, key, Promise(informer, version, uid, gone, resets, meta.labels or {}))

    def _promise(self, gvk: GVK, key: Key, promise: Promise) -> None:
        self._floors.record(gvk, key, promise)
        if self._tracker is not None:
            self._tracker.wrote(key, promise)

"""Sends writes and notes what they promise to the next read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.api.versions import parse_version
from kcontroller.cache.poison import UNREADABLE
from kcontroller.client.settling import is_refused
from kcontroller.cluster.floors import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.api.keys import GVK
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.scope import Holding
    from kcontroller.client.ports import Write, Writer
    from kcontroller.cluster.floors import Floors
    from kcontroller.cluster.tracked import Tracker

    Showing = Callable[[GVK, Key, Mapping[str, str]], Iterable[Informer]]


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


class PromisingWriter(msgspec.Struct, frozen=True):
    """A `Writer` on another one.

    Attributes:
        writer: sends the writes.
        floors: where promises are noted.
        showing: finds all informers that show an object of this kind with this key and these labels, or are about to.
        tracker: is told what was promised, too.
    """

    writer: Writer
    floors: Floors
    showing: Showing
    tracker: Tracker | None = None

    def write(self, write: Write) -> bytes:
        """Send it; note what its answer promises, or that it is open whether a new object exists."""
        server = self.floors.servers
        try:
            body = self.writer.write(write)
        except BaseException as error:
            # Of a name that somebody chose, the next create is refused if it exists.
            if write.fresh_name and not write.dry_run and not is_refused(error):
                self._doubt(write)
            raise
        if not write.dry_run and write.subresource in {"", "status"}:
            try:
                self._note(write, body, server)
            except UNREADABLE:
                return body  # The write has happened, whatever its answer looks like; this one promises nothing.
        return body

    def _doubt(self, write: Write) -> None:
        labels = None
        with contextlib.suppress(*UNREADABLE):
            labels = (_decode(write.body).metadata or _Metadata()).labels
        for informer in self.showing(gvk_of(write.kind), write.key, labels or {}):
            # A webhook may have given it other labels: any list of the informer could hold it.
            self.floors.doubt(write.key, Promise(informer, resets=informer.store.resets))

    def _note(self, write: Write, body: bytes, server: int) -> None:
        gvk = gvk_of(write.kind)
        answer = _decode(body)
        meta = answer.metadata or _Metadata()
        key = Key(meta.namespace, meta.name) if meta.name else write.key
        informers = self.showing(gvk, key, meta.labels or {})
        promises = [_promise(write, answer, gvk, informer) for informer in informers]
        if self.floors.servers != server:  # Looked at last: the stores' resets come after the change.
            return
        for promise in promises:
            if promise is not None:
                self.floors.record(key, promise)
                if self.tracker is not None:
                    self.tracker.wrote(key, promise)


class ReducedWriter(msgspec.Struct, frozen=True):
    """A `Writer` for those who read objects without all of their fields: to replace such an object would wipe the rest.

    A `patch` does not: it carries the difference to what was read.

    Attributes:
        writer: sends the writes.
        holdings: what is kept of kinds.
    """

    writer: Writer
    holdings: Mapping[GVK, Holding]

    def write(self, write: Write) -> bytes:
        """Send it.

        Raises:
            ValueError: it would replace an object of which a part is read.
        """
        gvk = gvk_of(write.kind)
        holding = self.holdings.get(gvk)
        if write.verb == "update" and holding is not None and (holding.drop or holding.metadata_only):
            what = "all but the metadata" if holding.metadata_only else ", ".join(holding.drop)
            msg = (
                f"{gvk} {write.key} cannot be updated: this controller caches {gvk} without {what}, which an update "
                f"would remove from the server; use patch, or read and update it with ctx.cluster.api_reader"
            )
            raise ValueError(msg)
        return self.writer.write(write)


def _promise(write: Write, answer: _Answer, gvk: GVK, informer: Informer) -> Promise | None:
    meta = answer.metadata or _Metadata()
    resets = informer.store.resets
    if write.verb == "delete":
        uid = meta.uid or (answer.details.uid if answer.details else "")
        return Promise(informer, uid=uid, resets=resets) if uid else None
    if answer.kind != gvk.kind:
        return None
    gone = bool(meta.deletion_timestamp) and not meta.finalizers
    uid, version = (meta.uid, 0) if gone else ("", parse_version(meta.resource_version))
    return Promise(informer, version, uid, gone, resets, meta.labels or {})

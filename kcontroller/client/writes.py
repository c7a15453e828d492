"""Sending objects: differences, conflicts, and the answer put back into the object.

`Client` and `SubresourceClient` are the two faces of this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from kcontroller.api import codec, patches
from kcontroller.api.differences import merge_diff, touches_list
from kcontroller.api.given import check_key
from kcontroller.api.keys import Key, Request
from kcontroller.api.objects import KubeObject, Object, key_of, without_server_metadata
from kcontroller.client.fixpoints import changed_nothing
from kcontroller.client.ports import Write
from kcontroller.errors import ClusterMismatch, Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kcontroller.api.codec import KindRef
    from kcontroller.client.fixpoints import Fixpoints
    from kcontroller.client.ports import Reader, Writer

K = TypeVar("K", bound=KubeObject)

_CONFLICT_TRIES: Final = 5
_OF_THE_OBJECT: Final = frozenset(("", "status"))
"""What is written is the object itself, and the answer shows it; other subresources may be objects of their own."""


class Ports(msgspec.Struct, frozen=True):
    """Where a client reads and writes.

    Attributes:
        reader: answers get and list; may be a cache.
        live: always asks the server; used to settle conflicts.
        writer: sends writes.
        cluster: the cluster's name; a `Request` of another cluster is refused.
        tracked: reads an object and has the running reconcile called again when it changes; None outside of one.
        fixpoints: the differences that are known to change nothing; None remembers none.
    """

    reader: Reader
    live: Reader
    writer: Writer
    cluster: str = ""
    tracked: Callable[[KindRef, Key], bytes] | None = None
    fixpoints: Fixpoints | None = None


class WriteOptions(msgspec.Struct, frozen=True):
    """What every write of a client carries.

    Attributes:
        field_owner: the name under which fields are managed; a controller's name by default.
        dry_run: ask the server to validate and change nothing.
        field_validation: ``Strict`` refuses unknown and doubled fields, ``Warn`` and ``Ignore`` let them pass.
    """

    field_owner: str = "kcontroller"
    dry_run: bool = False
    field_validation: Literal["Strict", "Warn", "Ignore", ""] = ""

    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters."""
        return (
            ("fieldManager", self.field_owner),
            ("dryRun", "All" if self.dry_run else ""),
            ("fieldValidation", self.field_validation),
        )


class ObjectWriter(msgspec.Struct, frozen=True):
    """Turns objects into requests; safe for all threads.

    Attributes:
        ports: where to read and write.
        options: what every write carries.
    """

    ports: Ports
    options: WriteOptions

    def local(self, key: Key | Request) -> Key:
        """Take the key out of a request, which must be one of this cluster."""
        if not isinstance(key, Request):
            check_key(key)
            return key
        if key.cluster != self.ports.cluster:
            msg = f"{key} belongs to cluster {key.cluster!r}, but this client is of {self.ports.cluster!r}"
            raise ClusterMismatch(msg)
        return Key(key.namespace, key.name)

    def send(
        self,
        obj: K,
        verb: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        subresource: str = "",
        query: tuple[tuple[str, str], ...] | None = None,
        keep: Collection[str] = (),
        fresh_name: bool = False,
    ) -> K:
        """Send one write of `obj` and put the answer into it.

        `keep` names the parts whose changes this write did not carry. The answer of a subresource that is an object of
        its own, such as a Scale, leaves `obj` as it is.
        """
        parameters = self.options.query() if query is None else query
        write = Write(verb, kind_of(obj), key_of(obj), body, content_type, subresource, parameters, fresh_name)
        self._send(obj, write, keep)
        return obj

    def _send(self, obj: KubeObject, write: Write, keep: Collection[str]) -> bytes:
        answer = self.ports.writer.write(write)
        if write.subresource in _OF_THE_OBJECT or codec.says_kind(answer, obj.gvk):
            codec.replace(obj, answer, keep=keep)
        return answer

    def send_change(
        self,
        obj: KubeObject,
        verb: str,
        body: bytes,
        *,
        read: bytes,
        content_type: str = "application/json",
        subresource: str = "",
        keep: Collection[str] = (),
    ) -> bool:
        """Send a write that was made of what was `read`, unless it is known to change nothing; says whether it did."""
        write = Write(verb, kind_of(obj), key_of(obj), body, content_type, subresource, self.options.query())
        telling = bool(read) and not write.dry_run and subresource in _OF_THE_OBJECT
        known = self.ports.fixpoints if telling else None
        if known is not None and known.has(write, read):
            codec.replace(obj, read, keep=keep)
            return False
        answer = self._send(obj, write, keep)
        if not (telling and changed_nothing(read, answer)):
            return True
        if known is not None:
            known.add(write, read)
        return False

    def patch_difference(self, obj: KubeObject, subresource: str = "") -> bool:
        """Send what changed since the object was read, on a fresh reading again where someone else was quicker.

        Returns whether that changed anything.
        """
        newest = b""
        for tries_left in reversed(range(_CONFLICT_TRIES)):
            difference, before = _difference(obj, newest)
            patch, rest = _part(difference, subresource)
            if not patch:
                break
            body = codec.encode(_conditional(patch, before))
            try:
                return self.send_change(
                    obj,
                    "patch",
                    body,
                    read=newest or codec.source_of(obj),
                    content_type=patches.MERGE,
                    subresource=subresource,
                    keep=rest,
                )
            except Conflict:
                if not tries_left:
                    raise
                newest = self._read_again(obj)
            except Invalid:
                # To the server our uid on another object is an attempt to change an immutable field.
                self._read_again(obj)
                raise
        if newest:
            # Someone else has made the same change meanwhile.
            codec.replace(obj, newest, keep=rest)
        return False

    def _read_again(self, obj: KubeObject) -> bytes:
        raw = self.ports.live.get(kind_of(obj), key_of(obj))
        if obj.metadata.uid and codec.decode(raw, Object).metadata.uid != obj.metadata.uid:
            msg = f"{key_of(obj)} was deleted; another object has its name now"
            raise NotFound(msg, status=404, reason="NotFound", verb="patch", resource=obj.gvk.kind)
        return raw

    def apply(
        self, obj: K, fields: dict[str, Any], subresource: str = "", *, field_owner: str | None, force: bool
    ) -> K:
        """Send a server-side apply of `fields`."""
        options = self.options if field_owner is None else replace(self.options, field_owner=field_owner)
        query = (*options.query(), ("force", "true" if force else ""))
        body = codec.encode(fields)
        return self.send(obj, "patch", body, content_type=patches.APPLY, subresource=subresource, query=query)


def kind_of(obj: KubeObject) -> KindRef:
    """How an object's kind is named in a call: its class, or the GVK of an unstructured one."""
    return obj.gvk if isinstance(obj, Object) else type(obj)


def wished(obj: KubeObject) -> dict[str, Any]:
    """What the object says, without the metadata that only the server writes."""
    return without_server_metadata(codec.new_document(obj))


def _difference(obj: KubeObject, newest: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what changed since the object was read, and what it was then as far as a condition needs it."""
    simple = None if newest else codec.simple_difference(obj)
    if simple is not None:
        return simple, {"metadata": {"uid": obj.metadata.uid}}
    before, after = codec.changed(obj, onto=newest)
    return merge_diff(before, after), before


def _conditional(patch: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Let the patch hold only for the object that was read, and if it replaces a list, only for that version of it."""
    read = before.get("metadata") or {}
    names = ("uid", "resourceVersion") if touches_list(patch, before) else ("uid",)
    conditions = {name: read[name] for name in names if read.get(name)}
    return {**patch, "metadata": {**patch.get("metadata", {}), **conditions}} if conditions else patch


def _part(difference: dict[str, Any], subresource: str) -> tuple[dict[str, Any], Collection[str]]:
    """Split a difference into what this request sends and the parts whose changes stay in memory."""
    sent = {name: value for name, value in difference.items() if (name == "status") == (subresource == "status")}
    return sent, difference.keys() - sent.keys()

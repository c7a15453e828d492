"""Make an object, or bring the one that is there to what it should be, by a function that says what it should be.

The rules are those of controller-runtime's ``controllerutil`` (CreateOrUpdate and CreateOrPatch), with one addition: a
create that finds the name taken, because the cache was a moment old, goes on with what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kcontroller.api import codec
from kcontroller.api.differences import merge_diff
from kcontroller.api.objects import KubeObject, key_of
from kcontroller.client.writes import kind_of, wished
from kcontroller.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import GVK, Key
    from kcontroller.client.writes import ObjectWriter

K = TypeVar("K", bound=KubeObject)

Upsert = Literal["unchanged", "created", "updated", "updated_status", "updated_status_only"]
"""What came of it; ``updated_status`` means that the object and its status were updated."""


def create_or_update(writes: ObjectWriter, obj: K, mutate: Callable[[K], object]) -> Upsert:
    """Create or replace; see `Client.create_or_update`."""
    if not _present(writes, obj, mutate):
        return "created"
    before, after = codec.changed(obj)
    if not _without_status(merge_diff(before, after)):
        codec.replace(obj, codec.source_of(obj))
        return "unchanged"
    # The status as it was read: where it is no subresource, a replacement would carry a change of it.
    status = {"status": before["status"]} if "status" in before else {}
    body = codec.encode({**_without_status(after), **status})
    return "updated" if writes.send_change(obj, "update", body, read=codec.source_of(obj)) else "unchanged"


def create_or_patch(writes: ObjectWriter, obj: K, mutate: Callable[[K], object]) -> Upsert:
    """Create or patch; see `Client.create_or_patch`."""
    if not _present(writes, obj, mutate):
        return "created"
    difference = merge_diff(*codec.changed(obj))
    main = bool(_without_status(difference)) and writes.patch_difference(obj)
    status = "status" in difference and writes.patch_difference(obj, "status")
    if main:
        return "updated_status" if status else "updated"
    return "updated_status_only" if status else "unchanged"


def _present(writes: ObjectWriter, obj: K, mutate: Callable[[K], object]) -> bool:
    """Let `obj` be what was read and then mutated; False if it was not there and has been created."""
    kind, key = kind_of(obj), key_of(obj)
    if not key.name:
        msg = f"which {obj.gvk} to create or update? Give the object a name"
        raise ValueError(msg)
    try:
        raw = writes.ports.reader.get(kind, key)
    except NotFound:
        _mutate(obj, mutate, obj.gvk, key)
        try:
            writes.send(obj, "create", codec.encode(_without_status(wished(obj))))
        except AlreadyExists:
            raw = writes.ports.live.get(kind, key)
        else:
            return False
    codec.replace(obj, raw)
    _mutate(obj, mutate, obj.gvk, key)
    return True


def _mutate(obj: K, mutate: Callable[[K], object], gvk: GVK, key: Key) -> None:
    mutate(obj)
    if (obj.gvk, key_of(obj)) != (gvk, key):
        msg = f"mutate made {obj.gvk} {key_of(obj)} of {gvk} {key}; it may change anything but kind, namespace and name"
        raise ValueError(msg)


def _without_status(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "status"}

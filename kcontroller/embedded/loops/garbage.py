"""Lets dependents follow their owners (kube-controller-manager's garbage collector): background, foreground, orphan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcontroller.embedded import deletion

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.store import Change, Stored


_MARKS: Final = (deletion.FOREGROUND, deletion.ORPHAN)


class _At(NamedTuple):
    """Where an object is."""

    plane: str
    storage: str
    key: Key


def _owners(stored: Stored) -> tuple[str, ...]:
    if b'"ownerReferences"' not in stored.raw:  # True of most; spares decoding them.
        return ()
    return tuple(owner["uid"] for owner in stored.document()["metadata"].get("ownerReferences") or ())


def _is_marked(stored: Stored) -> bool:
    return b'"deletionTimestamp"' in stored.raw and any(f'"{mark}"'.encode() in stored.raw for mark in _MARKS)


class Garbage:
    """A controller of `loops`: work items are places of objects, or uids of owners that have gone.

    It keeps who lives and who depends on whom, by uid, as the collector's own graph does.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._living: dict[tuple[str, str], _At] = {}
        self._dependents: dict[tuple[str, str], set[_At]] = {}

    def seen(self, plane: str, storage: str, change: Change) -> tuple[str, str] | _At | None:
        """Keep the graph; work is an owner that has gone, an owner that waits, or an object with owners."""
        at = _At(plane, storage, change.after.key)
        gone = change.type == "DELETED"
        before = _owners(change.before) if change.before is not None else ()
        after = () if gone else _owners(change.after)
        for owner in before:
            self._dependents.get((plane, owner), set()).discard(at)
        for owner in after:
            self._dependents.setdefault((plane, owner), set()).add(at)
        uid = (plane, change.after.uid)
        if not gone:
            self._living[uid] = at
            return at if after or _is_marked(change.after) else None
        self._living.pop(uid, None)
        if self._dependents.get(uid):
            return uid
        self._dependents.pop(uid, None)
        # An owner may wait in the foreground for what has just gone.
        return next((self._living[plane, owner] for owner in before if (plane, owner) in self._living), None)

    def work(self, item: tuple[str, str] | _At) -> None:
        """Bring an object, or the dependents of one that has gone, in line with the owners there are."""
        if not isinstance(item, _At):
            for at in list(self._dependents.get(item, ())):
                self._settle(at)
            return
        stored = self._backend.store.get(*item)
        if stored is None:
            return
        meta = stored.document()["metadata"]
        finalizers = meta.get("finalizers", ()) if "deletionTimestamp" in meta else ()
        if deletion.ORPHAN in finalizers:
            self._orphan(item, meta["uid"])
        elif deletion.FOREGROUND in finalizers:
            self._delete_dependents(item, meta["uid"])
        else:
            self._settle(item)

    def _settle(self, at: _At) -> None:
        """Delete an object that has owners and none of them lives; forget those of several that have gone."""
        stored = self._backend.store.get(*at)
        kind = self._backend.catalog.of_storage(at.storage)
        if stored is None or kind is None:
            return
        document = stored.document()
        owners = document["metadata"].get("ownerReferences") or []
        living = [owner for owner in owners if self._lives(at, owner)]
        if not owners or len(living) == len(owners):
            return
        if living:
            document["metadata"]["ownerReferences"] = living
            self._backend.store.put(at.plane, at.storage, document)
        elif "deletionTimestamp" not in document["metadata"]:
            deletion.delete_stored(self._backend, at.plane, kind, stored, deletion.BACKGROUND)

    def _lives(self, at: _At, owner: dict[str, Any]) -> bool:
        found = self._living.get((at.plane, owner["uid"]))
        # An owner in another namespace is as good as none: the reference cannot name it.
        return found is not None and found.key.namespace in {"", at.key.namespace}

    def _orphan(self, at: _At, uid: str) -> None:
        for dependent in list(self._dependents.get((at.plane, uid), ())):
            stored = self._backend.store.get(*dependent)
            if stored is None:
                continue
            document = stored.document()
            owners = [o for o in document["metadata"].get("ownerReferences", ()) if o["uid"] != uid]
            document["metadata"]["ownerReferences"] = owners
            if not owners:
                del document["metadata"]["ownerReferences"]
            self._backend.store.put(dependent.plane, dependent.storage, document)
        self._unmark(at, deletion.ORPHAN)

    def _delete_dependents(self, at: _At, uid: str) -> None:
        blocking = False
        for dependent in list(self._dependents.get((at.plane, uid), ())):
            stored = self._backend.store.get(*dependent)
            kind = self._backend.catalog.of_storage(dependent.storage)
            if stored is None or kind is None:
                continue
            deletion.delete_stored(self._backend, dependent.plane, kind, stored, deletion.IN_FOREGROUND)
            blocking = blocking or self._blocks(dependent, uid)
        if not blocking:
            self._unmark(at, deletion.FOREGROUND)

    def _blocks(self, at: _At, uid: str) -> bool:
        stored = self._backend.store.get(*at)
        if stored is None:
            return False
        owners = stored.document()["metadata"].get("ownerReferences") or ()
        return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)

    def _unmark(self, at: _At, mark: str) -> None:
        stored: Stored | None = self._backend.store.get(*at)
        if stored is None:
            return
        document = stored.document()
        left = [name for name in document["metadata"].get("finalizers", ()) if name != mark]
        document["metadata"]["finalizers"] = left
        if left:
            self._backend.store.put(at.plane, at.storage, document)
        else:
            self._backend.store.remove(at.plane, at.storage, document)

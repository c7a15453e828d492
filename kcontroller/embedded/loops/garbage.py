"""Lets dependents follow their owners (kube-controller-manager's garbage collector): background, foreground, orphan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcontroller.embedded import deletion

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.store import Change, Stored


_AT_ONCE: Final = 50  # Objects; a few milliseconds.
_MARKS: Final = (deletion.FOREGROUND, deletion.ORPHAN)


class _At(NamedTuple):
    """Where an object is."""

    plane: str
    storage: str
    key: Key


class _Gone(NamedTuple):
    """An object that has gone while others depended on it, or waited for it."""

    plane: str
    uid: str
    owners: tuple[_At, ...]


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
        self._gone: set[tuple[str, str]] = set()  # Owners that have gone while something depended on them.

    def seen(self, plane: str, storage: str, change: Change) -> _Gone | _At | None:
        """Keep the graph; work is an owner that has gone, an owner that waits, or an object with owners."""
        at = _At(plane, storage, change.after.key)
        gone = change.type == "DELETED"
        before = _owners(change.before) if change.before is not None else ()
        after = () if gone else _owners(change.after)
        for owner in before:
            self._forget((plane, owner), at)
        for owner in after:
            self._dependents.setdefault((plane, owner), set()).add(at)
        uid = (plane, change.after.uid)
        if not gone:
            self._living[uid] = at
            return at if after or _is_marked(change.after) else None
        self._living.pop(uid, None)
        if uid in self._dependents:
            self._gone.add(uid)
        # An owner may wait in the foreground for what has just gone.
        owners = tuple(self._living[plane, owner] for owner in before if (plane, owner) in self._living)
        if uid not in self._dependents and len(owners) <= 1:
            return owners[0] if owners else None  # The same for every sibling, so that it is looked at once for many.
        return _Gone(plane, change.after.uid, owners)

    def _forget(self, owner: tuple[str, str], at: _At) -> None:
        dependents = self._dependents.get(owner, set())
        dependents.discard(at)
        if not dependents:
            self._dependents.pop(owner, None)
            self._gone.discard(owner)

    def work(self, item: _Gone | _At) -> bool:
        """Bring an object, or the dependents of one that has gone, in line with the owners there are."""
        if isinstance(item, _Gone):
            again = [self._collect((item.plane, item.uid)), *map(self.work, item.owners)]
            return any(again)
        stored = self._backend.store.get(*item)
        if stored is None:
            return False
        meta = stored.document()["metadata"]
        finalizers = meta.get("finalizers", ()) if "deletionTimestamp" in meta else ()
        if deletion.ORPHAN in finalizers:
            return self._orphan(item, meta["uid"])
        if deletion.FOREGROUND in finalizers:
            return self._delete_dependents(item, meta["uid"])
        self._settle(item)
        return False

    def _collect(self, owner: tuple[str, str]) -> bool:
        """Settle what depended on an owner that has gone, some at a time."""
        budget = _AT_ONCE
        for at in list(self._dependents.get(owner, ())):
            if self._settle(at):
                budget -= 1
                if not budget:
                    return True
        return False

    def _settle(self, at: _At) -> bool:
        """Delete an object that has owners and none of them lives; forget those of several that have gone.

        Returns whether there was something to do.
        """
        stored = self._backend.store.get(*at)
        kind = self._backend.catalog.of_storage(at.storage)
        if stored is None or kind is None or deletion.is_going(stored):
            return False
        document = stored.document()
        owners = document["metadata"].get("ownerReferences") or []
        left = [owner for owner in owners if not self._is_absent(at, owner)]
        if len(left) == len(owners):
            return False
        if left:
            document["metadata"]["ownerReferences"] = left
            self._backend.store.put(at.plane, at.storage, document)
        else:
            deletion.delete_stored(self._backend, at.plane, kind, stored, deletion.BACKGROUND)
        return True

    def _is_absent(self, at: _At, owner: dict[str, Any]) -> bool:
        """Whether an owner is known not to be; of what cannot be looked up nothing is known."""
        found = self._living.get((at.plane, owner["uid"]))
        if found is not None:
            # An owner in another namespace is as good as none: the reference cannot name it. What has no namespace
            # cannot say in which one to look, and is left alone.
            return bool(at.key.namespace) and found.key.namespace not in {"", at.key.namespace}
        if (at.plane, owner["uid"]) in self._gone:
            return True
        kind = self._backend.catalog.by_kind(owner.get("apiVersion") or "", owner.get("kind") or "")
        return kind is not None and (bool(at.key.namespace) or not kind.namespaced)

    def _orphan(self, at: _At, uid: str) -> bool:
        dependents = list(self._dependents.get((at.plane, uid), ()))
        for dependent in dependents[:_AT_ONCE]:
            self._drop_owner(dependent, uid)
        if len(dependents) > _AT_ONCE:
            return True
        self._unmark(at, deletion.ORPHAN)
        return False

    def _delete_dependents(self, at: _At, uid: str) -> bool:
        budget = _AT_ONCE
        for dependent in list(self._dependents.get((at.plane, uid), ())):
            stored = self._backend.store.get(*dependent)
            kind = self._backend.catalog.of_storage(dependent.storage)
            if stored is None or kind is None or deletion.is_going(stored):
                continue
            if not budget:
                return True
            budget -= 1
            if self._is_kept(dependent, stored, uid):
                self._drop_owner(dependent, uid)
                continue
            if self._closes_a_circle(dependent, stored):
                stored = self._unblock(dependent, stored)
            has_own = (dependent.plane, stored.uid) in self._dependents
            chosen = deletion.IN_FOREGROUND if has_own else deletion.BACKGROUND
            deletion.delete_stored(self._backend, dependent.plane, kind, stored, chosen)
        if not any(self._blocks(dependent, uid) for dependent in self._dependents.get((at.plane, uid), ())):
            self._unmark(at, deletion.FOREGROUND)
        return False

    def _is_kept(self, at: _At, stored: Stored, uid: str) -> bool:
        """Whether another owner lives, and does not wait for its own dependents."""
        others = (owner for owner in stored.document()["metadata"]["ownerReferences"] if owner["uid"] != uid)
        return any(not self._is_absent(at, other) and not self._waits(at.plane, other["uid"]) for other in others)

    def _waits(self, plane: str, uid: str) -> bool:
        at = self._living.get((plane, uid))
        stored = self._backend.store.get(*at) if at is not None else None
        if stored is None or not _is_marked(stored):
            return False
        meta = stored.document()["metadata"]
        return "deletionTimestamp" in meta and deletion.FOREGROUND in meta.get("finalizers", ())

    def _closes_a_circle(self, at: _At, stored: Stored) -> bool:
        dependents = self._dependents.get((at.plane, stored.uid), ())
        return any(
            found is not None and self._waits(at.plane, found.uid)
            for found in (self._backend.store.get(*dependent) for dependent in dependents)
        )

    def _unblock(self, at: _At, stored: Stored) -> Stored:
        """Let nobody wait for an object of a circle, or none in it would ever go."""
        document = stored.document()
        for owner in document["metadata"]["ownerReferences"]:
            owner["blockOwnerDeletion"] = False
        return self._backend.store.put(at.plane, at.storage, document)

    def _drop_owner(self, at: _At, uid: str) -> None:
        stored = self._backend.store.get(*at)
        if stored is None:
            return
        document = stored.document()
        owners = [owner for owner in document["metadata"].get("ownerReferences", ()) if owner["uid"] != uid]
        document["metadata"]["ownerReferences"] = owners
        if not owners:
            del document["metadata"]["ownerReferences"]
        self._backend.store.put(at.plane, at.storage, document)

    def _blocks(self, at: _At, uid: str) -> bool:
        stored = self._backend.store.get(*at)
        if stored is None or b'"blockOwnerDeletion":true' not in stored.raw:
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

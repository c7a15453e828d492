"""Empties namespaces that are going, and lets them go (kube-controller-manager's namespace controller)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.keys import Key
from kcontroller.embedded import deletion

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.store import Change, Stored

STORAGE: Final = "namespaces"
_AT_ONCE: Final = 50  # Objects; a few milliseconds.


class Namespaces:
    """A controller of `loops`: work items are (control plane, name of a namespace)."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._going: set[tuple[str, str]] = set()

    def seen(self, plane: str, storage: str, change: Change) -> tuple[str, str] | None:
        """Take note of namespaces that are going, and of what leaves them."""
        if storage == STORAGE:
            item = (plane, change.after.key.name)
            if change.type == "DELETED":
                self._going.discard(item)
                return None
            if b'"deletionTimestamp"' in change.after.raw:
                self._going.add(item)
                return item
            return None
        item = (plane, change.after.key.namespace)
        return item if item in self._going and change.type == "DELETED" else None

    def work(self, item: tuple[str, str]) -> bool:
        """Delete what is left in a namespace; with nothing left, take the finalizer of its spec away."""
        plane, name = item
        store, catalog = self._backend.store, self._backend.catalog
        namespace = store.get(plane, STORAGE, Key("", name))
        if namespace is None or not deletion.is_going(namespace):
            return False  # It has gone, and another one of its name may be there already.
        held, budget = False, _AT_ONCE
        for _, storage, topic in store.topics(plane):
            kind = catalog.of_storage(storage)
            if kind is None or not kind.namespaced:
                continue
            for _, stored in list(topic.in_order(topic.objects, namespace=name)):
                if not deletion.is_going(stored):
                    if not budget:
                        return True
                    budget -= 1
                    deletion.delete_stored(self._backend, plane, kind, stored, deletion.BACKGROUND)
                held = held or stored.key in topic.objects
        if not held:
            self._release(plane, namespace)
        return False

    def _release(self, plane: str, namespace: Stored) -> None:
        store = self._backend.store
        document = namespace.document()
        held = [name for name in document["spec"].get("finalizers", ()) if name != "kubernetes"]
        document["spec"] = {"finalizers": held} if held else {}
        if not held and not document["metadata"].get("finalizers"):
            store.remove(plane, STORAGE, document)
        elif document["spec"] != namespace.document()["spec"]:
            store.put(plane, STORAGE, document)

"""Empties namespaces that are going, and lets them go (kube-controller-manager's namespace controller)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.keys import Key
from kcontroller.embedded import deletion

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.store import Change

STORAGE: Final = "namespaces"


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

    def work(self, item: tuple[str, str]) -> None:
        """Delete what is left in a namespace; with nothing left, take the finalizer of its spec away."""
        plane, name = item
        store, catalog = self._backend.store, self._backend.catalog
        left = 0
        for _, storage, topic in store.topics(plane):
            kind = catalog.of_storage(storage)
            if kind is None or not kind.namespaced:
                continue
            for _, stored in list(topic.in_order(topic.objects, namespace=name)):
                deletion.delete_stored(self._backend, plane, kind, stored, deletion.BACKGROUND)
            left += topic.count(name)
        namespace = store.get(plane, STORAGE, Key("", name))
        if left or namespace is None:
            return
        document = namespace.document()
        held = [name for name in document["spec"].get("finalizers", ()) if name != "kubernetes"]
        document["spec"] = {"finalizers": held} if held else {}
        if not held and not document["metadata"].get("finalizers"):
            store.remove(plane, STORAGE, document)
        elif document["spec"] != namespace.document()["spec"]:
            store.put(plane, STORAGE, document)

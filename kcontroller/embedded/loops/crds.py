"""Serves what CustomResourceDefinitions define, and cleans up after those that go, as kube-apiserver itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.keys import Key
from kcontroller.embedded import definitions, deletion
from kcontroller.embedded.ownership import managed
from kcontroller.embedded.store import ROOT, Stored
from kcontroller.embedded.validation import structural

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.store import Change

STORAGE: Final = "customresourcedefinitions.apiextensions.k8s.io"
_AT_ONCE: Final = 50  # Objects; a few milliseconds.


class Definitions:
    """A controller of `loops`: work items are names of CustomResourceDefinitions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._going: dict[str, str] = {}  # storage -> name of the definition that waits for its objects to go

    def seen(self, plane: str, storage: str, change: Change) -> str | None:
        """Take note of definitions, and of the end of objects whose definition is going."""
        if storage == STORAGE and plane == ROOT:
            return change.after.key.name
        return self._going.get(storage) if change.type == "DELETED" else None

    def work(self, item: str) -> bool:
        """Serve a definition, or take it away."""
        stored = self._backend.store.get(ROOT, STORAGE, Key("", item))
        if stored is None:
            self._take_away(item)
            return False
        document = stored.document()
        if "deletionTimestamp" in document["metadata"]:
            return self._clean_up(document)
        status = definitions.status(document, self._backend.catalog, self._backend.timestamp())
        established = any(c["type"] == "Established" and c["status"] == "True" for c in status["conditions"])
        if document.get("status") != status:
            document["status"] = status
            self._put_status(document, stored.document())
        before = self._backend.catalog.of_storage(item)
        self._backend.catalog.replace(item, definitions.kinds_of(document) if established else ())
        kind = self._backend.catalog.of_storage(item)
        if before is not None and kind is not None and kind.schema.node != before.schema.node:
            self._see_anew(kind)
        return False

    def _see_anew(self, kind: Kind) -> None:
        """Show stored objects by the new schema, under the version they have: the real server does so at each read."""
        for _, storage, topic in self._backend.store.topics():
            if storage != kind.storage:
                continue
            for stored in topic.objects.values():
                document = stored.document()
                structural.prune(kind.schema, document)
                structural.default(kind.schema, document)
                topic.objects[stored.key] = Stored.of(document, stored.version)

    def _take_away(self, name: str) -> None:
        self._going.pop(name, None)
        self._backend.catalog.terminating.discard(name)
        self._backend.catalog.replace(name, ())
        for _, storage, topic in self._backend.store.topics():
            if storage == name:
                topic.end()

    def _clean_up(self, document: dict[str, Any]) -> bool:
        """Delete every object of the kind, some at a time; the definition goes with the last of them."""
        name = document["metadata"]["name"]
        self._backend.catalog.terminating.add(name)
        kind = self._backend.catalog.of_storage(name)
        self._going[name] = name
        left, budget = 0, _AT_ONCE
        for plane, storage, topic in self._backend.store.topics():
            if storage != name:
                continue
            waiting = [stored for stored in topic.objects.values() if kind is None or not deletion.is_going(stored)]
            for stored in waiting[:budget]:
                if kind is None:  # Of no version that is served, so that nobody could take its finalizers away.
                    self._backend.store.remove(plane, storage, stored.document())
                else:
                    deletion.delete_stored(self._backend, plane, kind, stored, deletion.PLAIN)
            if len(waiting) > budget:
                return True
            budget -= len(waiting)
            left += len(topic.objects)
        self._say_terminating(document, left=left)
        if not left:
            self._release(document)
        return False

    def _say_terminating(self, document: dict[str, Any], *, left: int) -> None:
        conditions = document.setdefault("status", {}).setdefault("conditions", [])
        if any(condition["type"] == "Terminating" for condition in conditions) or not left:
            return
        before = msgspec.json.decode(msgspec.json.encode(document))
        conditions.append(
            {
                "lastTransitionTime": self._backend.timestamp(),
                "message": "CustomResource deletion is in progress",
                "reason": "InstanceDeletionInProgress",
                "status": "True",
                "type": "Terminating",
            }
        )
        self._put_status(document, before)

    def _put_status(self, document: dict[str, Any], before: dict[str, Any]) -> None:
        kind = self._backend.catalog.of_storage(STORAGE)
        if kind is not None:
            managed.track(
                kind,
                before,
                document,
                manager="kube-apiserver",
                subresource="status",
                now=self._backend.timestamp(),
            )
        self._backend.store.put(ROOT, STORAGE, document)

    def _release(self, document: dict[str, Any]) -> None:
        finalizers = [name for name in document["metadata"].get("finalizers", ()) if name != deletion.CRD_CLEANUP]
        document["metadata"]["finalizers"] = finalizers
        if finalizers:
            self._backend.store.put(ROOT, STORAGE, document)
        else:
            self._backend.store.remove(ROOT, STORAGE, document)

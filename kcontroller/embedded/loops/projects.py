"""Milo's own objects: the definitions its server brings with it, and the controller that readies projects."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import yaml

from kcontroller.api.keys import Key
from kcontroller.embedded import deletion
from kcontroller.embedded.milo import GROUP
from kcontroller.embedded.store import ROOT

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.milo import Milo
    from kcontroller.embedded.store import Change

PROJECTS: Final = f"projects.{GROUP}"
CONTROL_PLANES: Final = "projectcontrolplanes.infrastructure.miloapis.com"
FINALIZER: Final = f"{GROUP}/project-controller"


def definitions() -> list[dict[str, Any]]:
    """Read the CustomResourceDefinitions that a Milo server brings with it."""
    text = files("kcontroller.embedded").joinpath("data/milo.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


class Projects:
    """A controller of `loops`: makes projects ready, and empties those that are going. Items are their names."""

    def __init__(self, backend: Backend, options: Milo) -> None:
        self._backend = backend
        self._options = options

    def seen(self, plane: str, storage: str, change: Change) -> str | None:
        """Take note of projects in the root, and of what leaves a control plane."""
        if storage == PROJECTS and plane == ROOT:
            return change.after.key.name
        return plane if plane != ROOT and change.type == "DELETED" and storage == "namespaces" else None

    def work(self, item: str) -> None:
        """Move a project one step on."""
        stored = self._backend.store.get(ROOT, PROJECTS, Key("", item))
        if stored is None:
            return
        project = stored.document()
        before = stored.document()
        if "deletionTimestamp" in project["metadata"]:
            self._finish(project)
            return
        finalizers = project["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        self._need_control_plane(project)
        self._need_default_namespace(item)
        if self._options.readiness == "controller":
            self._set_condition(project, "Ready", "True", "Ready", "Project is ready")
        if project != before:
            self._backend.store.put(ROOT, PROJECTS, project)

    def _finish(self, project: dict[str, Any]) -> None:
        """Delete the project's namespaces; `default` stays, and cluster-scoped objects do, as Milo leaves them."""
        name = project["metadata"]["name"]
        if FINALIZER not in project["metadata"].get("finalizers", ()):
            return
        topic = self._backend.store.topic(name, "namespaces")
        kind = self._backend.catalog.find("", "v1", "namespaces")
        going = [stored for stored in topic.objects.values() if stored.key.name != "default"]
        if going and kind is not None:
            for stored in going:
                deletion.delete_stored(self._backend, name, kind, stored, deletion.BACKGROUND)
            if topic.count() > 1:
                if self._set_condition(project, "ResourceCleanup", "True", "CleanupStarted", "deleting namespaces"):
                    self._backend.store.put(ROOT, PROJECTS, project)
                return
        finalizers = [each for each in project["metadata"]["finalizers"] if each != FINALIZER]
        project["metadata"]["finalizers"] = finalizers
        self._set_condition(project, "ResourceCleanup", "False", "CleanupComplete", "nothing is left")
        if finalizers:
            self._backend.store.put(ROOT, PROJECTS, project)
        else:
            self._backend.store.remove(ROOT, PROJECTS, project)

    def _set_condition(self, project: dict[str, Any], kind: str, status: str, reason: str, message: str) -> bool:
        conditions = project.setdefault("status", {}).setdefault("conditions", [])
        condition = next((each for each in conditions if each["type"] == kind), None)
        if condition is not None and (condition["status"], condition["reason"]) == (status, reason):
            return False
        fresh = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._backend.timestamp(),
        }
        if condition is None:
            conditions.append(fresh)
        else:
            condition.update(fresh)
        return True

    def _need_control_plane(self, project: dict[str, Any]) -> None:
        meta = project["metadata"]
        if self._backend.store.get(ROOT, CONTROL_PLANES, Key("", meta["name"])) is not None:
            return
        labels = {f"{GROUP}/project-name": meta["name"], f"{GROUP}/project-uid": meta["uid"]}
        document = {
            "apiVersion": "infrastructure.miloapis.com/v1alpha1",
            "kind": "ProjectControlPlane",
            "metadata": {
                "name": meta["name"],
                "uid": self._backend.uid(),
                "creationTimestamp": self._backend.timestamp(),
                "generation": 1,
                "labels": labels,
            },
            "spec": {},
            "status": {"conditions": [_not_ready(self._backend.timestamp())]},
        }
        self._backend.store.put(ROOT, CONTROL_PLANES, document)

    def _need_default_namespace(self, project: str) -> None:
        if self._backend.store.get(project, "namespaces", Key("", "default")) is None:
            namespace = new_namespace(self._backend, "default")
            namespace["metadata"]["labels"]["miloapis.com/project-default"] = "true"
            self._backend.store.put(project, "namespaces", namespace)


def new_namespace(backend: Backend, name: str) -> dict[str, Any]:
    """Make a Namespace as the API would store it."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "uid": backend.uid(),
            "creationTimestamp": backend.timestamp(),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _not_ready(now: str) -> dict[str, str]:
    return {
        "type": "ControlPlaneReady",
        "status": "False",
        "reason": "Creating",
        "message": "the control plane is being created",
        "lastTransitionTime": now,
    }

"""The shape of Milo: projects whose control planes live under paths of one server, and what makes them ready.

What is served below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane`` (or the short form
``/projects/NAME/control-plane``, after any prefix) is a control plane of its own, made at its first touch: its objects
are its own, definitions of custom resources are global, versions are one sequence. That a Project object exists is not
checked, as in Milo. The first lists and watches of a resource are answered with 429 while its storage is cold.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from kcontroller.api.keys import Key
from kcontroller.embedded import deletion, statuses
from kcontroller.embedded.store import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.store import Change

GROUP: Final = "resourcemanager.miloapis.com"
PROJECTS: Final = f"projects.{GROUP}"
CONTROL_PLANES: Final = "projectcontrolplanes.infrastructure.miloapis.com"
FINALIZER: Final = f"{GROUP}/project-controller"
COLD_SECONDS: Final = 0.01
"""How long storage stays cold after its first touch; Milo's takes up to that."""

_PARENT: Final = "iam.miloapis.com/parent-"
_CORE: Final = frozenset({"configmaps", "events", "namespaces", "secrets"})
_GROUPS: Final = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "rbac.authorization.k8s.io",
    }
)


@dataclass(frozen=True, slots=True)
class Milo:
    """What of Milo is switched on.

    Attributes:
        projects: names of Projects that are there at the start, with an Organization that owns them.
        readiness: ``controller`` makes projects ready by itself, ``manual`` leaves it to the test.
        cold_storage: answer the first LIST or WATCH of each resource in each project with 429.
    """

    projects: tuple[str, ...] = ()
    readiness: str = "controller"
    cold_storage: bool = True
    organization: str = "example"

    def __post_init__(self) -> None:
        """Refuse a word that means nothing."""
        if self.readiness not in {"controller", "manual"}:
            msg = f"readiness is 'controller' or 'manual', not {self.readiness!r}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: a control plane, the path below it, and what authentication adds to the user."""

    plane: str
    path: str
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def place_of(path: str) -> Place:
    """Split a raw path at its control plane; the first ``projects/NAME/control-plane/`` counts, wherever it stands."""
    parts = path.split("/")
    for index in range(len(parts) - 3):
        if parts[index] == "projects" and parts[index + 2] == "control-plane":
            name = parts[index + 1]
            extra = {
                f"{_PARENT}api-group": (GROUP,),
                f"{_PARENT}type": ("Project",),
                f"{_PARENT}name": (name,),
            }
            return Place(name, "/" + "/".join(parts[index + 3 :]), extra)
    return Place(ROOT, path)


def control_plane_path(project: str) -> str:
    """Give the path prefix of a project's control plane; none for the root."""
    return f"/apis/{GROUP}/v1alpha1/projects/{project}/control-plane" if project else ""


def visible(plane: str, kind: Kind) -> bool:
    """Whether a control plane serves a kind: projects have a small part of the built-in ones, and every custom one."""
    if plane == ROOT or not kind.builtin:
        return True
    return kind.plural in _CORE if not kind.group else kind.group in _GROUPS


class ColdStorage:
    """Answers the first touches of a resource in a project with 429, as Milo does while it makes the storage."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._touched: dict[tuple[str, str], float] = {}

    def check(self, call: Call) -> None:
        """Refuse a list or watch that comes too early.

        Raises:
            Refusal: 429 with ``Retry-After: 1``.
        """
        if call.plane == ROOT or call.verb not in {"list", "watch"}:
            return
        now = self._monotonic()
        first = self._touched.setdefault((call.plane, call.kind.storage), now)
        if now - first < COLD_SECONDS:
            raise statuses.too_many_requests("storage is (re)initializing", retry_after=1)


def definitions() -> list[dict[str, Any]]:
    """Read the CustomResourceDefinitions that a Milo server brings with it."""
    from importlib.resources import files  # noqa: PLC0415 - only where Milo is switched on

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

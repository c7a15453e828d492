"""The shape of Milo: projects whose control planes live under paths of one server.

What is served below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane`` (or the short form
``/projects/NAME/control-plane``, after any prefix) is a control plane of its own, made at its first touch: its objects
are its own, definitions of custom resources are global, versions are one sequence. That a Project object exists is not
checked, as in Milo. The first lists and watches of a resource are answered with 429 while its storage is cold.

Below ``.../organizations/NAME/control-plane`` is the root once more, but a list of Projects has only those of the
Organization. A watch of them has all, and so has a GET: that is Milo's fault, and clients have to live with it.

In a project whose condition ``Suspended`` is True nothing is created, and nothing changed but what is being deleted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.api.keys import Key
from kcontroller.embedded import statuses
from kcontroller.embedded.store import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind

GROUP: Final = "resourcemanager.miloapis.com"
ORGANIZATION: Final = f"{GROUP}/organization-name"
"""The label of a Project that names its Organization."""
COLD_SECONDS: Final = 0.01
"""How long storage stays cold after its first touch; Milo's takes up to that."""

_PROJECTS: Final = f"/apis/{GROUP}/v1alpha1/projects"
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
    """Where a path leads: a control plane, the path below it, and what authentication adds to the user.

    Attributes:
        plane: the project; empty for the root.
        path: below the control plane.
        extra: what of the user's extra is set.
        organization: in whose control plane the root is seen; empty for nobody's.
    """

    plane: str
    path: str
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    organization: str = ""

    def confined(self, query: Mapping[str, str]) -> Mapping[str, str]:
        """Give the query of a list of Projects the selector of the Organization; any other stays as it is."""
        if not self.organization or self.path != _PROJECTS or query.get("watch", "false") not in {"", "false", "0"}:
            return query
        ours = f"{ORGANIZATION}={self.organization}"
        return {**query, "labelSelector": ",".join(filter(None, (query.get("labelSelector"), ours)))}


def place_of(path: str) -> Place:
    """Split a raw path at its control plane.

    The first ``projects/NAME/control-plane/`` counts, wherever it stands, and an Organization's only without one.
    """
    parts = path.split("/")
    for index in range(len(parts) - 3):
        if parts[index] == "projects" and parts[index + 2] == "control-plane":
            name = parts[index + 1]
            return Place(name, "/" + "/".join(parts[index + 3 :]), _parent("Project", name))
    for index in range(len(parts) - 3):
        if parts[index] == "organizations" and parts[index + 2] == "control-plane":
            name = parts[index + 1]
            return Place(ROOT, "/" + "/".join(parts[index + 3 :]), _parent("Organization", name), name)
    return Place(ROOT, path)


def _parent(kind: str, name: str) -> dict[str, tuple[str, ...]]:
    return {f"{_PARENT}api-group": (GROUP,), f"{_PARENT}type": (kind,), f"{_PARENT}name": (name,)}


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


class Suspensions:
    """Refuses writes in suspended projects, with the cause that Milo gives.

    Args:
        backend: has the Projects.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def check(self, call: Call) -> None:
        """Refuse a create, update or patch; deletes pass, and writes to what is being deleted.

        Raises:
            Refusal: 403.
        """
        if call.plane == ROOT or call.verb not in {"create", "update", "patch"} or not self._holds(call.plane):
            return
        stored = self._backend.find(call.plane, call.kind, Key(call.namespace, call.name)) if call.name else None
        if stored is not None and "deletionTimestamp" in stored.document()["metadata"]:
            return
        why = f"project {call.plane} is suspended"
        refusal = statuses.forbidden(call.kind, call.name, why)
        refusal.details = {**(refusal.details or {}), "causes": [{"reason": "ProjectSuspended", "message": why}]}
        raise refusal

    def _holds(self, project: str) -> bool:
        stored = self._backend.store.get(ROOT, f"projects.{GROUP}", Key("", project))
        status = {} if stored is None else stored.document().get("status", {})
        conditions = status.get("conditions") or ()
        return any(each["type"] == "Suspended" and each["status"] == "True" for each in conditions)

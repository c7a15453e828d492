"""The shape of Milo: projects whose control planes live under paths of one server.

What is served below ``/apis/resourcemanager.miloapis.com/v1alpha1/projects/NAME/control-plane`` (or the short form
``/projects/NAME/control-plane``, after any prefix) is a control plane of its own, made at its first touch: its objects
are its own, definitions of custom resources are global, versions are one sequence. That a Project object exists is not
checked, as in Milo. The first lists and watches of a resource are answered with 429 while its storage is cold.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kcontroller.embedded import statuses
from kcontroller.embedded.store import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind

GROUP: Final = "resourcemanager.miloapis.com"
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

"""What stands for a project: its Project in Milo, or its ProjectControlPlane where the control planes run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.api.models import Model, Resource

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry

GROUP: Final = "resourcemanager.miloapis.com"
ORGANIZATION: Final = f"{GROUP}/organization-name"
"""The label of a Project that names its Organization; Milo sets it and lets nobody change it."""
PROJECT_UID: Final = f"{GROUP}/project-uid"
"""The label of a ProjectControlPlane that says for which Project it was made."""


# Plural and scope are stated, because Milo's discovery hides kinds that do answer.
class Project(
    Resource[Model, Model], group=GROUP, version="v1alpha1", plural="projects", kind="Project", namespaced=False
):
    """A tenant of Milo; ready when its condition ``Ready`` is True."""


class ProjectControlPlane(
    Resource[Model, Model],
    group="infrastructure.miloapis.com",
    version="v1alpha1",
    plural="projectcontrolplanes",
    kind="ProjectControlPlane",
    namespaced=False,
):
    """The API server of one Project, of the same name; ready when its condition ``ControlPlaneReady`` is True."""


class Condition(msgspec.Struct, frozen=True):
    """What decides of a condition."""

    type: str = ""
    status: str = ""
    reason: str = ""


class _Status(msgspec.Struct):
    conditions: tuple[Condition, ...] | None = None


class _Readable(msgspec.Struct):
    status: _Status | None = None


_decode: Final = msgspec.json.Decoder(_Readable).decode


def condition_of(entry: Entry, kind: str) -> Condition:
    """Read a condition of an object; one without status if the object has none, as a new Project has not."""
    try:
        status = _decode(entry.raw).status
    except msgspec.ValidationError:
        return Condition(reason="its status is malformed")
    conditions = () if status is None else status.conditions or ()
    return next((condition for condition in conditions if condition.type == kind), Condition())

"""Which projects are to be worked on, decided from what stands for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from kcontroller.api.selectors import LabelSelector, Requirement
from kcontroller.cache.projection import pairs
from kcontroller.multicluster.providers.milo.kinds import ORGANIZATION, condition_of
from kcontroller.process.logs import one_line

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry

Terminating: TypeAlias = Literal["drain", "disengage"]
"""What becomes of a project that is being deleted: it stays until it is gone, or it leaves at once."""

_REASON_LIMIT: Final = 128


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a project is not to be worked on.

    Attributes:
        why: in words.
        passing: it may be over in a moment, as a condition that flaps.
    """

    why: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules.

    Attributes:
        selector: what the labels must match.
        organization: the Organization to which it must belong; "" for any.
        condition: the type of the condition that must be True.
        terminating: what becomes of one that is being deleted.
    """

    selector: LabelSelector
    organization: str
    condition: str
    terminating: Terminating

    @property
    def labels(self) -> LabelSelector:
        """What the server is asked to leave out already."""
        if not self.organization:
            return self.selector
        ours = Requirement(ORGANIZATION, "in", (self.organization,))
        return LabelSelector((*self.selector.requirements, ours))

    def objection(self, entry: Entry, *, admitted: bool) -> Objection | None:
        """Say why a project is not to be worked on; None if it is.

        A control plane that is being deleted is not asked whether it is ready, if it was: somebody may have to take
        finalizers off inside of it, and Milo waits for that.

        Args:
            entry: what stands for it.
            admitted: whether the same object was let in before.
        """
        # Also what the server should have left out: the watch of an Organization brings the Projects of all others.
        labels = pairs(entry.labels)
        if self.organization and labels.get(ORGANIZATION) != self.organization:
            return Objection(f"it does not belong to organization {self.organization}")
        if not self.selector.matches(labels):
            return Objection(f"its labels do not match {self.selector}")
        if entry.deleting and self.terminating == "disengage":
            return Objection("it is being deleted")
        if entry.deleting and admitted:
            return None
        ready = condition_of(entry, self.condition)
        if ready.status == "True":
            return None
        reason = one_line(ready.reason[:_REASON_LIMIT])
        return Objection(f"not ready: {reason or f'it has no condition {self.condition}'}", passing=True)

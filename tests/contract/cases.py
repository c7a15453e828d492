"""A case: a short dialogue with an API server, and the part of the contract that it belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dialogue import Dialogue

PARTS: Final = (
    "create, update, patch",
    "list and paging",
    "watch",
    "status and generation",
    "finalizers and deletion",
    "CRDs",
    "selectors",
    "errors",
    "discovery",
)
_LONGEST: Final = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One dialogue, named by the sentence that its function's name is.

    Attributes:
        forgetful: whether the server must forget old versions within seconds, for which a real one needs its own etcd.
    """

    part: str
    name: str
    speak: Callable[[Dialogue], None]
    forgetful: bool = False

    def __str__(self) -> str:
        return f"{self.part}: {self.name}"

    @property
    def namespace(self) -> str:
        """The namespace of the case, and the first label of its API group: the same on every server."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower())[:_LONGEST].strip("-")


CASES: Final[dict[str, Case]] = {}
"""Every case, by its namespace."""


def part(name: str, *, forgetful: bool = False) -> Callable[[Callable[[Dialogue], None]], Case]:
    """Give the decorator that makes cases of a part out of functions."""
    assert name in PARTS, name

    def case(speak: Callable[[Dialogue], None]) -> Case:
        made = Case(name, speak.__name__.replace("_", " "), speak, forgetful)
        assert made.namespace not in CASES, f"two cases would share the namespace {made.namespace!r}"
        CASES[made.namespace] = made
        return made

    return case

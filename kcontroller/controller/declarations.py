"""What a builder has collected: kinds to watch, each with its filter and whom it concerns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from kcontroller.controller.predicates import Predicate

if TYPE_CHECKING:
    from kcontroller.api.codec import KindRef
    from kcontroller.controller.handlers import Handler

SHORTEST_RESYNC: Final = 1.0
"""Seconds; client-go's minimum."""


class Declaration(msgspec.Struct, frozen=True):
    """One kind to watch: which changes count, whom they concern, and after how many seconds all is told again."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    handler: Handler
    resync: float = 0.0

    @property
    def user_code(self) -> bool:
        """Whether deciding runs functions of the user's."""
        return self.handler.user_code or any(predicate.user_code for predicate in self.predicates)


class Owned(msgspec.Struct, frozen=True):
    """What `owns` said; whose objects they are is known when `for_` has been called."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    every_owner: bool
    resync: float


def resync_seconds(resync: float | None) -> float:
    """Check the seconds of a resync; 0 for None.

    Raises:
        ValueError: it is shorter than a second.
    """
    if resync is not None and not SHORTEST_RESYNC <= resync < math.inf:
        msg = f"resync must be at least {SHORTEST_RESYNC:g} second, or None for never, got {resync}"
        raise ValueError(msg)
    return resync or 0.0


def checked(predicates: Iterable[Predicate]) -> tuple[Predicate, ...]:
    """Check what was given as predicates.

    Raises:
        TypeError: it is not a list of them.
    """
    given = tuple(predicates) if isinstance(predicates, Iterable) else (predicates,)
    wrong = [each for each in given if not isinstance(each, Predicate)]
    if wrong or not isinstance(predicates, Iterable):
        shown = ", ".join(getattr(each, "__name__", type(each).__name__) for each in wrong or given)
        msg = f"predicates takes a list, such as [predicates.generation_changed()], got {shown}"
        raise TypeError(msg)
    return given

"""What a builder has collected: kinds to watch, each with its filter and whom it concerns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.controller.predicates import Predicate
from kcontroller.controller.selecting import FLEET, Clusters

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.controller.handlers import Handler

SHORTEST_RESYNC: Final = 1.0
"""Seconds; client-go's minimum."""


class Declaration(msgspec.Struct, frozen=True, eq=False):
    """One kind to watch: which changes count, whom they concern, after how many seconds all is told again, and where.

    Each is itself: two that say the same are two sources.
    """

    kind: KindRef
    predicates: tuple[Predicate, ...]
    handler: Handler
    resync: float = 0.0
    clusters: Clusters = FLEET

    @property
    def user_code(self) -> bool:
        """Whether deciding runs functions of the user's."""
        return self.handler.user_code or any(predicate.user_code for predicate in self.predicates)


class Owned(msgspec.Struct, frozen=True):
    """What `owns` said; whose objects they are, and where, is known when `for_` has been called."""

    kind: KindRef
    predicates: tuple[Predicate, ...]
    every_owner: bool
    resync: float
    clusters: Clusters | None


class Kept(msgspec.Struct, frozen=True):
    """A kind that is kept for reads alone, and where."""

    kind: KindRef
    clusters: Clusters


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


def function_of(to: Any, method: str) -> Callable[..., Any]:
    """Check what was given as a function that names requests.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(to):
        msg = f"{method} needs a function that names what to reconcile, got {type(to).__name__}"
        raise TypeError(msg)
    function: Callable[..., Any] = to
    return function

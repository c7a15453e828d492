"""A fault at work on a proxy: what `add` gives back, to take it off again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from kcontroller.testing.http_faults import Rule
    from kcontroller.testing.toxics import Direction, Toxic


class Active:
    """A fault that acts until `remove`, or until the end of a ``with`` block.

    Args:
        remove: takes it off.
    """

    def __init__(self, remove: Callable[[Active], None]) -> None:
        self._remove = remove

    def remove(self) -> None:
        """Take it off; what it held up goes on. Later calls do nothing."""
        self._remove(self)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it off."""
        self.remove()


class ActiveToxic(Active):
    """A toxic at work."""

    def __init__(
        self,
        toxic: Toxic,
        *,
        direction: Direction | None,
        number: int,
        probability: float,
        connections: Collection[int] | None,
        remove: Callable[[Active], None],
    ) -> None:
        super().__init__(remove)
        self.toxic = toxic
        self.direction = direction
        self.number = number
        self.probability = probability
        self.connections = connections


class ActiveRule(Active):
    """A rule at work."""

    def __init__(self, rule: Rule, remove: Callable[[Active], None]) -> None:
        super().__init__(remove)
        self.rule = rule

    @property
    def hits(self) -> int:
        """How many requests it has acted on."""
        return self.rule.hits

"""Clusters that were closed, until their last thread has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.multicluster.incarnation import Incarnation

_LOOK_SECONDS: Final = 1.0


class Departed:
    """Looked at once a second as long as there are any; for the fleet thread.

    Attributes:
        next_at: when `over` has to be asked next.
    """

    def __init__(self) -> None:
        self.next_at = math.inf
        self._incarnations: list[Incarnation] = []

    def __iter__(self) -> Iterator[Incarnation]:
        """Iterate over those whose threads may still live."""
        return iter(tuple(self._incarnations))

    def __len__(self) -> int:
        return len(self._incarnations)

    def add(self, incarnation: Incarnation, now: float) -> None:
        """Take one that was just closed."""
        self._incarnations.append(incarnation)
        self.next_at = min(self.next_at, now + _LOOK_SECONDS)

    def over(self, now: float) -> list[Incarnation]:
        """Let go of those that have come to their end, and return them."""
        if now < self.next_at:
            return []
        over = [each for each in self._incarnations if each.over(now)]
        self._incarnations = [each for each in self._incarnations if each not in over]
        self.next_at = now + _LOOK_SECONDS if self._incarnations else math.inf
        return over

"""Medians and reaches of the figures of several rounds, rounded, and as cells of a table."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_DIGITS: Final = 4
_WHOLE: Final = 100  # From here on, digits behind the point say nothing.


def median(figures: Sequence[float]) -> float:
    """Give the median."""
    return round(statistics.median(figures), _DIGITS)


def reach(figures: Sequence[float]) -> list[float]:
    """Give the smallest and the largest."""
    return [round(min(figures), _DIGITS), round(max(figures), _DIGITS)]


def each(
    rounds: Sequence[Mapping[str, float]], names: Iterable[str], combine: Callable[[Sequence[float]], Any]
) -> dict[str, Any]:
    """Combine every named figure over the rounds."""
    return {name: combine([figures[name] for figures in rounds]) for name in names}


def cell(figure: float, reached: Sequence[float], bold: str = "") -> str:
    """Show a median with its reach."""
    digits = 0 if figure >= _WHOLE else 2
    return f"{bold}{figure:.{digits}f}{bold} ({reached[0]:.{digits}f}-{reached[1]:.{digits}f})"

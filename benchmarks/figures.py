"""From the figures of single runs to the document of a benchmark: medians, ratios of rounds, spread."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contenders import OURS, PEERS, ours_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.duel import Figures, Work

    Rounds = Mapping[str, Sequence[Figures]]

_DIGITS: Final = 4


def document(work: Work, rounds: Rounds, **facts: Any) -> dict[str, Any]:
    """Make the document of one benchmark.

    Every figure is the median of its rounds, every ratio the median of the ratios of ours by the peer's of the same
    round, so that what slowed a whole round down does not count. ``spread`` has the same shape with the smallest and
    the largest instead. A figure that a benchmark does not have is left out.

    Args:
        work: what was done.
        rounds: the figures of every contender, of each round in which it took part.
        facts: more to keep.
    """
    return {
        "name": work.name,
        "objects": work.objects,
        **_figures(rounds, statistics.median),
        "spread": _figures(rounds, _reach),
        "kind": work.kind,
        "workers": work.workers,
        "during_sync": work.during_sync,
        "rounds": {name: len(of_one) for name, of_one in rounds.items()},
        **facts,
    }


def _figures(rounds: Rounds, combine: Callable[[Iterable[float]], Any]) -> dict[str, Any]:
    ratios: dict[str, dict[str, Any]] = {}
    for peer in filter(rounds.__contains__, PEERS):
        # A peer that takes part in some rounds takes part in the first ones.
        pairs = list(zip(rounds[ours_for(peer)], rounds[peer], strict=False))
        for name in _common(pairs):
            ratios.setdefault(name, {})[peer] = _rounded(combine([ours[name] / its[name] for ours, its in pairs]))
    return {
        **{ours: _combined(rounds[ours], combine) for ours in OURS if ours in rounds},
        "peers": {peer: _combined(rounds[peer], combine) for peer in PEERS if peer in rounds},
        "ratios": ratios,
    }


def _combined(of_one: Sequence[Figures], combine: Callable[[Iterable[float]], Any]) -> dict[str, Any]:
    return {name: _rounded(combine([figures[name] for figures in of_one])) for name in of_one[0]}


def _common(pairs: Sequence[tuple[Figures, Figures]]) -> list[str]:
    ours, its = pairs[0]
    return [name for name in ours if name in its]


def _reach(figures: Iterable[float]) -> list[float]:
    ordered = sorted(figures)
    return [ordered[0], ordered[-1]]


def _rounded(value: Any) -> Any:
    return [_rounded(each) for each in value] if isinstance(value, list) else round(value, _DIGITS)

"""From the figures of single runs to the document of a benchmark: medians, ratios of rounds, spread."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contenders import PEERS, UNSTRUCTURED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.duel import Figures, Work

    Rounds = Mapping[str, Sequence[Figures]]

RESULTS: Final = {
    "cpu_s": "CPU s",
    "wall_s": "wall s",
    "rss_mb": "peak MiB",
    "cpu_per_object_us": "CPU µs per object",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "heartbeat_ms": "longest beat ms",
}
"""What a benchmark may have measured, and what that is called in a table; less is better."""

CONDITIONS: Final = {"pace_ms": "pace of the writer ms", "syncs": "syncs beside it"}
"""Under what it was measured; has no ratios."""

_DIGITS: Final = 4


def document(work: Work, rounds: Rounds, **facts: Any) -> dict[str, Any]:
    """Make the document of one benchmark.

    Every figure is the median of its rounds, every ratio the median of the ratios of ours by the peer's of the same
    round, so that what slowed a whole round down does not count. ``ratios`` are those of our typed side by every peer,
    ``unstructured`` has our other side and its ratios by the peer of its form. ``spread`` has the same shape with the
    smallest and the largest instead. A figure that a benchmark does not have is None.

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
    peers = [peer for peer in PEERS if peer in rounds]
    found = {
        **_side(rounds, "ours", peers, combine),
        "peers": {peer: _combined(rounds[peer], combine) for peer in peers},
    }
    if "ours_unstructured" in rounds:
        found["unstructured"] = _side(rounds, "ours_unstructured", [UNSTRUCTURED], combine)
    return found


def _side(rounds: Rounds, side: str, peers: Iterable[str], combine: Callable[[Iterable[float]], Any]) -> dict[str, Any]:
    ratios: dict[str, dict[str, Any]] = {name: {} for name in RESULTS}
    for peer in peers:
        # A peer that takes part in some rounds takes part in the first ones.
        pairs = list(zip(rounds[side], rounds[peer], strict=False))
        for name, of_peers in ratios.items():
            both = [(ours[name], its[name]) for ours, its in pairs if name in ours and name in its]
            of_peers[peer] = _rounded(combine([ours / its for ours, its in both])) if both else None
    return {"ours": _combined(rounds[side], combine), "ratios": ratios}


def _combined(of_one: Sequence[Figures], combine: Callable[[Iterable[float]], Any]) -> dict[str, Any]:
    return {
        name: _rounded(combine([figures[name] for figures in of_one])) if name in of_one[0] else None
        for name in (*RESULTS, *CONDITIONS)
    }


def _reach(figures: Iterable[float]) -> list[float]:
    ordered = sorted(figures)
    return [ordered[0], ordered[-1]]


def _rounded(value: Any) -> Any:
    return [_rounded(each) for each in value] if isinstance(value, list) else round(value, _DIGITS)

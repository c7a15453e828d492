"""From outcomes to figures: medians with their spread, ratios of rounds, a table and a document."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.contenders import Pair
    from benchmarks.duel import Outcome, Work

MEASURES: Final[dict[str, Callable[[Outcome], float]]] = {
    "cpu_s": lambda outcome: outcome.done.cpu_s,
    "wall_s": lambda outcome: outcome.done.wall_s,
    "peak_mb": lambda outcome: outcome.done.peak_mb,
    "rss_mb": lambda outcome: outcome.done.rss_mb,
    "synced_wall_s": lambda outcome: outcome.synced.wall_s,
    "synced_cpu_s": lambda outcome: outcome.synced.cpu_s,
}
"""What is compared, and where it stands in an outcome."""

_SHOWN: Final = ("cpu_s", "wall_s", "peak_mb", "rss_mb")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several figures, and how far they reach."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Sum figures up, to three digits behind the point."""
        all_of_them = list(figures)
        return cls(*(round(each(all_of_them), 3) for each in (statistics.median, min, max)))

    def __str__(self) -> str:
        """Such as ``1.72 (1.70-1.75)``; without digits behind the point from 20 on."""
        digits = 0 if self.median >= 20 else 2  # noqa: PLR2004
        return f"{self.median:.{digits}f} ({self.min:.{digits}f}-{self.max:.{digits}f})"


def document(work: Work, pairs: Sequence[Pair], outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Make the document of one benchmark; a ratio is ours by the peer's of the same round."""
    return {
        "name": work.mode,
        "objects": work.objects,
        "workers": work.workers,
        "runs": min(map(len, outcomes.values())),
        "contenders": {name: _spreads(of_one) for name, of_one in outcomes.items()},
        "ratios": {pair.ours.form: _ratios(outcomes[pair.ours.name], outcomes[pair.peer.name]) for pair in pairs},
    }


def _spreads(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {name: asdict(Spread.of(map(measure, outcomes))) for name, measure in MEASURES.items()}


def _ratios(ours: Sequence[Outcome], peers: Sequence[Outcome]) -> dict[str, Any]:
    return {
        name: asdict(Spread.of(measure(our) / measure(peer) for our, peer in zip(ours, peers, strict=True)))
        for name, measure in MEASURES.items()
    }


def table(result: Mapping[str, Any]) -> str:
    """Show a document as Markdown: a row for each contender, then one for each ratio."""
    title = f"{result['name']}, {result['objects']:,} objects, {result['workers']} workers, {result['runs']} rounds"
    rows = [
        ("median (min-max)", "CPU s", "wall s", "peak MiB", "RSS at the end MiB"),
        ("---",) * (len(_SHOWN) + 1),
        *((name, *_cells(spreads)) for name, spreads in result["contenders"].items()),
        *((f"ours / Go, {form}", *_cells(ratios)) for form, ratios in result["ratios"].items()),
    ]
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _cells(spreads: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [str(Spread(**spreads[name])) for name in _SHOWN]

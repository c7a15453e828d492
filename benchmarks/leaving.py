"""``bin/bench leaving``: what a process holds when all of its clusters have left, round after round.

In every round all clusters come under new names, are reconciled, and leave. Whatever a cluster leaves behind grows with
the rounds; what is made at first use, or kept so that it can be used again, does not.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks import contenders
from benchmarks.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.duel import Figures

FIGURES: Final = {
    "objects": "objects",
    "blocks": "blocks",
    "threads": "threads",
    "descriptors": "descriptors",
    "series": "series",
    "rss_mb": "MiB",
    "malloc_used_mb": "malloc MiB",
    "malloc_free_mb": "unused MiB",
    "full_mb": "engaged MiB",
    "engaged_s": "engaged s",
    "gone_s": "gone s",
}
GROWTH: Final = ("objects", "blocks", "threads", "descriptors", "series", "rss_mb", "malloc_used_mb")
ROUNDS: Final = 3
"""At least: before the second, what is made at first use is still being made."""

_COMMAND: Final = (sys.executable, "-P", "-m", "benchmarks.leaving_side")
_COUNTED: Final = ("objects", "blocks", "threads", "descriptors", "series")
_ROUND_SECONDS: Final = 300.0


def run(
    kubeconfig: Path, *, clusters: int, workers: int, rounds: int, report: Callable[[str], None] = lambda _line: None
) -> list[Figures]:
    """Give what is held before the first round, and after each.

    Raises:
        Failed: it took too long, or a cluster was not engaged, or was not let go of.
    """
    order = json.dumps({"clusters": clusters, "objects": 1, "workers": workers, "rounds": rounds})
    environment = contenders.environment(kubeconfig)
    found: list[Figures] = []
    with Measured([*_COMMAND, order], environment, seconds=_ROUND_SECONDS * rounds) as process:
        for number in range(rounds + 1):
            found.append(json.loads(process.line()))
            told = ", ".join(f"{name} {figure:,.2f}" for name, figure in found[-1].items())
            report(f"leaving {number}/{rounds}: {told}")
        process.end()
    return found


def document(found: Sequence[Figures], **facts: Any) -> dict[str, Any]:
    """Make the document: ``start``, ``after`` each round, and the ``growth`` per round after the second."""
    start, *after = ({name: round(figure, 2) for name, figure in figures.items()} for figures in found)
    return {"name": "leaving", "growth": growth(found), "start": start, "after": after, **facts}


def growth(found: Sequence[Figures]) -> Figures:
    """Give how much more is held with each round after the second, from the start and `ROUNDS` rounds at least."""
    settled, last, rounds = found[ROUNDS - 1], found[-1], len(found) - ROUNDS
    return {name: round((last[name] - settled[name]) / rounds, 2) for name in GROWTH}


def table(document: Mapping[str, Any]) -> str:
    """Show a document as Markdown."""
    rows = [["all have left", *FIGURES.values()], ["---"] * (len(FIGURES) + 1)]
    rows.append(["at the start", *_cells(document["start"])])
    rows += [[f"after round {number}", *_cells(found)] for number, found in enumerate(document["after"], 1)]
    rows.append([f"more a round, after round {ROUNDS - 1}", *_cells(document["growth"])])
    head = f"**leaving: {document['clusters']:,} clusters a round, {document['workers']} workers**"
    return "\n".join([head, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _cells(found: Mapping[str, float]) -> list[str]:
    return [_cell(name, found[name]) if name in found else "" for name in FIGURES]


def _cell(name: str, figure: float) -> str:
    return f"{figure:,.0f}" if name in _COUNTED and figure == int(figure) else f"{figure:,.2f}"

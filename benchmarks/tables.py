"""Documents as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEASURES: Final = {
    "cpu_s": "CPU s",
    "wall_s": "wall s",
    "rss_mb": "peak MiB",
    "cpu_per_object_us": "CPU µs per object",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "heartbeat_ms": "longest beat ms",
}
"""What a benchmark may have measured, and the heading of its column."""

_WHOLE: Final = 100  # From here on, digits behind the point say nothing.


def title(document: Mapping[str, Any]) -> str:
    """Such as ``latency during a sync, pods``."""
    during = " during a sync" if document["during_sync"] else ""
    return f"{document['name']}{during}, {document['kind']}"


def table(document: Mapping[str, Any]) -> str:
    """Show a document: a row for each contender, then one for each ratio, every cell with its spread."""
    shown = [name for name in MEASURES if name in document["ours"]]
    rows = [
        ["median (smallest to largest)", *(MEASURES[name] for name in shown)],
        ["---"] * (len(shown) + 1),
        *_contenders(document, shown),
        *_ratios(document, shown),
    ]
    head = f"{title(document)}: {document['objects']:,} objects, {document['workers']} workers"
    return "\n".join([f"**{head}, rounds: {document['rounds']['ours']}**", "", *map(_row, rows)])


def _contenders(document: Mapping[str, Any], shown: Sequence[str]) -> list[list[str]]:
    spread = document["spread"]
    ours = [(name, document[name], spread[name]) for name in ("ours", "ours_unstructured") if name in document]
    peers = [(name, figures, spread["peers"][name]) for name, figures in document["peers"].items()]
    named = {"ours": "kcontroller-typed", "ours_unstructured": "kcontroller-unstructured"}
    return [
        [named.get(name, name), *(_cell(figures.get(each), reach.get(each)) for each in shown)]
        for name, figures, reach in [*ours, *peers]
    ]


def _ratios(document: Mapping[str, Any], shown: Sequence[str]) -> list[list[str]]:
    ratios, spread = document["ratios"], document["spread"]["ratios"]
    return [
        [
            f"ours / {peer}",
            *(_cell(ratios.get(each, {}).get(peer), spread.get(each, {}).get(peer), bold="**") for each in shown),
        ]
        for peer in document["peers"]
    ]


def _cell(figure: float | None, reach: Sequence[float] | None, *, bold: str = "") -> str:
    if figure is None or reach is None:
        return ""
    digits = 0 if figure >= _WHOLE else 2 if figure >= 0.1 else 3  # noqa: PLR2004
    return f"{bold}{figure:.{digits}f}{bold} ({reach[0]:.{digits}f}-{reach[1]:.{digits}f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

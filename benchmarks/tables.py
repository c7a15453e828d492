"""Documents as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import CONDITIONS, RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WHOLE: Final = 100  # From here on, digits behind the point say nothing.


def title(document: Mapping[str, Any]) -> str:
    """Such as ``latency during a sync, pods``."""
    during = " during a sync" if document["during_sync"] else ""
    return f"{document['name']}{during}, {document['kind']}"


def table(document: Mapping[str, Any]) -> str:
    """Show a document: a row for each contender, then one for each ratio, every cell with its spread."""
    ours, spread, headings = document["ours"], document["spread"], RESULTS | CONDITIONS
    shown = [name for name in headings if ours[name] is not None]
    rows = [
        ["median (smallest to largest)", *(headings[name] for name in shown)],
        ["---"] * (len(shown) + 1),
        _contender("kcontroller-typed", ours, spread["ours"], shown),
        *(_contender(name, its, spread["peers"][name], shown) for name, its in document["peers"].items()),
        *_ratios("typed", document, spread, shown),
    ]
    if "unstructured" in document:
        other, reach = document["unstructured"], spread["unstructured"]
        rows.insert(3, _contender("kcontroller-unstructured", other["ours"], reach["ours"], shown))
        rows += _ratios("unstructured", other, reach, shown)
    head = f"{title(document)}: {document['objects']:,} objects, {document['workers']} workers"
    rounds = f"rounds: {document['rounds']['ours']}"
    return "\n".join([f"**{head}, {rounds}**", "", *map(_row, rows)])


def _contender(name: str, figures: Mapping[str, Any], spread: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    return [name, *(_cell(figures[each], spread[each]) for each in shown)]


def _ratios(form: str, side: Mapping[str, Any], spread: Mapping[str, Any], shown: Sequence[str]) -> list[list[str]]:
    """The rows of one of our sides: by each peer that it is compared with."""
    ratios, reach = side["ratios"], spread["ratios"]
    measured = [name for name in shown if name in RESULTS]
    rest = [""] * (len(shown) - len(measured))
    return [
        [
            f"ours, {form} / {peer}",
            *(_cell(ratios[name][peer], reach[name][peer], bold="**") for name in measured),
            *rest,
        ]
        for peer in ratios["cpu_s"]
    ]


def _cell(figure: float | None, reach: Sequence[float] | None, *, bold: str = "") -> str:
    if figure is None or reach is None:
        return ""
    digits = 0 if figure >= _WHOLE else 2 if figure >= 0.1 else 3  # noqa: PLR2004
    return f"{bold}{figure:.{digits}f}{bold} ({reach[0]:.{digits}f}-{reach[1]:.{digits}f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

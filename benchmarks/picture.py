"""The picture of all kept figures: ours by controller-runtime's as bars, with their spread.

It has no background, and greys that can be read on a light and on a dark page.

``python -m benchmarks.picture FOLDER`` draws what is kept there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import results
from benchmarks.tables import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

PEER: Final = "controller-runtime-typed"

_INK: Final = "#7d8590"
_BARS: Final = {
    "cpu_s": ("CPU", "#2f81f7"),
    "cpu_per_object_us": ("CPU per write", "#2f81f7"),
    "wall_s": ("wall clock", "#2da44e"),
    "rss_mb": ("peak memory", "#bf8700"),
    "p50_ms": ("p50", "#2f81f7"),
    "p99_ms": ("p99", "#8250df"),
}
_OTHERS: Final = {
    "controller-runtime-typed-stripped": (("cpu_s", "rss_mb"), "typed-stripped = 1"),
    "kopf": (("cpu_s",), "Kopf = 1"),
    "kopf-async": (("cpu_s",), "Kopf, async = 1"),
}
_SHOWN: Final = {
    "sync": ("cpu_s", "wall_s", "rss_mb"),
    "reconcile": ("cpu_s", "wall_s", "rss_mb"),
    "write": ("cpu_per_object_us", "rss_mb"),
    "latency": ("p50_ms", "p99_ms"),
}


def draw(documents: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the documents that were measured beside controller-runtime."""
    groups = [(each, _bars(each)) for each in documents if PEER in each.get("peers", {})]
    lines = sum(len(bars) + 1.2 for _document, bars in groups)
    figure = Figure(figsize=(8.4, 0.9 + 0.24 * lines), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.0
    for document, bars in groups:
        axes.text(0.0, height, _heading(document), color=_INK, fontsize=9, fontweight="bold", va="center")
        for number, bar in enumerate(bars, 1):
            _draw(axes, document, height + number, *bar)
        height += len(bars) + 1.2
    _style(axes, height)
    figure.suptitle("kcontroller, where controller-runtime (typed) is 1; shorter is better", color=_INK, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, transparent=True)


def _bars(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The measures that are shown of a document, each with the peer."""
    others = [(name, peer) for peer, (names, _) in _OTHERS.items() if peer in document["peers"] for name in names]
    return [*((name, PEER) for name in _SHOWN[document["name"]]), *others]


def _heading(document: Mapping[str, Any]) -> str:
    what, _, kind = title(document).partition(", ")
    return f"{what}: {document['objects']:,} {kind}"


def _draw(axes: Axes, document: Mapping[str, Any], height: float, name: str, peer: str) -> None:
    label, colour = _BARS[name]
    ratio, (least, most) = document["ratios"][name][peer], document["spread"]["ratios"][name][peer]
    axes.barh(height, ratio, height=0.72, color=colour)
    axes.errorbar(ratio, height, xerr=[[ratio - least], [most - ratio]], color=_INK, capsize=3, linewidth=1.2)
    margin = axes.get_yaxis_transform()
    text = label if peer == PEER else f"{label}, {_OTHERS[peer][1]}"
    axes.text(-0.01, height, text, transform=margin, color=_INK, fontsize=8, ha="right", va="center")
    axes.text(1.01, height, f"{ratio:.2f}", transform=margin, color=_INK, fontsize=8, va="center", fontweight="bold")


def _style(axes: Axes, bottom: float) -> None:
    axes.axvline(1.0, color=_INK, linewidth=1.0, linestyle="--", zorder=0)
    axes.set_ylim(bottom - 0.3, -0.8)
    axes.set_xlim(0.0, max(1.2, axes.get_xlim()[1]))
    axes.set_yticks([])
    axes.tick_params(colors=_INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)


if __name__ == "__main__":
    draw(results.load(Path(sys.argv[1])), Path(sys.argv[1], "benchmarks.png"))

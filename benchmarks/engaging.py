"""``bin/bench fleet``: from nothing until each of many clusters was reconciled once, beside multicluster-runtime."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks import building, contenders, fleets
from benchmarks.contenders import Contender
from benchmarks.measured import Failed, Measured
from benchmarks.rounding import cell, each, median, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.duel import Figures
    from kcontroller.testing.control_plane import ApiServer

    Rounds = Mapping[str, Sequence[Figures]]

PEER: Final = "multicluster-runtime"
OURS: Final = Contender("ours", "fleet", (sys.executable, "-P", "-m", "benchmarks.fleet_side"))
FIGURES: Final = {
    "wall_s": "wall s",
    "cpu_s": "CPU s",
    "rss_mb": "peak MiB",
    "settled_mb": "settled MiB",
    "threads": "threads",
    "descriptors": "descriptors",
    "idle_cpu_percent": "idle CPU %",
    "end_s": "end s",
}
RATIOS: Final = ("wall_s", "cpu_s", "rss_mb", "settled_mb")

_SECONDS: Final = 900.0
_SETTLE_SECONDS: Final = 3.0


def choose(peers: Iterable[str]) -> tuple[Contender, ...]:
    """Put our side and the peers in their order, and build those that are not there yet.

    Raises:
        building.CannotBuild: a peer cannot be built.
    """
    return (OURS, *(Contender(name, "fleet", (str(building.build_go_fleet_program()),)) for name in peers))


def race(
    chosen: Sequence[Contender],
    kubeconfig: Path,
    *,
    clusters: int,
    workers: int,
    repeat: int,
    idle: float,
    report: Callable[[str], None],
) -> dict[str, list[Figures]]:
    """Let the contenders take turns, each once in a round, the next round in the opposite order; round 0 warms up.

    Raises:
        Failed: one did not see every cluster.
    """
    found: dict[str, list[Figures]] = {contender.name: [] for contender in chosen}
    for number in range(repeat + 1):
        for contender in chosen if number % 2 else reversed(chosen):
            figures = run(contender, kubeconfig, clusters=clusters, workers=workers, idle=idle if number else 0.0)
            if number:
                found[contender.name].append(figures)
            told = ", ".join(f"{name} {figure:.2f}" for name, figure in figures.items())
            report(f"fleet {number}/{repeat} {contender.name}: {told}")
    return found


def run(contender: Contender, kubeconfig: Path, *, clusters: int, workers: int, idle: float) -> Figures:
    """Run one contender to its end; its CPU is looked at for `idle` seconds when it has settled.

    Raises:
        Failed: it took too long, or did not see every cluster.
    """
    order = {"clusters": clusters, "objects": 1, "workers": workers, "healthy": []}
    command = [*contender.command, json.dumps(order)]
    started = time.monotonic()
    with Measured(command, contenders.environment(kubeconfig), seconds=_SECONDS) as process:
        line = process.line()
        wall, cpu = time.monotonic() - started, process.cpu_s()
        if line != "synced":
            msg = f"{contender.name}: fleet said {line!r} where it should have said that it is synced"
            raise Failed(msg)
        figures = {"wall_s": wall, "cpu_s": cpu, **_settled(process, idle)}
        process.go_on()
        ending = time.monotonic()
        seen = json.loads(process.line())["objects"]
        process.end()
    if seen != clusters:
        msg = f"{contender.name}: fleet saw {seen:,} of {clusters:,} clusters"
        raise Failed(msg)
    return {**figures, "end_s": time.monotonic() - ending}


def _settled(process: Measured, idle: float) -> Figures:
    peak = process.held().peak_mb
    time.sleep(min(_SETTLE_SECONDS, idle))
    before, since = process.cpu_s(), time.monotonic()
    time.sleep(idle)
    used, lasted = process.cpu_s() - before, time.monotonic() - since
    held = process.held()
    return {
        "rss_mb": max(peak, held.peak_mb),
        "settled_mb": held.rss_mb,
        "threads": held.threads,
        "descriptors": held.descriptors,
        "idle_cpu_percent": 100 * used / lasted if idle else 0.0,
    }


def fill(server: ApiServer, folder: Path, *, clusters: int, trusts: Sequence[str]) -> dict[str, Path]:
    """Make the clusters, and a kubeconfig for each kind of trust."""
    fleets.fill(server, clusters)
    return {
        trust: fleets.write_kubeconfig(
            folder / f"kubeconfig-{trust}",
            server,
            {fleets.Place(server.url, fleets.authorities(server, trust)): range(clusters)},
        )
        for trust in trusts
    }


def document(by_trust: Mapping[str, Rounds], **facts: Any) -> dict[str, Any]:
    """Make the document: under each kind of trust what `summary` gives; ``ratios`` are the worst of all of these."""
    trusts = {trust: summary(of_one) for trust, of_one in by_trust.items()}
    ratios: dict[str, dict[str, float]] = {name: {} for name in RATIOS}
    for found in trusts.values():
        for name, by_peer in found["ratios"].items():
            for peer, ratio in by_peer.items():
                ratios[name][peer] = max(ratio, ratios[name].get(peer, 0.0))
    return {"name": "fleet", "ratios": ratios, "trusts": trusts, **facts}


def summary(rounds: Rounds) -> dict[str, Any]:
    """Give medians of the rounds, ratios as medians of the ratios of ours by the peer's of one round, and spreads."""
    peers = [name for name in rounds if name != "ours"]
    pairs = {peer: list(zip(rounds["ours"], rounds[peer], strict=True)) for peer in peers}
    ratios = {name: {peer: [ours[name] / its[name] for ours, its in pairs[peer]] for peer in peers} for name in RATIOS}
    return {
        "ours": each(rounds["ours"], FIGURES, median),
        "peers": {peer: each(rounds[peer], FIGURES, median) for peer in peers},
        "ratios": {name: {peer: median(found) for peer, found in by.items()} for name, by in ratios.items()},
        "spread": {
            "ours": each(rounds["ours"], FIGURES, reach),
            "peers": {peer: each(rounds[peer], FIGURES, reach) for peer in peers},
            "ratios": {name: {peer: reach(found) for peer, found in by.items()} for name, by in ratios.items()},
        },
    }


def table(document: Mapping[str, Any]) -> str:
    """Show a document as Markdown: a row for each contender and trust, then the ratios."""
    rows = [["median (smallest to largest)", *FIGURES.values()], ["---"] * (len(FIGURES) + 1)]
    for trust, found in document["trusts"].items():
        spread = found["spread"]
        rows.append([f"kcontroller, {trust} CA", *_cells(found["ours"], spread["ours"])])
        for peer, figures in found["peers"].items():
            rows.append([f"{peer}, {trust} CA", *_cells(figures, spread["peers"][peer])])
            shown = [cell(found["ratios"][name][peer], spread["ratios"][name][peer], "**") for name in RATIOS]
            rows.append([f"ours / {peer}, {trust} CA", *shown, *[""] * (len(FIGURES) - len(RATIOS))])
    head = f"**fleet: {document['clusters']:,} clusters, {document['workers']} workers, rounds: {document['rounds']}**"
    return "\n".join([head, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _cells(figures: Mapping[str, float], spread: Mapping[str, Sequence[float]]) -> list[str]:
    return [cell(figures[name], spread[name]) for name in FIGURES]

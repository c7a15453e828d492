"""``bin/bench isolation``: what clusters that are in trouble cost the healthy ones.

Of 100 clusters 30 are reached through a proxy (`troubled`). The runs take turns: in one the proxy passes all on, in the
other ten of these clusters answer nothing, ten answer 500 and ten take two seconds longer, except to watches. A writer
changes each ConfigMap of every cluster once, and each reconcile asks its cluster for the object. What counts is the
time from a write in one of the 70 healthy clusters, which are reached directly, to the start of its reconcile.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from benchmarks import contenders, fleets, writer
from benchmarks.contenders import ROOT
from benchmarks.engaging import OURS
from benchmarks.measured import Failed, Measured
from benchmarks.rounding import cell, each, median, reach
from benchmarks.troubled import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.duel import Figures
    from kcontroller.testing.control_plane import ApiServer

BASE: Final = "none-bad"
FIGURES: Final = {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "cpu_s": "CPU s", "rss_mb": "peak MiB"}
RATIOS: Final = ("p50_ms", "p99_ms")

_SECONDS: Final = 300.0
_END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done.

    Attributes:
        clusters: in all; three tenths of them go wrong.
        objects: ConfigMaps in each, each written once a run.
        workers: concurrent reconciles.
        pace_ms: from one write to the next.
    """

    clusters: int
    objects: int
    workers: int
    pace_ms: float

    @property
    def bad(self) -> dict[str, range]:
        """The numbers of the clusters that go wrong, by what is wrong with them."""
        tenth = self.clusters // 10
        firsts = range(self.clusters - len(FAULTS) * tenth, self.clusters, tenth)
        return {name: range(first, first + tenth) for name, first in zip(FAULTS, firsts, strict=True)}

    @property
    def healthy(self) -> range:
        """The numbers of the others."""
        return range(self.clusters - len(FAULTS) * (self.clusters // 10))

    @property
    def paths(self) -> list[str]:
        """All ConfigMaps, in the order in which they are written: round all clusters."""
        return [fleets.path(number, which) for which in range(self.objects) for number in range(self.clusters)]


class Proxy:
    """The process of `troubled`."""

    def __init__(self, incoming: IO[str], outgoing: IO[str], order: dict[str, Any]) -> None:
        """Give it its order."""
        self._incoming = incoming
        self._outgoing = outgoing
        self.place = fleets.Place(**json.loads(self._ask(json.dumps(order))))

    def make(self, state: str) -> None:
        """Make the clusters ``wrong`` or ``well``."""
        self._ask(state)

    def _ask(self, line: str) -> str:
        print(line, file=self._outgoing, flush=True)
        answer = self._incoming.readline()
        if not answer:
            msg = "the proxy of the clusters that go wrong has ended"
            raise Failed(msg)
        return answer


@contextmanager
def proxy(server: ApiServer, work: Work) -> Iterator[Proxy]:
    """Run the proxy while the block does."""
    prefixes = {name: [fleets.namespace_path(number) for number in numbers] for name, numbers in work.bad.items()}
    order = {"url": server.url, "ca_pem": server.ca_pem, "prefixes": prefixes}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.troubled"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Proxy(process.stdout, process.stdin, order)
        finally:
            process.stdin.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def race(
    server: ApiServer, folder: Path, work: Work, *, repeat: int, report: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """Let runs with and without trouble take turns, each once in a round, the next round in the opposite order.

    Raises:
        Failed: a write in a healthy cluster was never reconciled.
    """
    fleets.fill(server, work.clusters, objects=work.objects)
    found: dict[str, list[Figures]] = {"ours": [], BASE: []}
    with proxy(server, work) as between:
        bad = range(work.healthy.stop, work.clusters)
        places = {fleets.Place(server.url, server.ca_pem): work.healthy, between.place: bad}
        kubeconfig = fleets.write_kubeconfig(folder / "kubeconfig-isolation", server, places)
        for number in range(repeat + 1):
            for side in found if number % 2 else reversed(found):
                figures = _run(server, kubeconfig, work, between, wrong=side == "ours")
                if number:
                    found[side].append(figures)
                told = ", ".join(f"{name} {figure:.2f}" for name, figure in figures.items())
                report(f"isolation {number}/{repeat} {side}: {told}")
    return found


def _run(server: ApiServer, kubeconfig: Path, work: Work, between: Proxy, *, wrong: bool) -> Figures:
    order = {
        "clusters": work.clusters,
        "objects": work.objects,
        "workers": work.workers,
        "healthy": [fleets.cluster(number) for number in work.healthy],
    }
    command = [*OURS.command, json.dumps(order)]
    with Measured(command, contenders.environment(kubeconfig), seconds=_SECONDS) as process:
        if (line := process.line()) != "synced":
            msg = f"isolation said {line!r} where it should have said that it is synced"
            raise Failed(msg)
        try:
            if wrong:
                between.make("wrong")
            process.go_on()
            writer.write(server.url, server.token, server.ca_pem, work.paths, pace_s=work.pace_ms / 1000)
            latencies = sorted(json.loads(process.line())["latencies_ms"])
        finally:
            between.make("well")
        used = process.end()
    want = len(work.healthy) * work.objects
    if len(latencies) != want:
        msg = f"isolation saw {len(latencies):,} of {want:,} writes in healthy clusters"
        raise Failed(msg)
    p99 = latencies[math.ceil(want * 0.99) - 1]  # By the nearest rank.
    return {"p50_ms": statistics.median(latencies), "p99_ms": p99, "cpu_s": used.cpu_s, "rss_mb": used.rss_mb}


def document(rounds: dict[str, list[Figures]], work: Work, **facts: Any) -> dict[str, Any]:
    """Make the document: ``ours`` is with trouble, ``none-bad`` without."""
    pairs = list(zip(rounds["ours"], rounds[BASE], strict=True))
    ratios = {name: [ours[name] / its[name] for ours, its in pairs] for name in RATIOS}
    more = [ours["p99_ms"] - its["p99_ms"] for ours, its in pairs]
    return {
        "name": "isolation",
        "clusters": work.clusters,
        "objects": work.objects,
        "workers": work.workers,
        "pace_ms": work.pace_ms,
        "bad": {name: len(numbers) for name, numbers in work.bad.items()},
        "ours": each(rounds["ours"], FIGURES, median),
        "peers": {BASE: each(rounds[BASE], FIGURES, median)},
        "ratios": {name: {BASE: median(found)} for name, found in ratios.items()},
        "p99_more_ms": median(more),
        "spread": {
            "ours": each(rounds["ours"], FIGURES, reach),
            "peers": {BASE: each(rounds[BASE], FIGURES, reach)},
            "ratios": {name: {BASE: reach(found)} for name, found in ratios.items()},
        },
        "rounds": len(pairs),
        **facts,
    }


def table(document: dict[str, Any]) -> str:
    """Show a document as Markdown."""
    bad = ", ".join(f"{count} {name}" for name, count in document["bad"].items())
    spread = document["spread"]
    rows = [
        ["healthy clusters: median (smallest to largest)", *FIGURES.values()],
        ["---"] * (len(FIGURES) + 1),
        [f"{bad}", *(cell(document["ours"][name], spread["ours"][name]) for name in FIGURES)],
        ["none bad", *(cell(document["peers"][BASE][name], spread["peers"][BASE][name]) for name in FIGURES)],
        ["ratio", *(cell(document["ratios"][name][BASE], spread["ratios"][name][BASE]) for name in RATIOS), "", ""],
    ]
    scale = f"{document['clusters']:,} clusters, {document['workers']} workers"
    head = f"**isolation: {scale}, rounds: {document['rounds']}**"
    return "\n".join([head, "", *(f"| {' | '.join(row)} |" for row in rows)])

"""The runs: every contender a process of its own, taking turns, the first round discarded."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import filling, writer
from benchmarks.contenders import ROOT, is_slow
from benchmarks.measured import Failed, Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.contenders import Contender
    from kcontroller.testing.control_plane import ApiServer

Figures = dict[str, float]
"""What one process needed, by the names that the document uses."""

_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every contender does.

    Attributes:
        name: ``sync``, ``reconcile``, ``write`` or ``latency``.
        kind: ``widgets`` or ``pods``.
        objects: how many there are.
        workers: concurrent reconciles.
        writes: of the writer, in `latency`.
        during_sync: in `latency`, another kind is synced all the while.
        heartbeat: in `sync`, our side measures how long its threads are held up.
    """

    name: str
    kind: str
    objects: int
    workers: int = 10
    writes: int = 1000
    during_sync: bool = False
    heartbeat: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the contenders work: a server full of objects, and what they find around them."""

    server: ApiServer
    environment: Mapping[str, str]


def race(
    contenders: Sequence[Contender],
    work: Work,
    ground: Ground,
    *,
    repeat: int,
    kopf_repeat: int,
    report: Callable[[str], None],
) -> dict[str, list[Figures]]:
    """Let the contenders take turns; returns their figures, of each round one.

    The order turns with every round, so that none always runs after the same other. Round 0 warms up the server and
    the page cache, and does not count. Kopf takes part in the first rounds that count only.

    Raises:
        Failed: one did not do its work.
    """
    found: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for number in range(repeat + 1):
        for contender in contenders if number % 2 else reversed(contenders):
            if is_slow(contender) and not 0 < number <= kopf_repeat:
                continue
            figures = run(contender, work, ground)
            if number:
                found[contender.name].append(figures)
            told = ", ".join(f"{name} {figure:.2f}" for name, figure in figures.items())
            report(f"{work.name} {number}/{repeat} {contender.name}: {told}")
    return found


def run(contender: Contender, work: Work, ground: Ground) -> Figures:
    """Run one contender to its end.

    Raises:
        Failed: it took too long, said nothing usable, or did not see every object.
    """
    try:
        return _run(contender, work, ground)
    except Failed as error:
        msg = f"{contender.name}: {work.name} {error}"
        raise Failed(msg) from None


def _run(contender: Contender, work: Work, ground: Ground) -> Figures:
    # The mark is another for each process, so that each has something to write.
    order = {**asdict(work), "form": contender.form, "mark": time.time_ns() // 1_000_000}
    with Measured([*contender.command, json.dumps(order)], ground.environment, seconds=_SECONDS) as process:
        begun = _phases(process, work, ground)
        text = process.line()
        used = process.end()
    said = _report(text)
    if said["objects"] != work.objects:
        msg = f"saw {said['objects']:,} of {work.objects:,} objects"
        raise Failed(msg)
    figures = asdict(used)
    if work.name == "write":
        figures["cpu_per_object_us"] = (used.cpu_s - begun["cpu_s"]) / work.objects * 1e6
    if work.name == "latency":
        figures |= _percentiles(said.get("latencies_ms", ()), work)
        figures["pace_ms"] = begun["pace_ms"]
    if work.during_sync:
        figures["syncs"] = said.get("syncs", 0)
        if not figures["syncs"]:
            msg = "did not sync the other kind"
            raise Failed(msg)
    if "heartbeat_ms" in said:
        figures["heartbeat_ms"] = said["heartbeat_ms"]
    return figures


def _phases(process: Measured, work: Work, ground: Ground) -> Figures:
    """Go with the process through what it tells; returns the CPU that it had used when it was synced, and the pace."""
    if work.name not in {"write", "latency"}:
        return {}
    if (line := process.line()) != "synced":
        msg = f"said {line!r} where it should have said that it is synced"
        raise Failed(msg)
    used = process.cpu_s()
    process.go_on()
    return {"cpu_s": used, **(_write(ground.server, work) if work.name == "latency" else {})}


def _write(server: ApiServer, work: Work) -> Figures:
    order = {
        "url": server.url,
        "token": server.token,
        "ca_pem": server.ca_pem,
        "paths": [filling.path(work.kind, number) for number in range(work.writes)],
        "pace_s": writer.PACE_S,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.writer"],
        cwd=ROOT,
        input=json.dumps(order),
        timeout=_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"the writer ended with {done.returncode}\n{done.stderr.strip()[-2000:]}"
        raise Failed(msg)
    kept: Figures = json.loads(done.stdout)
    return kept


def _report(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
        assert isinstance(said["objects"], int)
    except (ValueError, KeyError, TypeError, AssertionError):
        msg = f"said {text[:300]!r}, which is no report"
        raise Failed(msg) from None
    return dict(said)


def _percentiles(latencies: Iterable[float], work: Work) -> Figures:
    ordered = sorted(latencies)
    if len(ordered) != work.writes:
        msg = f"saw {len(ordered):,} of {work.writes:,} writes"
        raise Failed(msg)
    # By the nearest rank.
    return {"p50_ms": statistics.median(ordered), "p99_ms": ordered[math.ceil(len(ordered) * 0.99) - 1]}

"""The commands behind ``bin/bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks import contenders, duel, figures, machine, memory, widgets
from kcontroller.errors import ControlPlaneError
from kcontroller.testing.control_plane import ControlPlane


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """How fast and how large the framework is, beside its peer. See docs/benchmarks.md."""


def _say(line: str) -> None:
    click.echo(line, err=True)


def _write(path: Path | None, document: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


_json = click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there as well."
)


@main.command()
@click.option("--objects", default=20_000, type=click.IntRange(1), help="Widgets of about 1 KB.")
@click.option("--workers", default=10, type=click.IntRange(1), help="Concurrent reconciles.")
@click.option("--runs", default=5, type=click.IntRange(1), help="Rounds that count; one more warms up.")
@_json
def informer(objects: int, workers: int, runs: int, path: Path | None) -> None:
    """Initial sync, and sync with a cached read of each object, beside controller-runtime.

    Needs the real servers (`bin/envtest build`) and, the first time, Go.
    """
    try:
        pairs = contenders.pairs()
        with ControlPlane() as plane:
            _say(f"creating {objects:,} Widgets")
            size = widgets.fill(plane.servers[0], objects)
            environment = contenders.environment(plane.kubeconfig)
            results = []
            for mode in duel.MODES:
                work = duel.Work(mode, objects, workers)
                outcomes = duel.race(pairs, work, runs=runs, environment=environment, report=_say)
                results.append(figures.document(work, pairs, outcomes))
    except (ControlPlaneError, contenders.CannotBuild, duel.Failed) as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n\n".join(map(figures.table, results)))
    _write(path, {"machine": machine.facts(), "bytes_on_the_wire": round(size), "results": results})


@main.command()
@click.option("--objects", "counts", multiple=True, default=(20_000, 100_000), type=click.IntRange(1))
@click.option("--runs", default=3, type=click.IntRange(1), help="Processes for each count.")
@_json
def store(counts: tuple[int, ...], runs: int, path: Path | None) -> None:
    """Bytes of memory per cached object beyond its JSON, without a server."""
    results = [memory.measure(count, runs=runs) for count in counts]
    click.echo(memory.table(results))
    _write(path, {"machine": machine.facts(), "results": results})


if __name__ == "__main__":
    main(prog_name="bin/bench")

"""The commands behind ``bin/bench``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from benchmarks import (
    building,
    contenders,
    duel,
    engaging,
    figures,
    filling,
    fleets,
    isolation,
    leaving,
    machine,
    measured,
    memory,
    queueing,
    results,
    tables,
)
from kcontroller.errors import ControlPlaneError
from kcontroller.testing.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """How fast and how large the framework is, beside its peers. See benchmarks/README.md."""


def _say(line: str) -> None:
    click.echo(line, err=True)


def _split(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = () if value == "none" else tuple(value.split(","))
    for name in names:
        if name not in contenders.PEERS:
            msg = f"no peer {name!r}; there are {', '.join(contenders.PEERS)}, and none"
            raise click.BadParameter(msg)
    return names


_OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a Markdown table."),
    click.option("--save", is_flag=True, help="Keep the figures in benchmarks/results, and show them in its README."),
)
_OPTIONS = (
    click.option("--kind", default="widgets", type=click.Choice(["widgets", "pods"]), help="Of 1.1 KB, or of 8 KB."),
    click.option("--objects", default=20_000, type=click.IntRange(1)),
    click.option("--workers", default=10, type=click.IntRange(1), help="Concurrent reconciles."),
    click.option("--repeat", default=5, type=click.IntRange(1), help="Rounds that count; one more warms up."),
    click.option("--kopf-repeat", default=1, type=click.IntRange(1), help="In how many of them Kopf takes part."),
    click.option("--peers", default=",".join(contenders.PEERS), callback=_split, help="By commas, or none."),
    *_OUTPUT,
)


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@main.command()
@_with(*_OPTIONS)
@click.option("--heartbeat", is_flag=True, help="Measure how long our threads are held up; costs some CPU.")
def sync(**options: Any) -> None:
    """The first list of a kind into a cache, with a handler that counts."""
    _compare("sync", **options)


@main.command()
@_with(*_OPTIONS)
def reconcile(**options: Any) -> None:
    """The same, and a cached read of each object by the workers of a controller."""
    _compare("reconcile", **options)


@main.command()
@_with(*_OPTIONS)
def write(**options: Any) -> None:
    """The same, and a patch of each object's status, until the cache has all of them."""
    _compare("write", **options)


@main.command()
@_with(*_OPTIONS)
@click.option("--writes", default=1000, type=click.IntRange(1), help="By a process of its own, one every 5 ms.")
@click.option("--during-sync", is_flag=True, help="While another kind with as many objects is synced over and over.")
def latency(*, writes: int, **options: Any) -> None:
    """From a write to the start of the reconcile of it."""
    _compare("latency", writes=min(writes, options["objects"]), **options)


def _compare(
    name: str,
    *,
    repeat: int,
    kopf_repeat: int,
    peers: tuple[str, ...],
    as_json: bool,
    save: bool,
    **options: Any,
) -> None:
    work = duel.Work(name=name, **options)
    facts = machine.facts()
    try:
        chosen = contenders.choose(peer for peer in peers if contenders.takes_part(peer, name))
        with ControlPlane() as plane:
            size = _fill(plane, work)
            ground = duel.Ground(plane.servers[0], contenders.environment(plane.kubeconfig))
            rounds = duel.race(chosen, work, ground, repeat=repeat, kopf_repeat=kopf_repeat, report=_say)
    except (ControlPlaneError, building.CannotBuild, measured.Failed) as error:
        raise click.ClickException(str(error)) from None
    document = figures.document(work, rounds, bytes_on_the_wire=round(size), machine=facts)
    _show(document, tables.table(document), as_json=as_json, save=save)


def _fill(plane: ControlPlane, work: duel.Work) -> float:
    _say(f"creating {work.objects:,} {work.kind}")
    if work.during_sync:
        filling.fill(plane.servers[0], "gadgets", work.objects)
    return filling.fill(plane.servers[0], work.kind, work.objects)


@main.command()
@click.option("--clusters", default=1000, type=click.IntRange(1))
@click.option("--ca", "trust", type=click.Choice(fleets.TRUSTS), help="The trust of all clusters; both if not given.")
@click.option("--workers", default=10, type=click.IntRange(1), help="Concurrent reconciles.")
@click.option("--idle", default=10.0, type=click.FloatRange(1), help="Seconds of looking at what is settled.")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Rounds that count; one more warms up.")
@click.option("--peers", default=engaging.PEER, type=click.Choice([engaging.PEER, "none"]))
@_with(*_OUTPUT)
def fleet(
    *, clusters: int, trust: str | None, workers: int, idle: float, repeat: int, peers: str, as_json: bool, save: bool
) -> None:
    """From nothing until the ConfigMap of each of many clusters was reconciled once."""
    facts = machine.facts()
    trusts = fleets.TRUSTS if trust is None else (trust,)
    rounds = {}
    try:
        chosen = engaging.choose(() if peers == "none" else (peers,))
        with ControlPlane() as plane:
            _say(f"creating {clusters:,} clusters")
            kubeconfigs = engaging.fill(plane.servers[0], plane.directory, clusters=clusters, trusts=trusts)
            for name, kubeconfig in kubeconfigs.items():
                _say(f"{name} certificate authorities")
                rounds[name] = engaging.race(
                    chosen, kubeconfig, clusters=clusters, workers=workers, repeat=repeat, idle=idle, report=_say
                )
    except (ControlPlaneError, building.CannotBuild, measured.Failed) as error:
        raise click.ClickException(str(error)) from None
    document = engaging.document(rounds, clusters=clusters, workers=workers, rounds=repeat, machine=facts)
    _show(document, engaging.table(document), as_json=as_json, save=save)


@main.command("leaving")
@click.option("--clusters", default=1000, type=click.IntRange(1))
@click.option("--rounds", default=6, type=click.IntRange(leaving.ROUNDS), help="In which all come, and leave.")
@click.option("--workers", default=10, type=click.IntRange(1), help="Concurrent reconciles.")
@_with(*_OUTPUT)
def of_leaving(*, clusters: int, rounds: int, workers: int, as_json: bool, save: bool) -> None:
    """What the process holds when many clusters have come and left, round after round; no peer."""
    facts = machine.facts()
    try:
        with ControlPlane() as plane:
            _say(f"creating {clusters:,} clusters")
            kubeconfig = engaging.fill(plane.servers[0], plane.directory, clusters=clusters, trusts=("private",))
            found = leaving.run(kubeconfig["private"], clusters=clusters, workers=workers, rounds=rounds, report=_say)
    except (ControlPlaneError, measured.Failed) as error:
        raise click.ClickException(str(error)) from None
    document = leaving.document(found, clusters=clusters, workers=workers, machine=facts)
    _show(document, leaving.table(document), as_json=as_json, save=save)


@main.command("isolation")
@click.option("--clusters", default=100, type=click.IntRange(10), help="Three tenths of them go wrong.")
@click.option("--objects", default=20, type=click.IntRange(1), help="ConfigMaps in each, each written once.")
@click.option("--workers", default=10, type=click.IntRange(1), help="Concurrent reconciles.")
@click.option("--pace-ms", default=5.0, type=click.FloatRange(0), help="From one write to the next.")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Rounds that count; one more warms up.")
@_with(*_OUTPUT)
def of_isolation(*, repeat: int, as_json: bool, save: bool, **options: Any) -> None:
    """From a write to its reconcile in healthy clusters while others are in trouble, against a run with none."""
    work = isolation.Work(**options)
    facts = machine.facts()
    try:
        with ControlPlane() as plane:
            rounds = isolation.race(plane.servers[0], plane.directory, work, repeat=repeat, report=_say)
    except (ControlPlaneError, measured.Failed) as error:
        raise click.ClickException(str(error)) from None
    document = isolation.document(rounds, work, machine=facts)
    _show(document, isolation.table(document), as_json=as_json, save=save)


@main.command()
def build() -> None:
    """Build the peers; the other commands build those that they need."""
    try:
        contenders.choose(contenders.PEERS)
        engaging.choose((engaging.PEER,))
    except building.CannotBuild as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option("--objects", "counts", multiple=True, default=(20_000, 100_000), type=click.IntRange(1))
@click.option("--repeat", default=3, type=click.IntRange(1), help="Processes for each count.")
@_with(*_OUTPUT)
def store(*, counts: tuple[int, ...], repeat: int, as_json: bool, save: bool) -> None:
    """Bytes of memory per cached object beyond its JSON, without a server."""
    weighed = [memory.measure(count, repeat=repeat) for count in counts]
    document = {"name": "store", "results": weighed, "machine": machine.facts()}
    _show(document, memory.table(weighed), as_json=as_json, save=save)


@main.command("queue")
@click.option("--keys", "counts", multiple=True, default=(1000, 100_000, 1_000_000), type=click.IntRange(2))
@click.option("--repeat", default=5, type=click.IntRange(1), help="Processes for each count.")
@_with(*_OUTPUT)
def of_queue(*, counts: tuple[int, ...], repeat: int, as_json: bool, save: bool) -> None:
    """Microseconds per add, get and done of a workqueue, and how they grow with its keys; without a server."""
    timed = queueing.measure(counts, repeat=repeat)
    grown = queueing.growth(timed)
    document = {"name": "queue", "results": timed, "growth": grown, "goal": queueing.GOAL, "machine": machine.facts()}
    _show(document, queueing.table(timed), as_json=as_json, save=save)


def _show(document: dict[str, Any], table: str, *, as_json: bool, save: bool) -> None:
    if save:
        results.save(document)
    click.echo(json.dumps(document) if as_json else table)


if __name__ == "__main__":
    main(prog_name="bin/bench")

"""``kcontroller clusters``: where each cluster of a running daemon stands."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import click

from kcontroller.cli.reach import find, socket_option
from kcontroller.process.logs import one_line
from kcontroller.process.spans import span
from kcontroller.process.spelling import meant_or_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOT_WELL: Final = 3
UNKNOWN: Final = 1

_HUB: Final = "(hub)"
_STATES: Final = ("refused", "discovered", "connecting", "syncing", "engaged", "draining")
_HEADINGS: Final = ("NAME", "UID", "STATE", "SINCE", "INFORMERS", "QUEUE", "HELD BY", "WHAT IS WRONG")
_UID_LENGTH: Final = 8

_EPILOG: Final = """\b
Exit codes:
  0  all that were asked for are engaged, and nothing is wrong
  1  one that was named is not there; there are none, but for a (hub) that was not named; or no daemon answers
  2  the command line is wrong
  3  some are not engaged, or something is wrong with them
"""


@click.command("clusters", epilog=_EPILOG)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only those in this state.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print it."
)
@socket_option
@click.pass_context
def command(
    ctx: click.Context, /, names: tuple[str, ...], states: tuple[str, ...], output: str, socket_path: str | None
) -> None:
    """Say where each cluster of a running daemon stands, and what is wrong with it.

    A NAME may hold * and ?. Without a provider there is one cluster, called local; with one, the cluster where it looks
    for the others is called (hub). INFORMERS counts the kinds whose objects are all in memory, of those that are
    wanted; QUEUE the requests that are ready. HELD BY says what keeps these waiting: a command (see 'kcontroller
    pauses'), a budget, the circuit breaker of a server that does not answer. What the provider cannot use, such as a
    Secret or a file, is refused.
    """
    page = find(socket_path).get("/clusters")
    there = page["clusters"]
    page["clusters"] = chosen = [each for each in there if _is_wanted(each, names, states)]
    if output == "json":
        click.echo(json.dumps(page, indent=2))
    else:
        for line in told(chosen, now=datetime.fromisoformat(page["now"]), listed=page["listed"]):
            click.echo(line)
    code = exit_code(chosen, with_hub=_HUB in names)
    known = [_called(each) for each in there]
    for name in names:
        if name not in known and not set("*?[") & set(name):
            click.echo(one_line(f"no cluster {name!r} is here{meant_or_known(name, known)}"), err=True)
            code = code or UNKNOWN
    ctx.exit(code)


def exit_code(clusters: Sequence[dict[str, Any]], *, with_hub: bool) -> int:
    """Sum the clusters up; unless it was asked for, the hub of a fleet counts only if it is not well."""
    if not all(each["state"] == "engaged" and not each["error"] for each in clusters):
        return NOT_WELL
    return 0 if any(with_hub or not each["hub"] for each in clusters) else UNKNOWN


def told(clusters: Sequence[dict[str, Any]], *, now: datetime, listed: bool) -> Iterator[str]:
    """A table of the clusters, and a line that counts them."""
    rows = [tuple(map(one_line, _cells(each, now))) for each in clusters]  # Names and errors are others' words.
    *fixed, _last = (max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in (_HEADINGS, *rows) if rows else ():
        *cells, last = row
        line = "  ".join((*(f"{cell:<{width}}" for cell, width in zip(cells, fixed, strict=True)), last)).rstrip()
        yield line if room is None or len(line) <= room else f"{line[: room - 1]}…"
    counts = Counter(each["state"] for each in clusters)
    summary = ", ".join(f"{counts[state]} {state}" for state in reversed(_STATES) if counts[state])
    yield f"{summary or 'no clusters'}{'' if listed else '; the first list of clusters is under way'}"


def _is_wanted(cluster: dict[str, Any], names: Sequence[str], states: Sequence[str]) -> bool:
    called = _called(cluster)
    by_name = not names or any(fnmatchcase(called, name) for name in names)
    return by_name and (not states or cluster["state"] in states)


def _called(cluster: dict[str, Any]) -> str:
    return str(cluster["name"]) or (_HUB if cluster["hub"] else "local")


def _cells(cluster: dict[str, Any], now: datetime) -> tuple[str, ...]:
    informers = cluster["informers"]
    since = cluster["since"]
    tries = f" ({cluster['attempts']} tries)" if cluster["attempts"] > 1 else ""
    return (
        _called(cluster),
        cluster["uid"][:_UID_LENGTH] or "-",
        cluster["state"],
        "-" if since is None else span((now - datetime.fromisoformat(since)).total_seconds()),
        f"{informers['synced']}/{informers['kinds']}",
        str(cluster["queue"]),
        ",".join(cluster["held_by"]) or "-",
        f"{cluster['error']}{tries}" if cluster["error"] else cluster["why"],
    )

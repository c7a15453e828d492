"""``kcontroller pause``: leave a controller or a cluster alone until somebody says otherwise."""

from __future__ import annotations

from typing import Any, Final

import click

from kcontroller.cli.reach import find, socket_option
from kcontroller.process.logs import one_line

_EVERYTHING: Final = "*"


@click.command("pause")
@click.argument("controller", required=False)
@click.option(
    "--cluster", metavar="NAME", help="In this cluster only, as 'kcontroller clusters' names it; by default in all."
)
@click.option("--all", "everything", is_flag=True, help="Every controller.")
@click.option("--why", metavar="TEXT", default="", help="What to tell those who ask.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    controller: str | None,
    cluster: str | None,
    *,
    everything: bool,
    why: str,
    socket_path: str | None,
) -> None:
    """Let a running daemon leave a CONTROLLER alone, or a cluster.

    What is being reconciled goes on to its end; nothing more begins. Events are heard and kept until 'kcontroller
    resume'. A pause is forgotten when the daemon ends.
    """
    named = scope(ctx, controller, cluster, everything=everything)
    answer = find(socket_path).post("/pause", **named, why=why)
    say(answer["paused"])
    if answer.get("doubt"):
        click.echo(f"this pauses nothing yet: {one_line(answer['doubt'])}", err=True)
    about = answer["about"]
    if not about["leads"]:
        who = f"{about['holder']} leads" if about["holder"] else "another replica may lead"
        click.echo(f"this replica stands by, and {who}: pause it there too", err=True)


def scope(ctx: click.Context, controller: str | None, cluster: str | None, *, everything: bool) -> dict[str, str]:
    """What a command is about, as the daemon wants it; `resume` takes it by the same words.

    Raises:
        click.UsageError: nothing is named, or a controller beside all of them, or the cluster's name is empty.
    """
    if cluster == "":  # A variable of a script that was not set must not mean every cluster.
        msg = "--cluster is empty; name one as 'kcontroller clusters' does, or leave it out for all"
        raise click.UsageError(msg, ctx)
    if not (controller or cluster or everything) or (controller and everything):
        msg = f"name what to {ctx.command.name}: a controller, --cluster, or --all"
        raise click.UsageError(msg, ctx)
    return {"controller": controller or _EVERYTHING, "cluster": cluster or _EVERYTHING}


def say(paused: list[dict[str, Any]]) -> None:
    """Print what is paused, a line each."""
    for each in paused:
        click.echo(one_line(each["text"]))
    if not paused:
        click.echo("nothing is paused")

"""``kcontroller resume``: go on with what was paused, by people or by a spent budget."""

from __future__ import annotations

import click

from kcontroller.cli.failures import FAILED
from kcontroller.cli.pause import say, scope
from kcontroller.cli.reach import find, socket_option
from kcontroller.process.logs import one_line


@click.command("resume")
@click.argument("controller", required=False)
@click.option(
    "--cluster", metavar="NAME", help="In this cluster only, as 'kcontroller clusters' names it; by default in all."
)
@click.option("--all", "everything", is_flag=True, help="Every controller.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    controller: str | None,
    cluster: str | None,
    *,
    everything: bool,
    socket_path: str | None,
) -> None:
    """Let a running daemon go on with a CONTROLLER or a cluster that is paused, or has spent a budget.

    It takes back the pauses within what is named: 'resume widget' that of widget in any cluster, but not one of every
    controller. A spent budget starts anew.
    """
    named = scope(ctx, controller, cluster, everything=everything)
    answer = find(socket_path).post("/resume", **named)
    for each in answer["ended"]:
        click.echo(f"resumed: {each}")
    if not answer["ended"]:
        click.echo("there was nothing to resume")
        if answer.get("doubt"):
            click.echo(one_line(answer["doubt"]), err=True)
    say(answer["paused"])
    ctx.exit(FAILED if answer.get("doubt") and not answer["ended"] else 0)

"""``kcontroller pauses``: what a running daemon leaves alone."""

from __future__ import annotations

import click

from kcontroller.cli.pause import say
from kcontroller.cli.reach import find, socket_option


@click.command("pauses")
@socket_option
def command(socket_path: str | None) -> None:
    """Say which controllers and clusters a running daemon leaves alone: by command, or by a spent budget."""
    say(find(socket_path).get("/pauses"))

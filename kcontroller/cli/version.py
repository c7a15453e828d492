"""``kcontroller version``."""

from __future__ import annotations

import json
import platform

import click

from kcontroller.cli.options import Option
from kcontroller.version import VERSION


@click.command("version")
@click.option(
    "-o",
    "--output",
    cls=Option,
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the answer.",
)
def command(output: str) -> None:
    """Print the version."""
    if output == "text":
        click.echo(f"kcontroller {VERSION}")
        return
    about = {"version": VERSION, "python": platform.python_version(), "platform": f"{_system()}/{platform.machine()}"}
    click.echo(json.dumps(about))


def _system() -> str:
    return platform.system().lower()

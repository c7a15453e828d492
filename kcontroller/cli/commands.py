"""The commands, found by name. A module is imported when its command is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import click

from kcontroller.cli.failures import EPILOG

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMANDS: Final[Mapping[str, str]] = {
    "clusters": "kcontroller.cli.clusters",
    "demo": "kcontroller.cli.demo",
    "dev": "kcontroller.cli.dev",
    "explain": "kcontroller.cli.explain",
    "pause": "kcontroller.cli.pause",
    "pauses": "kcontroller.cli.pauses",
    "providers": "kcontroller.cli.providers",
    "resume": "kcontroller.cli.resume",
    "run": "kcontroller.cli.run",
    "version": "kcontroller.cli.version",
}
"""Name of a command to the module that holds it as `command`."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)  # noqa: S101 - a table of ours
        return command


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run Kubernetes controllers written in Python."""

"""The commands, found by name. A module is imported when its command is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import click

from kcontroller.cli.failures import EPILOG
from kcontroller.process.spelling import meant_or_known
from kcontroller.version import VERSION

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that there is not is told with those that there are."""
        name = args[0]
        if name in _COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        msg = f"no command {name!r}{meant_or_known(name, _COMMANDS)}"
        raise click.UsageError(msg, ctx)


@click.group(cls=_Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="kcontroller", message="%(prog)s %(version)s")
def cli() -> None:
    """Run Kubernetes controllers written in Python."""

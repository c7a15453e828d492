"""Options with an environment variable each, listed in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX: Final = "KCONTROLLER"


class Option(click.Option):
    """An option that ``KCONTROLLER_<LONG_NAME>`` sets too; the command line wins.

    click's own prefix would put the command's name in between (``KCONTROLLER_RUN_KUBECONFIG``). Options that may be
    given several times take a list separated by spaces.

    Args:
        param_decls: the names.
        group: the heading in ``--help``.
        scope: a word more in the variable, for a short name that others may set: Kubernetes gives every pod beside a
            Service named kcontroller a ``KCONTROLLER_PORT=tcp://...``.
    """

    def __init__(self, param_decls: Sequence[str], *, group: str = "Options", scope: str = "", **settings: Any) -> None:
        """Derive the variable from the long name."""
        long = next(name for name in param_decls if name.startswith("--")).partition("/")[0]
        variable = "_".join(filter(None, (_PREFIX, scope, long.removeprefix("--").replace("-", "_")))).upper()
        super().__init__(param_decls, envvar=variable, show_envvar=True, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command that lists its options under their groups, in the order of their first use."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

"""``kcontroller providers``: what ``--provider`` takes, and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kcontroller.cli.failures import told_in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint


@click.command("providers")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """List the providers of clusters, with the options of kcontroller's own and of each NAME.

    What another package brings is imported only when it is named: it runs with all your rights.
    """
    with told_in_one_line(verbose=False):
        for line in _lines(names):
            click.echo(line)


def _lines(names: tuple[str, ...]) -> Iterator[str]:
    from kcontroller.errors import ConfigError  # noqa: PLC0415 - see the test about help
    from kcontroller.multicluster.providers import catalogue  # noqa: PLC0415

    known = catalogue.installed()
    for name in names:
        if name not in known:
            msg = f"there is no provider {name!r}; the known ones are: {', '.join(known) or 'none'}"
            raise ConfigError(msg)
    for name in names or known:
        point = known[name]
        if names or catalogue.is_ours(point):
            yield from _described(point)
        else:
            yield f"{name}: of {catalogue.origin(point)}; its options: kcontroller providers {name}"


def _described(point: EntryPoint) -> Iterator[str]:
    from kcontroller.multicluster.providers import catalogue  # noqa: PLC0415 - see the test about help

    found = catalogue.load(point)
    yield f"{point.name}: {found.summary}"
    width = max((len(option.name) for option in found.options), default=0)
    for option in found.options:
        more = "; required" * option.required + "; repeatable" * option.many
        yield f"  {option.name:<{width}}  {option.help}{more}"

from __future__ import annotations

import click
from click.testing import CliRunner

from kcontroller.cli.options import GroupedCommand, Option


@click.command(cls=GroupedCommand)
@click.option("-p", "--bind-address", cls=Option, group="Servers", default=":1", help="Where.")
@click.option("--name", cls=Option, group="Names", multiple=True)
def command(bind_address: str, name: tuple[str, ...]) -> None:
    click.echo(f"{bind_address} {name}")


def test_an_option_is_set_by_its_variable_without_the_name_of_the_command() -> None:
    result = CliRunner().invoke(command, [], env={"KCONTROLLER_BIND_ADDRESS": ":2", "KCONTROLLER_NAME": "a b"})
    assert result.output == ":2 ('a', 'b')\n"


def test_the_command_line_wins_over_the_variable() -> None:
    result = CliRunner().invoke(command, ["-p", ":3"], env={"KCONTROLLER_BIND_ADDRESS": ":2"})
    assert result.output == ":3 ()\n"


def test_help_lists_groups_and_variables() -> None:
    lines = [line.strip() for line in CliRunner().invoke(command, ["--help"]).output.splitlines()]
    assert [line for line in lines if line in {"Servers:", "Names:", "Options:"}] == ["Servers:", "Names:", "Options:"]
    assert "[env var: KCONTROLLER_NAME]" in " ".join(lines)

from __future__ import annotations

import click
from click.testing import CliRunner

from kcontroller.cli.options import GroupedCommand, Option


@click.command(cls=GroupedCommand)
@click.option("-p", "--bind-address", cls=Option, group="Servers", default=":1", help="Where.")
@click.option("--name", cls=Option, group="Names", multiple=True)
@click.option("--elect/--no-elect", cls=Option, group="Names")
@click.option("--port", cls=Option, scope="dev", type=int, default=0)
def command(bind_address: str, name: tuple[str, ...], *, elect: bool, port: int) -> None:
    click.echo(f"{bind_address} {name}{' elect' if elect else ''}{port or ''}")


def test_an_option_is_set_by_its_variable_without_the_name_of_the_command() -> None:
    result = CliRunner().invoke(command, [], env={"KCONTROLLER_BIND_ADDRESS": ":2", "KCONTROLLER_NAME": "a b"})
    assert result.output == ":2 ('a', 'b')\n"


def test_the_command_line_wins_over_the_variable() -> None:
    result = CliRunner().invoke(command, ["-p", ":3"], env={"KCONTROLLER_BIND_ADDRESS": ":2"})
    assert result.output == ":3 ()\n"


def test_a_switch_has_one_variable_for_both_of_its_names() -> None:
    for environ, output in (("true", ":1 () elect\n"), ("0", ":1 ()\n")):
        assert CliRunner().invoke(command, [], env={"KCONTROLLER_ELECT": environ}).output == output


def test_a_short_name_has_its_scope_in_the_variable() -> None:
    environ = {"KCONTROLLER_PORT": "tcp://10.0.0.1:8080", "KCONTROLLER_DEV_PORT": "8443"}
    assert CliRunner().invoke(command, [], env=environ).output == ":1 ()8443\n"


def test_help_lists_groups_and_variables() -> None:
    lines = [line.strip() for line in CliRunner().invoke(command, ["--help"]).output.splitlines()]
    assert [line for line in lines if line in {"Servers:", "Names:", "Options:"}] == ["Servers:", "Names:", "Options:"]
    assert "[env var: KCONTROLLER_NAME]" in " ".join(lines)

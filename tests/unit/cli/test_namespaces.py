from __future__ import annotations

import click
import pytest
from click.testing import CliRunner, Result

from kcontroller.cli import namespaces
from kcontroller.cli.options import Option


@click.command()
@click.option("-n", "--namespace", cls=Option, multiple=True, type=namespaces.namespace)
@click.option("-A", "--all-namespaces", cls=Option, is_flag=True)
@click.pass_context
def command(ctx: click.Context, **_: object) -> None:
    click.echo(",".join(namespaces.chosen(ctx)) or "all")


def ask(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(command, arguments, env={"WATCH_NAMESPACE": "", **environ})


def test_all_namespaces_are_watched_by_default() -> None:
    assert ask().output == "all\n"


def test_named_namespaces_keep_their_order_and_lose_repetitions() -> None:
    assert ask("-n", "b", "-n", "a", "-n", "b").output == "b,a\n"


def test_watch_namespace_is_a_comma_list() -> None:
    assert ask(WATCH_NAMESPACE="b, a,,").output == "b,a\n"


def test_options_win_over_watch_namespace() -> None:
    assert ask("-n", "c", WATCH_NAMESPACE="a").output == "c\n"
    assert ask("-A", WATCH_NAMESPACE="a").output == "all\n"


def test_our_own_variable_wins_over_watch_namespace() -> None:
    assert ask(KCONTROLLER_NAMESPACE="c d", WATCH_NAMESPACE="a").output == "c,d\n"


def test_the_command_line_wins_over_the_other_option_in_the_environment() -> None:
    assert ask("-A", KCONTROLLER_NAMESPACE="a").output == "all\n"
    assert ask("-n", "a", KCONTROLLER_ALL_NAMESPACES="true").output == "a\n"


@pytest.mark.parametrize("environ", [{}, {"KCONTROLLER_NAMESPACE": "a", "KCONTROLLER_ALL_NAMESPACES": "1"}])
def test_both_options_from_one_place_are_refused(environ: dict[str, str]) -> None:
    result = ask(*([] if environ else ["-n", "a", "-A"]), **environ)
    assert result.exit_code == 2
    assert "Error: -n/--namespace and -A/--all-namespaces exclude each other; use one\n" in result.output


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a.b", "x" * 64, "a\n"])
def test_what_is_no_namespace_is_refused(name: str) -> None:
    result = ask("-n", name)
    assert result.exit_code == 2
    assert f"'{name}' is not a namespace; write at most 63 of a-z, 0-9 and '-'" in result.output


def test_watch_namespace_is_checked_too() -> None:
    result = ask(WATCH_NAMESPACE="a,B")
    assert result.exit_code == 2
    assert (
        "Error: WATCH_NAMESPACE: 'B' is not a namespace; write a comma list such as 'default,staging'" in result.output
    )

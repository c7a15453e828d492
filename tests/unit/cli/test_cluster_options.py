from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

from kcontroller.cli import cluster_options
from kcontroller.cli.options import Option
from kcontroller.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.option("--provider", cls=Option)
@click.option("--provider-option", cls=Option, type=cluster_options.pair, multiple=True)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> None:
    click.echo(str(cluster_options.provider_options(ctx)))


def ask(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(command, arguments, env=environ)


def test_the_options_of_a_provider_are_split_at_their_first_equals() -> None:
    result = ask("--provider", "milo", "--provider-option", "selector=team=a", "--provider-option", "empty=")
    assert result.output == "(('selector', 'team=a'), ('empty', ''))\n"


def test_the_variable_takes_a_list_separated_by_spaces() -> None:
    result = ask(KCONTROLLER_PROVIDER="milo", KCONTROLLER_PROVIDER_OPTION="selector=team=a project-context=b")
    assert result.output == "(('selector', 'team=a'), ('project-context', 'b'))\n"


@pytest.mark.parametrize("text", ["selector", "=team", ""])
def test_what_is_no_pair_is_refused_with_an_example(text: str) -> None:
    result = ask("--provider", "milo", "--provider-option", text)
    assert result.exit_code == 2
    assert result.output.endswith(f": '{text}' is not KEY=VALUE; write for example selector=team=a\n")


def test_an_option_without_a_provider_is_refused_with_the_remedy() -> None:
    result = ask("--provider-option", "selector=team=a")
    assert result.exit_code == 2
    assert result.output.endswith(
        "Error: --provider-option selector needs a provider; name it, for example: --provider milo\n"
    )


def test_an_option_that_takes_one_value_is_given_once() -> None:
    with pytest.raises(ConfigError, match="provider milo: option selector is given twice; give it once"):
        cluster_options.provider_of("milo", [("selector", "a=b"), ("selector", "c=d")])


def test_without_a_name_there_is_no_provider() -> None:
    assert cluster_options.provider_of(None, ()) is None
    assert cluster_options.provider_of("", ()) is None


def test_a_provider_has_the_name_by_which_it_was_asked_for() -> None:
    provider = cluster_options.provider_of("milo", [("selector", "team=a")])
    assert provider is not None
    assert provider.name == "milo"


def test_an_unknown_provider_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'mylo'.*milo"):
        cluster_options.provider_of("mylo", ())


def test_an_unknown_option_of_a_provider_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'selektor'.*selector"):
        cluster_options.provider_of("milo", [("selektor", "team=a")])


def test_a_hub_that_nothing_leads_to_is_none_for_a_provider_that_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    files = cluster_options.provider_of("file", [("path", str(tmp_path))])

    assert cluster_options.hub_of(None, None, files) is None
    for kubeconfig, context, provider in (
        (None, None, None),
        (None, None, cluster_options.provider_of("milo", ())),
        (None, "a", files),
        (str(tmp_path / "gone"), None, files),
    ):
        with pytest.raises(ConfigError):
            cluster_options.hub_of(kubeconfig, context, provider)


def test_a_context_of_the_projects_is_looked_for_in_the_kubeconfig_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("{apiVersion: v1, kind: Config, contexts: [{name: other, context: {cluster: c, user: u}}]}")
    with pytest.raises(ConfigError, match=f"{path}.*'projects'"):
        cluster_options.provider_of("milo", [("project-context", "projects")], kubeconfig=str(path))

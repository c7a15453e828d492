from __future__ import annotations

from click.testing import CliRunner, Result

from kcontroller.cli.commands import cli


def ask(*names: str) -> Result:
    return CliRunner().invoke(cli, ["providers", *names])


def test_every_provider_is_listed_with_its_options() -> None:
    lines = ask().output.splitlines()

    assert [line.partition(":")[0] for line in lines if line[0] != " "] == ["file", "kubeconfig", "milo", "static"]
    (path,) = [line for line in lines if line.startswith("  path ")]
    assert path.endswith("a kubeconfig, a folder of them, or a glob; a comma list; required; repeatable")


def test_one_may_be_named() -> None:
    result = ask("static")
    assert result.output.startswith("static: Contexts of a kubeconfig, read once, each of which must be there\n")
    assert "milo" not in result.output


def test_one_that_there_is_not_is_told_with_those_that_there_are() -> None:
    result = ask("mylo")
    assert result.exit_code == 2
    assert result.output == "Error: there is no provider 'mylo'; the known ones are: file, kubeconfig, milo, static\n"

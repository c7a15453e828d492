from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import kcontroller
from kcontroller.cli.commands import cli

ROOT = Path(kcontroller.__file__).parents[1]


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for text in ("run ", "version ", "0  stopped in order", "1  failed while running", "2  never ran"):
        assert text in result.output


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("rn", ", did you mean 'run'?"),
        ("cluster", ", did you mean 'clusters'?"),
        ("walk", "; there are clusters, demo,"),
    ],
)
def test_an_unknown_command_is_refused_with_those_that_there_are(word: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [word])
    assert (result.exit_code, f"Error: no command {word!r}{meant}" in result.output) == (2, True)


def test_the_version_is_told_to_those_who_ask_for_it_by_an_option() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == CliRunner().invoke(cli, ["version"]).output


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kcontroller", "run"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: kcontroller run [OPTIONS] [SOURCE]...\n")
    assert done.stderr.endswith(
        "\nError: nothing to run; name a file or a module, for example: kcontroller run controller.py\n"
    )

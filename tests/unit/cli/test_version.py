from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

import kcontroller
from kcontroller.cli.commands import cli
from kcontroller.version import VERSION

ROOT = Path(kcontroller.__file__).parents[1]


def test_version_prints_one_line() -> None:
    assert CliRunner().invoke(cli, ["version"]).output == f"kcontroller {VERSION}\n"


def test_version_prints_json() -> None:
    result = CliRunner().invoke(cli, ["version", "--output", "json"])
    assert json.loads(result.output)["version"] == VERSION


def test_an_unknown_form_is_refused() -> None:
    result = CliRunner().invoke(cli, ["version", "-o", "yaml"])
    assert (result.exit_code, "'yaml' is not one of" in result.output) == (2, True)


def test_version_imports_no_part_of_the_framework() -> None:
    script = (
        "import sys; from kcontroller.cli.commands import cli; cli.main(['version'], standalone_mode=False); "
        "print(*sorted(name for name in sys.modules if name.startswith(('kcontroller', 'cheroot', 'pycurl'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    rooms = {name.split(".")[1] for name in done.stdout.splitlines()[1].split() if "." in name}
    assert rooms <= {"cli", "version", "errors", "process"}

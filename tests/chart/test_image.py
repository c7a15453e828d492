"""The Dockerfile keeps to what chart and package say; that it builds needs a Docker engine, which tests have not."""

from __future__ import annotations

import re
from configparser import ConfigParser
from fnmatch import fnmatch

import yaml
from click import Context

from kcontroller.cli.commands import cli
from kcontroller.version import VERSION
from tests.chart.conftest import CHART, ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def instruction(name: str) -> list[str]:
    """What is given to that instruction in the last stage."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.rpartition("\nFROM ")[2], re.MULTILINE)


def test_it_runs_as_the_user_that_the_chart_names() -> None:
    security = VALUES["podSecurityContext"]
    assert instruction("USER") == [f"{security['runAsUser']}:{security['runAsGroup']}"]


def test_it_needs_no_shell_and_takes_the_arguments_of_the_chart() -> None:
    assert instruction("ENTRYPOINT") == ['["kcontroller"]']
    assert instruction("CMD") == ['["run"]']
    assert "run" in cli.list_commands(Context(cli))
    assert instruction("RUN") == []


def test_it_shows_the_ports_of_the_chart() -> None:
    assert instruction("EXPOSE") == [f"{VALUES['metrics']['port']} {VALUES['health']['port']}"]


def test_documents_name_the_image_of_this_version() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bkcontroller:(\d\S*)", DOCKERFILE + readme)) == {VERSION}


def test_its_python_is_one_that_the_package_supports() -> None:
    version = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    assert f"Python :: {version[0]}\n" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_everything_that_the_wheel_is_built_from_is_sent_to_the_engine() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = ["kcontroller/version.py", "pyproject.toml", "setup.cfg", "setup.py", "LICENSE", "README.md"]
    needed += [line for files in setup["options.data_files"].values() for line in files.split()]
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert [name for name in needed if not any(fnmatch(name, rule + "*") for rule in sent)] == []

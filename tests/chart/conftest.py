"""helm on the chart, and what it renders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "kcontroller"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE = "rel"
SECONDS = 30  # For one command, however busy the machine.

Object = dict[str, Any]
Values = dict[str, Any]


def values_of(case: Path | None) -> Values:
    """Read a file of values; None stands for the defaults."""
    return {} if case is None else yaml.safe_load(case.read_text(encoding="utf-8"))


class Helm:
    """helm with a home of its own; values are given as they are written, and go in by the standard input."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self._rendered: dict[str, str] = {}

    def run(self, *arguments: str | Path, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        given = () if values is None else ("--values", "-")
        return subprocess.run(
            [self._program, *arguments, *given],
            env=self._environment,
            input=yaml.safe_dump(values or {}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def __call__(self, *arguments: str | Path, values: Values | None = None) -> str:
        """Run a command that must succeed; answers with what it printed."""
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, f"helm {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    def text(self, values: Values, *arguments: str, chart: Path = CHART, release: str = RELEASE) -> str:
        """Render the chart as text; the same question is asked once."""
        question = repr((values, arguments, chart, release))
        if question not in self._rendered:
            self._rendered[question] = self("template", release, chart, *arguments, values=values)
        return self._rendered[question]

    def render(self, values: Values, *arguments: str, **place: Any) -> list[Object]:
        """Render the chart as objects."""
        return [each for each in yaml.safe_load_all(self.text(values, *arguments, **place)) if each]

    def refusal(self, values: Values) -> str:
        """Why the chart cannot be rendered."""
        done = self.run("template", RELEASE, CHART, values=values)
        assert done.returncode != 0, "the values were accepted"
        return done.stderr


def tool(name: str) -> Path:
    """The path of a chart tool; skips the test where they are not built."""
    done = subprocess.run([ROOT / "bin" / "helm-tools", "path"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("they need helm and kubeconform; `bin/helm-tools build` adds them")
    return Path(done.stdout.strip()) / name


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tool("helm"), tmp_path_factory.mktemp("helm"))


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def the(objects: Sequence[Object], kind: str) -> Object:
    """The one object of that kind."""
    (found,) = of_kind(objects, kind)
    return found


def pod_of(objects: Sequence[Object]) -> Object:
    return the(objects, "Deployment")["spec"]["template"]


def container_of(objects: Sequence[Object]) -> Object:
    (container,) = pod_of(objects)["spec"]["containers"]
    return container


def rules_of(objects: Sequence[Object]) -> list[Mapping[str, list[str]]]:
    return [rule for role in of_kind(objects, "Role", "ClusterRole") for rule in role["rules"]]

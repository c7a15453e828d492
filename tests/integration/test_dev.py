"""``kcontroller dev --projects N`` and what it says to do next, in one process each as in two terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import kcontroller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.integration.daemons import Daemon, Daemons

    Eventually = Callable[[Callable[[], bool]], None]

WIDGETS = Path(kcontroller.__file__).parents[1] / "examples" / "widget"
PROJECTS = ("project-1", "project-2", "project-3")
SECONDS = 20

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


@pytest.fixture
def next_steps(run: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> NextSteps:
    """What a running ``kcontroller dev`` prints, with its kubeconfig exported."""
    monkeypatch.setenv("HOME", str(tmp_path))  # kubectl keeps what it discovered there.
    for server in ("METRICS", "HEALTH_PROBE"):
        monkeypatch.setenv(f"KCONTROLLER_{server}_BIND_ADDRESS", "0")
    monkeypatch.setenv("KCONTROLLER_LOG_FORMAT", "text")
    kubeconfig = tmp_path / "dev kubeconfig"
    dev = run.start("dev", "--projects", str(len(PROJECTS)), "--kubeconfig-out", str(kubeconfig))
    eventually(lambda: dev.says("--provider milo"))
    run.hide_tokens(kubeconfig)
    steps = NextSteps(dev)
    (exported,) = steps.matching("export ")
    name, _, value = exported[1].partition("=")
    assert (name, value) == ("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv(name, value)
    return steps


class NextSteps:
    """The indented lines of what it prints, as words, without the comments."""

    def __init__(self, dev: Daemon) -> None:
        self.dev = dev

    def matching(self, beginning: str) -> list[list[str]]:
        lines = re.findall(rf"^  ({beginning}.*)$", self.dev.text, re.MULTILINE)
        return [shlex.split(line, comments=True) for line in lines]


def kubectl(words: Iterable[str]) -> str:
    done = subprocess.run([*words], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(project: str, kind: str) -> dict[str, dict[str, object]]:
    listed = json.loads(kubectl(["kubectl", "--context", project, "get", kind, "-o", "json"]))
    return {each["metadata"]["name"]: each for each in listed["items"]}


def is_ready(widget: dict[str, object]) -> bool:
    status = widget.get("status")
    return isinstance(status, dict) and any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status["conditions"]
    )


def test_its_next_steps_run_one_controller_in_every_project(
    run: Daemons, next_steps: NextSteps, tmp_path: Path, eventually: Eventually
) -> None:
    for line in next_steps.matching("kubectl "):
        kubectl(str(WIDGETS / "crd.yaml") if word == "crd.yaml" else word for word in line)
    (line,) = next_steps.matching("kcontroller run --provider")
    assert line[0] == "kcontroller"
    daemon = run.start(*(str(WIDGETS / "widget.py") if word == "controller.py" else word for word in line[1:]))
    wanted = {project: {f"{project}-{number}" for number in range(1, 3)} for project in PROJECTS}
    for project, names in wanted.items():
        for name in names:
            sample = yaml.safe_load((WIDGETS / "samples" / "web.yaml").read_text(encoding="utf-8"))
            sample["metadata"]["name"] = name
            (tmp_path / name).write_text(yaml.safe_dump(sample), encoding="utf-8")
            kubectl(["kubectl", "--context", project, "create", "-f", str(tmp_path / name)])

    def all_ready(project: str) -> bool:
        widgets = objects(project, "widgets")
        return set(widgets) == wanted[project] and all(map(is_ready, widgets.values()))

    for project in PROJECTS:
        eventually(lambda project=project: all_ready(project))  # type: ignore[misc]
        assert set(objects(project, "configmaps")) - {"kube-root-ca.crt"} == wanted[project]
    assert objects("embedded", "widgets") == {}
    assert daemon.stop() == 0
    assert not daemon.troubles()
    assert next_steps.dev.stop() == 0
    assert not Path(os.environ["KUBECONFIG"]).exists()

"""The benchmarks run; their figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import contenders, duel, figures, widgets
from benchmarks.usage import Point

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.testing.control_plane import ControlPlane

OBJECTS = 40


def outcome(cpu: float, objects: int = OBJECTS) -> duel.Outcome:
    return duel.Outcome(Point(1.0, cpu / 2, 50.0, 50.0), Point(2.0, cpu, 60.0, 55.0), objects)


def contender(name: str, *command: str) -> contenders.Contender:
    return contenders.Contender(name, "typed", command)


def test_a_ratio_is_ours_by_the_peers_of_the_same_round() -> None:
    pair = contenders.Pair(contender("ours"), contender("peer"))
    outcomes = {"ours": [outcome(1.0), outcome(3.0)], "peer": [outcome(2.0), outcome(3.0)]}
    document = figures.document(duel.Work("sync", OBJECTS, 2), [pair], outcomes)
    assert document["ratios"]["typed"]["cpu_s"] == {"median": 0.75, "min": 0.5, "max": 1.0}
    assert "| ours / Go, typed | 0.75 (0.50-1.00) |" in figures.table(document)


def test_who_does_not_see_every_object_fails() -> None:
    said = json.dumps({"synced": [1] * 4, "done": [1] * 4, "objects": OBJECTS - 1})
    program = f"""
import json
said = json.loads({said!r})
names = ("wall_s", "cpu_s", "peak_mb", "rss_mb")
print(json.dumps({{**said, **{{name: dict(zip(names, said[name])) for name in ("synced", "done")}}}}))
"""
    with pytest.raises(duel.Failed, match="saw 39 of 40 objects"):
        duel.run(contender("half", sys.executable, "-c", program), duel.Work("sync", OBJECTS, 1), {})


def test_a_contender_that_dies_says_why() -> None:
    with pytest.raises(duel.Failed, match=r"ended with 1\nno server"):
        duel.run(contender("dead", sys.executable, "-c", "exit('no server')"), duel.Work("sync", 1, 1), {})


def test_the_weight_of_a_store_is_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "benchmarks", "store", "--objects", "2000", "--runs", "1"]
    environment = contenders.environment(tmp_path / "kubeconfig")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=50)
    assert "| 2,000, no index | 6" in done.stdout


@pytest.mark.parametrize("mode", duel.MODES)
@pytest.mark.parametrize("form", ["typed", "unstructured"])
def test_our_side_and_the_peer_see_every_object(
    mode: str, form: str, filled: Path, request: pytest.FixtureRequest
) -> None:
    work = duel.Work(mode, OBJECTS, 2)
    command = (sys.executable, "-P", "-m", "benchmarks.kcontroller_side")
    sides = [contenders.Contender("ours", form, command)]
    if contenders.program().exists():  # Building it takes minutes; bin/bench does it.
        sides.append(contenders.Contender("peer", form, (str(contenders.program()),)))
    for side in sides:
        seen: Any = duel.run(side, work, contenders.environment(filled))
        assert seen.objects == OBJECTS
        assert 0 < seen.synced.wall_s <= seen.done.wall_s < 30
        assert 0 < seen.synced.cpu_s <= seen.done.cpu_s
        assert 10 < seen.done.rss_mb < seen.done.peak_mb + 1  # The kernel counts them a few pages apart.


@pytest.fixture(scope="module")
def filled(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    server = control_plane.servers[0]
    assert 900 < widgets.fill(server, OBJECTS) < 1300
    return server.write_kubeconfig(tmp_path_factory.mktemp("bench") / "kubeconfig")

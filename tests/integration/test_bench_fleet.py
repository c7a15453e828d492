"""The benchmarks of fleets run; their figures are not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from benchmarks import building, contenders, engaging, fleets, isolation, leaving, results
from benchmarks.measured import Failed
from kcontroller.testing.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.duel import Figures
    from kcontroller.testing.control_plane import ApiServer

CLUSTERS: Final = 40
"""More than have a loop each."""
ONCE: Final = 20
"""So many things may be made later than at first use."""


def figures(wall: float) -> dict[str, float]:
    return {**dict.fromkeys(engaging.FIGURES, 1.0), "wall_s": wall}


def sample() -> dict[str, Any]:
    rounds = {
        "private": {"ours": [figures(1.0), figures(3.0)], engaging.PEER: [figures(2.0), figures(3.0)]},
        "system": {"ours": [figures(4.0), figures(4.0)], engaging.PEER: [figures(2.0), figures(2.0)]},
    }
    return engaging.document(rounds, clusters=CLUSTERS, workers=10, rounds=2, machine={})


def test_the_ratios_of_a_fleet_are_the_worst_of_all_kinds_of_trust() -> None:
    document = sample()
    assert document["trusts"]["private"]["ratios"]["wall_s"] == {engaging.PEER: 0.75}
    assert document["trusts"]["private"]["spread"]["ratios"]["wall_s"] == {engaging.PEER: [0.5, 1.0]}
    assert document["ratios"]["wall_s"] == {engaging.PEER: 2.0}
    assert f"| ours / {engaging.PEER}, system CA | **2.00** (2.00-2.00) |" in engaging.table(document)


def test_a_fleet_that_is_saved_is_shown(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(results.README.read_text(encoding="utf-8"), encoding="utf-8")
    results.save(sample(), tmp_path / "results", readme)
    assert f"**fleet: {CLUSTERS} clusters" in readme.read_text(encoding="utf-8")


def test_a_tenth_of_the_clusters_goes_wrong_in_each_way() -> None:
    work = isolation.Work(clusters=100, objects=2, workers=10, pace_ms=5.0)
    assert [len(numbers) for numbers in work.bad.values()] == [10, 10, 10]
    assert sorted(number for numbers in (work.healthy, *work.bad.values()) for number in numbers) == list(range(100))
    assert len(set(work.paths)) == 200


def test_who_does_not_see_every_cluster_fails(tmp_path: Path) -> None:
    text = "import sys; print('synced', flush=True); sys.stdin.readline(); print('{\"objects\": 4}')"
    side = contenders.Contender("ours", "fleet", (sys.executable, "-I", "-c", text))
    with pytest.raises(Failed, match=f"ours: fleet saw 4 of {CLUSTERS} clusters"):
        engaging.run(side, tmp_path / "kubeconfig", clusters=CLUSTERS, workers=2, idle=0.0)


@pytest.mark.parametrize("trust", fleets.TRUSTS)
@pytest.mark.parametrize("side", ["ours", engaging.PEER])
def test_both_sides_reconcile_every_cluster(side: str, trust: str, kubeconfigs: dict[str, Path]) -> None:
    if side != "ours" and not building.built(building.go_fleet_program()):
        pytest.skip("the peer is not built; `bin/bench build` does it, in minutes at first")
    command = engaging.OURS.command if side == "ours" else (str(building.go_fleet_program()),)
    contender = contenders.Contender(side, "fleet", command)
    seen = engaging.run(contender, kubeconfigs[trust], clusters=CLUSTERS, workers=2, idle=0.1)
    assert 0 < seen["cpu_s"] < 10
    assert 0 < seen["wall_s"] < 10
    assert 10 < seen["settled_mb"] <= seen["rss_mb"] < 200
    assert seen["threads"] > 1
    assert seen["descriptors"] > 3


def test_what_clusters_in_trouble_cost_the_others_is_shown(control_plane: ControlPlane) -> None:
    assert control_plane.servers  # Or it is skipped: there are no servers here.
    arguments = ["--clusters", "10", "--objects", "2", "--repeat", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "isolation", *arguments],
        env={**os.environ, "PYTHONPATH": str(contenders.ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=55,
    )
    document = json.loads(done.stdout)
    assert document["bad"] == {"black-holed": 1, "failing": 1, "slow": 1}
    assert document["ratios"]["p99_ms"]["none-bad"] > 0
    assert 0 < document["ours"]["p50_ms"] <= document["ours"]["p99_ms"]


def test_clusters_that_come_and_leave_are_let_go_of(kubeconfigs: dict[str, Path]) -> None:
    found = leaving.run(kubeconfigs["private"], clusters=CLUSTERS, workers=2, rounds=leaving.ROUNDS)
    nothing_grows(found)
    more = leaving.growth(found)
    # Of each name the log remembers for a minute that it has come and left.
    assert more["objects"] <= CLUSTERS + ONCE
    assert more["blocks"] <= 8 * CLUSTERS + ONCE
    assert f"| after round {leaving.ROUNDS} |" in leaving.table(leaving.document(found, clusters=CLUSTERS, workers=2))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_clusters_that_come_and_leave_end_at_the_baseline(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    assert control_plane.servers  # Or it is skipped.
    with ControlPlane() as plane:
        made = engaging.fill(plane.servers[0], tmp_path, clusters=1000, trusts=("private",))
        found = leaving.run(made["private"], clusters=1000, workers=10, rounds=6)
    print(f"\n{leaving.table(leaving.document(found, clusters=1000, workers=10))}")  # noqa: T201 - the figures are wanted
    nothing_grows(found)
    more = leaving.growth(found)
    # As many names as are remembered at most: the new ones replace others.
    assert more["objects"] <= ONCE
    assert more["blocks"] <= 10 * ONCE


def nothing_grows(found: Sequence[Figures]) -> None:
    """Compare what is held after each round."""
    start, first, *others = found
    for name in ("threads", "descriptors"):
        assert {figures[name] for figures in found} == {start[name]}, name
    assert {figures["series"] for figures in others} == {first["series"]}
    assert first["series"] <= start["series"] + ONCE
    assert others[-1]["rss_mb"] - others[0]["rss_mb"] < 4, "MiB; those are the allocator's"


@pytest.fixture(scope="module")
def kubeconfigs(
    control_plane: ControlPlane,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Path]]:
    with ControlPlane() as plane:  # Of its own: its namespaces stay.
        yield _filled(plane.servers[0], tmp_path_factory.mktemp("fleet"))


def _filled(server: ApiServer, folder: Path) -> dict[str, Path]:
    made = engaging.fill(server, folder, clusters=CLUSTERS, trusts=fleets.TRUSTS)
    assert {trust: fleets.authorities(server, trust).count("BEGIN CERT") > 50 for trust in fleets.TRUSTS} == {
        "private": False,
        "system": True,
    }
    return made

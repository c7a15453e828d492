"""The benchmarks run; their figures are not judged here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from benchmarks import building, contenders, duel, figures, filling, kcontroller_side, results, tables, writer
from benchmarks.measured import Failed, Measured
from kcontroller import Request
from kcontroller.testing import eventually
from kcontroller.testing.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kcontroller.testing.control_plane import ApiServer

OBJECTS: Final = 40
SYNC: Final = duel.Work(name="sync", kind="widgets", objects=OBJECTS, workers=2)
WORKS: Final = {
    "sync": SYNC,
    "sync-heartbeat-pods": duel.Work(name="sync", kind="pods", objects=OBJECTS, heartbeat=True),
    "reconcile": duel.Work(name="reconcile", kind="widgets", objects=OBJECTS, workers=2),
    "write": duel.Work(name="write", kind="widgets", objects=OBJECTS, workers=2),
    "write-pods": duel.Work(name="write", kind="pods", objects=OBJECTS, workers=2),
    "latency": duel.Work(name="latency", kind="widgets", objects=OBJECTS, writes=OBJECTS, during_sync=True),
}
FACTS: Final[dict[str, Any]] = {
    "bytes_on_the_wire": 1136,
    "machine": {
        "cores": 2,
        "processor": "x",
        "load": 0.1,
        **dict.fromkeys(("python", "go", "controller-runtime", "kopf", "kube-apiserver"), "1"),
    },
}


def contender(*command: str) -> contenders.Contender:
    return contenders.Contender("ours", "typed", command)


def script(text: str) -> contenders.Contender:
    return contender(sys.executable, "-I", "-c", text)


def sample() -> dict[str, Any]:
    rounds = {
        "ours": [{"cpu_s": cpu, "wall_s": 2.0, "rss_mb": 60.0} for cpu in (1.0, 3.0)],
        "ours_unstructured": [{"cpu_s": 1.5, "wall_s": 2.0, "rss_mb": 60.0}] * 2,
        "controller-runtime-typed": [{"cpu_s": cpu, "wall_s": 2.0, "rss_mb": 120.0} for cpu in (2.0, 3.0)],
        "controller-runtime-unstructured": [{"cpu_s": 6.0, "wall_s": 4.0, "rss_mb": 240.0}] * 2,
        "kopf": [{"cpu_s": 20.0, "wall_s": 20.0, "rss_mb": 120.0}],
    }
    return figures.document(WORKS["reconcile"], rounds, **FACTS)


def present(figures_of_one: dict[str, Any]) -> dict[str, Any]:
    return {name: figure for name, figure in figures_of_one.items() if figure is not None}


def test_a_ratio_is_ours_by_the_peers_of_the_same_round() -> None:
    document = sample()
    assert present(document["ours"]) == {"cpu_s": 2.0, "wall_s": 2.0, "rss_mb": 60.0}
    assert document["spread"]["ours"]["cpu_s"] == [1.0, 3.0]
    assert document["ratios"]["cpu_s"]["controller-runtime-typed"] == 0.75
    assert document["spread"]["ratios"]["cpu_s"]["controller-runtime-typed"] == [0.5, 1.0]
    table = tables.table(document)
    assert "| kcontroller-typed | 2.00 (1.00-3.00) | 2.00 (2.00-2.00) | 60.00 (60.00-60.00) |" in table
    assert "| ours, typed / controller-runtime-typed | **0.75** (0.50-1.00) |" in table


def test_all_ratios_are_those_of_ours_and_the_unstructured_side_stands_apart() -> None:
    document = sample()
    cpu = {"controller-runtime-typed": 0.75, "controller-runtime-unstructured": 0.3333, "kopf": 0.05}
    assert document["ratios"]["cpu_s"] == cpu
    assert document["ratios"]["p99_ms"] == dict.fromkeys(cpu)
    assert set(document["peers"]) == set(cpu)
    assert document["unstructured"]["ours"]["cpu_s"] == 1.5
    assert document["unstructured"]["ratios"]["cpu_s"] == {"controller-runtime-unstructured": 0.25}
    assert document["spread"]["unstructured"]["ratios"]["cpu_s"] == {"controller-runtime-unstructured": [0.25, 0.25]}


def test_every_figure_has_its_name_and_is_null_where_it_was_not_measured() -> None:
    document = sample()
    names = {*figures.RESULTS, *figures.CONDITIONS}
    for side in (document["ours"], document["unstructured"]["ours"], *document["peers"].values()):
        assert set(side) == names
        assert set(present(side)) == {"cpu_s", "wall_s", "rss_mb"}


def test_the_first_figure_of_a_request_stays() -> None:
    seen = kcontroller_side.Seen(2)
    for name, figure in (("a", 1.0), ("a", 50.0), ("b", 3.0)):
        seen.add(Request(cluster="", namespace="n", name=name), figure)
    assert seen.wait() == 2
    assert sorted(seen.figures()) == [1.0, 3.0]


def test_who_sees_too_few_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kcontroller_side, "_PATIENCE_SECONDS", 0.001)
    seen = kcontroller_side.Seen(2)
    seen.add(Request(cluster="", namespace="n", name="a"))
    assert seen.wait() == 1


def test_what_is_saved_is_drawn_and_shown_in_the_readme(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(results.README.read_text(encoding="utf-8"), encoding="utf-8")
    for _ in range(2):  # The second replaces the first.
        results.save(sample(), tmp_path / "results", readme)
    text = readme.read_text(encoding="utf-8")
    assert text.count("**reconcile, widgets: 40 objects") == 1
    assert text.endswith(results.README.read_text(encoding="utf-8")[-100:])
    assert results.load(tmp_path / "results") == [sample()]
    picture = (tmp_path / "results" / "benchmarks.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000


def test_a_peak_of_memory_is_that_of_the_program_and_not_of_who_started_it() -> None:
    ballast = b"x" * (100 << 20)
    with Measured(["/bin/true"], {}, seconds=10) as process:
        used = process.end()
    assert len(ballast) > used.rss_mb * (1 << 20)
    assert 0 < used.rss_mb < 20
    assert 0 < used.cpu_s < used.wall_s < 10


def test_cpu_is_read_while_a_program_waits() -> None:
    text = "import sys\nfor _ in range(10**6): pass\nprint('synced', flush=True)\nsys.stdin.readline()\nprint('done')"
    with Measured([sys.executable, "-I", "-c", text], {}, seconds=10) as process:
        assert process.line() == "synced"
        before = process.cpu_s()
        process.go_on()
        assert process.line() == "done"
        assert 0 < before <= process.end().cpu_s


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import json; print(json.dumps({'objects': 39}))", "ours: sync saw 39 of 40 objects"),
        ("exit('no server')", r"ours: sync ended with 1\nno server"),
        ("print('hello')", "ours: sync said 'hello', which is no report"),
        ("import json; print(json.dumps({'objects': 40}), flush=True); exit('late')", r"ended with 1\nlate"),
    ],
)
def test_who_does_not_do_the_work_fails(text: str, why: str) -> None:
    with pytest.raises(Failed, match=why):
        duel.run(script(text), SYNC, duel.Ground(None, {}))  # type: ignore[arg-type]


def test_who_takes_too_long_is_ended() -> None:
    command = [sys.executable, "-I", "-c", "import time; time.sleep(30)"]
    with Measured(command, {}, seconds=0.2) as process, pytest.raises(Failed, match=r"longer than 0\.2 s"):
        process.line()


def test_the_time_of_a_write_has_one_name_on_all_sides() -> None:
    ours = contenders.ROOT / "benchmarks" / "kcontroller_side.py"
    for source in (ours, building.GO_SOURCE / "reconcilers.go"):
        assert f'"{writer.WRITTEN}"' in source.read_text(encoding="utf-8")


def test_the_weight_of_a_store_is_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "benchmarks", "store", "--objects", "2000", "--repeat", "1", "--json"]
    environment = contenders.environment(tmp_path / "kubeconfig")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=50)
    document = json.loads(done.stdout)
    weighed = document["results"][0]["indexes"]["no index"]
    assert 600 < weighed["json_bytes"]["median"] < 800


def test_the_time_of_a_queue_is_shown_and_how_it_grows(tmp_path: Path) -> None:
    keys = ["--keys", "1000", "--keys", "10000"]
    command = [sys.executable, "-P", "-m", "benchmarks", "queue", *keys, "--repeat", "1", "--json"]
    environment = contenders.environment(tmp_path / "kubeconfig")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=50)
    document = json.loads(done.stdout)
    timed = {each["keys"]: each["add_us"]["median"] for each in document["results"]}
    assert set(timed) == {1000, 10_000}
    assert document["growth"]["add_us"] == pytest.approx(timed[10_000] / timed[1000], abs=0.01)


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("form", ["typed", "unstructured"])
@pytest.mark.parametrize("side", ["ours", "controller-runtime"])
def test_our_side_and_controller_runtimes_do_their_work(name: str, form: str, side: str, ground: duel.Ground) -> None:
    work = WORKS[name]
    command = contenders.OURS_COMMAND if side == "ours" else (str(the_built(building.go_program())),)
    before = syncs_of_gadgets(ground)
    seen = does_its_work(contenders.Contender(side, form, command), work, ground)
    assert ("heartbeat_ms" in seen) == (work.heartbeat and side == "ours")
    if work.name == "write":
        assert 0 < seen["cpu_per_object_us"] < seen["cpu_s"] / OBJECTS * 1e6
    if work.name == "latency":
        assert 0 < seen["p50_ms"] <= seen["p99_ms"] < 5000
        assert seen["pace_ms"] >= writer.PACE_S * 1e3 * 0.99
        # Each of them asked the server for all objects.
        eventually(lambda: syncs_of_gadgets(ground) - before == seen["syncs"] > 0)


@pytest.mark.parametrize("name", ["sync", "reconcile"])
def test_controller_runtime_can_cut_managed_fields(name: str, ground: duel.Ground) -> None:
    command = (str(the_built(building.go_program())),)
    does_its_work(contenders.Contender("controller-runtime", "typed-stripped", command), WORKS[name], ground)


@pytest.mark.parametrize("form", ["def", "async"])
def test_kopf_does_its_work(form: str, ground: duel.Ground) -> None:
    command = contenders.kopf_command(the_built(building.kopf_python()))
    does_its_work(contenders.Contender("kopf", form, command), WORKS["reconcile"], ground)


def the_built(program: Path) -> Path:
    if not building.built(program):
        pytest.skip("the peers are not built; `bin/bench build` does it, in minutes at first")
    return program


def does_its_work(side: contenders.Contender, work: duel.Work, ground: duel.Ground) -> duel.Figures:
    seen = duel.run(side, work, ground)
    assert 10 < seen["rss_mb"] < 200
    assert 0 < seen["cpu_s"] / (os.cpu_count() or 1) < seen["wall_s"] < 30
    return seen


def syncs_of_gadgets(ground: duel.Ground) -> int:
    """How often the server was asked for all gadgets; it counts a watch, which begins with the list, at its end."""
    _status, text = ground.server.request("GET", "/metrics")
    asked = re.findall(r'^apiserver_request_total\{.*resource="gadgets",.*verb="WATCH".*\} (\d+)$', text, re.MULTILINE)
    return sum(map(int, asked))


@pytest.fixture(scope="module")
def ground(
    control_plane: ControlPlane,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[duel.Ground]:
    with ControlPlane() as plane:  # Of its own: others leave pods behind.
        yield _ground(plane.servers[0], tmp_path_factory)


def _ground(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> duel.Ground:
    sizes = {kind: filling.fill(server, kind, OBJECTS) for kind in ("widgets", "gadgets", "pods")}
    assert 900 < sizes["widgets"] < 1300
    assert 7500 < sizes["pods"] < 8700
    kubeconfig = server.write_kubeconfig(tmp_path_factory.mktemp("bench") / "kubeconfig")
    return duel.Ground(server, contenders.environment(kubeconfig))

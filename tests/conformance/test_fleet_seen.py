"""Rows of the fleet's feature table about what people and probes see of it; each test has the number of its row."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from kcontroller import Object
from kcontroller.cli.commands import cli
from kcontroller.errors import AlreadyExists, KControllerError
from kcontroller.leaderelection import LeaderElection
from kcontroller.multicluster import State
from kcontroller.process.metrics import CLUSTER_SERIES
from kcontroller.testing import Delay, Hang, HttpFaultProxy, Milo, Refuse, Rule, config_of
from kcontroller.testing.polling import eventually
from tests.integration.projects import SECOND, Projects, Watching
from tests.unit.multicluster.fakes import FakeFleet, FakeMember, spec

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller import Builder
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient, VirtualClock

WARM = Milo(projects=("p1", "p2", "p3"), cold_storage=False)

pytestmark = pytest.mark.usefixtures("no_leaks")


# ---- kcontroller clusters --------------------------------------------------------------------------------------------


def asked(socket: Path, *arguments: str) -> tuple[int, str]:
    """Run the command as an operator would."""
    result = CliRunner().invoke(cli, ["clusters", "--socket", str(socket), *arguments])
    return result.exit_code, result.output


@pytest.mark.embedded(milo=WARM)
def test_row_56_clusters_says_where_each_cluster_stands_what_it_keeps_and_what_is_wrong_with_it(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects, tmp_path: Path
) -> None:
    refused = proxy.add(Refuse(503), project="p1")
    config = proxy.config(config_of(api_server))
    socket = tmp_path / "s"
    running = projects.watch(manager, Watching(), config=config, ready=False, control_socket=str(socket))
    eventually(lambda: projects.is_engaged("p2") and projects.is_engaged("p3"))
    running.pause("watching", "p2")
    eventually(lambda: "503" in asked(socket, "p1")[1])

    code, table = asked(socket)
    assert code == 3
    assert re.search(r"^\(hub\) +- +engaged +- +1/1 ", table, re.MULTILINE), table
    assert re.search(rf"^p1 +{projects.uid('p1')[:8]} +syncing +[0-9]+ m?s +0/1 +0 .*503", table, re.MULTILINE), table
    assert re.search(r"^p2 .* engaged .* 1/1 +[0-9]+ +command *$", table, re.MULTILINE), table
    assert table.endswith("\n3 engaged, 1 syncing\n")

    refused.remove()
    eventually(lambda: asked(socket)[0] == 0, within=10.0)
    (seen,) = json.loads(asked(socket, "p1", "-o", "json")[1])["clusters"]
    assert (seen["uid"], seen["state"], seen["error"], seen["breaker"]) == (projects.uid("p1"), "engaged", "", "closed")
    assert seen["server"].endswith("/projects/p1/control-plane")
    assert asked(socket, "p9")[0] == 1


@pytest.mark.embedded(milo=Milo(projects=tuple(f"p{number}" for number in range(8)), cold_storage=False))
def test_row_56_it_matches_reality_under_churn(manager: Managers, projects: Projects, tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(8)]
    socket = tmp_path / "s"
    running = projects.watch(manager, Watching(), control_socket=str(socket))
    chance, there = random.Random(56), dict.fromkeys(names, True)  # noqa: S311 - no secret
    wrong: list[str] = []
    over = threading.Event()

    def looks() -> None:
        while not over.is_set():
            rows = json.loads(asked(socket, "p*", "-o", "json")[1])["clusters"]
            wrong.extend(str(each) for each in rows if each["state"] == "engaged" and not each["uid"])
            wrong.extend(
                str(each) for each in rows if not 0 <= each["informers"]["synced"] <= each["informers"]["kinds"]
            )
            if len({each["name"] for each in rows}) != len(rows):
                wrong.append("a name is there twice")

    looking = threading.Thread(target=looks)
    looking.start()
    try:
        for _ in range(60):
            name = chance.choice(names)
            match chance.randrange(3):
                case 0 if there[name]:
                    projects.delete(name)
                    there[name] = False
                case 1 if not there[name]:
                    eventually(lambda name=name: projects.make(name) is None, ignoring=(AlreadyExists,))  # type: ignore[misc]
                    there[name] = True
                case _ if there[name]:
                    projects.label(name, step=str(chance.random()))
    finally:
        over.set()
        looking.join()
    assert wrong == []

    def told() -> dict[str, tuple[str, str]]:
        rows = json.loads(asked(socket, "p*", "-o", "json")[1])["clusters"]
        return {each["name"]: (each["state"], each["uid"]) for each in rows}

    wanted = {name: ("engaged", projects.uid(name)) for name in names if there[name]}
    eventually(lambda: told() == wanted, within=10.0)
    assert {each.name: each.uid for each in running.clusters} == {name: uid for name, (_state, uid) in wanted.items()}


# ---- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_55_each_cluster_has_a_dozen_series_while_it_is_there_and_none_afterwards(
    manager: Managers, projects: Projects
) -> None:
    running = projects.watch(manager, Watching())
    eventually(lambda: all(map(projects.is_engaged, ("p1", "p2", "p3"))))
    projects.put("p1", "a")

    def series(cluster: str) -> dict[str, float]:
        running.observe()
        text = running.metrics.render().decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if f'cluster="{cluster}"' in line]
        return {name.partition("{")[0]: float(value) for name, _space, value in lines}

    eventually(lambda: series("p1").get("kcontroller_cluster_reconciles_total", 0) >= 1)
    seen = series("p1")
    assert len(seen) <= CLUSTER_SERIES
    assert seen["kcontroller_cluster_state"] == 3
    assert 0 < seen["kcontroller_cluster_sync_seconds"] < 10
    assert seen["kcontroller_cluster_queue_depth"] >= 0
    assert "kcontroller_informer_objects" in seen
    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"))

    eventually(lambda: series("p1") == {}, within=10.0)
    assert series("p2")["kcontroller_cluster_state"] == 3


# ---- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_a_project_that_cannot_be_engaged_says_why_by_an_event_and_when_it_is_over(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    client: ServerClient,
    projects: Projects,
    clock: VirtualClock,
) -> None:
    refused = proxy.add(Refuse(503), project="p1")
    projects.watch(manager, Watching(), config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: projects.is_engaged("p2") and projects.is_engaged("p3"))

    def events() -> list[tuple[str, str, str]]:
        found = client.list("v1 Event")
        return [(each["involvedObject"]["name"], each["type"], each["message"]) for each in found]

    def tells() -> bool:
        clock.advance(31)  # So long a cluster may take to sync; its informers go on trying.
        return bool(events())

    eventually(tells, within=10.0)
    ((name, type_, note),) = events()
    assert (name, type_) == ("p1", "Warning")
    assert note.startswith("it cannot be engaged: v1 ConfigMap: ")
    refused.remove()

    def over() -> bool:
        clock.advance(31)
        return ("p1", "Normal", "engaged after a failure") in events()

    eventually(over, within=10.0)
    assert {name for name, _type, _note in events()} == {"p1"}
    assert [client(cluster=name).list("v1 Event") for name in ("p1", "p2")] == [[], []]


# ---- engaging many, and failing --------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=Milo(projects=tuple(f"p{number}" for number in range(50)), cold_storage=False))
def test_row_16_a_cluster_is_found_in_less_than_a_millisecond_while_fifty_others_sync(
    manager: Managers, projects: Projects, faults: Any
) -> None:
    with faults(Rule(Hang(), resource="configmaps")):
        running = projects.watch(manager, Watching(), ready=False)
        eventually(lambda: len([each for each in running.clusters.states() if each.state is State.SYNCING]) == 50)
        took = []
        for number in range(10_000):
            began = time.perf_counter()
            running.cluster(f"p{number % 50}")
            took.append(time.perf_counter() - began)

    assert sorted(took)[9_900] < 0.001


@pytest.mark.parametrize("number", [40, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_row_17_projects_that_are_far_away_are_engaged_side_by_side(
    manager: Managers, projects: Projects, faults: Any, number: int
) -> None:
    """Each needs two answers in a row at least, so that one after the other would take 16 s for forty."""
    names = [f"p{each}" for each in range(number)]
    for name in names:
        projects.make(name)
    with faults(Rule(Delay(0.2), resource="configmaps")):
        began = time.monotonic()
        projects.watch(manager, Watching(), ready=False)
        eventually(lambda: all(map(projects.is_engaged, names)), within=15.0)

    assert time.monotonic() - began < number * 0.2


@pytest.mark.embedded(milo=WARM)
def test_row_18_a_project_whose_streams_are_cut_again_and_again_recovers_and_its_state_can_be_seen(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    projects: Projects,
    clock: VirtualClock,
    tmp_path: Path,
) -> None:
    watching, socket = Watching(), tmp_path / "s"
    config = proxy.config(config_of(api_server))
    running = projects.watch(manager, watching, config=config, control_socket=str(socket))
    before = running.cluster("p1")

    def sees(name: str) -> bool:
        clock.advance(31)  # The longest pause between two tries.
        return f"p1:default/{name}" in watching.seen

    for number in range(20):
        eventually(lambda: proxy.cut(project="p1", watch=True, reset=True) > 0)
        projects.put("p1", f"a{number}")
        eventually(lambda number=number: sees(f"a{number}"))  # type: ignore[misc]
    refused = proxy.add(Refuse(503), project="p1")
    proxy.cut(project="p1", watch=True)
    eventually(lambda: "503" in asked(socket, "p1")[1])
    assert projects.is_engaged("p1"), "what is in its cache can be worked on"
    projects.put("p2", "meanwhile")
    watching.wait_for("p2:default/meanwhile")
    refused.remove()
    projects.put("p1", "last")

    eventually(lambda: sees("last"))
    eventually(lambda: asked(socket, "p1")[0] == 0)
    assert running.cluster("p1") is before


def test_row_19_a_controller_that_cannot_take_a_cluster_on_a_hundred_times_leaves_nothing_behind() -> None:
    fleet, bad = FakeFleet(), FakeMember("bad")
    bad.refuse = RuntimeError("no")
    fleet.registry.join(FakeMember("good"))
    fleet.registry.join(bad)
    fleet.registry.present(spec())
    fleet.settle()
    before = fleet.threads.alive()
    for _ in range(99):
        fleet.advance(60.0)
    assert fleet.tries == 100
    assert fleet.threads.alive() == before == ("kc-fleet",)
    eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("kc-cluster")])

    bad.refuse = None
    fleet.advance(60.0)
    assert fleet.state() is State.ENGAGED
    fleet.end()


class ByColor(Watching):
    """Indexes config maps by a label."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def setup(self, builder: Builder) -> None:
        builder.for_("v1 ConfigMap").index("v1 ConfigMap", "metadata.labels.color")


@pytest.mark.embedded(milo=WARM)
def test_row_28_an_index_finds_the_same_in_clusters_that_came_before_it_and_after_it(
    manager: Managers, client: ServerClient, projects: Projects
) -> None:
    def paint(project: str) -> None:
        for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
            metadata = {"namespace": "default", "name": name, "labels": {"color": color}}
            client(cluster=project).create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))

    for name in ("p1", "p2"):
        paint(name)
    running = projects.watch(manager, Watching())
    running.add(ByColor("late"))
    projects.make("p4")
    eventually(lambda: projects.is_engaged("p4"))
    paint("p4")

    def reds(project: str) -> list[str]:
        found = running.cluster(project).client.list("v1 ConfigMap", index=("metadata.labels.color", "red"))
        return sorted(each.metadata.name for each in found)

    eventually(lambda: [reds(name) for name in ("p1", "p2", "p4")] == [["a", "c"]] * 3, ignoring=(KControllerError,))
    running.add(ByColor("later"))
    assert [reds(name) for name in ("p1", "p4")] == [["a", "c"]] * 2


# ---- taking over and ending ------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_46_a_standby_has_engaged_all_projects_and_takes_over_within_a_second_without_a_list(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    for name in ("p1", "p2", "p3"):
        projects.put(name, "a")
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    held = {"holderIdentity": "other", "leaseDurationSeconds": 3600}
    assert api_server.request("POST", leases, {"metadata": {"name": "fleet"}, "spec": held})[0] == 201
    election = LeaderElection(name="fleet", namespace="default", lease_duration=2, renew_deadline=1.0, retry_period=0.1)
    watching = Watching()
    projects.watch(manager, watching, leader_election=election)
    eventually(lambda: all(map(projects.is_engaged, ("p1", "p2", "p3"))))
    mark = max(each.number for each in api_server.requests.where())
    assert watching.seen == []
    lease = api_server.request("GET", f"{leases}/fleet")[1]
    lease["spec"]["holderIdentity"] = ""
    assert api_server.request("PUT", f"{leases}/fleet", lease)[0] == 200
    for name in ("p1", "p2", "p3"):
        watching.wait_for(f"{name}:default/a", within=SECOND)

    api_server.requests.assert_none(since=mark, verb={"list", "watch"})


@pytest.mark.embedded(milo=WARM)
def test_row_60_a_process_ends_in_order_and_in_time_although_a_project_hangs(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    """By SIGTERM, in a process of its own and on real servers: tests/integration/test_milo_real.py."""
    proxy.add(Hang(), project="p1")
    running = projects.watch(manager, Watching(), config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: projects.is_engaged("p2"))
    began = time.monotonic()

    assert running.stop(5.0)

    assert time.monotonic() - began < 5.0
    assert [each.name for each in threading.enumerate() if each.name.startswith("kc-cluster")] == []


# ---- readiness -------------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_43_not_ready_before_the_first_list_and_one_project_that_hangs_holds_it_up_for_half_a_minute(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects, clock: VirtualClock
) -> None:
    no_list = proxy.add(Hang(), path_prefix="/apis/resourcemanager.miloapis.com")
    proxy.add(Hang(), project="p1")
    running = projects.watch(manager, Watching(), config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: running.readyz.run()["caches"] is not None)
    assert "Project" in str(running.readyz.run()["caches"])
    no_list.remove()
    eventually(lambda: projects.is_engaged("p2") and projects.is_engaged("p3"))
    eventually(lambda: {each.cluster for each in running.pending()} == {"p1"})
    assert str(running.readyz.run()["caches"]).startswith("cluster p1: ")

    clock.advance(31)

    eventually(lambda: running.readyz.run()["caches"] is None)


@pytest.mark.parametrize(
    ("ready_when", "ready"), [("any", True), ("quorum", True), ("none", True), ("all", False), ("first-list", False)]
)
@pytest.mark.embedded(milo=WARM)
def test_row_44_a_project_that_is_dead_from_the_start_stops_no_work_and_readiness_only_where_it_was_asked_for(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    projects: Projects,
    ready_when: str,
    *,
    ready: bool,
) -> None:
    dead = proxy.add(Hang(), project="p1")
    watching = Watching()
    config = proxy.config(config_of(api_server))
    running = projects.watch(manager, watching, config=config, ready=False, ready_when=ready_when)
    for name in ("p2", "p3"):
        projects.put(name, "a")
        watching.wait_for(f"{name}:default/a", within=5 * SECOND)

    eventually(lambda: projects.is_engaged("p2") and projects.is_engaged("p3"))
    assert running.wait_ready(5 * SECOND if ready else 0.1) is ready
    if not ready:
        assert {each.cluster for each in running.pending()} == {"p1"}
        dead.remove()
        proxy.cut(project="p1")
        assert running.wait_ready(10 * SECOND)

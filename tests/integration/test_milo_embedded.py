"""A manager on the Projects of an embedded Milo server: who joins, who leaves, and whom that does not concern."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import AlreadyExists, ClusterNotFound
from kcontroller.multicluster import State
from kcontroller.testing import FreezeWatch, Hang, HttpFaultProxy, Milo, Rule, config_of, polling
from tests.integration.projects import SECOND, Projects, Watching

if TYPE_CHECKING:
    from kcontroller import Context
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient, VirtualClock

THREE = ("p1", "p2", "p3")
WARM = Milo(projects=THREE, cold_storage=False)
MANUAL = Milo(projects=THREE, readiness="manual", cold_storage=False)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def projects(client: ServerClient) -> Projects:
    return Projects(client)


# ---- a project's life ------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=MANUAL)
def test_a_project_is_engaged_when_it_becomes_ready_and_left_when_it_is_no_more(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    for name in THREE:
        eventually(lambda name=name: projects.put(name, "there") is None)
    watching = Watching()
    running = projects.watch(manager, watching)
    assert running.clusters.states() == ()

    for name in ("p1", "p2"):
        projects.ready(name)
        watching.wait_for(f"{name}:default/there")
    assert projects.is_away("p3")

    mark = watching.mark
    projects.ready("p1", "False", "Suspended")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    eventually(lambda: [each.name for each in running.clusters.states()] == ["p2"], within=SECOND)
    projects.put("p1", "unseen")
    projects.put("p2", "seen")
    watching.wait_for("p2:default/seen", since=mark)
    assert watching.seen[mark:] == ["p2:default/seen"]

    mark = watching.mark
    projects.ready("p1")
    watching.wait_for("p1:default/there", since=mark)
    watching.wait_for("p1:default/unseen", since=mark)
    assert all(each.startswith("p1:") for each in watching.seen[mark:]), "the other projects are left alone"


@pytest.mark.embedded(milo=WARM)
def test_a_project_that_is_made_anew_is_another_cluster(manager: Managers, projects: Projects, eventually: Any) -> None:
    watching = Watching()
    running = projects.watch(manager, watching)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    projects.put("p1", "a")
    watching.wait_for("p1:default/a")
    before, first_uid = running.cluster("p1"), projects.uid("p1")

    mark = watching.mark
    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    watching.wait_for("p1:default/a", since=mark)  # What is in it outlives the Project, as in Milo.

    eventually(lambda: projects.is_engaged("p1"), within=SECOND)
    assert running.cluster("p1") is not before
    assert before.leaving.stopped
    assert {each.name: each.uid for each in running.clusters.states()}["p1"] == projects.uid("p1") != first_uid
    assert all(each.startswith("p1:") for each in watching.seen[mark:])


@pytest.mark.embedded(milo=WARM)
def test_a_project_that_is_deleted_and_made_anew_between_two_looks_is_another_cluster(
    manager: Managers, projects: Projects, eventually: Any, faults: Any
) -> None:
    running = projects.watch(manager, Watching())
    eventually(lambda: projects.is_engaged("p1"))
    before = running.cluster("p1")
    with faults(Rule(FreezeWatch(), resource="projects")):
        projects.delete("p1")
        eventually(lambda: projects.make("p1") is None, ignoring=(AlreadyExists,))
        assert running.cluster("p1") is before
    eventually(lambda: running.cluster("p1") is not before, ignoring=(ClusterNotFound,))
    eventually(lambda: projects.is_engaged("p1"))


@pytest.mark.embedded(milo=Milo(projects=THREE))
def test_cold_storage_that_answers_429_is_only_a_detour(manager: Managers, projects: Projects, eventually: Any) -> None:
    watching = Watching()
    projects.watch(manager, watching, within=5.0)
    for name in THREE:
        projects.put(name, "a")
        watching.wait_for(f"{name}:default/a", within=5.0)
    eventually(lambda: all(map(projects.is_engaged, THREE)))


@pytest.mark.embedded(milo=MANUAL)
def test_ready_that_flaps_fifty_times_in_a_second_ends_as_it_was_said_last(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    watching = Watching()
    projects.watch(manager, watching)
    for _ in range(25):
        projects.ready("p1", "False")
        projects.ready("p1", "True")
    eventually(lambda: projects.is_engaged("p1"), within=SECOND)
    mark = watching.mark
    projects.put("p1", "after")
    watching.wait_for("p1:default/after", since=mark)
    projects.ready("p1", "False")
    eventually(lambda: projects.is_away("p1"), within=SECOND)


@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_only_projects_with_the_labels_are_engaged_and_one_that_loses_them_is_left(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    projects.make("gold", tier="gold")
    projects.make("free", tier="free")
    running = projects.watch(manager, Watching(), selector="tier=gold")
    eventually(lambda: projects.is_engaged("gold"), within=SECOND)
    assert projects.is_away("free")

    projects.label("free", tier="gold")
    eventually(lambda: projects.is_engaged("free"), within=SECOND)
    projects.label("gold", tier=None)
    eventually(lambda: projects.is_away("gold"), within=SECOND)
    eventually(lambda: [each.name for each in running.clusters.states()] == ["free"], within=SECOND)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_a_project_that_hangs_holds_up_nothing(
    api_server: EmbeddedServer, manager: Managers, projects: Projects, eventually: Any
) -> None:
    watching = Watching()
    with HttpFaultProxy(api_server.url, ca_pem=api_server.ca_pem) as proxy:
        proxy.add(Hang(), project="p2")
        running = projects.watch(manager, watching, config=proxy.config(config_of(api_server)), ready=False)
        eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p3"))
        assert {each.cluster for each in running.pending()} == {"p2"}

        projects.make("p4")
        eventually(lambda: projects.is_engaged("p4"), within=SECOND)
        projects.put("p4", "a")
        watching.wait_for("p4:default/a")
        projects.delete("p3")
        eventually(lambda: projects.is_away("p3"), within=SECOND)
        projects.delete("p2")
        eventually(lambda: projects.is_away("p2"), within=SECOND)
        assert running.wait_ready(SECOND)
        projects.make("p2")
        eventually(lambda: not projects.is_away("p2"), within=SECOND)

        began = time.monotonic()
        assert running.stop()
        assert time.monotonic() - began < 2.0


@pytest.mark.embedded(milo=WARM)
def test_a_reconcile_that_does_not_look_at_its_token_delays_the_successor_only_as_long_as_it_runs(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.name == "slow" and not inside.is_set():
            inside.set()
            go_on.wait(10)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "slow")
    assert inside.wait(SECOND)
    first = running.cluster("p1")
    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    projects.put("p2", "meanwhile")
    watching.wait_for("p2:default/meanwhile")
    mark = watching.mark
    assert projects.state_of("p1") is State.DRAINING

    threading.Timer(1.0, go_on.set).start()
    eventually(lambda: projects.is_engaged("p1"), within=2.0)
    watching.wait_for("p1:default/slow", since=mark)
    assert running.cluster("p1") is not first


@pytest.mark.embedded(milo=WARM)
def test_a_reconcile_that_never_ends_holds_its_successor_up_for_ten_seconds_and_no_longer(
    clock: VirtualClock, manager: Managers, projects: Projects
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.name == "slow" and not inside.is_set():
            inside.set()
            go_on.wait(30)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    polling.eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "slow")
    assert inside.wait(SECOND)
    projects.delete("p1")
    polling.eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    clock.advance(9.9)
    assert projects.state_of("p1") is State.DRAINING

    clock.advance(0.2)
    polling.eventually(lambda: projects.is_engaged("p1"), within=2 * SECOND)
    projects.put("p1", "next")
    watching.wait_for("p1:default/next")
    assert not running.cluster("p1").leaving.stopped
    go_on.set()


@pytest.mark.embedded(milo=WARM)
def test_a_storm_of_events_about_a_project_changes_nothing(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    watching = Watching()
    running = projects.watch(manager, watching)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    projects.put("p1", "a")
    watching.wait_for("p1:default/a")
    before, states, mark = running.cluster("p1"), running.clusters.states(), watching.mark
    for number in range(100):
        projects.label("p1", storm=str(number))
    projects.make("p4")
    eventually(lambda: projects.is_engaged("p4"), within=SECOND)  # Behind the storm.

    assert running.cluster("p1") is before
    assert running.clusters.states()[:3] == states
    assert [each for each in watching.seen[mark:] if not each.startswith("p4:")] == []


@pytest.mark.embedded(milo=Milo(projects=("a", "b", "c", "d"), readiness="manual", cold_storage=False))
def test_two_hundred_comings_and_goings_leave_nothing_behind(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        eventually(lambda name=name: projects.put(name, "x") is None)
    watching = Watching()
    running = projects.watch(manager, watching)
    controller = running.controllers[0]
    for _ in range(50):
        for name in names:
            projects.ready(name)
        eventually(lambda: all(map(projects.is_engaged, names)))
        for name in names:
            projects.ready(name, "False")
        eventually(lambda: running.clusters.states() == ())

    def nothing_is_left() -> None:
        running.observe()
        text = running.metrics.render().decode()
        assert [line for line in text.splitlines() if 'cluster="' in line and 'cluster=""' not in line] == []
        assert [each.name for each in threading.enumerate() if each.name.startswith("kc-cluster-")] == [
            "kc-cluster-local"
        ]
        controller.queue.check_invariants()
        assert controller.queue._schedule._shares == {}
        assert controller.waiting_for() == ()

    eventually(nothing_is_left)
    gauge = running.metrics.registry.get_sample_value
    assert {gauge("kcontroller_clusters", {"state": state.value}) or 0 for state in State} == {0}

"""Milo's projects on real kube-apiservers: they come, go, come again, hang and die, and the others do not notice.

One kube-apiserver is Milo's root, the others serve the projects behind a `MiloRouter`. There is no Milo controller: the
tests write the condition Ready. Times are taken from the server's answer to a change until the controller has acted on
it; `pytest -s` shows them.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cross_cluster_sync import ConfigMapSync
from widget import WidgetReconciler

import kcontroller
from kcontroller.multicluster.providers.milo import External
from kcontroller.testing import (
    BlackHole,
    ControlPlane,
    FaultProxy,
    Hang,
    HttpFaultProxy,
    MiloRouter,
    Refuse,
    install_crds,
)
from kcontroller.testing.binaries import find
from kcontroller.testing.plugin import NO_REAL_SERVERS
from tests.integration.milo_fleet import (
    CONFIG_MAPS,
    DEFINITIONS,
    Fleet,
    Follower,
    Times,
    kubeconfig,
    make_change_and_delete,
    running,
    start_all,
    state_of,
)
from tests.integration.projects import is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Manager
    from kcontroller.testing.control_plane import ApiServer
    from kcontroller.testing.http_target import Destination
    from tests.integration.daemons import Daemons

ROOT = Path(kcontroller.__file__).parents[1]
WIDGETS = ROOT / "examples" / "widget" / "crd.yaml"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """The root, numbered 0, and three servers of projects, for all tests of this file."""
    if find() is None:
        pytest.skip(NO_REAL_SERVERS)
    with ControlPlane(4, one_login=True) as plane:
        install_crds(plane.servers[0], DEFINITIONS)
        for server in plane.servers[1:]:
            install_crds(server, WIDGETS)
        yield plane


@pytest.fixture
def plane(control_plane: ControlPlane) -> ControlPlane:
    """All four servers running, also after a test that failed between a kill and a start."""
    start_all(control_plane)
    return control_plane


class Front(NamedTuple):
    """The root server behind a proxy that can go down."""

    url: str
    ca_pem: str


@pytest.fixture
def fleet(plane: ControlPlane) -> Iterator[Fleet]:
    with MiloRouter(plane.servers[0]) as router:
        made = Fleet(plane, router)
        yield made
        made.remove_projects()


@pytest.fixture
def at_work(fleet: Fleet, eventually: Callable[..., Any]) -> Iterator[tuple[Manager, Follower, Times]]:
    """A manager that has engaged a first project, so that what is measured is one project and not the start."""
    follower = Follower(fleet.label)
    first = fleet.make("first")
    with running(fleet, follower) as manager:
        follower.first(first, since=0.0)
        yield manager, follower, Times(follower, manager, eventually)


def test_rows_01_02_03_06_a_project_comes_goes_comes_again_and_another_one_takes_its_name(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times]
) -> None:
    manager, follower, times = at_work
    project = fleet.make("p", 2, ready=False)
    other = fleet.make("other", 3, ready=False)
    times.reconciled("another one engaged", other, fleet.set_ready(other, "True"))
    assert is_gone(manager, project), "a Project without a status is not ready"

    times.reconciled("engaged", project, fleet.set_ready(project, "True"))
    times.reconciled("an event", project, fleet.change(project, "1"), value="1")

    change = fleet.set_ready(project, "False")
    times.disengaged("Ready=False", project, change)
    left = time.monotonic()
    fleet.change(project, "2")
    times.reconciled("an event elsewhere", other, fleet.change(other, "1"), value="1")
    assert follower.count(project, since=left) == 0

    times.reconciled("Ready=True", project, fleet.set_ready(project, "True"), value="2")

    times.disengaged("deleted", project, fleet.delete(project))
    left = time.monotonic()
    fleet.change(project, "3")
    fleet.create(project)
    times.disengaged("another one deleted", other, fleet.delete(other))
    assert is_gone(manager, project), "its successor is not ready yet"
    assert follower.count(project, since=left) == 0
    times.reconciled("made again", project, fleet.set_ready(project, "True"), value="3")


def test_rows_05_08_a_project_that_is_being_deleted_stays_until_it_is_gone_and_one_that_loses_its_label_does_not(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times]
) -> None:
    _manager, follower, times = at_work
    going, moved = fleet.make("going", 2), fleet.make("moved", 3)
    for project in (going, moved):
        follower.first(project, since=0.0)
    fleet.edit(going, finalizers=["example.com/test"])
    fleet.delete(going)

    times.disengaged("without its label", moved, fleet.edit(moved, labels={}))
    times.reconciled("an event in one that is going", going, fleet.change(going, "1"), value="1")
    times.disengaged("without its finalizer", going, fleet.edit(going, finalizers=[]))
    times.reconciled("with its label", moved, fleet.edit(moved, labels={"test": fleet.label}))


def test_projects_that_are_refused_come_when_they_are_not_refused_any_more(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times]
) -> None:
    manager, follower, times = at_work
    codes = (403, 429, 500)
    refused = [fleet.make(f"answers-{code}", number, ready=False) for number, code in enumerate(codes, 1)]
    rules = [fleet.router.add(Refuse(code), project=project) for code, project in zip(codes, refused, strict=True)]
    for project in refused:
        fleet.set_ready(project, "True")
    make_change_and_delete(fleet, times, "a", 2)

    assert all(rule.hits for rule in rules)
    assert [state_of(manager, project) for project in refused] == ["syncing"] * 3
    fleet.router.clear()
    for project in refused:
        follower.first(project, since=0.0)


def test_row_09_through_the_path_of_an_organization_no_project_of_another_one_is_engaged(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    ours, theirs = fleet.make("ours", 1, organization="acme"), fleet.make("theirs", 2, organization="evil")
    hub = fleet.config.with_server(
        f"{fleet.router.url}/apis/resourcemanager.miloapis.com/v1alpha1/organizations/acme/control-plane"
    )
    with running(fleet, Follower(fleet.label), hub=hub) as manager:
        late, strange = fleet.make("late", 3, organization="acme"), fleet.make("strange", 3, organization="evil")
        eventually(lambda: state_of(manager, ours) == state_of(manager, late) == "engaged")
        assert manager.cluster(ours).config.server.startswith(hub.server)
        assert is_gone(manager, theirs)
        assert is_gone(manager, strange)


class Confused(HttpFaultProxy):
    """A gateway that takes every project called ``lost`` for another one."""

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:
        return super()._destination(raw_path.replace("/projects/lost-", "/projects/found-"), host=host)


def test_row_12_a_project_that_a_gateway_takes_for_another_one_is_not_engaged(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    found, lost = fleet.make("found", 1), fleet.make("lost", 2)
    follower = Follower(fleet.label)
    with Confused(fleet.router.url, ca_pem=fleet.router.ca_pem) as gateway:
        gate = gateway.config(fleet.config)
        with running(fleet, follower, mode=External(gate), verify_parent=True) as manager:
            eventually(lambda: state_of(manager, found) == "engaged")
            follower.first(found, since=0.0)

            def why() -> str:
                return next(each.last_error for each in manager.clusters.states() if each.name == lost)

            eventually(why)
            assert f"takes us for inside of Project {found}, and not for inside of Project {lost}" in why()
            assert is_gone(manager, lost)
        assert follower.count(lost, since=0.0) == 0


def test_widgets_of_one_name_in_three_projects_are_three_widgets(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    path = "/apis/example.com/v1/namespaces/default/widgets"
    servers = fleet.plane.servers[1:]
    name = f"web-{fleet.label}"
    for number, server in enumerate(servers, 1):
        fleet.make(f"p{number}", number)
        widget = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"image": f"image-{number}", "replicas": number},
        }
        assert server.request("POST", path, widget)[0] == 201

    def data_of(server: ApiServer) -> Any:
        return server.request("GET", f"{CONFIG_MAPS}/{name}")[1].get("data")

    def status_of(server: ApiServer) -> Any:
        return server.request("GET", f"{path}/{name}")[1].get("status", {}).get("readyReplicas")

    with running(fleet, WidgetReconciler()):
        eventually(lambda: [status_of(server) for server in servers] == [1, 2, 3])
        assert [data_of(server) for server in servers] == [
            {"image": f"image-{number}", "replicas": str(number)} for number in (1, 2, 3)
        ]
        assert servers[1].request("DELETE", f"{path}/{name}")[0] == 200
        eventually(lambda: servers[1].request("GET", f"{path}/{name}")[0] == 404)
        assert [data_of(server) is not None for server in servers] == [True, False, True]
        root = fleet.plane.servers[0]
        assert root.request("GET", f"{CONFIG_MAPS}/{name}")[0] == 404
        for server in (servers[0], servers[2]):
            server.request("DELETE", f"{path}/{name}")
            eventually(lambda server=server: server.request("GET", f"{path}/{name}")[0] == 404)


def test_rows_14_15_44_a_project_that_hangs_from_the_start_holds_up_nobody(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times], eventually: Callable[..., Any]
) -> None:
    manager, follower, times = at_work
    stuck = fleet.make("stuck", 3, ready=False)
    rule = fleet.router.add(Hang(), project=stuck)
    fleet.set_ready(stuck, "True")
    make_change_and_delete(fleet, times, "a", 2)
    make_change_and_delete(fleet, times, "b", 3)

    assert rule.hits
    assert state_of(manager, stuck) == "syncing"
    assert follower.count(stuck, since=0.0) == 0
    times.disengaged("the stuck one deleted", stuck, fleet.delete(stuck))
    fleet.create(stuck)
    fleet.set_ready(stuck, "True")
    eventually(lambda: state_of(manager, stuck) == "syncing")  # It hangs again while the manager is stopped.


def test_rows_14_35_a_project_that_begins_to_hang_holds_up_nobody_not_even_by_a_write_under_way(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times], eventually: Callable[..., Any]
) -> None:
    _manager, follower, times = at_work
    idle, writing = fleet.make("idle", 3), fleet.make("writing", 3)
    follower.first(idle, since=0.0)
    follower.first(writing, since=0.0)
    fleet.router.add(Hang(), project=writing, methods={"PATCH"})
    fleet.change(writing, "write")
    eventually(lambda: follower.writes == ["begun"])
    for project in (idle, writing):
        fleet.router.add(Hang(), project=project)
    make_change_and_delete(fleet, times, "a", 2)
    make_change_and_delete(fleet, times, "b", 3)

    times.disengaged("the writing one not ready", writing, fleet.set_ready(writing, "False"))
    eventually(lambda: follower.writes == ["begun", "stopped"])
    fleet.router.clear()
    change = fleet.change(idle, "later")
    follower.first(idle, since=change.began, value="later")
    fleet.router.add(Hang(), project=idle)  # While the manager is stopped.


def test_a_write_that_hangs_ends_with_the_drain_time(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    follower = Follower(fleet.label)
    project = fleet.make("p")
    fleet.router.add(Hang(), project=project, methods={"PATCH"})
    with running(fleet, follower):
        follower.first(project, since=0.0)
        fleet.change(project, "write")
        eventually(lambda: follower.writes == ["begun"])
    assert follower.writes == ["begun", "stopped"]


def test_a_project_is_replaced_although_a_write_to_it_hangs(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times], eventually: Callable[..., Any]
) -> None:
    _manager, follower, times = at_work
    project = fleet.make("p", 2)
    follower.first(project, since=0.0)
    hang = fleet.router.add(Hang(), project=project, methods={"PATCH"})
    fleet.change(project, "write")
    eventually(lambda: follower.writes == ["begun"])

    fleet.delete(project)
    fleet.create(project)
    times.reconciled("another uid", project, fleet.set_ready(project, "True"))
    assert follower.writes[:3] == ["begun", "stopped", "begun"]
    hang.remove()
    eventually(lambda: follower.writes[-1] == "done")


def test_row_18_a_killed_server_of_a_project_disturbs_no_other_and_comes_back_by_itself(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times]
) -> None:
    _manager, follower, times = at_work
    project = fleet.make("dying", 3)
    follower.first(project, since=0.0)
    fleet.plane.kill(3)
    make_change_and_delete(fleet, times, "a", 2)
    fleet.plane.start(3)
    change = fleet.change(project, "after")
    back = follower.first(project, since=change.began, value="after", within=15) - change.answered
    print(f"\nback after a restart: {back * 1000:.0f} ms", end="")  # noqa: T201
    times.reconciled("an event afterwards", project, fleet.change(project, "later"), value="later")


def test_a_killed_hub_stops_no_project_and_tells_afterwards_what_was_missed(
    plane: ControlPlane, eventually: Callable[..., Any]
) -> None:
    hub = plane.servers[0]
    with ExitStack() as stack:
        line = stack.enter_context(FaultProxy(hub.url))
        router = stack.enter_context(MiloRouter(Front(line.url, hub.ca_pem)))
        fleet = Fleet(plane, router)
        stack.callback(fleet.remove_projects)
        follower = Follower(fleet.label)
        stays, goes = fleet.make("stays", 1), fleet.make("goes", 2)
        manager = stack.enter_context(running(fleet, follower))
        times = Times(follower, manager, eventually)
        follower.first(stays, since=0.0)
        follower.first(goes, since=0.0)

        plane.kill(0)
        times.reconciled("an event without a hub", stays, fleet.change(stays, "1"), value="1")
        line.down()  # So that the Project goes while nobody can be told.
        plane.start(0)
        fleet.delete(goes)
        times.reconciled("of the deleted one, unknown", goes, fleet.change(goes, "1"), value="1")
        line.up()
        back = time.monotonic()
        eventually(lambda: is_gone(manager, goes), within=20.0)
        print(f"\ndisengaged after the hub is back: {(time.monotonic() - back) * 1000:.0f} ms", end="")  # noqa: T201
        make_change_and_delete(fleet, times, "new", 2)
        times.reconciled("an event afterwards", stays, fleet.change(stays, "2"), value="2")
        line.add(BlackHole())  # The hub hangs while the manager is stopped.


def test_rows_38_39_40_a_config_map_of_the_hub_is_copied_to_the_projects_that_it_chooses(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    name, servers = f"ca-{fleet.label}", fleet.plane.servers

    def found(number: int) -> tuple[int, Any]:
        status, answer = servers[number].request("GET", f"{CONFIG_MAPS}/{name}")
        return status, answer.get("data")

    def label(project: str, **labels: str) -> None:
        fleet.edit(project, labels={"test": fleet.label, **labels})

    one, two = fleet.make("one", 1), fleet.make("two", 2)
    label(two, tier="prod")
    metadata = {
        "name": name,
        "labels": {"example.com/sync": "original"},
        "annotations": {"example.com/sync-to": f"test={fleet.label},tier=prod"},
    }
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    with running(fleet, ConfigMapSync()) as manager:
        eventually(lambda: all(state_of(manager, each) == "engaged" for each in (one, two)), within=10.0)
        assert servers[0].request("POST", CONFIG_MAPS, body)[0] == 201
        eventually(lambda: found(2) == (200, {"a": "1"}))
        assert found(1)[0] == 404

        label(one, tier="prod")
        eventually(lambda: found(1) == (200, {"a": "1"}))
        label(two, tier="test")
        eventually(lambda: found(2)[0] == 404)
        three = fleet.make("three", 3)
        label(three, tier="prod")
        eventually(lambda: found(3) == (200, {"a": "1"}))

        servers[3].request("DELETE", f"{CONFIG_MAPS}/{name}")
        eventually(lambda: found(3) == (200, {"a": "1"}))
        servers[0].request("DELETE", f"{CONFIG_MAPS}/{name}")
        eventually(lambda: [found(number)[0] for number in range(4)] == [404] * 4)


SOURCE = """
from kcontroller import Reconciler
from kcontroller.controller import predicates

class Follower(Reconciler):
    name = "follower"

    def setup(self, builder):
        builder.for_("v1 ConfigMap", predicates=[predicates.selector({{"test": "{label}"}})])

    def reconcile(self, ctx, request):
        found = ctx.client.get_or_none("v1 ConfigMap", request)
        if found is not None and request.name == request.cluster:
            found["data"]["seen"] = found["data"]["n"]
            ctx.client.patch(found)
"""


def test_row_60_a_process_ends_in_order_although_projects_hang(
    fleet: Fleet, run: Daemons, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    source = tmp_path / "follower.py"
    source.write_text(SOURCE.format(label=fleet.label))
    works, hangs, stuck = fleet.make("works", 1), fleet.make("hangs", 2), fleet.make("stuck", 3)
    fleet.router.add(Hang(), project=stuck)
    words = ["--provider", "milo", "--provider-option", f"selector=test={fleet.label}"]
    words += ["--kubeconfig", str(kubeconfig(fleet, tmp_path / "kubeconfig")), "--graceful-shutdown-timeout", "5s"]

    def seen(project: str, number: int) -> Any:
        answer = fleet.plane.servers[number].request("GET", f"{CONFIG_MAPS}/{project}")[1]
        return answer["data"].get("seen")

    daemon = run(source, *words)
    eventually(lambda: (seen(works, 1), seen(hangs, 2)) == ("0", "0"), within=20.0)
    fleet.router.add(Hang(), project=hangs)
    fleet.change(hangs, "1")
    fleet.change(works, "1")
    eventually(lambda: seen(works, 1) == "1")
    late = fleet.make("late", 2)
    eventually(lambda: seen(late, 2) == "0")
    fleet.delete(late)
    began = time.monotonic()
    code = daemon.stop(signal.SIGTERM)
    took = time.monotonic() - began
    print(f"\nSIGTERM: exit {code} after {took * 1000:.0f} ms")  # noqa: T201
    assert (code, took < 5.0) == (0, True), daemon.text
    assert " ERROR " not in daemon.text, daemon.text
    assert seen(hangs, 2) is None, "the PUT took it off, and nobody was told"

"""Milo's projects on real kube-apiservers: they come, go, come again, hang and die, and the others do not notice.

One kube-apiserver is Milo's root, the others serve the projects behind a `MiloRouter`. There is no Milo controller: the
tests write the condition Ready. Times are taken from the server's answer to a change until the controller has acted on
it; `pytest -s` shows them.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import yaml
from widget import WidgetReconciler

import kcontroller
from kcontroller import Manager, ManagerOptions, Reconciler, load_config
from kcontroller.controller import predicates
from kcontroller.errors import ClusterNotFound, Stopped
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import BlackHole, ControlPlane, FaultProxy, Hang, MiloRouter, install_crds
from kcontroller.testing.binaries import find
from kcontroller.testing.plugin import NO_REAL_SERVERS
from tests.integration.conftest import OPTIONS, config_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request, Result
    from kcontroller.testing.control_plane import ApiServer

ROOT = Path(kcontroller.__file__).parents[1]
DEFINITIONS = Path(kcontroller.__file__).with_name("embedded") / "data" / "milo.yaml"
WIDGETS = ROOT / "examples" / "widget" / "crd.yaml"
PROJECTS = "/apis/resourcemanager.miloapis.com/v1alpha1/projects"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAP = "v1 ConfigMap"
SECOND = 1.0


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


class Front(NamedTuple):
    """The root server behind a proxy that can go down."""

    url: str
    ca_pem: str


class Follower(Reconciler):
    """Notes what it is asked about and when; a value of ``write`` makes it write, and note how that ended."""

    name: ClassVar[str] = "follower"

    def __init__(self, label: str) -> None:
        self._label = label
        self._changed = threading.Condition()
        self._seen: list[tuple[float, str, str, str]] = []
        self.writes: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP, predicates=[predicates.selector({"test": self._label})])
        builder.options(max_concurrent_reconciles=4)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        value = "" if found is None else found["data"]["n"]
        with self._changed:
            self._seen.append((time.monotonic(), request.cluster, request.name, value))
            self._changed.notify_all()
        if found is not None and value == "write" and request.name == request.cluster:
            self._write(ctx, found)
        return None

    def _write(self, ctx: Context, found: Any) -> None:
        self.writes.append("begun")
        found["data"]["written"] = "yes"
        try:
            ctx.client.patch(found)
        except Stopped:
            self.writes.append("stopped")
            raise
        self.writes.append("done")

    def first(self, project: str, *, since: float, value: str | None = None, within: float = 20.0) -> float:
        """Wait for a reconcile of a project's own ConfigMap; returns when it was."""

        def found() -> float | None:
            return next((seen[0] for seen in self._seen if self._is(seen, project, since, value)), None)

        with self._changed:
            at = self._changed.wait_for(found, within)
            assert at is not None, f"no reconcile of {project} within {within:g} s"
            return at

    def count(self, project: str, *, since: float) -> int:
        with self._changed:
            return sum(seen[0] >= since and seen[1] == project for seen in self._seen)

    @staticmethod
    def _is(seen: tuple[float, str, str, str], project: str, since: float, value: str | None) -> bool:
        at, cluster, name, what = seen
        return cluster == name == project and at >= since and value in {None, what}


class Fleet:
    """Projects on the servers, each with a ConfigMap of its own name in ``default``."""

    def __init__(self, plane: ControlPlane, router: MiloRouter) -> None:
        self.plane = plane
        self.router = router
        self.label = uuid.uuid4().hex[:8]
        self._servers: dict[str, ApiServer] = {}

    @property
    def config(self) -> Any:
        return self.router.config(load_config(kubeconfig=str(self.plane.kubeconfig)))

    def make(self, name: str, server: int = 1, *, ready: bool = True) -> str:
        """Make a project and its ConfigMap; returns its name, which is no other test's."""
        project = f"{name}-{self.label}"
        self._servers[project] = self.plane.servers[server]
        self.router.assign(project, self.plane.servers[server])
        body = config_map("default", project, n="0")
        body["metadata"]["labels"] = {"test": self.label}
        assert self._servers[project].request("POST", CONFIG_MAPS, body)[0] == 201
        self.create(project)
        if ready:
            self.set_ready(project, "True")
        return project

    def create(self, project: str) -> None:
        body = {
            "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
            "kind": "Project",
            "metadata": {"name": project, "labels": {"test": self.label}},
            "spec": {"ownerRef": {"kind": "Organization", "name": "example"}},
        }
        assert self._root("POST", PROJECTS, body)["metadata"]["uid"]

    def set_ready(self, project: str, status: str) -> Change:
        document = self._root("GET", f"{PROJECTS}/{project}")
        moment = "2026-01-01T00:00:00Z"
        condition = {"type": "Ready", "status": status, "reason": "Test", "message": "", "lastTransitionTime": moment}
        document["status"] = {"conditions": [condition]}
        return self._timed("PUT", f"{PROJECTS}/{project}/status", document)

    def delete(self, project: str) -> Change:
        return self._timed("DELETE", f"{PROJECTS}/{project}")

    def change(self, project: str, value: str) -> Change:
        """Change the project's ConfigMap, on its server, past the router."""
        server = self._servers[project]
        body = config_map("default", project, n=value)
        body["metadata"]["labels"] = {"test": self.label}
        began = time.monotonic()
        assert server.request("PUT", f"{CONFIG_MAPS}/{project}", body)[0] == 200
        return Change(began, time.monotonic())

    def remove_projects(self) -> None:
        for project in self._servers:
            self.plane.servers[0].request("DELETE", f"{PROJECTS}/{project}")

    def _timed(self, method: str, path: str, body: object = None) -> Change:
        began = time.monotonic()
        self._root(method, path, body)
        return Change(began, time.monotonic())

    def _root(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.plane.servers[0].request(method, path, body)
        assert status in {200, 201}, answer
        return answer


class Change(NamedTuple):
    """When a change was asked for, and when the server had answered."""

    began: float
    answered: float


class Times:
    """What took how long, to be shown and to be held to a bound."""

    def __init__(self, follower: Follower, manager: Manager, eventually: Callable[..., Any]) -> None:
        self._follower = follower
        self._manager = manager
        self._eventually = eventually

    def reconciled(self, what: str, project: str, change: Change, *, value: str | None = None) -> None:
        """It was reconciled within a second of the answer."""
        at = self._follower.first(project, since=change.began, value=value)
        self._note(what, at - change.answered)

    def disengaged(self, what: str, project: str, change: Change) -> None:
        """It was gone within a second of the answer."""
        self._eventually(lambda: is_gone(self._manager, project))
        self._note(what, time.monotonic() - change.answered)

    @staticmethod
    def _note(what: str, seconds: float) -> None:
        print(f"\n{what}: {max(seconds, 0.0) * 1000:.0f} ms", end="")  # noqa: T201 - the figures are wanted
        assert seconds < SECOND, what


def is_gone(manager: Manager, project: str) -> bool:
    try:
        manager.cluster(project)
    except ClusterNotFound:
        return True
    return False


def state_of(manager: Manager, project: str) -> str:
    return next((each.state.value for each in manager.clusters.states() if each.name == project), "gone")


def ours() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("kc-")}


@pytest.fixture
def fleet(control_plane: ControlPlane) -> Iterator[Fleet]:
    with MiloRouter(control_plane.servers[0]) as router:
        made = Fleet(control_plane, router)
        yield made
        made.remove_projects()


@contextmanager
def running(fleet: Fleet, *reconcilers: Reconciler, seconds: float = 2.0) -> Iterator[Manager]:
    """A manager on the fleet's projects, which ends in time and leaves no thread, whatever hangs."""
    before = ours()
    manager = Manager(
        fleet.config, provider=MiloProvider(selector=f"test={fleet.label}"), options=ManagerOptions(**OPTIONS)
    )
    manager.add(*reconcilers)
    manager.start()
    try:
        yield manager
    finally:
        began = time.monotonic()
        manager.stop(grace=1.0)
        took = time.monotonic() - began
        left = ours() - before
    print(f"\nstop: {took * 1000:.0f} ms")  # noqa: T201
    assert took < seconds
    assert not left


@pytest.fixture
def at_work(fleet: Fleet, eventually: Callable[..., Any]) -> Iterator[tuple[Manager, Follower, Times]]:
    """A manager that has engaged a first project, so that what is measured is one project and not the start."""
    follower = Follower(fleet.label)
    first = fleet.make("first")
    with running(fleet, follower) as manager:
        follower.first(first, since=0.0)
        yield manager, follower, Times(follower, manager, eventually)


def test_a_project_comes_goes_comes_again_and_another_one_takes_its_name(
    fleet: Fleet, at_work: tuple[Manager, Follower, Times]
) -> None:
    manager, follower, times = at_work
    project = fleet.make("p", 2, ready=False)
    assert is_gone(manager, project), "a Project without a status is not ready"

    times.reconciled("engaged", project, fleet.set_ready(project, "True"))
    times.reconciled("an event", project, fleet.change(project, "1"), value="1")

    change = fleet.set_ready(project, "False")
    times.disengaged("Ready=False", project, change)
    left = time.monotonic()
    fleet.change(project, "2")
    times.reconciled("an event elsewhere", f"first-{fleet.label}", fleet.change(f"first-{fleet.label}", "1"), value="1")
    assert follower.count(project, since=left) == 0

    times.reconciled("Ready=True", project, fleet.set_ready(project, "True"), value="2")

    times.disengaged("deleted", project, fleet.delete(project))
    left = time.monotonic()
    fleet.change(project, "3")
    fleet.create(project)
    assert is_gone(manager, project)
    assert follower.count(project, since=left) == 0
    times.reconciled("made again", project, fleet.set_ready(project, "True"), value="3")


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


def make_change_and_delete(fleet: Fleet, times: Times, name: str, server: int) -> None:
    """The life of a project, each step within a second."""
    project = fleet.make(name, server, ready=False)
    times.reconciled(f"{name} engaged", project, fleet.set_ready(project, "True"))
    times.reconciled(f"{name} changed", project, fleet.change(project, "1"), value="1")
    times.disengaged(f"{name} not ready", project, fleet.set_ready(project, "False"))
    times.reconciled(f"{name} ready", project, fleet.set_ready(project, "True"))
    times.disengaged(f"{name} deleted", project, fleet.delete(project))


def test_a_project_that_hangs_from_the_start_holds_up_nobody(
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


def test_a_project_that_begins_to_hang_holds_up_nobody_not_even_by_a_write_under_way(
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


def test_a_killed_server_of_a_project_disturbs_no_other_and_comes_back_by_itself(
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
    control_plane: ControlPlane, eventually: Callable[..., Any]
) -> None:
    hub = control_plane.servers[0]
    with ExitStack() as stack:
        line = stack.enter_context(FaultProxy(hub.url))
        router = stack.enter_context(MiloRouter(Front(line.url, hub.ca_pem)))
        fleet = Fleet(control_plane, router)
        stack.callback(fleet.remove_projects)
        follower = Follower(fleet.label)
        stays, goes = fleet.make("stays", 1), fleet.make("goes", 2)
        manager = stack.enter_context(running(fleet, follower))
        times = Times(follower, manager, eventually)
        follower.first(stays, since=0.0)
        follower.first(goes, since=0.0)

        control_plane.kill(0)
        times.reconciled("an event without a hub", stays, fleet.change(stays, "1"), value="1")
        line.down()  # So that the Project goes while nobody can be told.
        control_plane.start(0)
        fleet.delete(goes)
        times.reconciled("of the deleted one, unknown", goes, fleet.change(goes, "1"), value="1")
        line.up()
        back = time.monotonic()
        eventually(lambda: is_gone(manager, goes), within=20.0)
        print(f"\ndisengaged after the hub is back: {(time.monotonic() - back) * 1000:.0f} ms", end="")  # noqa: T201
        make_change_and_delete(fleet, times, "new", 2)
        times.reconciled("an event afterwards", stays, fleet.change(stays, "2"), value="2")
        line.add(BlackHole())  # The hub hangs while the manager is stopped.


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


def test_a_process_ends_in_order_although_projects_hang(
    fleet: Fleet, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    source = tmp_path / "follower.py"
    source.write_text(SOURCE.format(label=fleet.label))
    works, hangs, stuck = fleet.make("works", 1), fleet.make("hangs", 2), fleet.make("stuck", 3)
    fleet.router.add(Hang(), project=stuck)
    command = [sys.executable, "-m", "kcontroller", "run", str(source), "--provider", "milo"]
    command += ["--provider-option", f"selector=test={fleet.label}"]
    command += ["--kubeconfig", str(kubeconfig(fleet, tmp_path / "kubeconfig")), "--graceful-shutdown-timeout", "5s"]
    command += ["--metrics-bind-address", "0", "--health-probe-bind-address", "0", "--log-format", "json"]
    log = tmp_path / "log"

    def seen(project: str, number: int) -> Any:
        answer = fleet.plane.servers[number].request("GET", f"{CONFIG_MAPS}/{project}")[1]
        return answer["data"].get("seen")

    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        eventually(lambda: (seen(works, 1), seen(hangs, 2)) == ("0", "0"), within=20.0)
        fleet.router.add(Hang(), project=hangs)
        fleet.change(hangs, "1")
        fleet.change(works, "1")
        eventually(lambda: seen(works, 1) == "1")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
        took = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    lines = log.read_text().splitlines()
    print(f"\nSIGTERM: exit {code} after {took * 1000:.0f} ms")  # noqa: T201
    assert (code, took < 5.0) == (0, True), "\n".join(lines)
    assert all(json.loads(line)["level"] != "error" for line in lines), "\n".join(lines)
    assert seen(hangs, 2) is None, "the PUT took it off, and nobody was told"


def kubeconfig(fleet: Fleet, path: Path) -> Path:
    """How the process reaches the router, with the one token of all servers."""
    authority = base64.b64encode(fleet.router.ca_pem.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "milo", "cluster": {"server": fleet.router.url, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "admin", "user": {"token": fleet.plane.servers[0].token}}],
        "contexts": [{"name": "milo", "context": {"cluster": "milo", "user": "admin"}}],
        "current-context": "milo",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(document, file)
    return path

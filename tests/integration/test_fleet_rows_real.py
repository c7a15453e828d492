"""Rows of the feature table on real kube-apiservers behind a `MiloRouter`, which sees what is asked of each project.

Each test has the number of its row; `docs/feature-rows.md` has all of them. ``test_milo_real.py`` has the lives of
projects, and those that hang or die.
"""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kcontroller
from kcontroller import Manager, ManagerOptions, Reconciler
from kcontroller.leaderelection import LeaderElection
from kcontroller.multicluster.providers.milo import External, MiloProvider, control_plane_path
from kcontroller.testing import ControlPlane, Delay, Hang, MiloRouter, Refuse, install_crds
from kcontroller.testing.binaries import find
from kcontroller.testing.leaks import LeakCheck
from kcontroller.testing.plugin import NO_REAL_SERVERS
from tests.integration.conftest import OPTIONS, config_map, crd
from tests.integration.milo_fleet import (
    CONFIG_MAPS,
    DEFINITIONS,
    PROJECTS,
    STREAMS,
    Fleet,
    Follower,
    running,
    start_all,
    state_of,
)
from tests.integration.projects import CONFIG_MAP, SECOND, Hooked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request, Result
    from kcontroller.testing.http_recording import Exchange
    from kcontroller.testing.http_target import Destination

SECRET = "v1 Secret"
SHORT_MEMORY = ("--etcd-compaction-interval=1s", "--min-request-timeout=1")


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """The root, numbered 0, and two servers of projects; they forget history and end watches after a second or two."""
    if find() is None:
        pytest.skip(NO_REAL_SERVERS)
    with ControlPlane(3, one_login=True, arguments=SHORT_MEMORY) as plane:
        install_crds(plane.servers[0], DEFINITIONS)
        yield plane


class Endless(MiloRouter):
    """Leaves it to the projects' servers how long a watch lasts."""

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:
        return super()._destination(re.sub(r"(?<=[?&])timeoutSeconds=\d+&?", "", raw_path).rstrip("?&"), host=host)


@pytest.fixture(params=[MiloRouter])
def fleet(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    start_all(control_plane)
    with request.param(control_plane.servers[0], record=True) as router:
        made = Fleet(control_plane, router)
        yield made
        made.remove_projects()


def asked(fleet: Fleet, project: str, *, since: int = 0) -> list[Exchange]:
    """What was asked of a project."""
    place = control_plane_path(project) + "/"
    return [each for each in fleet.router.exchanges[since:] if place in each.path]


def informers(fleet: Fleet, project: str, plural: str = "configmaps") -> list[str]:
    """What informers asked of a project: ``stream``, ``list`` or ``watch``."""
    found = [each for each in asked(fleet, project) if each.method == "GET" and each.path.endswith(f"/{plural}")]
    return ["stream" if STREAMS in each.target else "watch" if each.is_watch else "list" for each in found]


class Idle(Reconciler):
    """Watches a kind."""

    def __init__(self, name: str = "idle", kind: str = SECRET) -> None:
        self.name = name  # type: ignore[misc]
        self._kind = kind
        self.seen: list[tuple[str, str]] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(self._kind)

    def reconcile(self, _ctx: Context, request: Request) -> Result | None:
        self.seen.append((request.cluster, request.name))
        return None


# ---- rows 3 to 11: who comes, who leaves, and where they are ---------------------------------------------------------


def resident() -> int:
    """How much memory the process holds, in KiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 1024


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="only Linux tells how much memory a process holds")
@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.long)])
def test_row_04_projects_that_came_and_went_leave_no_thread_no_descriptor_and_no_memory(
    control_plane: ControlPlane, eventually: Callable[..., Any], rounds: int
) -> None:
    """Twenty a round."""
    with MiloRouter(control_plane.servers[0]) as router:
        fleet = Fleet(control_plane, router)
        with running(fleet, Idle()) as manager:

            def come_and_go(turn: int) -> int:
                names = [f"p{turn}-{number}-{fleet.label}" for number in range(20)]
                for name in names:
                    router.assign(name, control_plane.servers[1 + turn % 2])
                    fleet.create(name)
                    fleet.set_ready(name, "True")
                eventually(lambda: all(state_of(manager, name) == "engaged" for name in names))
                for name in names:
                    fleet.delete(name)
                eventually(lambda: manager.clusters.states() == ())
                return resident()

            before = [come_and_go(turn) for turn in range(3)][-1]
            with LeakCheck(within=5.0):
                after = [come_and_go(3 + turn) for turn in range(rounds)]
    number, more = 20 * rounds, after[-1] - before
    print(f"\n{before} KiB, then {after}: {more / number:.1f} KiB a project", end="")  # noqa: T201 - the figures are wanted
    assert more < 2048 + 10 * number, "2 MiB are the allocator's"


@pytest.mark.parametrize("flips", [20, pytest.param(200, marks=pytest.mark.long)])
def test_row_03_flips_of_a_project_leave_threads_and_sockets_where_they_were(
    fleet: Fleet, eventually: Callable[..., Any], flips: int
) -> None:
    follower = Follower(fleet.label)
    project, other = fleet.make("flips", 1, ready=False), fleet.make("other", 2)
    with running(fleet, follower) as manager:
        follower.first(other, since=0.0)
        with LeakCheck(within=5.0):
            for _ in range(flips // 2):
                fleet.set_ready(project, "True")
                fleet.set_ready(project, "False")
            last = fleet.set_ready(project, "True")
            follower.first(project, since=last.began)
            change = fleet.change(project, "1")
            follower.first(project, since=change.began, value="1", within=SECOND)
            assert state_of(manager, other) == "engaged"
            fleet.set_ready(project, "False")
            eventually(lambda: state_of(manager, project) == "gone")


def test_rows_06_36_hooks_tell_of_two_projects_of_one_name_although_nobody_saw_the_first_one_go(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    hooked = Hooked()
    with running(fleet, Follower(fleet.label)) as manager:
        manager.clusters.listen(hooked)
        project = fleet.make("p")
        eventually(lambda: len(hooked.log) == 1)
        first = uid_of(fleet, project)
        held = fleet.router.add(Hang(), path_prefix=PROJECTS, watch=True)
        fleet.delete(project)
        fleet.create(project)
        fleet.set_ready(project, "True")
        assert state_of(manager, project) == "engaged"
        held.remove()
        second = uid_of(fleet, project)

        expected = [("engaged", first), ("draining", first), ("gone", first), ("engaged", second)]
        eventually(lambda: hooked.of(project) == expected)
        assert first != second


def uid_of(fleet: Fleet, project: str) -> str:
    return str(fleet.plane.servers[0].request("GET", f"{PROJECTS}/{project}")[1]["metadata"]["uid"])


def test_row_07_nothing_is_asked_of_a_control_plane_whose_project_is_gone_although_it_answers(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    follower = Follower(fleet.label)
    stays, goes = fleet.make("stays", 1), fleet.make("goes", 2)
    with running(fleet, follower) as manager:
        for project in (stays, goes):
            follower.first(project, since=0.0)
        fleet.delete(goes)
        eventually(lambda: state_of(manager, goes) == "gone")
        mark = len(fleet.router.exchanges)
        fleet.change(goes, "1")
        for number in range(5):
            change = fleet.change(stays, f"1{number}")
            follower.first(stays, since=change.began, value=f"1{number}")

        assert asked(fleet, goes, since=mark) == []


def test_row_11_the_path_of_the_server_stays_before_that_of_the_project(fleet: Fleet) -> None:
    follower = Follower(fleet.label)
    project = fleet.make("p")
    gateway = fleet.config.with_server(f"{fleet.config.server}/p1/p2")
    provider = MiloProvider(External(gateway), selector=f"test={fleet.label}")
    manager = Manager(fleet.config, provider=provider, options=ManagerOptions(**OPTIONS))
    manager.add(follower)
    with manager:
        follower.first(project, since=0.0)

    assert asked(fleet, project)
    assert all(each.path.startswith(f"/p1/p2{control_plane_path(project)}/") for each in asked(fleet, project))


# ---- rows 16, 17, 43, 46 and 57: many, at the start, and a storm -----------------------------------------------------


def make_many(fleet: Fleet, number: int) -> list[str]:
    """Projects with nothing in them."""
    names = [f"p{each}-{fleet.label}" for each in range(number)]
    for each, name in enumerate(names):
        fleet.router.assign(name, fleet.plane.servers[1 + each % 2])
        fleet.create(name)
        fleet.set_ready(name, "True")
    return names


def remove_many(fleet: Fleet, names: list[str]) -> None:
    for name in names:
        fleet.delete(name)


def test_row_16_a_cluster_is_found_in_less_than_a_millisecond_while_fifty_others_sync(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    names = make_many(fleet, 50)
    fleet.router.add(Hang(), path_prefix=f"{PROJECTS}/")
    with running(fleet, Idle()) as manager:
        eventually(lambda: all(state_of(manager, name) == "syncing" for name in names))
        took = []
        for number in range(10_000):
            began = time.perf_counter()
            manager.cluster(names[number % 50])
            took.append(time.perf_counter() - began)
    remove_many(fleet, names)

    assert sorted(took)[9_900] < 0.001


@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.long)])
def test_row_17_projects_that_are_far_away_are_engaged_side_by_side(
    fleet: Fleet, eventually: Callable[..., Any], number: int
) -> None:
    names = make_many(fleet, number)
    fleet.router.add(Delay(0.2), path_prefix=f"{PROJECTS}/")
    began = time.monotonic()
    with running(fleet, Idle()) as manager:
        eventually(lambda: all(state_of(manager, name) == "engaged" for name in names), within=15.0)
        took = time.monotonic() - began
    remove_many(fleet, names)

    assert took < number * 0.2


def test_row_43_not_ready_before_the_first_list_of_projects(fleet: Fleet, eventually: Callable[..., Any]) -> None:
    project = fleet.make("p")
    held = fleet.router.add(Hang(), path_prefix=PROJECTS)
    with running(fleet, Idle()) as manager:
        eventually(lambda: "Project" in str(manager.readyz.run()["caches"]))
        held.remove()
        assert manager.wait_ready(10 * SECOND)
        assert state_of(manager, project) == "engaged"


def test_row_46_a_standby_has_engaged_all_projects_and_takes_over_within_a_second_without_a_list(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    root, leases = fleet.plane.servers[0], "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    held = {"holderIdentity": "other", "leaseDurationSeconds": 3600}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": fleet.label}, "spec": held}
    assert root.request("POST", leases, lease)[0] == 201
    follower, projects = Follower(fleet.label), [fleet.make(f"p{number}", number) for number in (1, 2)]
    election = LeaderElection(
        name=fleet.label, namespace="default", lease_duration=2, renew_deadline=1.0, retry_period=0.1
    )
    manager = Manager(
        fleet.config,
        provider=MiloProvider(selector=f"test={fleet.label}"),
        options=ManagerOptions(**OPTIONS, leader_election=election),
    )
    manager.add(follower)
    with manager:
        eventually(lambda: all(state_of(manager, project) == "engaged" for project in projects))
        lease = root.request("GET", f"{leases}/{fleet.label}")[1]
        lease["spec"]["holderIdentity"] = ""
        mark, began = len(fleet.router.exchanges), time.monotonic()
        assert root.request("PUT", f"{leases}/{fleet.label}", lease)[0] == 200
        for project in projects:
            assert follower.first(project, since=0.0) - began < SECOND

        read = [each for each in fleet.router.exchanges[mark:] if each.is_watch or "/control-plane/" in each.path]
    root.request("DELETE", f"{leases}/{fleet.label}")
    assert read == []


def test_row_57_a_storm_of_events_about_a_project_that_goes_costs_it_no_request(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    follower, project = Follower(fleet.label), fleet.make("p")
    with running(fleet, follower) as manager:
        follower.first(project, since=0.0)
        before = manager.cluster(project)
        fleet.edit(project, finalizers=["example.com/test"])
        fleet.delete(project)
        mark = len(fleet.router.exchanges)
        for number in range(50):
            fleet.edit(project, annotations={"step": str(number)})
        other = fleet.make("other", 2)
        follower.first(other, since=0.0)  # Behind the storm.

        assert manager.cluster(project) is before
        assert asked(fleet, project, since=mark) == []
        fleet.edit(project, finalizers=[])
        eventually(lambda: state_of(manager, project) == "gone")


# ---- rows 20 to 25: caches -------------------------------------------------------------------------------------------


def test_row_20_a_kind_that_one_project_lacks_is_awaited_there_and_nowhere_else(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    plural = f"gears{fleet.label}"
    definition = crd(plural, f"Gear{fleet.label}")
    things, follower = Idle("things", f"example.com/v1 Gear{fleet.label}"), Follower(fleet.label)
    has, lacks = fleet.plane.servers[1:]
    install_crds(has, definition)
    first, second = fleet.make("has", 1), fleet.make("lacks", 2)
    thing = {"apiVersion": "example.com/v1", "kind": f"Gear{fleet.label}", "metadata": {"name": "a"}}
    path = f"/apis/example.com/v1/namespaces/default/{plural}"
    with running(fleet, things, follower):
        assert has.request("POST", path, thing)[0] == 201
        eventually(lambda: (first, "a") in things.seen)
        follower.first(second, since=0.0)
        change = fleet.change(second, "1")
        follower.first(second, since=change.began, value="1", within=SECOND)
        install_crds(lacks, definition)
        assert lacks.request("POST", path, thing)[0] == 201
        eventually(lambda: (second, "a") in things.seen, within=5.0)
    for server in (has, lacks):
        server.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.example.com")


def test_row_22_a_project_whose_history_is_gone_is_listed_and_only_what_changed_is_told(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    """Its server compacts etcd each second, and has begun anew: it knows no version of before."""
    seen = Idle("maps", CONFIG_MAP)
    project = fleet.make("p", 2)
    server = fleet.plane.servers[2]
    for name in ("deleted", "same"):
        assert server.request("POST", CONFIG_MAPS, config_map("default", f"{name}-{fleet.label}"))[0] == 201
    with running(fleet, seen):
        eventually(lambda: {each for each in seen.seen if each[1].endswith(fleet.label)} == named(fleet, project))
        held = fleet.router.add(Hang(), project=project, watch=True)
        fleet.router.cut(project=project, watch=True)
        assert server.request("DELETE", f"{CONFIG_MAPS}/deleted-{fleet.label}")[0] == 200
        fleet.change(project, "1")
        assert server.request("POST", CONFIG_MAPS, config_map("default", f"new-{fleet.label}"))[0] == 201
        fleet.plane.restart(2)
        mark = len(seen.seen)
        held.remove()
        fleet.router.cut(project=project, watch=True)
        changed = [(project, f"{name}-{fleet.label}") for name in ("deleted", "new", "p")]
        eventually(lambda: sorted(each for each in seen.seen[mark:] if each[1].endswith(fleet.label)) == changed)
        assert server.request("POST", CONFIG_MAPS, config_map("default", f"last-{fleet.label}"))[0] == 201
        eventually(lambda: (project, f"last-{fleet.label}") in seen.seen)

    assert sorted(seen.seen[mark:]) == sorted([*changed, (project, f"last-{fleet.label}")])
    assert [each for each in asked(fleet, project) if each.status == 410 or b'"code":410' in each.body]


def named(fleet: Fleet, project: str) -> set[tuple[str, str]]:
    return {(project, f"{name}-{fleet.label}") for name in ("deleted", "same", "p")}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("watches", [3, pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.parametrize("fleet", [Endless], indirect=True)
def test_row_23_a_watch_that_the_server_ends_goes_on_where_it_was_and_nothing_is_listed_again(
    fleet: Fleet, eventually: Callable[..., Any], watches: int
) -> None:
    follower = Follower(fleet.label)
    project = fleet.make("p")
    with running(fleet, follower):
        follower.first(project, since=0.0)
        for number in range(watches):
            eventually(lambda number=number: len(informers(fleet, project)) > number + 1)
            change = fleet.change(project, f"1{number}")
            follower.first(project, since=change.began, value=f"1{number}")

        found = informers(fleet, project)
    assert found[0] == "stream"
    assert set(found[1:]) == {"watch"}


def test_row_24_a_project_is_listed_by_its_watch_and_page_by_page_where_that_is_refused(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    follower = Follower(fleet.label)
    streams, pages = fleet.make("streams", 1, ready=False), fleet.make("pages", 2, ready=False)
    fleet.router.add(Refuse(422, "Invalid"), project=pages, query=STREAMS)
    with running(fleet, follower):
        for project in (streams, pages):
            fleet.set_ready(project, "True")
            follower.first(project, since=0.0)
        eventually(lambda: informers(fleet, pages) == ["stream", "list", "watch"])
        assert informers(fleet, streams) == ["stream"]


def test_row_25_five_controllers_of_one_kind_share_one_watch_in_each_project(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    projects = [fleet.make(f"p{number}", number) for number in (1, 2)]
    with running(fleet, *(Idle(f"idle-{number}") for number in range(5))) as manager:
        eventually(lambda: all(state_of(manager, project) == "engaged" for project in projects))
        assert [informers(fleet, project, "secrets") for project in projects] == [["stream"]] * 2


# ---- rows 29, 32, 53 and 54: reconciles and what servers refuse ------------------------------------------------------


class Slow(Follower):
    """Takes its time with the first one."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.inside, self.go_on = threading.Event(), threading.Event()

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        result = super().reconcile(ctx, request)
        if not self.inside.is_set():
            self.inside.set()
            self.go_on.wait(30)
        return result


@pytest.mark.parametrize("updates", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_row_29_many_updates_during_a_slow_reconcile_are_one_more(
    fleet: Fleet, eventually: Callable[..., Any], updates: int
) -> None:
    slow = Slow(fleet.label)
    project = fleet.make("p")
    with running(fleet, slow) as manager:
        assert slow.inside.wait(10)
        for number in range(updates):
            fleet.change(project, str(number + 1))
        cached = manager.cluster(project).client
        path = ("default", project)
        eventually(lambda: cached.get(CONFIG_MAP, kcontroller.Key(*path))["data"]["n"] == str(updates))
        slow.go_on.set()
        slow.first(project, since=0.0, value=str(updates))
        eventually(lambda: manager.controllers[0].queue.in_flight == 0)

        assert slow.count(project, since=0.0) == 2


class Marking(Reconciler):
    """Marks each config map of its label once."""

    name = "marking"

    def __init__(self, label: str) -> None:
        self._label = label

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).cache(CONFIG_MAP, labels=f"test={self._label}").options(max_concurrent_reconciles=4)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        if found is not None and found["data"].get("mark") != found["data"]["n"]:
            found["data"]["mark"] = found["data"]["n"]
            ctx.client.patch(found)
        return None


def marked(fleet: Fleet, project: str, number: int) -> str:
    document = fleet.plane.servers[number].request("GET", f"{CONFIG_MAPS}/{project}")[1]
    return str(document["data"].get("mark", ""))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Refuse(429, retry_after=2), id="row_53"),
        pytest.param(Refuse(403, message="unpaid", causes=("ProjectSuspended",)), id="row_54"),
    ],
)
def test_rows_53_54_a_project_whose_server_refuses_writes_is_asked_seldom_and_the_others_as_ever(
    fleet: Fleet, eventually: Callable[..., Any], fault: Refuse
) -> None:
    well, ill = fleet.make("well", 1), fleet.make("ill", 2)
    with running(fleet, Marking(fleet.label)) as manager:
        eventually(lambda: (marked(fleet, well, 1), marked(fleet, ill, 2)) == ("0", "0"))
        refuses = fleet.router.add(fault, project=ill, methods=("PATCH",))
        for number in range(1, 11):
            fleet.change(ill, str(number))
            began = time.monotonic()
            fleet.change(well, str(number))
            eventually(lambda number=number: marked(fleet, well, 1) == str(number), within=SECOND)
            assert time.monotonic() - began < SECOND
        assert 1 <= refuses.hits <= 4
        assert manager.cluster(ill).breaker.state == "closed"
        assert state_of(manager, ill) == "engaged"


def test_row_32_a_project_whose_server_answers_500_is_held_back_until_it_answers_again(
    fleet: Fleet, eventually: Callable[..., Any]
) -> None:
    well, ill = fleet.make("well", 1), fleet.make("ill", 2)
    with running(fleet, Marking(fleet.label)) as manager:
        eventually(lambda: (marked(fleet, well, 1), marked(fleet, ill, 2)) == ("0", "0"))
        breaks = fleet.router.add(Refuse(500), project=ill, watch=False)
        fleet.change(ill, "1")
        eventually(lambda: manager.cluster(ill).breaker.state != "closed")
        for number in range(1, 6):
            fleet.change(well, str(number))
            eventually(lambda number=number: marked(fleet, well, 1) == str(number), within=SECOND)
        assert breaks.hits <= 20
        breaks.remove()
        eventually(lambda: marked(fleet, ill, 2) == "1")
        eventually(lambda: manager.cluster(ill).breaker.state == "closed")

"""Rows of the feature table about what controllers do in projects: caches, the queue, hooks and the lease.

Each test has the number of its row; `docs/feature-rows.md` has all of them. What real kube-apiservers do is in
``tests/integration/test_fleet_rows_real.py``.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Manager, ManagerOptions, Object, Reconciler, Request, Result
from kcontroller.api import patches
from kcontroller.embedded.milo import control_plane_path
from kcontroller.errors import AlreadyExists, Conflict, NotCached
from kcontroller.leaderelection import LeaderElection
from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import HttpFaultProxy, Milo, config_of
from kcontroller.testing import http_faults as http
from kcontroller.testing.polling import eventually
from kcontroller.transport.shared_loops import OWN_LOOPS, SHARED_LOOPS
from tests.faults.writing import InTheLoop, Step
from tests.integration.conftest import OPTIONS
from tests.integration.milo_fleet import PROJECTS, STREAMS
from tests.integration.projects import CONFIG_MAP, SECOND, Hooked, Projects, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient, VirtualClock
    from kcontroller.testing.active import ActiveRule
    from kcontroller.transport.config import Config

PAIR = Milo(projects=("p1", "p2"), cold_storage=False)
MAPS = "/api/v1/namespaces/default/configmaps"
SECRET = "v1 Secret"

pytestmark = pytest.mark.usefixtures("no_leaks")


def fill(server: EmbeddedServer, project: str, names: list[str]) -> None:
    """Create config maps in a project, as fast as the server can."""
    for some in range(0, len(names), 500):
        InTheLoop(server, project).do([Step.of("POST", MAPS, name, "") for name in names[some : some + 500]])


def relabel(client: ServerClient, project: str, name: str, value: str) -> None:
    """Change a config map of a project."""
    obj = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": name}})
    client(cluster=project).patch(obj, patches.merge({"metadata": {"labels": {"n": value}}}))


# ---- rows 22 to 24 and 27: caches ------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=PAIR)
def test_row_22_a_project_whose_history_is_gone_is_listed_and_only_what_changed_is_told(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, client: ServerClient, manager: Managers, projects: Projects
) -> None:
    for project in ("p1", "p2"):
        fill(api_server, project, [f"same{number}" for number in range(20)] + ["changed", "deleted"])
    watching = Watching()
    projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    for project in ("p1", "p2"):
        for name in ("changed", "deleted", "same0", "same19"):
            watching.wait_for(f"{project}:default/{name}")
    eventually(lambda: len(set(watching.seen)) == 44)
    mark = watching.mark

    held = proxy.add(http.Hang(), project="p1", watch=True)
    proxy.cut(project="p1", watch=True)
    relabel(client, "p1", "changed", "1")
    client(cluster="p1").delete(CONFIG_MAP, Key("default", "deleted"))
    projects.put("p1", "new")
    api_server.call(api_server.api.backend.store.compact)
    held.remove()
    proxy.cut(project="p1", watch=True)
    for name in ("changed", "deleted", "new"):
        watching.wait_for(f"p1:default/{name}", since=mark, within=5 * SECOND)
    projects.put("p1", "last")
    watching.wait_for("p1:default/last", since=mark)

    told = sorted(each for each in watching.seen[mark:] if each.startswith("p1:"))
    assert told == [f"p1:default/{name}" for name in ("changed", "deleted", "last", "new")]
    # A 410 comes as the answer to the watch, or as its first event.
    assert [each for each in proxy.exchanges if each.status == 410 or b'"code":410' in each.body]


@pytest.mark.embedded(milo=PAIR)
def test_row_23_a_watch_that_the_server_ends_goes_on_where_it_was_and_nothing_is_listed_again(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects, clock: VirtualClock
) -> None:
    watching = Watching()
    projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    for number in range(6):
        clock.advance(10)  # One that ends within a second has ended too soon.
        eventually(lambda: proxy.tell(b"", project="p1", end=True))
        projects.put("p1", f"a{number}")
        watching.wait_for(f"p1:default/a{number}")

    first, *further = api_server.requests.where(resource="configmaps", plane="p1", verb={"list", "watch"})
    assert "sendInitialEvents" in first.query
    assert len(further) == 6
    assert not any(each.verb == "list" or "sendInitialEvents" in each.query for each in further)
    versions = [int(each.query["resourceVersion"]) for each in further]
    assert versions == sorted(versions)
    assert versions[0] > 0


@pytest.mark.embedded(milo=PAIR)
def test_row_24_a_project_is_listed_by_its_watch_and_page_by_page_where_that_is_refused(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    proxy.add(http.Refuse(422, "Invalid"), project="p2", query=STREAMS)
    for project in ("p1", "p2"):
        fill(api_server, project, ["a"])
    watching = Watching()
    projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    for project in ("p1", "p2"):
        watching.wait_for(f"{project}:default/a")

    def asked(project: str) -> list[str]:
        place = control_plane_path(project)
        found = [each for each in proxy.exchanges if each.path.startswith(place) and each.path.endswith("/configmaps")]
        return ["stream" if STREAMS in each.target else "watch" if each.is_watch else "list" for each in found]

    eventually(lambda: asked("p2") == ["stream", "list", "watch"])
    assert asked("p1") == ["stream"]


class Three(Watching):
    """Keeps three kinds, each in its own way."""

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).cache(CONFIG_MAP, labels="keep=yes")
        builder.cache(SECRET, metadata_only=True).cache("v1 Namespace")


@pytest.mark.parametrize("number", [40, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_row_27_a_project_costs_a_thread_at_most_and_keeps_what_was_asked_for(
    client: ServerClient, manager: Managers, projects: Projects, number: int
) -> None:
    """How much memory 400 projects of three kinds take is measured by ``bin/bench fleet``."""
    names = [f"p{each}" for each in range(number)]
    for name in names:
        projects.make(name)
    metadata = {"namespace": "default", "name": "kept", "labels": {"keep": "yes"}}
    for kind in ("ConfigMap", "Secret"):
        client(cluster="p0").create(Object({"apiVersion": "v1", "kind": kind, "metadata": metadata}))
    projects.put("p0", "left-out")
    before = threading.active_count()
    kept: list[Any] = []

    def act(ctx: Context) -> None:
        kept.append([each.metadata.name for each in ctx.client.list(CONFIG_MAP)])
        kept.append("managedFields" in ctx.client.get(CONFIG_MAP, ctx.request)["metadata"])
        kept.append(ctx.client.metadata.get(SECRET, ctx.request).metadata.labels)
        with pytest.raises(NotCached):
            ctx.client.get(SECRET, ctx.request)
        kept.append(len(ctx.client.list("v1 Namespace")) > 0)

    watching = Three(act)
    projects.watch(manager, watching, within=60.0)
    eventually(lambda: all(map(projects.is_engaged, names)), within=60.0)
    watching.wait_for("p0:default/kept")

    # What engages ends with that; one for each cluster stays, which many clusters share, and some of the process.
    eventually(lambda: threading.active_count() - before <= min(number, OWN_LOOPS + SHARED_LOOPS) + 16)
    ours = [each.name for each in threading.enumerate() if re.match(r"kc-cluster-p\d", each.name)]
    assert len(ours) == min(number, OWN_LOOPS)
    assert kept == [["kept"], False, {"keep": "yes"}, True]
    assert watching.seen == ["p0:default/kept"]


# ---- rows 29 to 34: the queue ----------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=PAIR)
def test_row_29_a_thousand_updates_during_a_slow_reconcile_are_one_more(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    inside, go_on, at_once = threading.Event(), threading.Event(), []
    running_now: set[Request] = set()

    def act(ctx: Context) -> None:
        at_once.append(ctx.request in running_now)
        running_now.add(ctx.request)
        if ctx.request.cluster == "p1" and not inside.is_set():
            inside.set()
            go_on.wait(10)
        running_now.discard(ctx.request)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    for project in ("p1", "p2"):
        projects.put(project, "a")
    assert inside.wait(SECOND)
    watching.wait_for("p2:default/a")
    steps = [Step.of("PUT", MAPS, "a", str(number)) for number in range(1000)]
    for some in range(0, 1000, 100):
        done = InTheLoop(api_server, "p1").do(steps[some : some + 100])
        assert {status for _step, status, _answer in done} == {200}
    cached = running.cluster("p1").client
    eventually(lambda: cached.get(CONFIG_MAP, Key("default", "a"))["data"] == {"x": "999"})
    go_on.set()
    projects.put("p1", "behind")
    watching.wait_for("p1:default/behind")
    eventually(lambda: running.controllers[0].queue.in_flight == 0)

    assert watching.seen.count("p1:default/a") == 2
    assert watching.seen.count("p2:default/a") == 1
    assert not any(at_once)


@pytest.mark.embedded(milo=PAIR)
def test_row_31_updates_are_handled_within_a_second_while_a_project_has_its_first_list_to_work_off(
    api_server: EmbeddedServer, client: ServerClient, manager: Managers, projects: Projects
) -> None:
    """With 20,000 objects: tests/faults/test_workers.py."""
    names = [f"n{number:04}" for number in range(4000)]
    fill(api_server, "p1", names)
    fill(api_server, "p2", ["live"])

    def act(ctx: Context) -> None:
        if ctx.request.cluster == "p1":
            ctx.stop.wait(0.002)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    queue = running.controllers[0].queue
    eventually(lambda: queue.depth("p1") > 3000 and "p2:default/live" in watching.seen)
    for number in range(10):
        late = next(name for name in reversed(names) if f"p1:default/{name}" not in watching.seen)
        for project, name in (("p1", late), ("p2", "live")):
            mark = watching.mark
            relabel(client, project, name, str(number))
            watching.wait_for(f"{project}:default/{name}", since=mark, within=SECOND)

    assert queue.depth("p1") > 500, "the list is not worked off yet"


@pytest.mark.embedded(milo=PAIR)
def test_row_33_ten_thousand_requests_of_a_project_that_leaves_go_with_it(
    manager: Managers, projects: Projects
) -> None:
    at_end: list[int] = []
    watching = Watching()
    hooked = Hooked(lambda hook, _name: at_end.append(watching.mark) if hook == "gone" else None)
    running = projects.watch(manager, watching)
    running.clusters.listen(hooked)
    eventually(lambda: hooked.of("p1") and hooked.of("p2"))
    queue = running.controllers[0].queue
    running.pause("watching", "p1")
    for number in range(10_000):
        queue.add(Request("p1", "default", f"n{number}"), after=0.2 if number % 10 == 0 else 0.0)
    assert queue.depth("p1") >= 9000
    projects.put("p2", "a")
    watching.wait_for("p2:default/a")
    running.resume("watching", "p1")
    projects.delete("p1")
    eventually(lambda: at_end, within=5 * SECOND)

    assert queue.depth("p1") == 0
    projects.make("p1")
    projects.put("p1", "after")
    watching.wait_for("p1:default/after", within=5 * SECOND)
    queue.check_invariants()
    later = {each for each in watching.seen[at_end[0] :] if each.startswith("p1:")}
    assert later == {"p1:default/after"}
    assert not any(queue.failures(Request("p1", "default", f"n{number}")) for number in range(100))


@pytest.mark.embedded(milo=PAIR)
def test_row_34_a_request_of_a_project_that_is_gone_is_dropped_once_and_counted(
    manager: Managers, projects: Projects
) -> None:
    watching = Watching()
    running = projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))
    projects.delete("p1")
    eventually(lambda: projects.state_of("p1") is None)
    queue, value = running.controllers[0].queue, running.metrics.registry.get_sample_value
    gone = Request("p1", "default", "late")

    def dropped() -> float:
        return value("kcontroller_dropped_requests_total", {"controller": "watching"}) or 0.0

    before = dropped()
    queue.add(gone)
    eventually(lambda: dropped() == before + 1)
    projects.put("p2", "a")
    watching.wait_for("p2:default/a")

    assert queue.failures(gone) == 0
    assert queue.depth("p1") == 0
    assert dropped() == before + 1
    assert str(gone) not in watching.seen


# ---- rows 35 and 36: leaving -----------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=PAIR)
def test_row_35_a_reconcile_hears_within_a_tenth_of_a_second_that_its_project_leaves(
    manager: Managers, projects: Projects
) -> None:
    """The best of three: the others are the machine's."""
    inside, heard = threading.Event(), []

    def act(ctx: Context) -> None:
        if ctx.request == Request("p1", "default", "a"):
            inside.set()
            stopped = ctx.stop.wait(10)
            heard.append((stopped, time.monotonic()))

    hooked = Hooked()
    running = projects.watch(manager, Watching(act))
    running.clusters.listen(hooked)
    projects.put("p1", "a")
    took = []
    for turn in range(1, 4):
        assert inside.wait(5 * SECOND)
        inside.clear()
        began = time.monotonic()
        projects.delete("p1")
        eventually(lambda turn=turn: len(heard) == turn)
        assert heard[-1][0]
        took.append(heard[-1][1] - began)
        eventually(lambda turn=turn: [hook for hook, _uid in hooked.of("p1")].count("gone") == turn)
        assert turn == 3 or projects.make("p1") is None

    assert min(took) < 0.1, took


@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_row_36_hooks_are_called_once_each_and_in_order_whatever_the_projects_do(
    manager: Managers, projects: Projects
) -> None:
    chance, go_on = random.Random(36), threading.Event()  # noqa: S311 - to be repeated
    names = [f"p{number}" for number in range(6)]

    def raises(hook: str, _name: str) -> None:
        raise LookupError(hook)

    def hangs(_hook: str, name: str) -> None:
        if name == "p0":
            go_on.wait(20)

    hooked, failing, slow = Hooked(), Hooked(raises), Hooked(hangs)
    running = projects.watch(manager, Watching())
    for listener in (failing, slow, hooked):
        running.clusters.listen(listener)
    there: dict[str, str] = {}
    for _ in range(80):
        name = chance.choice(names)
        if name in there:
            if chance.random() < 0.5:
                eventually(lambda name=name: projects.is_engaged(name))
            projects.delete(name)
            del there[name]
        else:
            eventually(lambda name=name: projects.make(name) is None, ignoring=(AlreadyExists,))
            there[name] = projects.uid(name)
    eventually(lambda: {each.name: each.uid for each in running.clusters.states()} == there, within=10.0)
    eventually(lambda: all(map(projects.is_engaged, there)), within=10.0)

    def settled(listener: Hooked, name: str) -> bool:
        told = listener.of(name)
        last = told[-1] if told else ("gone", "")
        return last == ("engaged", there[name]) if name in there else last[0] == "gone"

    eventually(lambda: all(settled(each, name) for each in (hooked, failing) for name in names), within=10.0)
    eventually(lambda: all(settled(slow, name) for name in names[1:]), within=10.0)
    assert len(slow.of("p0")) <= 1
    go_on.set()
    eventually(lambda: settled(slow, "p0"), within=10.0)

    for listener in (hooked, failing, slow):
        for name in names:
            for uid, told in groupby(listener.of(name), key=lambda each: each[1]):
                hooks = [hook for hook, _uid in told]
                whole = ["engaged", "draining", "gone"]
                assert hooks == (whole[:1] if there.get(name) == uid else whole), (name, uid)
            uids = [uid for uid, _told in groupby(uid for _hook, uid in listener.of(name))]
            assert len(uids) == len(set(uids))
    assert len(hooked.log) > 40


# ---- rows 3, 6, 14, 18 and 36 at once --------------------------------------------------------------------------------


class Turmoil:
    """What may happen to a few projects, to their servers and to the hub, at random; the same for the same seed."""

    def __init__(self, seed: int, server: EmbeddedServer, proxy: HttpFaultProxy, projects: Projects) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be repeated
        self._server, self._proxy, self._projects = server, proxy, projects
        self._rules: list[ActiveRule] = []
        self.names = [f"p{number}" for number in range(6)]
        self._there: set[str] = set()

    def step(self) -> None:
        """Let one thing happen."""
        name, pick = self._random.choice(self.names), self._random.random()
        if pick < 0.25:
            self._make_or_delete(name)
        elif pick < 0.5:
            self._flip(name)
        elif pick < 0.65:
            fault = self._random.choice([http.Hang(), *map(http.Refuse, (403, 429, 500, 503)), http.Delay(0.1)])
            self._rules.append(self._proxy.add(fault, project=name, watch=self._random.choice([None, True, False])))
        elif pick < 0.85:
            self._calm()
        elif pick < 0.95:
            self._proxy.cut(project=name, watch=True, reset=self._random.random() < 0.5)
        else:
            fault = self._random.choice([http.Hang(), http.Refuse(500), http.Refuse(410, "Expired")])
            self._rules.append(self._proxy.add(fault, path_prefix=PROJECTS, watch=True))
            self._proxy.cut(path_prefix=PROJECTS, watch=True)
            self._server.call(self._server.api.backend.store.compact)

    def _make_or_delete(self, name: str) -> None:
        if name in self._there:
            self._projects.delete(name)
        else:
            eventually(lambda: self._projects.make(name) is None, ignoring=(AlreadyExists,))
        self._there ^= {name}

    def _flip(self, name: str) -> None:
        if name in self._there:
            with contextlib.suppress(Conflict):  # Milo's own controller has just said something.
                self._projects.ready(name, "False" if self._projects.is_ready(name) else "True")

    def _calm(self) -> None:
        if self._rules:
            self._rules.pop(self._random.randrange(len(self._rules))).remove()

    def end(self) -> dict[str, str]:
        """Take all faults off; gives the uids of the projects that are ready."""
        self._proxy.clear()
        return {name: self._projects.uid(name) for name in self._there if self._projects.is_ready(name)}


@pytest.mark.parametrize("seed", [1, *(pytest.param(number, marks=pytest.mark.long) for number in range(2, 12))])
@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_rows_03_06_14_18_36_whatever_happens_the_clusters_are_those_that_are_ready_in_the_end(
    api_server: EmbeddedServer,
    proxy: HttpFaultProxy,
    manager: Managers,
    projects: Projects,
    clock: VirtualClock,
    seed: int,
) -> None:
    watching, hooked = Watching(), Hooked()
    running = projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    running.clusters.listen(hooked)
    turmoil = Turmoil(seed, api_server, proxy, projects)

    def settles(check: Callable[[], bool]) -> None:
        def look() -> bool:
            clock.advance(5)  # What has failed often is tried again after half a minute.
            return check()

        eventually(look, within=15.0)

    def engaged() -> dict[str, str]:
        return {each.name: each.uid for each in running.clusters.states() if each.state is State.ENGAGED}

    for turn in range(5):
        for _ in range(60):
            turmoil.step()
        ready = turmoil.end()
        settles(lambda ready=ready: engaged() == ready)
        settles(lambda ready=ready: {each.name for each in running.clusters.states()} == set(ready))
        for name in ready:
            projects.put(name, f"last{turn}")
            settles(lambda name=name, turn=turn: f"{name}:default/last{turn}" in watching.seen)
        for name in turmoil.names:
            last = "engaged" if name in ready else "gone"
            eventually(lambda name=name, last=last: (hooked.of(name) or [("gone", "")])[-1][0] == last)
            hooks = [hook for hook, _uid in hooked.of(name)]
            assert hooks == (["engaged", "draining", "gone"] * len(hooks))[: len(hooks)]
    assert len(hooked.log) > 10
    running.controllers[0].queue.check_invariants()


# ---- rows 45 and 47: the lease ---------------------------------------------------------------------------------------

LEASE, RENEW, RETRY = 2, 1.0, 0.1
TWO_USERS = dict.fromkeys(("alpha", "beta"), ("system:masters",))


class Counts(Reconciler):
    """Counts in its config maps without end."""

    name = "counts"

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, ctx: Context, request: Request) -> Result:
        obj = ctx.client.get(CONFIG_MAP, request)
        obj["data"] = {"n": str(int(obj["data"].get("n", 0)) + 1)}
        ctx.client.patch(obj)
        return Result(requeue_after=0.02)


@pytest.fixture
def replica() -> Iterator[Callable[..., Manager]]:
    """Start a manager that stands for election."""
    started: list[Manager] = []

    def start(config: Config, who: str) -> Manager:
        election = LeaderElection(
            name="fleet",
            namespace="default",
            identity=who,
            lease_duration=LEASE,
            renew_deadline=RENEW,
            retry_period=RETRY,
        )
        made = Manager(config, provider=MiloProvider(), options=ManagerOptions(**OPTIONS, leader_election=election))
        made.add(Counts())
        made.start()
        started.append(made)
        return made

    yield start
    for each in started:
        each.stop(grace=1.0)


class Writers:
    """Who wrote to the projects, as the server has it."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        for project in ("p1", "p2"):
            fill(server, project, ["a"])

    def runs(self, project: str) -> list[str]:
        """Those who wrote to one, in order, each as often as another had written in between."""
        writes = self._server.requests.writes(plane=project, resource="configmaps", verb="patch")
        return [user for user, _writes in groupby(each.user for each in writes)]

    def wait_for(self, user: str, *, within: float) -> None:
        """Wait until one is the last one to have written, in both."""
        eventually(lambda: all(self.runs(name)[-1:] == [user] for name in ("p1", "p2")), within=within)


@pytest.mark.embedded(milo=PAIR, users=TWO_USERS)
def test_row_45_who_ends_in_order_hands_the_projects_over_within_the_retry_period(
    api_server: EmbeddedServer, replica: Callable[..., Manager]
) -> None:
    """After a SIGKILL, in processes of their own and on a real server: tests/integration/test_leader_election.py."""
    writers = Writers(api_server)
    leader = replica(config_of(api_server, user="alpha"), "alpha")
    writers.wait_for("alpha", within=5.0)
    replica(config_of(api_server, user="beta"), "beta")
    eventually(lambda: api_server.requests.where(plane="p2", user="beta", verb="watch"))
    assert leader.stop(1.0)
    writers.wait_for("beta", within=RETRY * 1.2 + SECOND)

    assert [writers.runs(name) for name in ("p1", "p2")] == [["alpha", "beta"]] * 2


@pytest.mark.embedded(milo=PAIR, users=TWO_USERS)
def test_row_47_who_cannot_renew_writes_to_no_project_any_more_before_another_may(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, replica: Callable[..., Manager]
) -> None:
    """Its way to the projects stays open: it is by itself that it stops."""
    writers = Writers(api_server)
    cut_off = replica(proxy.config(config_of(api_server, user="alpha")), "alpha")
    writers.wait_for("alpha", within=5.0)
    replica(config_of(api_server, user="beta"), "beta")
    eventually(lambda: api_server.requests.where(plane="p2", user="beta", verb="watch"))
    began = time.monotonic()
    proxy.add(http.Hang(), path_prefix="/apis/coordination.k8s.io")
    eventually(lambda: cut_off.failure == "leader election lost", within=RENEW + SECOND)
    # What had been sent by then may arrive a moment later, long before another may write.
    eventually(lambda: not any(each.queue.in_flight for each in cut_off.controllers))
    mark = api_server.requests.mark()
    writers.wait_for("beta", within=LEASE + RETRY * 1.2 + SECOND)

    assert time.monotonic() - began > RENEW
    assert [each for each in api_server.requests.writes(since=mark, user="alpha") if each.plane] == []
    assert [writers.runs(name) for name in ("p1", "p2")] == [["alpha", "beta"]] * 2

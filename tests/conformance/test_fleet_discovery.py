"""Rows of the feature table that are about projects: how they are found, how they are reached, and when they leave.

What happens on real kube-apiservers is in ``tests/integration/test_milo_real.py``, and control planes at hosts of their
own are in ``test_fleet_hosts.py``.
"""

from __future__ import annotations

import gc
import json
import logging
import re
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Object, ObjectReconciler
from kcontroller.api.codec import gvk_of
from kcontroller.errors import AlreadyExists, ClusterNotFound, ConfigError
from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import External, MiloProvider, control_plane_path
from kcontroller.testing import FreezeWatch, Hang, HttpFaultProxy, Milo, Rule, config_of
from kcontroller.testing.http_faults import Answer
from kcontroller.testing.leaks import LeakCheck
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.integration.projects import CONFIG_MAP, PROJECT, SECOND, Hooked, Projects, Watching

if TYPE_CHECKING:
    from kcontroller import Builder, Context, Result
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient
    from kcontroller.testing.http_target import Destination

THREE = ("p1", "p2", "p3")
WARM = Milo(projects=THREE, cold_storage=False)
MANUAL = Milo(projects=THREE, readiness="manual", cold_storage=False)
EMPTY = Milo(cold_storage=False)
SIXTY = tuple(f"p{number}" for number in range(60))
ORGANIZATION = "resourcemanager.miloapis.com/organization-name"
OWN_USER = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

pytestmark = pytest.mark.usefixtures("no_leaks")


class Heedless(HttpFaultProxy):
    """A way to the server on which selectors get lost."""

    def _destination(self, raw_path: str, *, host: str) -> Destination | None:
        return super()._destination(re.sub(r"(?<=[?&])labelSelector=[^&]*&?", "", raw_path), host=host)


# ---- who is found ----------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=MANUAL)
def test_row_01_three_ready_projects_are_engaged_within_two_seconds(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    watching = Watching()
    projects.watch(manager, watching)
    for name in THREE:
        eventually(lambda name=name: projects.put(name, "there") is None)
    began = time.monotonic()
    for name in THREE:
        projects.ready(name)
    eventually(lambda: all(map(projects.is_engaged, THREE)), within=2.0)
    for name in THREE:
        watching.wait_for(f"{name}:default/there")
    assert time.monotonic() - began < 2.0
    api_server.requests.assert_count(1, resource="projects.resourcemanager.miloapis.com", verb="watch")


@pytest.mark.embedded(milo=MANUAL)
def test_row_02_a_project_without_status_is_never_engaged_and_the_condition_is_a_matter_of_choice(
    manager: Managers, projects: Projects
) -> None:
    hooked = Hooked()
    running = projects.watch(manager, Watching(), provider=MiloProvider(ready_condition="Provisioned"))
    running.clusters.listen(hooked)
    projects.ready("p2")
    projects.ready("p3", condition="Provisioned")
    eventually(lambda: projects.is_engaged("p3"))
    projects.ready("p3", "Unknown", condition="Provisioned")
    eventually(lambda: projects.is_away("p3"))

    assert {name for _hook, name, _uid in hooked.log} == {"p3"}


@pytest.mark.embedded(milo=MANUAL)
def test_row_03_a_project_that_is_not_ready_is_left_within_a_second_and_taken_up_whole_again(
    manager: Managers, projects: Projects
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


@pytest.mark.embedded(milo=MANUAL)
@pytest.mark.parametrize("pause", [0.0, pytest.param(0.1, marks=pytest.mark.long, id="in twenty seconds")])
def test_row_03_two_hundred_flips_leave_threads_and_sockets_where_they_were(
    manager: Managers, projects: Projects, pause: float
) -> None:
    watching = Watching()
    projects.watch(manager, watching)
    projects.ready("p1")
    eventually(lambda: projects.is_engaged("p1"))
    with LeakCheck(within=5.0):
        for number in range(200):
            projects.ready("p1", "True" if number % 2 else "False")
            threading.Event().wait(pause)
        eventually(lambda: projects.is_engaged("p1"), within=2 * SECOND)
        mark = watching.mark
        projects.put("p1", "after")
        watching.wait_for("p1:default/after", since=mark)
        # A thread of the cluster that is engaged now, for that of the one that was engaged before.
        assert _cluster_threads() == ["kc-cluster-local", "kc-cluster-p1"]
        projects.ready("p1", "False")
        eventually(lambda: projects.is_away("p1"), within=SECOND)
    assert _cluster_threads() == ["kc-cluster-local"]


@pytest.mark.embedded(milo=MANUAL)
def test_row_03_flips_that_are_shorter_than_the_grace_change_nothing(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    running = projects.watch(manager, Watching(), provider=MiloProvider(unready_grace=60.0))
    projects.ready("p1")
    eventually(lambda: projects.is_engaged("p1"))
    before, mark = running.cluster("p1"), api_server.requests.mark()
    for _ in range(50):
        projects.ready("p1", "False")
        projects.ready("p1", "True")
    projects.ready("p2")
    eventually(lambda: projects.is_engaged("p2"))  # Behind the flips.

    assert running.cluster("p1") is before
    api_server.requests.assert_none(plane="p1", since=mark)


@pytest.mark.embedded(milo=MANUAL)
def test_row_03_a_project_that_is_not_ready_for_longer_than_the_grace_is_left(
    manager: Managers, projects: Projects
) -> None:
    projects.watch(manager, Watching(), provider=MiloProvider(unready_grace=0.05))
    projects.ready("p1")
    eventually(lambda: projects.is_engaged("p1"))
    projects.ready("p1", "False")
    eventually(lambda: projects.is_away("p1"), within=SECOND)


# ---- who leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=EMPTY)
def test_row_04_two_hundred_projects_that_came_and_went_leave_nothing_behind(
    manager: Managers, projects: Projects
) -> None:
    running = projects.watch(manager, Watching())
    controller, hooked = running.controllers[0], Hooked()
    running.clusters.listen(hooked)
    threads = _our_threads()
    for turn in range(10):
        names = [f"p{turn}-{number}" for number in range(20)]
        for name in names:
            projects.make(name)
        eventually(lambda names=names: all(map(projects.is_engaged, names)), within=20.0)
        for name in names:
            projects.delete(name)
        eventually(lambda: running.clusters.states() == (), within=20.0)

    def nothing_is_left() -> None:
        running.observe()
        text = running.metrics.render().decode()
        assert [line for line in text.splitlines() if 'cluster="p' in line] == []
        assert _our_threads() == threads
        controller.queue.check_invariants()
        assert controller.queue._schedule._shares == {}
        assert controller.waiting_for() == ()
        gc.collect()
        assert [each.name for each in hooked.clusters] == []

    eventually(nothing_is_left, within=10.0)
    gauge = running.metrics.registry.get_sample_value
    assert {gauge("kcontroller_clusters", {"state": state.value}) or 0 for state in State} == {0}


class Finalizes(ObjectReconciler[Object]):
    """Takes its finalizer off what is deleted."""

    name = "finalizes"
    kind = CONFIG_MAP
    finalizer = "example.com/finalizes"

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        """Nothing more."""

    def finalize(self, ctx: Context, obj: Object) -> Result | None:
        """Nothing is in the way."""


@pytest.mark.embedded(milo=WARM)
def test_row_05_a_finalizer_inside_a_terminating_project_is_removed(
    client: ServerClient, manager: Managers, projects: Projects
) -> None:
    projects.watch(manager, Finalizes())
    eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "kept")
    inside, key = client(cluster="p1"), Key("default", "kept")
    eventually(lambda: inside.get(CONFIG_MAP, key).metadata.finalizers == [Finalizes.finalizer])
    projects.hold("p1")
    projects.delete("p1")
    eventually(lambda: client.get(PROJECT, Key("", "p1"))["metadata"].get("deletionTimestamp"))
    projects.ready("p1", "False", "Terminating")  # As some operator might say.

    inside.delete(CONFIG_MAP, key)
    eventually(lambda: inside.get_or_none(CONFIG_MAP, key) is None)
    assert projects.is_engaged("p1")
    projects.let_go("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)


@pytest.mark.embedded(milo=WARM)
def test_row_05_a_terminating_project_may_be_left_at_once(manager: Managers, projects: Projects) -> None:
    running = projects.watch(manager, Watching(), provider=MiloProvider(terminating="disengage"))
    eventually(lambda: projects.is_engaged("p1"))
    projects.hold("p1")
    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    running.stop()

    projects.watch(manager, Watching(), provider=MiloProvider(terminating="disengage"))
    eventually(lambda: projects.is_engaged("p2"))
    assert projects.state_of("p1") is None
    projects.let_go("p1")


@pytest.mark.embedded(milo=WARM)
def test_row_06_one_of_the_same_name_is_another_cluster_although_nobody_saw_the_first_one_go(
    manager: Managers, projects: Projects, faults: Any
) -> None:
    hooked = Hooked()
    running = projects.watch(manager, Watching())
    running.clusters.listen(hooked)
    eventually(lambda: projects.is_engaged("p1"))
    before, first = running.cluster("p1"), projects.uid("p1")
    with faults(Rule(FreezeWatch(), resource="projects")):
        projects.delete("p1")
        eventually(lambda: projects.make("p1") is None, ignoring=(AlreadyExists,))
        assert running.cluster("p1") is before
    eventually(lambda: running.cluster("p1") is not before, ignoring=(ClusterNotFound,))
    eventually(lambda: projects.is_engaged("p1"))

    second = projects.uid("p1")
    assert before.leaving.stopped
    assert {each.name: each.uid for each in running.clusters.states()}["p1"] == second != first
    told = [("engaged", first), ("draining", first), ("gone", first), ("engaged", second)]
    eventually(lambda: hooked.of("p1") == told)


@pytest.mark.embedded(milo=WARM)
def test_row_06_a_project_that_is_made_anew_is_read_anew(manager: Managers, projects: Projects) -> None:
    watching = Watching()
    running = projects.watch(manager, watching)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    projects.put("p1", "a")
    watching.wait_for("p1:default/a")
    before, mark = running.cluster("p1"), watching.mark

    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    watching.wait_for("p1:default/a", since=mark)  # What is in it outlives the Project, as in Milo.
    assert running.cluster("p1") is not before
    assert all(each.startswith("p1:") for each in watching.seen[mark:])


@pytest.mark.embedded(milo=WARM)
def test_row_07_nothing_is_asked_of_a_control_plane_whose_project_is_gone_although_it_answers(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    inside = threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.cluster == "p1":
            inside.set()
            ctx.stop.wait(10)
            metadata = {"namespace": "default", "name": "late"}
            ctx.client.create(Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))

    watching = Watching(act)
    projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "a")
    assert inside.wait(SECOND)
    projects.delete("p1")
    eventually(lambda: projects.state_of("p1") is None, within=2 * SECOND)
    mark = api_server.requests.mark()
    projects.put("p1", "b")  # It still answers.
    projects.put("p2", "b")
    watching.wait_for("p2:default/b")

    assert [each.verb for each in api_server.requests.where(plane="p1", since=mark)] == ["create"]


# ---- who is left out -------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=EMPTY)
def test_row_08_a_project_that_loses_its_label_is_left_and_the_server_sends_no_others(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    projects.make("gold", tier="gold")
    projects.make("free", tier="free")
    running = projects.watch(manager, Watching(), provider=MiloProvider(selector="tier=gold"))
    eventually(lambda: projects.is_engaged("gold"), within=SECOND)
    assert projects.is_away("free")
    asked = api_server.requests.where(resource="projects.resourcemanager.miloapis.com", verb="watch")
    assert {each.query.get("labelSelector") for each in asked} == {"tier=gold"}
    assert running.cluster("").shown(gvk_of(PROJECT), Key("", "free")) is None

    projects.label("free", tier="gold")
    eventually(lambda: projects.is_engaged("free"), within=SECOND)
    projects.label("gold", tier=None)
    eventually(lambda: projects.is_away("gold"), within=SECOND)
    eventually(lambda: [each.name for each in running.clusters.states()] == ["free"], within=SECOND)
    projects.delete("gold")
    projects.label("free", tier="gold", more="1")
    eventually(lambda: running.cluster("free").labels.get("more") == "1")
    assert [each.name for each in running.clusters.states()] == ["free"]


@pytest.mark.embedded(milo=Milo(projects=("ours",), organization="acme", cold_storage=False))
@pytest.mark.parametrize("way", [HttpFaultProxy, Heedless])
@pytest.mark.parametrize("by", ["path", "option"])
def test_row_09_projects_of_other_organizations_stay_strangers(
    api_server: EmbeddedServer, manager: Managers, projects: Projects, way: type[HttpFaultProxy], by: str
) -> None:
    with way(api_server.url, ca_pem=api_server.ca_pem) as proxy:
        hub = proxy.config(config_of(api_server))
        if by == "path":
            organization = "/apis/resourcemanager.miloapis.com/v1alpha1/organizations/acme/control-plane"
            hub = hub.with_server(hub.server + organization)
        provider = MiloProvider(organization="acme" if by == "option" else "")
        running = projects.watch(manager, Watching(), config=hub, provider=provider)
        eventually(lambda: projects.is_engaged("ours"))
        assert running.cluster("ours").config.server == hub.server + control_plane_path("ours")
        projects.make("theirs", **{ORGANIZATION: "evil"})
        projects.make("second", **{ORGANIZATION: "acme"})
        eventually(lambda: projects.is_engaged("second"))

        assert [each.name for each in running.clusters.states()] == ["ours", "second"]
        is_sent = running.cluster("").shown(gvk_of(PROJECT), Key("", "theirs")) is not None
        assert is_sent is (way is Heedless)
        running.stop()


# ---- where they are --------------------------------------------------------------------------------------------------


@pytest.mark.embedded(milo=WARM)
def test_row_11_the_path_of_the_server_stays_before_that_of_the_project(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    root = config_of(api_server)
    gateway = root.with_server(f"{root.server}/any/gate/way")
    watching = Watching()
    projects.watch(manager, watching, provider=MiloProvider(External(gateway)))
    projects.put("p1", "a")
    watching.wait_for("p1:default/a", within=5.0)
    eventually(lambda: all(map(projects.is_engaged, THREE)))

    asked = [each.path for each in api_server.requests.where(verb="watch") if each.plane]
    assert asked
    assert all(path.startswith("/any/gate/way/apis/resourcemanager.miloapis.com/v1alpha1/projects/") for path in asked)


@pytest.mark.parametrize("server", ["milo.local:6443", "10.0.0.1:6443", "//milo.local", "milo.local"])
def test_row_12_a_host_without_scheme_is_refused_and_never_the_root(server: str) -> None:
    with pytest.raises(ConfigError, match="has no scheme; write https://"):
        Config(server, StaticCredentials())


@pytest.mark.embedded(milo=WARM)
def test_row_12_a_project_whose_server_takes_us_for_elsewhere_is_not_engaged(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    _code, at_root = api_server.request("POST", OWN_USER, {})
    _code, at_p3 = api_server.request("POST", control_plane_path("p3") + OWN_USER, {})
    wrong = [
        proxy.add(Answer(json.dumps(answer).encode()), project=name)
        for name, answer in (("p1", at_root), ("p2", at_p3))
    ]
    running = projects.watch(
        manager,
        Watching(),
        config=proxy.config(config_of(api_server)),
        provider=MiloProvider(verify_parent=True),
        ready=False,
    )
    eventually(lambda: projects.is_engaged("p3"))

    def errors() -> dict[str, str]:
        return {each.name: each.last_error.partition(" takes us for ")[2] for each in running.clusters.states()}

    eventually(lambda: all(errors()[name] for name in ("p1", "p2")))
    assert errors() == {
        "p1": "outside of all projects, and not for inside of Project p1",
        "p2": "inside of Project p3, and not for inside of Project p2",
        "p3": "",
    }
    assert projects.is_away("p1")
    assert projects.is_away("p2")
    asked = {each.target.rpartition("control-plane")[2] for each in proxy.exchanges if "/projects/p1/" in each.target}
    assert asked == {OWN_USER}
    for rule in wrong:
        rule.remove()
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p2"))


@pytest.mark.embedded(milo=WARM)
def test_row_14_a_project_that_hangs_slows_no_other_and_keeps_no_new_one_waiting(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    watching = Watching()
    running = projects.watch(manager, watching, config=proxy.config(config_of(api_server)))
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    before = _latency(projects, watching, "p2", "before")
    proxy.add(Hang(), project="p1")
    projects.make("new")
    eventually(lambda: projects.is_engaged("new"), within=2.0)
    during = _latency(projects, watching, "p2", "during")

    assert during < 3 * before + 0.05
    began = time.monotonic()
    assert running.stop()
    assert time.monotonic() - began < 2.0


@pytest.mark.embedded(milo=WARM)
def test_row_15_a_project_that_hangs_is_gone_soon_after_its_project(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    proxy.add(Hang(), project="p2")
    running = projects.watch(manager, Watching(), config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: projects.is_engaged("p1") and projects.is_engaged("p3"))
    assert {each.cluster for each in running.pending()} == {"p2"}

    projects.delete("p2")
    eventually(lambda: projects.state_of("p2") is None, within=2.0)
    assert running.wait_ready(SECOND)
    projects.make("p2")
    eventually(lambda: not projects.is_away("p2"), within=SECOND)


# ---- what servers do -------------------------------------------------------------------------------------------------


class WatchingWidgets(Watching):
    """Notes Widgets, whose kind may not be there."""

    name = "widgets"

    def setup(self, builder: Builder) -> None:
        builder.for_("example.com/v1 Widget")


@pytest.mark.embedded(milo=WARM)
def test_row_20_a_kind_that_is_installed_later_is_picked_up_and_the_others_do_not_wait_for_it(
    manager: Managers, projects: Projects, client: ServerClient, install_crds: Any
) -> None:
    watching, widgets = Watching(), WatchingWidgets()
    projects.manager = running = manager(watching, widgets, provider=MiloProvider(), ready=False)
    for name in THREE:
        projects.put(name, "a")
        watching.wait_for(f"{name}:default/a", within=5.0)
    eventually(lambda: all(running.cluster(name).pending() for name in THREE))
    assert {each.kind for name in THREE for each in running.cluster(name).pending()} == {"example.com/v1 Widget"}

    install_crds("examples/widget/crd.yaml")
    for name in THREE:
        body = {"metadata": {"namespace": "default", "name": "w"}, "spec": {"image": "i", "replicas": 1}}
        client(cluster=name).create(Object({"apiVersion": "example.com/v1", "kind": "Widget", **body}))
    for name in THREE:
        widgets.wait_for(f"{name}:default/w", within=6.0)
    eventually(lambda: all(map(projects.is_engaged, THREE)))


@pytest.mark.embedded(milo=Milo(projects=SIXTY))
def test_row_21_sixty_projects_whose_storage_is_cold_are_a_detour_of_seconds_and_not_worth_a_word(
    manager: Managers, projects: Projects, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    began = time.monotonic()
    projects.watch(manager, Watching(), ready=False)
    eventually(lambda: all(map(projects.is_engaged, SIXTY)), within=15.0)
    seconds = time.monotonic() - began

    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
    assert seconds < 5.0


@pytest.mark.embedded(milo=WARM)
def test_row_57_a_storm_of_events_about_a_project_costs_no_request_and_no_step(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    running = projects.watch(manager, Watching())
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    before, states = running.cluster("p1"), running.clusters.states()
    jobs, post = [], running.clusters._fleet.post
    running.clusters._fleet.post = lambda job: (jobs.append(job), post(job))[1]  # type: ignore[method-assign]
    projects.hold("p1")
    projects.delete("p1")
    mark = api_server.requests.mark()
    for number in range(100):
        projects.ready("p1", reason=f"Cleanup{number % 2}")
    assert jobs == []
    projects.make("p4")
    eventually(lambda: projects.is_engaged("p4"), within=SECOND)  # Behind the storm.

    assert running.cluster("p1") is before
    assert running.clusters.states()[:3] == states
    api_server.requests.assert_none(plane="p1", since=mark)
    projects.let_go("p1")


# ---- aids ------------------------------------------------------------------------------------------------------------


def _latency(projects: Projects, watching: Watching, project: str, prefix: str) -> float:
    """Give the median seconds from a create to its reconcile."""
    found = []
    for number in range(30):
        began = time.monotonic()
        projects.put(project, f"{prefix}-{number}")
        watching.wait_for(f"{project}:default/{prefix}-{number}")
        found.append(time.monotonic() - began)
    return statistics.median(found)


def _cluster_threads() -> list[str]:
    def settled() -> list[str] | None:
        names = sorted(each for each in _our_threads() if each.startswith("kc-cluster-"))
        return names if len(names) == len(set(names)) else None

    found: list[str] = eventually(settled)
    return found


def _our_threads() -> list[str]:
    return sorted(each.name for each in threading.enumerate() if each.name.startswith("kc-"))

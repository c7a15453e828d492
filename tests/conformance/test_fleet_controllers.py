"""Rows of the feature table that are about controllers on a fleet, on the projects of an embedded Milo server.

A test is named after its row; `docs/feature-rows.md` has the table.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Object, Request
from kcontroller.controller import FLEET, HUB, ClusterInfo, predicates
from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.testing import Milo
from kcontroller.testing.polling import eventually
from tests.integration.projects import CONFIG_MAP, Projects, Watching

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from kcontroller import Builder, Context
    from kcontroller.cluster import ClusterView
    from kcontroller.controller.event import Event
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient

THREE = ("p1", "p2", "p3")
SECRET = "v1 Secret"

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.embedded(milo=Milo(projects=THREE, cold_storage=False)),
]


class Noting(Watching):
    """What it watches is up to the test."""

    def __init__(
        self,
        setup: Callable[[Builder], object],
        act: Callable[[Context], None] = lambda _ctx: None,
        *,
        name: str = "noting",
    ) -> None:
        super().__init__(act)
        self.name = name  # type: ignore[misc]
        self._setup = setup

    def setup(self, builder: Builder) -> None:
        self._setup(builder)

    def wait_for(self, *requests: str, since: int = 0, within: float = 5.0) -> None:
        super().wait_for(*requests, since=since, within=within)


def secret(name: str = "a") -> Object:
    return Object({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "default", "name": name}})


def watches_of(server: EmbeddedServer, project: str, resource: str = "secrets") -> int:
    """How many watches of a resource are open."""
    count: int = server.call(lambda: server.api.backend.store.topic(project, resource).watches)
    return count


# ---- rows 25 and 26: informers ---------------------------------------------------------------------------------------


def test_row_25_five_controllers_of_one_kind_share_one_watch_in_each_project(
    manager: Managers, projects: Projects, api_server: EmbeddedServer
) -> None:
    controllers = [Noting(lambda builder: builder.for_(SECRET), name=f"noting-{number}") for number in range(5)]
    projects.manager = manager(*controllers, provider=MiloProvider())
    eventually(lambda: all(map(projects.is_engaged, THREE)))

    assert [watches_of(api_server, name) for name in THREE] == [1, 1, 1]


def test_row_26_the_last_user_of_an_informer_closes_its_watch(
    manager: Managers, projects: Projects, api_server: EmbeddedServer
) -> None:
    projects.label("p1", tier="prod", team="a")
    chosen = [Noting(lambda builder, by=by: builder.for_(SECRET, clusters=by), name=by) for by in ("tier", "team")]
    projects.manager = manager(*chosen, provider=MiloProvider())
    eventually(lambda: watches_of(api_server, "p1") == 1)
    watched = watches_of(api_server, "p2")

    projects.label("p1", team=None)
    eventually(lambda: informers_of(projects, "p1") == ["v1 Secret"])
    assert watches_of(api_server, "p1") == 1
    projects.label("p1", tier=None)
    eventually(lambda: watches_of(api_server, "p1") == 0)

    assert informers_of(projects, "p1") == []
    assert watched == watches_of(api_server, "p2") == 0
    assert projects.is_engaged("p1")


def informers_of(projects: Projects, name: str) -> list[str]:
    assert projects.manager is not None
    return [str(each) for each in projects.manager.cluster(name)._kinds.all()]


# ---- row 37: which cluster -------------------------------------------------------------------------------------------


def test_row_37_request_log_client_mapper_and_predicate_carry_the_cluster(
    manager: Managers, projects: Projects, client: ServerClient, log: io.StringIO
) -> None:
    mapped: set[tuple[str, str]] = set()
    admitted: set[tuple[str, str]] = set()
    reconciled: set[tuple[str, str, str]] = set()

    def to(cluster: ClusterView, found: Object) -> list[Key]:
        mapped.add((cluster.name, cluster.client.get(CONFIG_MAP, Key("default", "a"))["data"]["who"]))
        return [Key("default", found.metadata.name)]

    def admit(event: Event) -> bool:
        admitted.add((event.cluster, event.new["data"]["who"]))
        return True

    def act(ctx: Context) -> None:
        who = ctx.client.get(CONFIG_MAP, Key("default", "a"))["data"]["who"]
        reconciled.add((ctx.request.cluster, ctx.cluster.name, who))
        ctx.log.info("looked")

    for name in THREE:
        projects.put(name, "a", who=name)
    noting = Noting(lambda builder: builder.watches(CONFIG_MAP, to, predicates=[predicates.function(admit)]), act)
    projects.watch(manager, noting)
    noting.wait_for(*(f"{name}:default/a" for name in THREE))
    eventually(lambda: log.getvalue().count('"looked"') == len(THREE))

    assert mapped == admitted == {(name, name) for name in THREE}
    assert reconciled == {(name, name, name) for name in THREE}
    looked = [line for line in map(json.loads, log.getvalue().splitlines()) if line["msg"] == "looked"]
    assert {(line["cluster"], line["namespace"], line["name"]) for line in looked} == {
        (name, "default", "a") for name in THREE
    }


# ---- rows 38 to 40: several clusters in one controller ---------------------------------------------------------------


def everywhere(hub: Any, found: Object) -> list[Request]:
    return [Request(each.name, "default", found.metadata.name) for each in hub.clusters]


def test_row_38_a_change_on_the_hub_is_reconciled_in_three_spokes(
    manager: Managers, projects: Projects, client: ServerClient
) -> None:
    noting = Noting(
        lambda builder: builder.watches(SECRET, everywhere, clusters=HUB).watches(CONFIG_MAP, lambda *_: [])
    )
    projects.watch(manager, noting)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    client.create(secret())

    noting.wait_for(*(f"{name}:default/a" for name in THREE))
    assert all(not each.startswith("default/") for each in noting.seen)


def test_row_38_a_request_for_a_cluster_that_is_not_there_is_counted_and_made_again_when_it_joins(
    manager: Managers, projects: Projects, client: ServerClient
) -> None:
    named = Request("p4", "default", "a")
    noting = Noting(
        lambda builder: builder.watches(SECRET, lambda *_: [named], clusters=HUB).watches(CONFIG_MAP, lambda *_: [])
    )
    running = projects.watch(manager, noting)
    client.create(secret())
    dropped = running.metrics.registry.get_sample_value
    eventually(lambda: dropped("kcontroller_dropped_requests_total", {"controller": "noting"}) == 1)

    projects.make("p4")
    noting.wait_for("p4:default/a")


@pytest.mark.parametrize("reconciled", ["hub", "spokes"])
def test_row_39_hub_and_spokes_are_sources_of_one_controller(
    manager: Managers, projects: Projects, client: ServerClient, reconciled: str
) -> None:
    """The requests of the hub have the cluster name ""; spokes come and go while it works."""

    def to_the_hub(_spoke: Any, found: Object) -> list[Request]:
        return [Request("", "default", found.metadata.name)]

    def setup(builder: Builder) -> None:
        if reconciled == "hub":
            builder.for_(SECRET, clusters=HUB).watches(CONFIG_MAP, to_the_hub, clusters=FLEET)
        else:
            builder.for_(CONFIG_MAP).watches(SECRET, everywhere, clusters=HUB)

    found: dict[str, set[str]] = {}

    def act(ctx: Context) -> None:
        found[str(ctx.request)] = {each.name for each in ctx.clusters}
        assert ctx.clusters.get("").name == ""

    noting = Noting(setup, act)
    running = projects.watch(manager, noting)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    client.create(secret())
    projects.put("p1", "b")
    wanted = {
        "hub": ("default/a", "default/b"),
        "spokes": ("p1:default/a", "p2:default/a", "p3:default/a", "p1:default/b"),
    }
    noting.wait_for(*wanted[reconciled])
    assert found[wanted[reconciled][0]] == set(THREE)

    projects.delete("p3")
    projects.make("p4")
    eventually(lambda: projects.is_engaged("p4"))
    eventually(lambda: projects.is_away("p3"))
    projects.put("p4", "late")
    late = "default/late" if reconciled == "hub" else "p4:default/late"
    noting.wait_for(late)
    assert found[late] == {"p1", "p2", "p4"}
    assert [each.name for each in running.clusters.states()] == ["p1", "p2", "p4"]


def test_row_40_a_source_begins_and_ends_with_the_labels_of_a_project(
    manager: Managers, projects: Projects, client: ServerClient, api_server: EmbeddedServer
) -> None:
    client(cluster="p1").create(secret("there"))
    noting = Noting(lambda builder: builder.for_(CONFIG_MAP).watches(SECRET, key_of, clusters="tier=prod"))
    running = projects.watch(manager, noting)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    before = running.cluster("p1")
    assert watches_of(api_server, "p1") == 0

    projects.label("p1", tier="prod")
    noting.wait_for("p1:default/there")  # All that there is, not only what comes.
    client(cluster="p1").create(secret("new"))
    noting.wait_for("p1:default/new")

    projects.label("p1", tier="test")
    eventually(lambda: watches_of(api_server, "p1") == 0)
    client(cluster="p1").create(secret("unheard"))
    projects.put("p1", "heard")
    noting.wait_for("p1:default/heard")
    assert "p1:default/unheard" not in noting.seen
    assert running.cluster("p1") is before, "it was engaged all the while"

    projects.label("p1", tier="prod")
    noting.wait_for("p1:default/unheard")
    assert {each.split(":")[0] for each in noting.seen} == {"p1"}


def test_row_40_a_function_that_exits_when_it_chooses_a_cluster_costs_that_cluster_alone(
    manager: Managers, projects: Projects
) -> None:
    exits = True

    def choose(cluster: ClusterInfo) -> bool:
        if exits and cluster.name == "p1":
            sys.exit("not today")
        return True

    noting = Noting(lambda builder: builder.for_(CONFIG_MAP, clusters=choose))
    running = projects.watch(manager, noting, ready=False)
    eventually(lambda: all(map(projects.is_engaged, ("p2", "p3"))))
    (p1,) = [each for each in running.clusters.states() if each.name == "p1"]
    assert p1.last_error == "SystemExit: not today"
    projects.put("p2", "a")
    noting.wait_for("p2:default/a")

    exits = False
    projects.put("p1", "a")
    noting.wait_for("p1:default/a")


def key_of(_cluster: Any, found: Object) -> list[Key]:
    return [Key("default", found.metadata.name)]


# ---- row 59: the reconcile time-out ----------------------------------------------------------------------------------


def test_row_59_a_reconcile_that_is_out_of_time_ends_and_its_cluster_stays_engaged(
    manager: Managers, projects: Projects
) -> None:
    over = threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.name == "slow" and not over.is_set():
            ctx.stop.wait(10)
            over.set()
            ctx.check()

    noting = Noting(lambda builder: builder.for_(CONFIG_MAP), act)
    running = projects.watch(manager, noting, reconcile_timeout=0.2)
    eventually(lambda: all(map(projects.is_engaged, THREE)))
    before = {name: running.cluster(name) for name in THREE}
    projects.put("p1", "slow")
    eventually(over.is_set)
    eventually(lambda: noting.seen.count("p1:default/slow") == 2)  # It comes again, as after any failure.
    projects.put("p1", "next")
    noting.wait_for("p1:default/next")

    assert [(each.name, each.state) for each in running.clusters.states()] == [(name, State.ENGAGED) for name in THREE]
    assert {name: running.cluster(name) for name in THREE} == before
    assert not any(cluster.leaving.stopped for cluster in before.values())


# ---- canaries --------------------------------------------------------------------------------------------------------


def test_canaries_go_first_and_the_others_follow_when_nothing_has_failed_there_for_a_while(
    manager: Managers, projects: Projects, caplog: pytest.LogCaptureFixture
) -> None:
    projects.label("p1", tier="canary")
    for name in THREE:
        projects.put(name, "a")
    broken = True

    def act(ctx: Context) -> None:
        if broken and ctx.cluster.labels.get("tier") == "canary":
            raise RuntimeError("a new version")

    noting = Noting(lambda builder: builder.for_(CONFIG_MAP), act)
    running = projects.watch(manager, noting, canary="tier=canary", canary_minutes=0.4 / 60, allow=RuntimeError)
    eventually(lambda: all(map(projects.is_engaged, THREE)))  # Their caches are full; readiness does not wait.
    noting.wait_for("p1:default/a")
    held = running.metrics.registry.get_sample_value
    eventually(lambda: "a canary fails: noting failed on p1:default/a; 2 other clusters stay held back" in caplog.text)
    assert held("kcontroller_canary_held_clusters") == 2
    assert {each.split(":")[0] for each in noting.seen} == {"p1"}

    broken = False
    projects.put("p1", "b")
    noting.wait_for("p2:default/a", "p3:default/a")
    assert held("kcontroller_canary_held_clusters") == 0

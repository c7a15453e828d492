from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import mapping_of
from kcontroller.errors import ConfigError
from kcontroller.multicluster import Source
from kcontroller.multicluster.providers.milo import (
    External,
    Internal,
    MiloProvider,
    Project,
    ProjectControlPlane,
    control_plane_path,
)
from kcontroller.multicluster.providers.milo.parents import other_parent
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import ANONYMOUS, StaticCredentials
from tests.unit.multicluster.providers.milo.told import GONE, HUB, ORGANIZATION, PROJECT_UID, Told, plane, project

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry

TERMINATING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}


# ---- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        (Project, "projects.resourcemanager.miloapis.com"),
        (ProjectControlPlane, "projectcontrolplanes.infrastructure.miloapis.com"),
    ],
)
def test_what_stands_for_projects_is_watched_without_discovery(kind: Any, resource: str) -> None:
    mapping = mapping_of(kind)

    assert mapping is not None
    assert (str(mapping), mapping.namespaced) == (resource, False)


def test_a_ready_project_is_a_cluster_below_the_path_of_the_server() -> None:
    told = Told(MiloProvider())
    told.see(project(labels={"tier": "gold", "a": "b"}))
    (spec,) = told.specs

    assert spec.config.server == (
        "https://milo.test/gate/way/apis/resourcemanager.miloapis.com/v1alpha1/projects/p1/control-plane"
    )
    assert spec.config.credentials == HUB.credentials
    assert (spec.name, spec.uid, spec.labels) == ("p1", "u1", (("a", "b"), ("tier", "gold")))
    assert spec.source == Source("resourcemanager.miloapis.com/v1alpha1", "Project", "p1", uid="u1")
    assert spec.check is None


def test_control_planes_may_be_reached_by_another_configuration() -> None:
    other = Config("https://other.test", StaticCredentials(header="Bearer y"))
    told = Told(MiloProvider(External(other)))
    told.see(project())

    assert told.specs[0].config == other.with_server(f"https://other.test{control_plane_path('p1')}")


def test_a_control_plane_that_becomes_ready_is_a_cluster_at_its_host() -> None:
    told = Told(MiloProvider(Internal(credentials=ANONYMOUS)), kind=ProjectControlPlane)
    assert told.see(plane(ready="False", reason="Creating")) == []
    told.see(plane(labels={PROJECT_UID: "of the project"}))
    (spec,) = told.specs

    assert spec.config.server == "https://milo-apiserver.project-p1.svc.cluster.local:6443"
    assert spec.uid == "of the project"
    assert spec.source == Source("infrastructure.miloapis.com/v1alpha1", "ProjectControlPlane", "p1", uid="u1")


def test_a_control_plane_that_was_given_to_another_project_is_another_cluster() -> None:
    told = Told(MiloProvider(Internal(credentials=ANONYMOUS)), kind=ProjectControlPlane)

    assert told.see(plane(labels={PROJECT_UID: "one"}), plane(labels={PROJECT_UID: "two"})) == ["p1 one", "p1 two"]


def test_an_object_of_another_uid_is_another_spec() -> None:
    told = Told(MiloProvider())
    told.see(project())
    told.lose()

    assert told.see(project(uid="u2")) == ["p1 u1", f"p1: {GONE}", "p1 u2"]


def test_other_labels_are_told_and_nothing_else_that_changes() -> None:
    told = Told(MiloProvider())
    told.see(
        project(),
        *[project(reason=f"Storm{number}", annotations={"n": str(number)}) for number in range(10)],
        project(labels={"tier": "gold"}),
    )

    assert [spec.labels for spec in told.specs] == [(), (("tier", "gold"),)]
    assert told.specs[0].identity == told.specs[1].identity


def test_a_project_that_was_never_told_is_not_told_to_be_away() -> None:
    told = Told(MiloProvider())
    told.see(project(ready="False"))
    told.lose()

    assert told.said == []


def test_it_is_listed_when_all_projects_have_been_told() -> None:
    told = Told(MiloProvider())
    told.see(project())
    told.synced()

    assert told.said == ["p1 u1", "listed"]


@pytest.mark.parametrize(
    ("options", "level", "said"),
    [
        ({}, logging.INFO, "2 Projects found; 1 are ready"),
        ({"selector": "tier=gold"}, logging.INFO, "2 Projects found with tier=gold; 0 are ready"),
        ({"selector": "x"}, logging.WARNING, "0 Projects found with x; 0 are ready"),
    ],
)
def test_the_first_list_is_told_also_when_it_has_nothing_to_work_on(
    caplog: pytest.LogCaptureFixture, options: dict[str, str], level: int, said: str
) -> None:
    caplog.set_level(logging.INFO)
    told = Told(MiloProvider(**options))  # type: ignore[arg-type]
    if level == logging.INFO:
        told.see(project(), project("p2", ready="False"))
    told.synced()

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, said)]


# ---- readiness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ready", "why"),
    [
        ("False", "Suspended"),
        ("Unknown", "Suspended"),
        ({}, "it has no condition Ready"),
        ({"status": {}}, "it has no condition Ready"),
        ({"status": None}, "it has no condition Ready"),
        ({"status": {"conditions": None}}, "it has no condition Ready"),
        ({"status": {"conditions": []}}, "it has no condition Ready"),
        ({"status": {"conditions": [{"type": "ResourceCleanup", "status": "True"}]}}, "it has no condition Ready"),
        ({"status": {"conditions": "oops"}}, "its status is malformed"),
    ],
)
def test_whatever_is_not_ready_is_absent_with_the_reason(ready: Any, why: str) -> None:
    told = Told(MiloProvider())

    assert told.see(project(ready=ready, reason="Suspended")) == []
    assert told.see(project(), project(ready=ready, reason="Suspended")) == ["p1 u1", f"p1: not ready: {why}"]


def test_another_condition_may_say_what_is_ready() -> None:
    told = Told(MiloProvider(ready_condition="Other"))

    assert told.see(project(ready="False")) == ["p1 u1"]


def test_one_that_is_not_ready_for_a_moment_stays() -> None:
    told = Told(MiloProvider(unready_grace=5.0))
    told.see(project(), *[project(ready="False"), project(ready="Unknown"), project()] * 100)

    assert told.said == ["p1 u1"]
    assert {timer.seconds for timer in told.timers} == {5.0}
    assert len(told.timers) == 100
    assert all(timer.stopped for timer in told.timers)


def test_one_that_is_not_ready_for_longer_leaves_for_its_first_reason() -> None:
    told = Told(MiloProvider(unready_grace=5.0))
    told.see(project(), project(ready="False", reason="First"), project(ready="False", reason="Second"))
    (timer,) = told.timers
    timer.fire()

    assert told.said == ["p1 u1", "p1: not ready: First"]
    assert told.see(project()) == ["p1 u1", "p1: not ready: First", "p1 u1"]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (project(labels={}), "its labels do not match tier=gold"),
        (project(uid="u2", ready="False", reason="No", labels={"tier": "gold"}), "not ready: No"),
        (None, f"{GONE}, or does not match tier=gold any more"),
    ],
)
def test_only_what_may_pass_is_waited_for(after: Entry | None, why: str) -> None:
    told = Told(MiloProvider(selector="tier=gold", unready_grace=5.0))
    told.see(project(labels={"tier": "gold"}), project(ready="False", labels={"tier": "gold"}))
    said = told.lose() if after is None else told.see(after)

    assert said == ["p1 u1", f"p1: {why}"]
    assert [timer.stopped for timer in told.timers] == [True]


# ---- what is being deleted -------------------------------------------------------------------------------------------


def test_a_project_that_is_being_deleted_stays_until_it_is_gone() -> None:
    told = Told(MiloProvider())
    told.see(project(), project(**TERMINATING), project(ready="False", **TERMINATING))
    assert told.said == ["p1 u1"]

    assert told.lose() == ["p1 u1", f"p1: {GONE}"]


def test_one_that_is_first_seen_while_it_is_being_deleted_must_be_ready() -> None:
    told = Told(MiloProvider())
    told.see(project("was", **TERMINATING), project("never", ready={}, **TERMINATING))

    assert told.said == ["was u1"]


def test_one_that_is_being_deleted_may_leave_at_once() -> None:
    told = Told(MiloProvider(terminating="disengage"))
    told.see(project(), project(**TERMINATING), project("p2", **TERMINATING))

    assert told.said == ["p1 u1", "p1: it is being deleted"]


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_looked_at_on_every_change() -> None:
    told = Told(MiloProvider(selector="tier in (gold,silver)"))
    gold, none = project(labels={"tier": "gold"}), project()

    assert told.see(gold, none, gold) == [
        "p1 u1",
        "p1: its labels do not match tier in (gold,silver)",
        "p1 u1",
    ]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ""),
        ({"selector": "tier=gold"}, "tier=gold"),
        ({"organization": "acme"}, f"{ORGANIZATION}=acme"),
        ({"selector": "tier=gold", "organization": "acme"}, f"tier=gold,{ORGANIZATION}=acme"),
    ],
)
def test_the_server_is_asked_to_leave_out_what_is_not_wanted(options: dict[str, str], asked: str) -> None:
    told = Told(MiloProvider(**options))  # type: ignore[arg-type]

    (holding,) = told.watched.holdings
    assert str(holding.labels) == asked


def test_projects_of_other_organizations_are_left_out_whatever_the_server_sends() -> None:
    told = Told(MiloProvider(organization="acme"))
    told.see(project("ours", labels={ORGANIZATION: "acme"}), project("theirs", labels={ORGANIZATION: "evil"}))
    told.see(project("nobodys"), project("ours", labels={ORGANIZATION: "evil"}))

    assert told.said == ["ours u1", "ours: it does not belong to organization acme"]


@pytest.mark.parametrize("path", ["", "/apis/resourcemanager.miloapis.com/v1alpha1"])
def test_the_control_plane_of_an_organization_has_no_projects_of_others(path: str) -> None:
    hub = HUB.with_server(f"{HUB.server}{path}/organizations/acme/control-plane")
    told = Told(MiloProvider(), hub=hub)
    told.see(project(labels={ORGANIZATION: "acme"}), project("p2", labels={ORGANIZATION: "evil"}))

    assert told.said == ["p1 u1"]
    assert told.specs[0].config.server == hub.server + control_plane_path("p1")
    with pytest.raises(ConfigError, match=r"organization 'evil' is not that of https://milo.test/gate/way.*; leave it"):
        Told(MiloProvider(organization="evil"), hub=hub)


# ---- where it would lead ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", "a/b", "A", "a_b", "-a", "a-", "a..b", "a%2f", "a?b", "a" * 254])
def test_a_name_that_would_change_the_path_is_left_out_with_one_warning(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    told = Told(MiloProvider())

    (said,) = told.see(*[project(name)] * 3)
    assert said.startswith(f"{name} is refused: its name cannot stand in a path")
    assert len(caplog.records) == 1
    assert "its name cannot stand in a path" in caplog.text


@pytest.mark.parametrize("name", ["a", "a.b", "a-b.c-d", "0", "a" * 253])
def test_a_dns_subdomain_is_a_name(name: str) -> None:
    assert Told(MiloProvider()).see(project(name)) == [f"{name} u1"]


def test_a_label_that_becomes_unfit_lets_the_cluster_go(caplog: pytest.LogCaptureFixture) -> None:
    mode = Internal(credentials=ANONYMOUS, endpoint="https://{labels[cell]}.test/{name}")
    told = Told(MiloProvider(mode), kind=ProjectControlPlane)
    told.see(plane(labels={"cell": "eu"}), plane(labels={"cell": "evil.example/"}), plane(labels={"cell": "us"}))

    why = "its labels[cell] cannot stand in a host: 'evil.example/'"
    assert told.said == ["p1 u1", f"p1 is refused: {why}", "p1 u1"]
    assert told.sources == [Source("infrastructure.miloapis.com/v1alpha1", "ProjectControlPlane", "p1", "", "u1")]
    assert [record.getMessage() for record in caplog.records] == [f"a ProjectControlPlane is left out: {why}"]


@pytest.mark.parametrize("how", ["gone", "not ready"])
def test_what_was_refused_is_told_when_it_is_not_there_any_more(how: str) -> None:
    told = Told(MiloProvider())
    told.see(project("A"))
    told.said.clear()

    if how == "gone":
        assert told.lose("A") == [f"A: {GONE}"]
    else:
        assert told.see(project("A", ready="False", reason="Moving")) == ["A: not ready: Moving"]


CELL = Internal(credentials=ANONYMOUS, endpoint="https://{labels[a]}-{name}.{labels[b]}.test")


def test_two_projects_never_share_a_server(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(MiloProvider(CELL), kind=ProjectControlPlane)
    first, second = plane("y", labels={"a": "x", "b": "z"}), plane("x-y", labels={"a": "x", "b": "z"})
    told.see(first, second, plane("c-x-y", labels={"a": "d", "b": "z"}))
    assert told.said == ["y u1", "x-y u1", "c-x-y u1"]

    theirs = plane("x-y", labels={"a": "d-c", "b": "z"})
    told.see(theirs, theirs)
    why = "it would be reached at https://d-c-x-y.z.test, as c-x-y is already"
    assert told.said[3:] == [f"x-y is refused: {why}"]
    assert [record.getMessage() for record in caplog.records] == [f"a ProjectControlPlane is left out: {why}"]


@pytest.mark.parametrize("how", ["gone", "elsewhere"])
def test_a_server_that_becomes_free_goes_to_who_wanted_it(how: str) -> None:
    told = Told(MiloProvider(CELL), kind=ProjectControlPlane)
    told.see(plane("y", labels={"a": "x-w", "b": "z"}))
    for name, label in (("w-y", "x"), ("x-w-y", "")):
        told.see(plane(name, labels={"a": label, "b": "z"}))
    assert told.said[:2] == ["y u1", "w-y is refused: it would be reached at https://x-w-y.z.test, as y is already"]
    assert [each.name for each in told.specs] == ["y"]

    if how == "gone":
        told.lose("y")
    else:
        told.see(plane("y", labels={"a": "v", "b": "z"}))
    assert told.said[-1] == "w-y u1"
    assert told.specs[-1].config.server == "https://x-w-y.z.test"


def test_who_does_not_want_a_server_any_more_does_not_get_it() -> None:
    told = Told(MiloProvider(CELL), kind=ProjectControlPlane)
    told.see(plane("y", labels={"a": "x-w", "b": "z"}), plane("w-y", labels={"a": "x", "b": "z"}))
    told.lose("w-y")
    told.lose("y")

    assert told.said[-1].startswith("y: ")


def test_one_address_may_serve_several_names() -> None:
    mode = Internal(credentials=ANONYMOUS, resolve="10.0.0.1:443")
    told = Told(MiloProvider(mode), kind=ProjectControlPlane)

    assert told.see(plane("p1"), plane("p2")) == ["p1 u1", "p2 u1"]


@pytest.mark.parametrize("where", ["hub", "server"])
@pytest.mark.parametrize(
    "path", [control_plane_path("p1"), "/projects/p1/control-plane", "/projects/p1/control-plane/x"]
)
def test_a_server_that_is_one_project_already_is_refused(where: str, path: str) -> None:
    one = HUB.with_server(HUB.server + path)
    provider = MiloProvider(External(one if where == "server" else None))

    with pytest.raises(ConfigError, match=r"p1/control-plane.* is one project; name a context of the API that has"):
        Told(provider, hub=HUB if where == "server" else one)


def test_a_server_that_is_one_project_in_disguise_is_refused() -> None:
    hub = HUB.with_server(f"{HUB.server}/%70rojects/p1/control%2Dplane")

    with pytest.raises(ConfigError, match="is one project"):
        Told(MiloProvider(), hub=hub)


# ---- options ---------------------------------------------------------------------------------------------------------


def test_a_project_may_have_to_prove_itself() -> None:
    told = Told(MiloProvider(verify_parent=True))
    told.see(project())

    assert told.specs[0].check is other_parent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selector": "tier = = gold"}, "label selector 'tier = = gold' is malformed at position"),
        ({"terminating": "wait"}, "terminating is drain or disengage, not 'wait'"),
        (
            {"mode": Internal(credentials=ANONYMOUS), "organization": "acme"},
            "organization is for Projects; a ProjectControlPlane does not say it, so leave it out",
        ),
        ({"mode": Internal(credentials=ANONYMOUS), "verify_parent": True}, "verify-parent is for Projects"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"provider milo: {message}"):
        MiloProvider(**options)


def test_it_needs_a_hub() -> None:
    with pytest.raises(ConfigError, match="provider milo needs the API server that has the Projects"):
        MiloProvider().start(Told(MiloProvider()), hub=None)


def test_after_its_stop_nothing_is_heard() -> None:
    told = Told(MiloProvider())
    told.provider.stop()

    assert told.watched.subscriptions[0].closed


def test_stopping_before_the_start_is_harmless() -> None:
    MiloProvider().stop()

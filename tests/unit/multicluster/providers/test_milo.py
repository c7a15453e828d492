from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import mapping_of
from kcontroller.cache.projection import Entry, Projection
from kcontroller.cache.store import Change
from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo import MiloProvider, Project, control_plane_path
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.controller.fakes import FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.multicluster import ClusterSpec

HUB = Config("https://milo.test/gate/way", StaticCredentials(header="Bearer x"))


def project(name: str = "p1", *, ready: Any = "True", reason: str = "Ready", uid: str = "u1", **metadata: Any) -> Entry:
    status = {"conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": ready, "reason": reason}]}
    body = {
        "apiVersion": "resourcemanager.miloapis.com/v1alpha1",
        "kind": "Project",
        "metadata": {"name": name, "uid": uid, "resourceVersion": "1", **metadata},
        **({"status": status} if isinstance(ready, str) else ready),
    }
    return Projection(Project.resource.gvk).entry(json.dumps(body).encode())


class Told:
    """A sink that notes what it is told, and the provider that tells."""

    def __init__(self, provider: MiloProvider, hub: Config = HUB) -> None:
        self.specs: list[ClusterSpec] = []
        self.said: list[str] = []
        self.provider = provider
        self._hub = FakeCluster()
        self._hub.config = hub  # type: ignore[attr-defined]
        provider.start(self, hub=self._hub)  # type: ignore[arg-type]

    def present(self, spec: ClusterSpec) -> None:
        self.specs.append(spec)
        self.said.append(f"{spec.name} {spec.uid}")

    def absent(self, name: str, why: str) -> None:
        self.said.append(f"{name}: {why}")

    def listed(self) -> None:
        self.said.append("listed")

    def hear(self, *changes: Change) -> list[str]:
        self._hub.tell(Project, *changes)  # type: ignore[arg-type]
        return self.said

    def synced(self) -> None:
        self._hub.synced()


@pytest.fixture
def tell() -> Callable[..., list[str]]:
    """What the sink hears when a Project is seen like this."""

    def heard(entry: Entry, *, selector: str = "") -> list[str]:
        return Told(MiloProvider(selector=selector)).hear(Change(None, entry))

    return heard


def test_projects_are_watched_without_discovery() -> None:
    mapping = mapping_of(Project)

    assert mapping is not None
    assert (str(mapping), mapping.namespaced) == ("projects.resourcemanager.miloapis.com", False)


def test_a_ready_project_is_a_cluster_below_the_path_of_the_server() -> None:
    told = Told(MiloProvider())
    told.hear(Change(None, project()))
    (spec,) = told.specs

    assert spec.config.server == (
        "https://milo.test/gate/way/apis/resourcemanager.miloapis.com/v1alpha1/projects/p1/control-plane"
    )
    assert spec.config.credentials == HUB.credentials
    assert (spec.name, spec.uid) == ("p1", "u1")


def test_control_planes_may_be_reached_by_another_configuration() -> None:
    other = Config("https://other.test", StaticCredentials(header="Bearer y"))
    told = Told(MiloProvider(projects=other))
    told.hear(Change(None, project()))

    assert told.specs[0].config == other.with_server(f"https://other.test{control_plane_path('p1')}")


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
def test_whatever_is_not_ready_is_absent_with_the_reason(tell: Any, ready: Any, why: str) -> None:
    assert tell(project(ready=ready, reason="Suspended")) == [f"p1: not ready: {why}"]


def test_a_project_that_is_being_deleted_stays_until_it_is_gone() -> None:
    told = Told(MiloProvider())
    going = project(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    told.hear(Change(None, project()), Change(project(), going))
    assert told.specs[0] == told.specs[1]

    assert told.hear(Change(going, None))[2:] == ["p1: its Project is gone"]


def test_an_object_of_another_uid_is_another_spec() -> None:
    told = Told(MiloProvider())

    assert told.hear(Change(None, project()), Change(project(), None), Change(None, project(uid="u2"))) == [
        "p1 u1",
        "p1: its Project is gone",
        "p1 u2",
    ]


def test_labels_are_looked_at_on_every_change() -> None:
    told = Told(MiloProvider(selector="tier in (gold,silver)"))
    gold, none = project(labels={"tier": "gold"}), project()

    assert told.hear(Change(None, gold), Change(gold, none), Change(none, gold)) == [
        "p1 u1",
        "p1: its labels do not match tier in (gold,silver)",
        "p1 u1",
    ]


@pytest.mark.parametrize("name", ["..", "a/b", "A", "a_b", "-a", "a-", "a..b", "a%2f", "a?b", "a" * 254])
def test_a_name_that_would_change_the_path_is_left_out_with_one_warning(
    tell: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    told = Told(MiloProvider())

    assert told.hear(*[Change(None, project(name))] * 3) == []
    assert len(caplog.records) == 1
    assert "its name cannot stand in a path" in caplog.text


@pytest.mark.parametrize("name", ["a", "a.b", "a-b.c-d", "0", "a" * 253])
def test_a_dns_subdomain_is_a_name(tell: Any, name: str) -> None:
    assert tell(project(name)) == [f"{name} u1"]


def test_it_is_listed_when_all_projects_have_been_told() -> None:
    told = Told(MiloProvider())
    told.hear(Change(None, project()))
    told.synced()

    assert told.said == ["p1 u1", "listed"]


@pytest.mark.parametrize(
    ("selector", "said"),
    [("", "2 Projects found; 1 are ready"), ("tier=gold", "2 Projects found; 0 are ready and match tier=gold")],
)
def test_the_first_list_is_told_also_when_it_has_nothing_to_work_on(
    caplog: pytest.LogCaptureFixture, selector: str, said: str
) -> None:
    caplog.set_level(logging.INFO)
    told = Told(MiloProvider(selector=selector))
    told.hear(Change(None, project()), Change(None, project("p2", ready="False")))
    told.synced()

    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize("where", ["hub", "projects"])
def test_a_server_that_is_one_project_already_is_refused(where: str) -> None:
    one = HUB.with_server(HUB.server + control_plane_path("p1"))
    provider = MiloProvider(projects=one if where == "projects" else None)

    with pytest.raises(ConfigError, match="p1/control-plane is one project; name a context of the API that has"):
        Told(provider, hub=HUB if where == "projects" else one)


def test_after_its_stop_nothing_is_heard() -> None:
    told = Told(MiloProvider())
    told.provider.stop()

    assert told._hub.kinds[Project.resource.gvk].subscriptions[0].closed


def test_it_needs_a_hub_and_a_selector_that_can_be_read() -> None:
    with pytest.raises(ConfigError, match="provider milo needs the API server that has the Projects"):
        MiloProvider().start(Told(MiloProvider()), hub=None)
    with pytest.raises(ConfigError, match="provider milo: label selector 'tier = = gold' is malformed at position"):
        MiloProvider(selector="tier = = gold")


def test_stopping_before_the_start_is_harmless() -> None:
    MiloProvider().stop()

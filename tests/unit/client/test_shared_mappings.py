from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from kcontroller import Manager, ManagerOptions, Reconciler
from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.client.discovery import RestMapper
from kcontroller.client.shared_mappings import SharedMappings
from kcontroller.errors import KindNotServed
from kcontroller.testing import EmbeddedServer, Milo, config_of
from kcontroller.testing.polling import eventually
from tests.unit.client.servers import ScriptedSender

if TYPE_CHECKING:
    from kcontroller import Builder, Context, Request

DEPLOYMENT = GVK("apps", "v1", "Deployment")
APPS = {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}


def test_what_one_cluster_discovers_of_a_built_in_kind_the_others_know() -> None:
    shared = SharedMappings()
    other = ScriptedSender(lambda _: (500, b""))
    RestMapper(ScriptedSender(lambda _: (200, APPS)), shared=shared).resolve(DEPLOYMENT)

    assert RestMapper(other, shared=shared).resolve(DEPLOYMENT).plural == "deployments"
    assert other.requests == []


def test_a_server_that_does_not_serve_it_is_asked_itself() -> None:
    shared = SharedMappings()
    shared.learn(ResourceMapping(DEPLOYMENT, "deployments", namespaced=True))
    mapper = RestMapper(ScriptedSender(lambda _: (404, b"404 page not found\n")), shared=shared)
    mapper.forget(DEPLOYMENT)

    assert mapper.known(DEPLOYMENT) is None
    with pytest.raises(KindNotServed):
        mapper.resolve(DEPLOYMENT)


@pytest.mark.parametrize(
    ("group", "is_shared"),
    [
        ("", True),
        ("apps", True),
        ("rbac.authorization.k8s.io", True),
        ("example.com", False),
        ("cluster.x-k8s.io", False),
    ],
)
def test_a_custom_resource_is_each_servers_own(group: str, *, is_shared: bool) -> None:
    shared = SharedMappings()
    mapping = ResourceMapping(GVK(group, "v1", "Thing"), "things", namespaced=True)
    shared.learn(mapping)

    assert shared.get(mapping.gvk) == (mapping if is_shared else None)


class Watching(Reconciler):
    name: ClassVar[str] = "watching"

    def setup(self, builder: Builder) -> None:
        builder.for_(DEPLOYMENT)

    def reconcile(self, ctx: Context, request: Request) -> None:
        """Nothing is to be done."""


@pytest.mark.embedded(milo=Milo(projects=("p1",), cold_storage=False))
def test_a_cluster_that_serves_less_than_the_others_says_so(api_server: EmbeddedServer) -> None:
    clusters = {"whole": config_of(api_server), "small": config_of(api_server, cluster="p1")}
    options = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0")
    with EmbeddedServer() as first:
        manager = Manager(clusters={"first": config_of(first), **clusters}, options=options)
        manager.add(Watching())
        with manager:
            eventually(lambda: [each.cluster for each in manager.pending()] == ["small"])
            eventually(lambda: "the server does not serve apps/v1 Deployment" in manager.pending()[0].reason)

"""A set of children on the real API server: a Deployment, a Service and a ConfigMap that come, differ, go and rest."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Condition, Key, Model, Object, ObjectReconciler, Resource, conditions
from kcontroller.errors import AlreadyOwned
from tests.integration.conftest import crd, install

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Client, Context, Manager

CONFIG_MAP, DEPLOYMENT, SERVICE = "v1 ConfigMap", "apps/v1 Deployment", "v1 Service"
BUSY_SECONDS = 3.0


class SiteSpec(Model):
    replicas: int = 1
    settings: dict[str, str] = {}
    public: bool = True


class SiteStatus(Model):
    conditions: list[Condition] = []


class Site(Resource[SiteSpec, SiteStatus], group="example.com", version="v1", plural="sites"):
    pass


class SiteReconciler(ObjectReconciler[Site]):
    def __init__(self) -> None:
        self.count = 0

    def setup(self, builder: Builder) -> None:
        builder.for_(Site).owns(DEPLOYMENT).owns(SERVICE).owns(CONFIG_MAP)

    def reconcile_object(self, ctx: Context, site: Site) -> None:
        try:
            ctx.children.apply(children_of(site), prune=True)
        except AlreadyOwned as error:
            conditions.set(site, "Ready", False, reason="NameTaken", message=str(error))
        else:
            conditions.set(site, "Ready", True, reason="Applied")
        ctx.client.status.patch(site)
        self.count += 1


def children_of(site: Site) -> list[Object]:
    name, labels = site.metadata.name, {"app": site.metadata.name}
    limits = {"cpu": "1000m", "memory": "1024Mi"}  # The server writes 1 and 1Gi.
    container = {"name": "main", "image": "nginx", "resources": {"limits": limits}, "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    children: list[tuple[str, str, dict[str, Any]]] = [
        ("v1", "ConfigMap", {"data": site.spec.settings}),
        (
            "apps/v1",
            "Deployment",
            {"spec": {"replicas": site.spec.replicas, "selector": {"matchLabels": labels}, "template": template}},
        ),
    ]
    if site.spec.public:
        children.append(("v1", "Service", {"spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 80}]}}))
    return [
        Object({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest})
        for version, kind, rest in children
    ]


@pytest.fixture
def reconciler() -> SiteReconciler:
    return SiteReconciler()


@pytest.fixture
def manager(start: Callable[..., Manager], reconciler: SiteReconciler, namespace: str) -> Manager:
    # Only its own: what other tests leave on the server would be worked on, and counted, too.
    manager = start(reconciler, ready=False, namespaces=(namespace,))
    install(manager.cluster().api_reader, crd("sites", "Site"))
    assert manager.wait_ready(20), manager.pending()
    return manager


def requests_of(manager: Manager, *methods: str) -> float:
    """How often this manager has asked, by its own metrics."""
    return sum(
        sample.value
        for family in manager.metrics.registry.collect()
        if family.name == "rest_client_requests"
        for sample in family.samples
        if sample.name.endswith("_total") and (not methods or sample.labels["method"] in methods)
    )


def test_a_set_of_children_is_made_kept_and_pruned_and_costs_nothing_at_rest(
    manager: Manager,
    reconciler: SiteReconciler,
    start: Callable[..., Manager],
    namespace: str,
    eventually: Callable[..., Any],
) -> None:
    api, key = observer(manager), Key(namespace, "web")
    site = api.create(Site.named("web", namespace=namespace, spec=SiteSpec(settings={"a": "1", "b": "2"})))
    eventually(lambda: is_ready(api, key, 1))
    made = {kind: api.get(kind, key) for kind in (CONFIG_MAP, DEPLOYMENT, SERVICE)}
    assert made[DEPLOYMENT].get("spec.template.spec.containers")[0]["resources"]["limits"]["cpu"] == "1"

    assert_costs_nothing(manager, reconciler, api, key)

    # A hand takes a field over, and another one away.
    service = api.get(SERVICE, key)
    service["spec"]["selector"] = {"app": "mine"}
    api.patch(service)
    eventually(lambda: api.get(SERVICE, key)["spec"]["selector"] == {"app": "web"})
    # What it adds there would choose other Pods: the selector has one owner as a whole.
    service = api.get(SERVICE, key)
    service["spec"]["selector"] = {"app": "web", "zone": "mine"}
    api.patch(service)
    eventually(lambda: api.get(SERVICE, key)["spec"]["selector"] == {"app": "web"})
    api.delete(CONFIG_MAP, key)
    eventually(lambda: api.get(CONFIG_MAP, key)["data"] == {"a": "1", "b": "2"})

    # A field, and a child, leave the set.
    site.spec.settings, site.spec.public = {"b": "2"}, False
    api.patch(site)
    eventually(lambda: api.get_or_none(SERVICE, key) is None and is_ready(api, key, 2))  # The status comes last.
    assert api.get(CONFIG_MAP, key)["data"] == {"b": "2"}
    assert api.get(DEPLOYMENT, key).metadata.uid == made[DEPLOYMENT].metadata.uid

    # Another process knows nothing: one apply for what the server writes in its own way, none for the rest.
    version, generation = (
        api.get(CONFIG_MAP, key).metadata.resource_version,
        api.get(DEPLOYMENT, key).metadata.generation,
    )
    manager.stop(grace=5)
    second = SiteReconciler()
    successor = start(second, namespaces=(namespace,))
    eventually(lambda: second.count)
    assert requests_of(successor, "PATCH") == requests_of(successor, "PATCH", "POST", "PUT", "DELETE") == 1
    api = observer(successor)
    assert api.get(CONFIG_MAP, key).metadata.resource_version == version
    assert api.get(DEPLOYMENT, key).metadata.generation == generation == 1
    assert_costs_nothing(successor, second, api, key)


def test_a_foreign_object_of_a_childs_name_is_left_alone_and_reported(
    manager: Manager, namespace: str, eventually: Callable[..., Any]
) -> None:
    api, key = observer(manager), Key(namespace, "taken")
    theirs = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken", "namespace": namespace}})
    theirs["data"] = {"mine": "yes"}
    owner = api.create(Site.named("other", namespace=namespace, spec=SiteSpec(settings={"mine": "yes"})))
    theirs["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "example.com/v1",
            "kind": "Other",
            "name": "other",
            "uid": owner.metadata.uid,
            "controller": True,
        }
    ]
    before = api.create(theirs)
    eventually(lambda: manager.cluster().client.get_or_none(CONFIG_MAP, key))
    api.create(Site.named("taken", namespace=namespace))

    def reported() -> str:
        ready = conditions.get(api.get(Site, key), "Ready")
        return ready.message if ready is not None and ready.status == "False" else ""

    assert eventually(reported) == f"v1 ConfigMap {key} is already controlled by Other other"
    assert api.get(CONFIG_MAP, key).metadata.resource_version == before.metadata.resource_version
    assert api.get_or_none(DEPLOYMENT, key) is None


def observer(manager: Manager) -> Client:
    """A client that asks the server."""
    return manager.cluster().api_reader


def is_ready(api: Client, key: Key, generation: int) -> bool:
    ready = conditions.get(api.get(Site, key), "Ready")
    return ready is not None and ready.status == "True" and ready.observed_generation == generation


def assert_costs_nothing(manager: Manager, reconciler: SiteReconciler, api: Client, key: Key) -> None:
    """While something like a kubelet writes the status of a child again and again, the manager only listens."""
    settle = threading.Event()
    settle.wait(0.5)  # Absence can only be watched, not waited for: here of what was still under way.
    asked, reconciled, own = requests_of(manager), reconciler.count, 0
    end = time.monotonic() + BUSY_SECONDS
    number = 0
    while time.monotonic() < end:
        number += 1
        status = Object({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}})
        status.metadata.name, status.metadata.namespace = key.name, key.namespace
        status["status"] = {"observedGeneration": number, "replicas": 0}
        api.status.apply(status, field_owner="kubelet", force=True)
        own += 1
        settle.wait(0.1)
    assert reconciler.count - reconciled > 5
    assert requests_of(manager) - asked == own

"""Informers on a whole cluster: what is shared, what is left out, what comes and goes; embedded and real."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Object, load_config
from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import GVK
from kcontroller.cache.scope import Holding
from kcontroller.cluster import Cluster
from kcontroller.errors import NotCached, NotFound, UnlistedNamespace
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from tests.integration.conftest import config_map, crd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Eventually = Callable[[Callable[[], object]], None]

CONFIG_MAP = "v1 ConfigMap"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def real_server(request: pytest.FixtureRequest) -> Any:
    """The real server, or None for the embedded one, which is the test's own."""
    return None if request.param == "embedded" else request.getfixturevalue("control_plane").servers[0]


@pytest.fixture
def server(real_server: Any, request: pytest.FixtureRequest) -> Any:
    return real_server or request.getfixturevalue("api_server")


class World:
    def __init__(self, server: Any, path: Path) -> None:
        self.server = server
        self.metrics = Metrics()
        self.cluster = Cluster(
            load_config(kubeconfig=str(server.write_kubeconfig(path / "kubeconfig"))), metrics=self.metrics
        )
        self.namespaces: list[str] = []

    def namespace(self) -> str:
        name = f"informers-{uuid.uuid4().hex[:8]}"
        self.namespaces.append(name)
        assert self.server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
        return name

    def put(self, namespace: str, name: str, **labels: str) -> None:
        body = config_map(namespace, name, key="value")
        body["metadata"]["labels"] = labels
        assert self.server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)[0] == 201

    def delete(self, namespace: str, name: str) -> None:
        assert self.server.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{name}")[0] == 200

    def series(self) -> list[str]:
        self.cluster.observe()
        return [each for each in self.metrics.render().decode().splitlines() if each.startswith("kcontroller_informer")]


@pytest.fixture
def world(server: Any, tmp_path: Path) -> Iterator[World]:
    made = World(server, tmp_path)
    threads = ThreadGroup(on_failure=lambda _name, error: pytest.fail(str(error)))
    made.cluster.start(threads)
    yield made
    made.cluster.stop()
    assert threads.join(10) == ()
    for name in made.namespaces:
        server.request("DELETE", f"/api/v1/namespaces/{name}")


def test_the_metadata_alone_is_kept_and_read_while_whole_objects_are_refused(
    world: World, eventually: Eventually
) -> None:
    namespace = world.namespace()
    world.put(namespace, "a", app="web")
    holding = Holding(namespaces=(namespace,), metadata_only=True)
    handle = world.cluster.cache(CONFIG_MAP, holding)
    eventually(lambda: handle.synced)
    client = world.cluster.client_for("tidy", holdings={gvk_of(CONFIG_MAP): holding})
    found = client.metadata.get(CONFIG_MAP, Key(namespace, "a"))

    assert (found.gvk, sorted(found.data)) == (GVK("", "v1", "ConfigMap"), ["apiVersion", "kind", "metadata"])
    assert found.metadata.labels == {"app": "web"}
    with pytest.raises(NotCached):
        client.get(CONFIG_MAP, Key(namespace, "a"))
    world.put(namespace, "b", app="web")
    eventually(lambda: len(client.metadata.list(CONFIG_MAP, namespace=namespace, labels="app=web")) == 2)
    world.delete(namespace, "a")
    eventually(lambda: client.metadata.get_or_none(CONFIG_MAP, Key(namespace, "a")) is None)
    found = client.metadata.get(CONFIG_MAP, Key(namespace, "b"))
    found.metadata.labels["app"] = "db"
    client.patch(found)
    eventually(lambda: client.metadata.get(CONFIG_MAP, Key(namespace, "b")).metadata.labels == {"app": "db"})
    assert world.cluster.api_reader.get(CONFIG_MAP, Key(namespace, "b"))["data"] == {"key": "value"}


def test_metadata_is_read_from_whole_objects_and_from_the_server_alike(world: World, eventually: Eventually) -> None:
    namespace = world.namespace()
    world.put(namespace, "a", app="web")
    metadata = world.cluster.client.metadata

    def read() -> list[dict[str, Any]]:
        found = [metadata.get(CONFIG_MAP, Key(namespace, "a")), *metadata.list(CONFIG_MAP, namespace=namespace)]
        for each in found:
            each.data["metadata"].pop("managedFields", None)
        return [each.data for each in found if each.metadata.name == "a"]

    from_server = read()
    handle = world.cluster.cache(CONFIG_MAP)
    eventually(lambda: handle.synced)

    assert read() == from_server
    assert sorted(from_server[0]) == ["apiVersion", "kind", "metadata"]


def test_selectors_are_the_servers_and_what_leaves_a_selection_is_told_as_gone(
    world: World, eventually: Eventually
) -> None:
    namespace = world.namespace()
    for name, app in (("a", "web"), ("b", "db")):
        world.put(namespace, name, app=app)
    heard: list[str] = []
    holding = Holding.of(namespaces=[namespace], labels="app=web")
    web = world.cluster.cache(CONFIG_MAP, holding)
    web.subscribe(lambda change: heard.append(f"{change.entry.name} {change.new is not None}"), lambda: None)
    eventually(lambda: web.synced)
    client = world.cluster.client_for("web", holdings={gvk_of(CONFIG_MAP): holding})

    assert [each.metadata.name for each in client.list(CONFIG_MAP, namespace=namespace)] == ["a"]
    found = client.get(CONFIG_MAP, Key(namespace, "a"))
    found.metadata.labels["app"] = "db"
    client.patch(found)
    eventually(lambda: heard == ["a True", "a False"])
    with pytest.raises(NotFound):
        client.get(CONFIG_MAP, Key(namespace, "a"))
    with pytest.raises(UnlistedNamespace):
        client.get(CONFIG_MAP, Key("default", "a"))


def test_what_one_controller_keeps_of_a_kind_is_no_answer_to_another(world: World, eventually: Eventually) -> None:
    namespace = world.namespace()
    world.put(namespace, "a", app="web")
    world.put(namespace, "b", app="db")
    holdings = [Holding.of(labels="app=web"), Holding(drop=("data",)), Holding(metadata_only=True)]
    handles = [world.cluster.cache(CONFIG_MAP, each) for each in holdings]
    eventually(lambda: all(each.synced for each in handles))
    client = world.cluster.client

    for name in ("a", "b"):
        assert client.get(CONFIG_MAP, Key(namespace, name))["data"] == {"key": "value"}
    assert len(client.list(CONFIG_MAP, namespace=namespace)) == 2


def test_what_is_kept_without_some_fields_is_patched_and_never_replaced(world: World, eventually: Eventually) -> None:
    namespace = world.namespace()
    world.put(namespace, "a", app="web")
    holding = Holding(drop=("data",))
    handle = world.cluster.cache(CONFIG_MAP, holding)
    eventually(lambda: handle.synced)
    client = world.cluster.client_for("tidy", holdings={gvk_of(CONFIG_MAP): holding})
    found = client.get(CONFIG_MAP, Key(namespace, "a"))
    found.metadata.labels["app"] = "db"

    with pytest.raises(ValueError, match=r"cannot be updated: this controller caches v1 ConfigMap without data"):
        client.update(found)
    client.patch(found)
    assert client.get(CONFIG_MAP, Key(namespace, "a")).metadata.labels == {"app": "db"}
    assert world.cluster.api_reader.get(CONFIG_MAP, Key(namespace, "a"))["data"] == {"key": "value"}


def test_the_last_user_of_a_kind_takes_its_watch_and_its_series_with_it(world: World, eventually: Eventually) -> None:
    namespace = world.namespace()
    world.put(namespace, "a")
    holding = Holding(namespaces=(namespace,))
    handles = [world.cluster.cache(CONFIG_MAP, holding) for _ in range(2)]
    eventually(lambda: handles[0].synced)
    assert [each for each in world.series() if "objects{" in each] == [
        'kcontroller_informer_objects{cluster="",kind="v1 ConfigMap"} 1.0'
    ]
    handles[0].close()
    assert world.cluster.client.get(CONFIG_MAP, Key(namespace, "a"))["data"] == {"key": "value"}
    handles[1].close()
    eventually(lambda: not world.series())

    # Nobody keeps it, so that the server is asked.
    world.put(namespace, "b")
    assert world.cluster.client.get(CONFIG_MAP, Key(namespace, "b"))["data"] == {"key": "value"}
    assert world.cluster.pending() == ()


@contextmanager
def installed(world: World, plural: str, *, scope: str, eventually: Eventually) -> Iterator[str]:
    """Serve ``Wanderer`` under a plural, in a scope; gives the path of its collection."""
    definition = crd(plural, "Wanderer").data
    definition["spec"]["scope"] = scope
    path = f"/apis/example.com/v1/{'namespaces/default/' if scope == 'Namespaced' else ''}{plural}"
    assert world.server.request("POST", DEFINITIONS, definition)[0] == 201
    try:
        eventually(lambda: world.server.request("GET", path)[0] == 200)
        yield path
    finally:
        world.server.request("DELETE", f"{DEFINITIONS}/{plural}.example.com")
        eventually(lambda: world.server.request("GET", f"{DEFINITIONS}/{plural}.example.com")[0] == 404)


def test_a_kind_may_come_late_vanish_and_return_with_another_plural_and_scope(
    world: World, eventually: Eventually
) -> None:
    heard: list[str] = []
    handle = world.cluster.cache("example.com/v1 Wanderer")
    handle.subscribe(lambda change: heard.append(f"{change.entry.key} {change.new is not None}"), lambda: None)
    eventually(lambda: bool(world.cluster.troubles()))
    assert "Wanderer is not synced" in str(world.cluster.pending()[0])
    body = {"apiVersion": "example.com/v1", "kind": "Wanderer", "metadata": {"name": "w"}}
    with installed(world, "wanderers", scope="Namespaced", eventually=eventually) as path:
        assert world.server.request("POST", path, body)[0] == 201
        eventually(lambda: heard == ["default/w True"])
    eventually(lambda: bool(world.cluster.troubles()))
    eventually(lambda: heard == ["default/w True", "default/w False"])
    with installed(world, "vagabonds", scope="Cluster", eventually=eventually) as path:
        assert world.server.request("POST", path, body)[0] == 201
        eventually(lambda: heard[2:] == ["w True"])

        assert world.cluster.is_namespaced("example.com/v1 Wanderer") is False
        made = Object(body | {"metadata": {"name": "x"}})
        world.cluster.client.create(made)
        eventually(lambda: heard[3:] == ["x True"])


def test_missing_rights_are_named_in_readiness_and_metrics(server: Any, tmp_path: Path, eventually: Eventually) -> None:
    metrics = Metrics()
    config = load_config(kubeconfig=str(server.write_kubeconfig(tmp_path / "kubeconfig", user="nobody")))
    cluster = Cluster(config, metrics=metrics)
    threads = ThreadGroup(on_failure=lambda _name, error: pytest.fail(str(error)))
    cluster.start(threads)
    try:
        cluster.cache("v1 Secret", Holding(metadata_only=True))
        eventually(lambda: bool(cluster.troubles()))
        (pending,) = cluster.pending()
        cluster.observe()
        labels = {"cluster": "", "kind": "v1 Secret"}

        assert "v1 Secret metadata only is not synced" in str(pending)
        assert "grant this user the verbs get, list and watch on secrets" in str(pending)
        assert metrics.registry.get_sample_value("kcontroller_informer_state", labels) == 5
    finally:
        cluster.stop()
        assert threads.join(10) == ()

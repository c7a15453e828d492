"""A manager on a real API server, and the Widget that the tests here reconcile."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Manager, ManagerOptions, Object, load_config
from tests.integration.daemons import Daemons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller import Client, Reconciler
    from kcontroller.testing.control_plane import ApiServer, ControlPlane

OPTIONS = {"metrics_bind_address": "0", "health_probe_bind_address": "0"}


def crd(plural: str, kind: str) -> Object:
    """A CRD whose objects may hold anything below spec and status."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": plural, "kind": kind, "singular": kind.lower()}
    return Object(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name},
        "data": data,
    }


@pytest.fixture
def server(control_plane: ControlPlane) -> ApiServer:
    return control_plane.servers[0]


@pytest.fixture
def grant(server: ApiServer) -> Iterator[Callable[..., None]]:
    """Grant a user of the shared server a rule until the test is over; other tests count on having no rights."""
    base = "/apis/rbac.authorization.k8s.io/v1"
    made: list[str] = []

    def grant_rule(user: str, *, group: str, resource: str, verbs: tuple[str, ...]) -> None:
        name = f"test-{uuid.uuid4().hex[:10]}"
        role = {"metadata": {"name": name}, "rules": [{"apiGroups": [group], "resources": [resource], "verbs": verbs}]}
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        made.append(name)
        assert server.request("POST", f"{base}/clusterroles", role)[0] == 201
        assert server.request("POST", f"{base}/clusterrolebindings", binding)[0] == 201

    yield grant_rule
    for name in made:
        server.request("DELETE", f"{base}/clusterrolebindings/{name}")
        server.request("DELETE", f"{base}/clusterroles/{name}")


@pytest.fixture
def namespace(server: ApiServer) -> str:
    """A namespace of the test's own; there is no controller that would remove it."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    status, _answer = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert status == 201
    return name


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Callable[..., Manager]]:
    """Start a manager with Reconcilers and wait until it is ready."""
    managers: list[Manager] = []

    def begin(*reconcilers: Reconciler, ready: bool = True, **options: Any) -> Manager:
        config = load_config(kubeconfig=str(control_plane.kubeconfig))
        manager = Manager(config, options=ManagerOptions(**OPTIONS, **options))
        manager.add(*reconcilers)
        managers.append(manager)
        manager.start()
        if ready:
            assert manager.wait_ready(15), manager.pending()
        return manager

    yield begin
    for manager in managers:
        manager.stop(grace=5)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Daemons]:
    """``kcontroller run`` with these arguments in a process of its own; none may show a traceback or a token."""
    daemons = Daemons(tmp_path)
    yield daemons
    daemons.end()


def install(client: Client, definition: Object) -> None:
    """Create a CRD unless it is there; it is served a moment later."""
    key = Key("", definition.metadata.name)
    if client.get_or_none("apiextensions.k8s.io/v1 CustomResourceDefinition", key) is None:
        client.create(definition)


class Seen:
    """Counts by key, for reconcilers that only watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def count(self, name: str) -> int:
        with self._lock:
            return self._counts.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

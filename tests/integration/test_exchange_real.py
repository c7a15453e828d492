"""Row 10 of the feature table on a real kube-apiserver: a token that is rotated, and the old one refused afterwards."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Manager, ManagerOptions, load_config
from kcontroller.multicluster import State
from kcontroller.testing.polling import eventually
from kcontroller.transport.credentials import StaticCredentials, bearer
from tests.integration.conftest import OPTIONS, config_map
from tests.integration.test_exchange import NAME, Counting, Told

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.testing.control_plane import ApiServer
    from kcontroller.transport.config import Config

CACHED_SECONDS = 10.0  # kube-apiserver remembers a token that was good for so long.


class Robot:
    """A service account whose tokens end with the Secrets that they are bound to."""

    def __init__(self, server: ApiServer, config: Config) -> None:
        self.name = f"robot-{uuid.uuid4().hex[:8]}"
        self._server = server
        self._config = config
        self._make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": self.name}})
        binding = {
            "metadata": {"name": self.name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": self.name}],
        }
        self._make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)

    def config(self, secret: str) -> Config:
        """A configuration with a token that ends with a Secret."""
        name = f"{self.name}-{secret}"
        self._make("/api/v1/namespaces/default/secrets", {"metadata": {"name": name}})
        bound = {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": name}}}
        path = f"/api/v1/namespaces/default/serviceaccounts/{self.name}/token"
        token = self._make(path, bound)["status"]["token"]
        return replace(self._config, credentials=StaticCredentials(bearer(token, what="the token")))

    def revoke(self, secret: str) -> None:
        self._server.request("DELETE", f"/api/v1/namespaces/default/secrets/{self.name}-{secret}")

    def _make(self, path: str, body: dict[str, Any]) -> Any:
        status, answer = self._server.request("POST", path, body)
        assert status in {200, 201}, answer
        return answer


@pytest.fixture
def config(server: ApiServer, tmp_path: Path) -> Config:
    return load_config(kubeconfig=str(server.write_kubeconfig(tmp_path / "kubeconfig")))


def test_10_a_token_that_is_rotated_costs_no_event_and_no_engagement(server: ApiServer, config: Config) -> None:
    robot, provider, counting = Robot(server, config), Told(), Counting()
    first, second = robot.config("first"), robot.config("second")
    names = [f"{robot.name}-{number}" for number in range(20)]
    path = "/api/v1/namespaces/default/configmaps"
    manager = Manager(config, provider=provider, options=ManagerOptions(**OPTIONS))
    manager.add(counting)
    with manager:
        provider.say(first)
        eventually(lambda: [each.state for each in manager.clusters.states()] == [State.ENGAGED])
        before = manager.cluster(NAME)
        for number, name in enumerate(names):
            if number == len(names) // 2:
                provider.say(second)
            server.request("POST", path, config_map("default", name, n="1"))
        eventually(lambda: before.config == second)
        robot.revoke("first")
        eventually(lambda: refuses(before, first), within=2 * CACHED_SECONDS)
        for name in names[:5]:
            server.request("PUT", f"{path}/{name}", config_map("default", name, n="write"))

        eventually(lambda: all(counting.seen[name, "written"] for name in names[:5]))
        assert [counting.seen[name, "1"] for name in names] == [1] * len(names)
        assert manager.cluster(NAME) is before
        assert counting.heard == [f"engaged {NAME}"]


def refuses(cluster: Any, config: Config) -> bool:
    try:
        cluster.prove(config)
    except PermissionError:
        return True
    return False

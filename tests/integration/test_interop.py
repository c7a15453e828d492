"""The official client on our configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from kcontroller.cluster import Cluster
from kcontroller.transport.loading import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing.control_plane import ControlPlane


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    cluster = Cluster(load_config(kubeconfig=str(control_plane.kubeconfig)))
    yield cluster
    cluster.stop()


@pytest.mark.filterwarnings("default")  # The official package warns about itself.
def test_the_official_client_is_configured_for_the_cluster(cluster: Cluster, namespace: str) -> None:
    with cluster.kubernetes_client() as api:
        core = client.CoreV1Api(api)
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "official"}, "data": {"a": "b"}})
        assert [each.metadata.name for each in core.list_namespaced_config_map(namespace).items] == ["official"]

"""Providers with a manager on them: clusters that come, change and go while a controller works."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from kcontroller import Object
from kcontroller.multicluster.providers.kubeconfig import KubeconfigProvider
from kcontroller.testing import Milo
from kcontroller.testing.polling import eventually
from tests.integration.projects import Watching

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller import Manager
    from kcontroller.multicluster import State
    from kcontroller.testing import EmbeddedServer, Managers, ServerClient
    from tests.integration.daemons import Daemons

PLANES = ("east", "west")
LABEL = {"kcontroller.dev/kubeconfig": "true"}

pytestmark = pytest.mark.embedded(milo=Milo(projects=PLANES, cold_storage=False), users={"robot": ("system:masters",)})


class Secrets:
    """Kubeconfigs of control planes, in Secrets of namespace ``default`` of the root."""

    def __init__(self, server: EmbeddedServer, client: ServerClient) -> None:
        self._server = server
        self._client = client

    def write(self, plane: str, *, labels: dict[str, str] | None = None) -> None:
        text = self._server.kubeconfig(plane, user="robot").replace(
            "current-context: embedded", f"current-context: {plane}"
        )
        metadata = {"namespace": "default", "name": plane, "labels": LABEL if labels is None else labels}
        data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
        self._client.apply(Object({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}))

    def put(self, plane: str, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": name}}
        self._client(cluster=plane).create(Object(body))


@pytest.fixture
def secrets(api_server: EmbeddedServer, client: ServerClient) -> Secrets:
    return Secrets(api_server, client)


def state_of(manager: Manager, name: str) -> State | None:
    return next((each.state for each in manager.clusters.states() if each.name == name), None)


def test_clusters_come_and_go_with_the_labels_of_their_secrets(manager: Managers, secrets: Secrets) -> None:
    watching = Watching()
    made = manager(watching, provider=KubeconfigProvider(allow_hosts=["127.0.0.1"]))
    assert made.clusters.states() == ()

    secrets.write("east")
    secrets.put("east", "a")
    watching.wait_for("east:default/a", within=5)
    assert str(made.cluster("east").source) == "v1 Secret default/east"
    assert made.cluster("east").labels["kcontroller.dev/kubeconfig"] == "true"

    secrets.write("east", labels={})
    eventually(lambda: state_of(made, "east") is None)


def test_row_10_a_token_is_rotated_and_no_event_is_missed(
    api_server: EmbeddedServer, manager: Managers, secrets: Secrets
) -> None:
    secrets.write("east")
    secrets.put("east", "before")
    watching = Watching()
    made = manager(watching, provider=KubeconfigProvider(allow_hosts=["127.0.0.1"]))
    watching.wait_for("east:default/before", within=5)
    before = made.cluster("east")

    api_server.rotate_token("robot")
    secrets.put("east", "between")
    secrets.write("east")
    secrets.put("east", "after")

    watching.wait_for("east:default/between", within=10)
    watching.wait_for("east:default/after", within=10)
    assert made.cluster("east") is before
    assert watching.seen.count("east:default/before") == 1, "nothing is told again"


@pytest.mark.parametrize("provider", ["file", "static", "of a configuration file"])
def test_contexts_of_a_file_are_clusters_of_a_run(
    api_server: EmbeddedServer, secrets: Secrets, run: Daemons, tmp_path: Path, provider: str
) -> None:
    file, controller = tmp_path / "config", tmp_path / "noting.py"
    file.write_text(api_server.kubeconfig(*PLANES))
    controller.write_text(
        "from kcontroller import Reconciler\n"
        "class Noting(Reconciler):\n"
        "    name = 'noting'\n"
        "    def setup(self, builder): builder.for_('v1 ConfigMap')\n"
        "    def reconcile(self, ctx, request): ctx.log.info('saw %s', request)\n"
    )
    (tmp_path / "configuration").write_text(
        "apiVersion: kcontroller.dev/v1alpha1\n"
        "kind: Configuration\n"
        f"provider: {{name: file, options: {{path: {file}, contexts: [east, west]}}}}\n"
    )
    options = {
        "file": ("--provider", "file", "--provider-option", f"path={file}", "--provider-option", "contexts=*st"),
        "static": ("--provider", "static", "--provider-option", "contexts=east,west"),
        "of a configuration file": ("--config", tmp_path / "configuration"),
    }[provider]
    secrets.put("east", "a")
    secrets.put("west", "b")
    daemon = run(controller, "--kubeconfig", file, *options)

    eventually(lambda: daemon.says("saw east:default/a") and daemon.says("saw west:default/b"), within=15)
    assert daemon.stop() == 0
    assert daemon.troubles() == []

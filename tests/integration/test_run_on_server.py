"""``kcontroller run`` against a real API server, as its users see it: the tutorial, the ways to stop, bad inputs."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import config_map, crd

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.testing.control_plane import ApiServer, ControlPlane
    from tests.integration.daemons import Daemons

    Eventually = Callable[[Callable[[], bool]], None]

EXAMPLE = Path(__file__).parents[2] / "examples" / "deployment_logger.py"

SLOW = """
import time
from kcontroller import Object, ObjectReconciler

class Slow(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def setup(self, builder):
        builder.for_(self.kind, predicates=[])
    def reconcile_object(self, ctx, obj):
        if obj.metadata.name == "slow":
            ctx.log.info("begun")
            time.sleep({seconds})
            ctx.log.info("ended")
"""

GADGETS = """
from kcontroller import Object, ObjectReconciler

class Gadgets(ObjectReconciler[Object]):
    kind = "example.com/v1 Gadget"
    def reconcile_object(self, ctx, obj):
        ctx.log.info("saw gadget")
"""


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    return server.write_kubeconfig(tmp_path / "kubeconfig")


def plugin(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "plugin.py"
    path.write_text(source, encoding="utf-8")
    return path


def test_the_tutorial(
    run: Daemons, server: ApiServer, kubeconfig: Path, namespace: str, eventually: Eventually
) -> None:
    daemon = run(EXAMPLE, "--kubeconfig", kubeconfig, "--namespace", namespace)
    eventually(lambda: daemon.says("synced; reconciling"))
    labels = {"app": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert server.request("POST", path, {"metadata": {"name": "nginx"}, "spec": spec})[0] == 201
    eventually(lambda: daemon.says(rf"saw deployment nginx .*replicas=3 .*namespace={namespace} name=nginx"))
    assert daemon.stop() == 0
    assert daemon.text.rstrip().endswith("stopped")
    assert not daemon.troubles()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_running_reconcile_may_end(
    number: signal.Signals,
    run: Daemons,
    server: ApiServer,
    kubeconfig: Path,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    daemon = run(plugin(tmp_path, SLOW.format(seconds=1.0)), "--kubeconfig", kubeconfig, "-n", namespace)
    create_slow(server, namespace)
    eventually(lambda: daemon.says("begun"))
    assert daemon.stop(number) == 0
    assert daemon.says("ended")


def test_the_drain_time_ends_the_wait(
    run: Daemons,
    server: ApiServer,
    kubeconfig: Path,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    source = plugin(tmp_path, SLOW.format(seconds=60))
    daemon = run(source, "--kubeconfig", kubeconfig, "-n", namespace, "--graceful-shutdown-timeout", "300ms")
    create_slow(server, namespace)
    eventually(lambda: daemon.says("begun"))
    began = time.monotonic()
    assert daemon.stop() == 1
    assert time.monotonic() - began < 5
    assert "reconciles still run after 0.3 s: configmap" in daemon.text


def test_a_second_signal_ends_it_at_once(
    run: Daemons,
    server: ApiServer,
    kubeconfig: Path,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    daemon = run(plugin(tmp_path, SLOW.format(seconds=60)), "--kubeconfig", kubeconfig, "-n", namespace)
    create_slow(server, namespace)
    eventually(lambda: daemon.says("begun"))
    daemon.process.send_signal(signal.SIGINT)
    eventually(lambda: daemon.says("SIGINT: stopping"))
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGINT)  # An echo of the first within 0.1 s does not count ...
    eventually(lambda: daemon.process.poll() is not None or daemon.process.send_signal(signal.SIGINT) is not None)
    assert daemon.process.wait(5) == 1


def create_slow(server: ApiServer, namespace: str) -> None:
    body = config_map(namespace, "slow")
    assert server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)[0] == 201


def test_missing_rights_are_named_and_picked_up_when_granted(
    run: Daemons, server: ApiServer, grant: Callable[..., None], tmp_path: Path, eventually: Eventually
) -> None:
    kubeconfig = server.write_kubeconfig(tmp_path / "nobody", user="nobody")
    daemon = run(EXAMPLE, "--kubeconfig", kubeconfig)
    eventually(lambda: daemon.says("WARNING"))
    (line,) = daemon.troubles()
    assert "watch deployments.apps: 403 Forbidden" in line
    assert 'User "nobody" cannot watch resource "deployments" in API group "apps"' in line
    assert "grant this user the verbs get, list and watch on deployments.apps" in line
    grant("nobody", group="apps", resource="deployments", verbs=("get", "list", "watch"))
    eventually(lambda: daemon.says("synced; reconciling"))
    assert daemon.stop() == 0
    assert len(daemon.troubles()) == 1


def test_a_wrong_token_is_named_without_being_shown(run: Daemons, kubeconfig: Path, eventually: Eventually) -> None:
    text = re.sub("token: .*", "token: canary-0123456789", kubeconfig.read_text(encoding="utf-8"))
    kubeconfig.write_text(text, encoding="utf-8")
    daemon = run(EXAMPLE, "--kubeconfig", kubeconfig, "--log-level", "debug")
    eventually(lambda: daemon.says("401 Unauthorized"))
    assert "does not accept the credentials of context" in daemon.text
    assert str(kubeconfig) in daemon.text
    assert daemon.stop() == 0
    assert "canary" not in daemon.text


def test_a_wrong_ca_is_named(run: Daemons, control_plane: ControlPlane, tmp_path: Path, eventually: Eventually) -> None:
    one, other = (
        server.write_kubeconfig(tmp_path / server.context).read_text(encoding="utf-8")
        for server in control_plane.servers
    )
    (foreign,) = re.findall("certificate-authority-data: .*", other)
    mixed = tmp_path / "mixed"
    mixed.write_text(re.sub("certificate-authority-data: .*", foreign, one), encoding="utf-8")
    daemon = run(EXAMPLE, "--kubeconfig", mixed)
    eventually(lambda: daemon.says("is not signed by the CA of context"))
    (line,) = daemon.troubles()
    assert "check certificate-authority-data" in line
    assert daemon.stop() == 0


def test_a_kind_that_appears_later_is_picked_up(
    run: Daemons,
    server: ApiServer,
    kubeconfig: Path,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    daemon = run(plugin(tmp_path, GADGETS), "--kubeconfig", kubeconfig)
    eventually(lambda: daemon.says("the server does not serve example.com/v1 Gadget"))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert server.request("POST", path, crd("gadgets", "Gadget").data)[0] == 201
    eventually(lambda: daemon.says("synced; reconciling"))
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    gadgets = f"/apis/example.com/v1/namespaces/{namespace}/gadgets"
    eventually(lambda: server.request("POST", gadgets, gadget)[0] in {201, 409})
    eventually(lambda: daemon.says("saw gadget"))
    assert daemon.stop() == 0


def test_a_server_that_comes_up_later_is_found(
    fresh_control_plane: ControlPlane, run: Daemons, eventually: Eventually
) -> None:
    fresh_control_plane.kill(0)
    daemon = run(EXAMPLE, "--kubeconfig", fresh_control_plane.kubeconfig)
    eventually(lambda: daemon.says(r"cannot connect to https://127\.0\.0\.1:\d+: connection refused"))
    fresh_control_plane.start(0)
    eventually(lambda: daemon.says("synced; reconciling"))
    assert daemon.stop() == 0

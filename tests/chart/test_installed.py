"""The chart in a real kube-apiserver, and the daemon at work with nothing but what the chart gives it.

There is no kubelet: the container's command runs here, with the arguments of the Deployment as the server has it and a
token of its ServiceAccount. The server's audit log tells what was asked and what was refused.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from kcontroller.testing import binaries
from kcontroller.testing.control_plane import ControlPlane
from kcontroller.testing.crds import install_crds
from kcontroller.testing.plugin import NO_REAL_SERVERS
from tests.chart.conftest import CASES, CHART, RELEASE, ROOT, Helm, container_of, pod_of, rules_of, the, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller.testing.control_plane import ApiServer
    from tests.chart.conftest import Object, Values

    Eventually = Callable[[Callable[[], object]], Any]

pytestmark = pytest.mark.real

WIDGET = ROOT / "examples" / "widget"
RULES = [
    {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["list", "watch", "patch"]},
    {"apiGroups": ["example.com"], "resources": ["widgets/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch", "create", "delete"]},
]
"""What examples/widget does while nobody disturbs it."""

FALLBACKS = {
    ("list", "example.com", "widgets"),  # This server streams its lists: they are watches.
    ("list", "", "configmaps"),
    ("patch", "events.k8s.io", "events"),  # For what is told twice.
    ("create", "", "events"),  # For servers without events.k8s.io.
    ("patch", "", "events"),
}
"""Rights that need not be used: for servers that can do less, and for what may happen."""

TELLING = """
from widget import WidgetReconciler


class TellingReconciler(WidgetReconciler):
    name = "widget"

    def reconcile_object(self, ctx, widget):
        super().reconcile_object(ctx, widget)
        if not widget.metadata.deletion_timestamp:
            ctx.event(widget, "Normal", "Reconciled", "it is ready")
"""
"""The example, with an Event."""

COLLECTIONS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}


class Asked(NamedTuple):
    """One request, as RBAC sees it."""

    verb: str
    group: str
    resource: str
    code: int


class Plane(NamedTuple):
    """A server that writes down who asked for what."""

    server: ApiServer
    kubeconfig: Path
    log: Path

    def asked(self, user: str) -> list[Asked]:
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [_asked(each) for each in records if each["user"]["username"] == user and "objectRef" in each]

    def make_namespace(self, name: str, **labels: str) -> str:
        status, _ = self.server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        assert status in {201, 409}
        return name


def _asked(record: Object) -> Asked:
    what = record["objectRef"]
    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
    return Asked(record["verb"], what.get("apiGroup", ""), resource, record["responseStatus"]["code"])


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    if binaries.find() is None:
        pytest.skip(NO_REAL_SERVERS)
    folder = tmp_path_factory.mktemp("audit")
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"]}
    (folder / "policy").write_text(json.dumps({**policy, "rules": [{"level": "Metadata"}]}), encoding="utf-8")
    arguments = (f"--audit-policy-file={folder / 'policy'}", f"--audit-log-path={folder / 'log'}")
    with ControlPlane(arguments=arguments) as control_plane:
        server = control_plane.servers[0]
        install_crds(server, WIDGET / "crd.yaml")
        yield Plane(server, control_plane.kubeconfig, folder / "log")


class Installed:
    """A release in a namespace of its own, where only pods of the restricted standard may run."""

    def __init__(self, helm: Helm, plane: Plane) -> None:
        self.plane = plane
        self.namespace = plane.make_namespace(
            f"test-{uuid.uuid4().hex[:8]}", **{"pod-security.kubernetes.io/enforce": "restricted"}
        )
        self._helm = helm
        self._where = ("--namespace", self.namespace, "--kubeconfig", plane.kubeconfig)

    def install(self, values: Values) -> list[Object]:
        """Install or upgrade; answers with the objects as the server has them."""
        self._helm("upgrade", "--install", RELEASE, CHART, *self._where, values=values)
        return self.live()

    def manifest(self) -> list[Object]:
        return [each for each in yaml.safe_load_all(self._helm("get", "manifest", RELEASE, *self._where)) if each]

    def live(self) -> list[Object]:
        answers = [self.plane.server.request("GET", path_of(each)) for each in self.manifest()]
        assert [status for status, _ in answers] == [200] * len(answers)
        return [live for _, live in answers]

    def uninstall(self) -> None:
        self._helm("uninstall", RELEASE, *self._where)

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{RELEASE}-kcontroller"

    def refused(self) -> list[Asked]:
        return [each for each in self.plane.asked(self.user) if each.code == http.HTTPStatus.FORBIDDEN]

    def write_kubeconfig(self, path: Path) -> Path:
        """Write one with a token of the release's ServiceAccount, as a pod would be given."""
        account = path_of({"kind": "ServiceAccount", "metadata": {"name": f"{RELEASE}-kcontroller"}}, self.namespace)
        status, answer = self.plane.server.request("POST", f"{account}/token", {"spec": {}})
        assert status == http.HTTPStatus.CREATED
        server = self.plane.server
        authority = base64.b64encode(server.ca_pem.encode()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server.url, "certificate-authority-data": authority}}],
            "users": [{"name": "u", "user": {"token": answer["status"]["token"]}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}],
            "current-context": "x",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


@pytest.fixture
def installed(helm: Helm, plane: Plane) -> Iterator[Installed]:
    release = Installed(helm, plane)
    yield release
    release.uninstall()


def path_of(obj: Object, namespace: str = "") -> str:
    metadata = obj["metadata"]
    collection = COLLECTIONS[obj["kind"]].format(namespace or metadata.get("namespace"))
    return f"{collection}/{metadata['name']}"


# ---- objects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_server_takes_every_object(case: Path, helm: Helm, plane: Plane) -> None:
    for place in ("team-a", "team-b", "elsewhere", "leases", "fleet"):
        plane.make_namespace(place)
    for obj in helm.render(values_of(case)):
        path = COLLECTIONS[obj["kind"]].format(obj["metadata"].get("namespace"))
        status, answer = plane.server.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", obj)
        assert (status, answer.get("message")) == (201, None)


def test_an_installation_makes_its_objects_an_upgrade_changes_them_and_nothing_is_left(
    helm: Helm, plane: Plane
) -> None:
    release = Installed(helm, plane)
    first = release.install({"plugins": {"entryPoints": ["widgets"]}})
    kinds = ["ClusterRole", "ClusterRoleBinding", "Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"]
    assert sorted(each["kind"] for each in first) == kinds
    values = values_of(CHART / "ci" / "trial-values.yaml") | {"replicas": 2, "service": {"enabled": False}}
    second = release.install(values)
    assert sorted(each["kind"] for each in second) == sorted([*kinds[:2], "ConfigMap", *kinds[2:5], kinds[6]])
    assert the(second, "Deployment")["spec"]["replicas"] == 2
    assert [plane.server.request("GET", path_of(each))[0] for each in first if each["kind"] == "Service"] == [404]
    release.uninstall()
    assert {plane.server.request("GET", path_of(each))[0] for each in second} == {404}


def test_a_pod_of_it_may_run_where_only_the_restricted_standard_may(installed: Installed) -> None:
    template = pod_of(installed.install(values_of(CHART / "ci" / "milo-values.yaml")))
    path = f"/api/v1/namespaces/{installed.namespace}/pods?dryRun=All&fieldValidation=Strict"
    pod = {"metadata": {**template["metadata"], "name": "pod"}, "spec": template["spec"]}
    status, answer = installed.plane.server.request("POST", path, pod)
    assert (status, answer.get("message")) == (201, None)
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    status, answer = installed.plane.server.request("POST", path, pod)
    assert status == 403
    assert 'violates PodSecurity "restricted' in answer["message"]


# ---- the daemon ------------------------------------------------------------------------------------------------------


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def at_work_values(source: Path, **more: Any) -> Values:
    """A file on ports of this machine; the arguments of the container need no change then."""
    return {
        "plugins": {"sources": [str(source)]},
        "metrics": {"port": unused_port()},
        "health": {"port": unused_port()},
        **more,
    }


class Daemon(NamedTuple):
    """The container's command in a process of this machine."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int]

    def get(self, port: str, path: str, *, tls: bool = False, token: str = "") -> tuple[int, str]:
        if self.process.poll() is not None:
            pytest.fail(f"ended with {self.process.returncode}:\n{self.log.read_text()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=5)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection("127.0.0.1", self.ports[port], timeout=15, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            connection.close()

    def probes(self, container: Object) -> dict[str, int]:
        """What the three probes of the container would be answered."""
        gets = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        return {name: self.get(get["port"], get["path"])[0] for name, get in gets.items()}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def daemon(installed: Installed, objects: list[Object], tmp_path: Path) -> Iterator[Daemon]:
    container = container_of(objects)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(WIDGET)))
    environment["KUBECONFIG"] = str(installed.write_kubeconfig(tmp_path / "kubeconfig"))
    command = [sys.executable, "-m", "kcontroller", *container["args"]]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    try:
        yield Daemon(process, log, ports)
    finally:
        process.kill()
        process.wait()
        print(log.read_text(errors="replace"))  # noqa: T201 - pytest shows it when the test failed


def make_widget(server: ApiServer, namespace: str) -> str:
    widget = yaml.safe_load((WIDGET / "samples" / "web.yaml").read_text()) | {"metadata": {"name": "web"}}
    path = f"/apis/example.com/v1/namespaces/{namespace}/widgets"
    assert server.request("POST", path, widget)[0] == 201
    return f"{path}/web"


def is_ready(server: ApiServer, widget: str) -> bool:
    status = server.request("GET", widget)[1].get("status", {})
    return [(each["type"], each["status"]) for each in status.get("conditions", ())] == [("Ready", "True")]


@pytest.mark.parametrize("scope", ["cluster", "namespaces"])
def test_with_the_rights_of_the_chart_widgets_get_ready_and_nothing_is_forbidden(
    scope: str, installed: Installed, tmp_path: Path, eventually: Eventually
) -> None:
    server = installed.plane.server
    elsewhere = installed.plane.make_namespace(f"{installed.namespace}-widgets")
    watched = [elsewhere] if scope == "namespaces" else []
    (tmp_path / "telling.py").write_text(TELLING, encoding="utf-8")
    objects = installed.install(
        at_work_values(tmp_path / "telling.py", rbac={"rules": RULES}, scope={"namespaces": watched})
    )
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{installed.namespace}/leases/rel-kcontroller"
    with daemon(installed, objects, tmp_path) as running:
        probes = {"startup": 200, "liveness": 200, "readiness": 200}
        eventually(lambda: running.probes(container_of(objects)) == probes)
        widget = make_widget(server, elsewhere)
        eventually(lambda: is_ready(server, widget))
        eventually(lambda: told(server, elsewhere) == {("Widget", "Reconciled")})
        eventually(lambda: told(server, installed.namespace) == {("Lease", "LeaderElection")})
        assert server.request("GET", lease)[1]["spec"]["holderIdentity"]
        assert server.request("DELETE", widget)[0] == 200
        eventually(lambda: server.request("GET", widget)[0] == 404)
        metrics = running.get("metrics", "/metrics")[1]
        assert running.stop() == 0
    assert server.request("GET", lease)[1]["spec"].get("holderIdentity", "") == ""
    assert 'rest_client_requests_total{code="2' in metrics
    assert 'rest_client_requests_total{code="403"' not in metrics
    assert installed.refused() == []
    assert unused_rights(installed, objects) <= FALLBACKS


def test_with_the_rights_of_the_chart_a_secret_is_a_cluster(
    installed: Installed, tmp_path: Path, eventually: Eventually
) -> None:
    server, namespace = installed.plane.server, installed.namespace
    options = {"namespace": namespace, "allow-hosts": "127.0.0.1"}
    provider = {"name": "kubeconfig", "options": options, "readyWhen": "any"}
    objects = installed.install(at_work_values(WIDGET / "widget.py", provider=provider))
    kubeconfig = base64.b64encode(installed.plane.kubeconfig.read_bytes()).decode()
    metadata = {"name": "east", "labels": {"kcontroller.dev/kubeconfig": "true"}}
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    with daemon(installed, objects, tmp_path) as running:
        eventually(lambda: running.probes(container_of(objects))["readiness"] == 200)
        assert server.request("POST", secrets, {"metadata": metadata, "data": {"kubeconfig": kubeconfig}})[0] == 201
        widget = make_widget(server, installed.plane.make_namespace(f"{namespace}-widgets"))
        eventually(lambda: is_ready(server, widget), within=10.0)
        assert 'kcontroller_cluster_state{cluster="east"} 3.0' in running.get("metrics", "/metrics")[1]
        assert server.request("DELETE", widget)[0] == 200
        eventually(lambda: server.request("GET", widget)[0] == 404)
        assert running.stop() == 0
    assert installed.refused() == []
    assert unused_rights(installed, objects) <= {*FALLBACKS, ("list", "", "secrets")}


def told(server: ApiServer, namespace: str) -> set[tuple[str, str]]:
    items = server.request("GET", f"/api/v1/namespaces/{namespace}/events")[1]["items"]
    return {(each["involvedObject"]["kind"], each["reason"]) for each in items}


def unused_rights(installed: Installed, objects: list[Object]) -> set[tuple[str, str, str]]:
    asked = {(each.verb, each.group, each.resource) for each in installed.plane.asked(installed.user)}
    return {
        (verb, group, resource)
        for rule in rules_of(objects)
        for verb in rule["verbs"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
    } - asked


def token_of(plane: Plane, namespace: str, name: str) -> str:
    """Make a ServiceAccount and give its token."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert plane.server.request("POST", accounts, {"metadata": {"name": name}})[0] == http.HTTPStatus.CREATED
    status, answer = plane.server.request("POST", f"{accounts}/{name}/token", {"spec": {}})
    assert status == http.HTTPStatus.CREATED
    return str(answer["status"]["token"])


def test_with_the_rights_of_the_chart_metrics_are_shown_to_who_is_bound_to_the_role_of_readers(
    installed: Installed, tmp_path: Path, eventually: Eventually
) -> None:
    server, namespace = installed.plane.server, installed.namespace
    values = at_work_values(WIDGET / "widget.py", rbac={"rules": RULES})
    values["metrics"] |= {"secure": True, "readerRole": True}
    objects = installed.install(values)
    (role,) = [each["metadata"]["name"] for each in objects if each["metadata"]["name"].endswith("-metrics-reader")]
    reader, other = (token_of(installed.plane, namespace, name) for name in ("prometheus", "other"))
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert server.request("POST", bindings, binding)[0] == http.HTTPStatus.CREATED
    with daemon(installed, objects, tmp_path) as running:
        eventually(lambda: running.probes(container_of(objects))["readiness"] == 200)
        tokens = {"reader": reader, "other": other, "nobody": "wrong", "none": ""}
        answers = {who: running.get("metrics", "/metrics", tls=True, token=token)[0] for who, token in tokens.items()}
        text = running.get("metrics", "/metrics", tls=True, token=reader)[1]
        assert running.stop() == 0
    server.request("DELETE", f"{bindings}/{role}")
    assert answers == {"reader": 200, "other": 403, "nobody": 401, "none": 401}
    assert 'rest_client_requests_total{code="403"' not in text
    assert installed.refused() == []
    asked = {(each.verb, each.group, each.resource) for each in installed.plane.asked(installed.user)}
    assert asked >= {
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
    }


def test_without_rules_the_pod_lives_and_says_what_it_may_not_read(
    installed: Installed, tmp_path: Path, eventually: Eventually
) -> None:
    objects = installed.install(at_work_values(WIDGET / "widget.py"))
    with daemon(installed, objects, tmp_path) as running:
        eventually(lambda: "is forbidden" in running.get("health", "/readyz")[1])
        assert running.probes(container_of(objects)) == {"startup": 200, "liveness": 200, "readiness": 500}
        eventually(lambda: 'rest_client_requests_total{code="403"' in running.get("metrics", "/metrics")[1])
    assert {(each.verb, each.resource) for each in installed.refused()} >= {("watch", "widgets")}

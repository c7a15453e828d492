"""Row 13 on real kube-apiservers: each answers under the host name of its project, with a certificate of that name.

The infrastructure cluster, numbered 0, has the ProjectControlPlanes. Nothing stands between the controllers and the
others: they choose their certificate by the name that they are asked for, and `resolve` leads that name to their port.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes import client

from kcontroller import Manager, ManagerOptions, load_config
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster.providers.milo import Internal, MiloProvider
from kcontroller.testing import ControlPlane, install_crds
from kcontroller.testing.binaries import find
from kcontroller.testing.plugin import NO_REAL_SERVERS
from kcontroller.transport.config import TLSConfig
from tests.integration.conftest import OPTIONS, config_map
from tests.integration.milo_fleet import CONFIG_MAPS, DEFINITIONS, Follower, state_of
from tests.integration.projects import host, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.daemons import Daemons

PLANES = "/apis/infrastructure.miloapis.com/v1alpha1/projectcontrolplanes"
LABEL = "hosts"


class Authority:
    """Signs certificates, each for one name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control planes")])
        builder = self._builder(self._name, self._key.public_key())
        self._certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> str:
        """Give the two files of a new certificate, as kube-apiserver wants them."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "apiserver")])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(alternative, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain, private = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        unencrypted = serialization.NoEncryption()
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
        )
        return f"{chain},{private}"

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def control_plane(authority: Authority) -> Iterator[ControlPlane]:
    """The infrastructure cluster and two control planes, whose tokens differ."""
    if find() is None:
        pytest.skip(NO_REAL_SERVERS)
    certificates = [f"--tls-sni-cert-key={authority.issue(host(name))}" for name in ("p1", "p2")]
    with ControlPlane(3, arguments=certificates) as plane:
        install_crds(plane.servers[0], DEFINITIONS)
        for number in (1, 2):
            _make(plane, f"p{number}", server=number)
        yield plane


def _make(plane: ControlPlane, name: str, *, server: int) -> None:
    """Make the control plane of a project, which is not ready, and a ConfigMap inside of it."""
    port = plane.servers[server].url.rpartition(":")[2]
    body = {
        "apiVersion": "infrastructure.miloapis.com/v1alpha1",
        "kind": "ProjectControlPlane",
        "metadata": {"name": name, "labels": {"port": port}},
        "spec": {},
    }
    assert plane.servers[0].request("POST", PLANES, body)[0] == 201
    inside = config_map("default", name, n="0")
    inside["metadata"]["labels"] = {"test": LABEL}
    assert plane.servers[server].request("POST", CONFIG_MAPS, inside)[0] == 201


def say(plane: ControlPlane, name: str, status: str) -> None:
    _code, document = plane.servers[0].request("GET", f"{PLANES}/{name}")
    moment = "2026-01-01T00:00:00Z"
    condition = {"type": "ControlPlaneReady", "status": status, "reason": "Test", "message": ""}
    document["status"] = {"conditions": [{**condition, "lastTransitionTime": moment}]}
    assert plane.servers[0].request("PUT", f"{PLANES}/{name}/status", document)[0] == 200


@pytest.fixture
def tokens(control_plane: ControlPlane, tmp_path: Path) -> str:
    """A template of the files with the token of each."""
    for number in (1, 2):
        (tmp_path / f"p{number}.token").write_text(control_plane.servers[number].token)
    return f"{tmp_path}/{{name}}.token"


@pytest.mark.filterwarnings("default")  # The official package warns about itself.
def test_row_13_each_real_server_is_reached_by_its_host_name_with_its_own_token(
    control_plane: ControlPlane, authority: Authority, tokens: str, eventually: Callable[..., Any]
) -> None:
    follower = Follower(LABEL)
    mode = Internal(token_file=tokens, tls=TLSConfig(ca=authority.pem), resolve="127.0.0.1:{labels[port]}")
    hub = load_config(kubeconfig=str(control_plane.kubeconfig), context="envtest-0")
    manager = Manager(hub, provider=MiloProvider(mode), options=ManagerOptions(**OPTIONS))
    manager.add(follower)
    manager.start()
    try:
        assert manager.wait_ready(10)
        assert manager.clusters.states() == ()
        for name in ("p1", "p2"):
            say(control_plane, name, "True")
            follower.first(name, since=0.0)
            assert manager.cluster(name).config.server == f"https://{host(name)}:6443"
        with manager.cluster("p1").kubernetes_client() as api:
            inside = client.CoreV1Api(api).list_namespaced_config_map("default", label_selector=f"test={LABEL}")
        assert [each.metadata.name for each in inside.items] == ["p1"]
        say(control_plane, "p1", "False")
        eventually(lambda: is_gone(manager, "p1"))
        assert not is_gone(manager, "p2")
    finally:
        manager.stop(grace=1.0)
        for name in ("p1", "p2"):
            say(control_plane, name, "False")


def test_row_13_a_real_server_without_a_certificate_of_that_name_is_not_spoken_to(
    control_plane: ControlPlane, authority: Authority, tokens: str, eventually: Callable[..., Any]
) -> None:
    mode = Internal(
        token_file=tokens,
        tls=TLSConfig(ca=authority.pem),
        endpoint="https://other.project-{name}.svc.cluster.local:6443",
        resolve="127.0.0.1:{labels[port]}",
    )
    hub = load_config(kubeconfig=str(control_plane.kubeconfig), context="envtest-0")
    manager = Manager(hub, provider=MiloProvider(mode), options=ManagerOptions(**OPTIONS))
    manager.add(Follower(LABEL))
    manager.start()
    try:
        say(control_plane, "p1", "True")
        troubles = eventually(lambda: manager.cluster("p1").troubles(), ignoring=(ClusterNotFound,))
        assert "the certificate of https://other.project-p1.svc.cluster.local:6443 is not" in str(troubles)
        assert state_of(manager, "p1") == "syncing"
    finally:
        manager.stop(grace=1.0)
        say(control_plane, "p1", "False")


SOURCE = """
from kcontroller import Reconciler

class Follower(Reconciler):
    name = "follower"

    def setup(self, builder):
        builder.for_("v1 ConfigMap")

    def reconcile(self, ctx, request):
        found = ctx.client.get_or_none("v1 ConfigMap", request)
        if found is not None and request.name == request.cluster:
            found["data"]["seen"] = ctx.cluster.name
            ctx.client.patch(found)
"""


def test_row_13_the_command_line_has_words_for_all_of_it(
    control_plane: ControlPlane,
    authority: Authority,
    tokens: str,
    run: Daemons,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    source, trust = tmp_path / "follower.py", tmp_path / "ca.crt"
    source.write_text(SOURCE)
    trust.write_bytes(authority.pem)
    words = {"mode": "internal", "token-file": tokens, "ca-file": str(trust), "resolve": "127.0.0.1:{labels[port]}"}
    options = [part for name, text in words.items() for part in ("--provider-option", f"{name}={text}")]
    hub = ("--kubeconfig", str(control_plane.kubeconfig), "--context", "envtest-0")
    for name in ("p1", "p2"):
        say(control_plane, name, "True")

    def seen(number: int) -> Any:
        return control_plane.servers[number].request("GET", f"{CONFIG_MAPS}/p{number}")[1]["data"].get("seen")

    daemon = run(source, "--provider", "milo", *options, *hub)
    try:
        eventually(lambda: (seen(1), seen(2)) == ("p1", "p2"), within=20.0)
        assert daemon.stop(signal.SIGTERM) == 0, daemon.text
    finally:
        for name in ("p1", "p2"):
            say(control_plane, name, "False")

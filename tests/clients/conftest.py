"""The servers that foreign clients are driven against: ours, and where it is built the real one to prove the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from kcontroller.embedded.requests import RequestLog

SECONDS = 20  # For one command, however busy the machine.

WIDGETS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.clients.example.com"},
    "spec": {
        "group": "clients.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "singular": "widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
                    {"name": "Note", "type": "string", "jsonPath": ".spec.note", "priority": 1},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A widget, for tests.",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "description": "What is wanted.",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1, "description": "How large it is."},
                                    "note": {"type": "string", "default": "none"},
                                    "replicas": {"type": "integer"},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True)
class Server:
    """One API server.

    Attributes:
        controllers: whether it collects garbage and ends namespaces; kube-apiserver alone does not.
        request: a request by the standard library.
        log: what the server was asked; None for the real one, which does not tell.
    """

    name: str
    kubeconfig: Path
    controllers: bool
    request: Callable[..., tuple[int, Any]]
    log: RequestLog | None = None

    def new_namespace(self) -> str:
        name = f"test-{uuid.uuid4().hex[:10]}"
        assert self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
        return name


@contextmanager
def embedded(directory: Path, **options: Any) -> Iterator[Server]:
    """Run our server; `options` are those of `EmbeddedServer`."""
    with EmbeddedServer(**options) as server:
        kubeconfig = directory / "kubeconfig"
        server.write_kubeconfig(kubeconfig)
        yield Server("embedded", kubeconfig, True, server.request, server.requests)


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of each sort for the whole run; every test has its own namespace."""
    directory = tmp_path_factory.mktemp("server")
    if request.param == "embedded":
        with embedded(directory) as server:
            yield server
    else:
        real = request.getfixturevalue("control_plane").servers[0]
        yield Server("real", real.write_kubeconfig(directory / "kubeconfig"), False, real.request)


@pytest.fixture
def namespace(server: Server) -> str:
    return server.new_namespace()


@pytest.fixture(scope="session")
def widgets(server: Server) -> str:
    """The Widget CRD, served; answers with the path of its group and version."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert server.request("POST", path, WIDGETS)[0] in {201, 409}  # 409: this server was used before.
    served = "/apis/clients.example.com/v1"
    within(lambda: server.request("GET", f"{served}/widgets")[0] == 200)
    return served


def within(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a condition holds: for what other processes do."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true within {seconds} s"
        pause.wait(0.02)


class Kubectl:
    """kubectl in one namespace, with a cache and a home of its own."""

    def __init__(self, server: Server, namespace: str, directory: Path) -> None:
        self.server = server
        self.namespace = namespace
        self.directory = directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "KUBECONFIG": str(server.kubeconfig),
            "KUBECACHEDIR": str(directory / "cache"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on, such as a watch; its output is a pipe."""
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(
        self, *arguments: str, given: object = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `given` goes to its standard input, as JSON if it is no text."""
        text = given if isinstance(given, str) or given is None else json.dumps(given)
        return subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            env={**self.environment, **(environment or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def __call__(self, *arguments: str, given: object = None, environment: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed; answers with what it printed."""
        done = self.run(*arguments, given=given, environment=environment)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, given: object = None) -> str:
        """Run a command that must fail; answers with its complaint."""
        done = self.run(*arguments, given=given)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    def read(self, *arguments: str) -> Any:
        """Run ``get`` with JSON output."""
        return json.loads(self("get", *arguments, "-o", "json"))


@pytest.fixture
def kubectl(server: Server, namespace: str, kubectl_home: Path) -> Kubectl:
    return Kubectl(server, namespace, kubectl_home)


@pytest.fixture(scope="session")
def kubectl_home(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("kubectl") is None:
        pytest.skip("they need kubectl on PATH")
    return tmp_path_factory.mktemp(f"kubectl-{server.name}")

"""An operator on Go's controller-runtime, built from its published modules: go/main.go."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.testing import binaries
from tests.clients.conftest import SECONDS, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.conftest import Server

_SOURCE = Path(__file__).parent / "go"
_BUILD_SECONDS = 600  # Without any cache: client-go and all it stands on.

pytestmark = pytest.mark.timeout(_BUILD_SECONDS + 60)


@pytest.fixture(scope="session")
def operator() -> Path:
    """The program, built once for each state of its source and kept beside the real API server."""
    sources = b"".join((_SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    version = hashlib.sha256(sources).hexdigest()[:16]
    program = binaries.cache_directory().parents[1] / "clients" / f"controller-runtime-{version}"
    if program.exists():
        return program
    if shutil.which("go") is None:
        pytest.skip("it needs go to build a program on controller-runtime")
    if binaries.find() is None:
        pytest.skip("it builds a Go program, which takes minutes at first; that is done where `bin/envtest build` was")
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(".partial")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    subprocess.run(
        ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."],
        cwd=_SOURCE,
        env=environment,
        timeout=_BUILD_SECONDS,
        check=True,
    )
    unfinished.rename(program)
    return program


@pytest.fixture
def running(
    operator: Path, server: Server, namespace: str, widgets: str, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, leading; its log is shown where a test fails."""
    log = tmp_path / "log"
    environment = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with log.open("wb") as output:
        process = subprocess.Popen([operator, namespace], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        within(lambda: b"leading" in log.read_bytes() or process.poll() is not None)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
            print(log.read_text(errors="replace"))  # noqa: T201 - pytest shows it when the test failed


def test_an_operator_reconciles_owns_reports_and_cleans_up(
    running: subprocess.Popen[bytes], server: Server, namespace: str, widgets: str
) -> None:
    maps, mine = f"/api/v1/namespaces/{namespace}/configmaps", f"{widgets}/namespaces/{namespace}/widgets"

    def read(path: str) -> Any:
        code, document = server.request("GET", path)
        return document if code == 200 else None

    made = {"apiVersion": "clients.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    assert server.request("POST", mine, made)[0] == 201
    within(lambda: read(f"{mine}/w").get("status") == {"written": 3})
    widget, owned = read(f"{mine}/w"), read(f"{maps}/w")
    assert widget["metadata"]["finalizers"] == ["clients.example.com/cleanup"]
    assert widget["metadata"]["generation"] == 1
    assert (owned["data"], owned["binaryData"]) == ({"size": "3"}, {"raw": "AP8="})
    assert owned["metadata"]["ownerReferences"][0]["uid"] == widget["metadata"]["uid"]

    if server.log is not None:  # The typed kinds came as protobuf.
        created = server.log.where(verb="create", namespace=namespace, resource={"configmaps", "leases"})
        assert [(request.body[:4], request.status) for request in created] == [(b"k8s\0", 201)] * 2

    # What the operator owns is put back when it changes, which shows that its watches work.
    assert server.request("PUT", f"{maps}/w", {**owned, "data": {"size": "no"}})[0] == 200
    within(lambda: read(f"{maps}/w")["data"] == {"size": "3"})
    widget = read(f"{mine}/w")
    assert server.request("PUT", f"{mine}/w", {**widget, "spec": {"size": 4}})[0] == 200
    within(lambda: read(f"{mine}/w")["status"] == {"written": 4})
    assert read(f"{maps}/w")["data"] == {"size": "4"}

    events = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"

    def written() -> list[Any]:
        return [event for event in read(events)["items"] if event["reason"] == "Written"]

    within(written)
    assert (written()[0]["action"], written()[0]["regarding"]["name"]) == ("Write", "w")
    lease = read(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/clients")
    assert lease["spec"]["holderIdentity"]
    assert lease["spec"]["leaseTransitions"] == 0

    assert server.request("DELETE", f"{mine}/w")[0] == 200
    within(lambda: read(f"{mine}/w") is None)
    assert read(f"{maps}/w-gone") is not None
    if server.controllers:
        within(lambda: read(f"{maps}/w") is None)

    running.send_signal(signal.SIGTERM)
    assert running.wait(SECONDS) == 0
    # A leader that ends gives its Lease back.
    assert read(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/clients")["spec"]["holderIdentity"] == ""

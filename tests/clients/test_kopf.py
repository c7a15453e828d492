"""An operator on Kopf: kopf_handlers.py, run by Kopf's own command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.conftest import SECONDS, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.conftest import Server


@pytest.fixture
def log(server: Server, namespace: str, widgets: str, tmp_path: Path) -> Iterator[Path]:
    """The operator, started; what it prints goes to the file, which is shown where a test fails."""
    log = tmp_path / "log"
    handlers = Path(__file__).with_name("kopf_handlers.py")
    command = [sys.executable, "-m", "kopf", "run", str(handlers), "--namespace", namespace, "--standalone"]
    environment = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.terminate()
        try:
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            print(log.read_text(errors="replace"))  # noqa: T201 - pytest shows it when the test failed


def test_an_operator_handles_a_life(log: Path, server: Server, namespace: str, widgets: str) -> None:
    mine = f"{widgets}/namespaces/{namespace}/widgets"

    def read() -> Any:
        code, document = server.request("GET", f"{mine}/w")
        return document if code == 200 else None

    made = {
        "apiVersion": "clients.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "labels": {"timed": "yes"}},
        "spec": {"size": 3},
    }
    assert server.request("POST", mine, made)[0] == 201
    within(lambda: read().get("status", {}).get("created") == {"size": 3})
    widget = read()
    assert widget["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    assert widget["metadata"]["generation"] == 1
    within(lambda: read()["status"].get("ticks", 0) >= 2)

    events = f"/api/v1/namespaces/{namespace}/events"
    within(lambda: "a new one of size 3" in [item["message"] for item in server.request("GET", events)[1]["items"]])

    def resize() -> bool:
        return server.request("PUT", f"{mine}/w", {**read(), "spec": {"size": 4}})[0] == 200

    within(resize)  # The timer may write in between.
    within(lambda: read()["status"].get("resized") == "3 to 4")

    assert server.request("DELETE", f"{mine}/w")[0] == 200
    within(lambda: read() is None)
    within(lambda: f"deleted {namespace}/w" in log.read_text())

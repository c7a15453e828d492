"""An exec plugin that never answers: the daemon says so, ends in order, and takes the plugin with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kcontroller.testing import eventually

if TYPE_CHECKING:
    from tests.integration.daemons import Daemons

PLUGIN = """
from kcontroller import Object, ObjectReconciler

class Maps(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def reconcile_object(self, ctx, obj): ...
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in Linux's /proc")


def kubeconfig(folder: Path) -> Path:
    login = folder / "login"
    login.write_text(f"#!/bin/sh\necho $$ > {folder}/pids\nsleep 1000 & echo $! >> {folder}/pids\nwait\n")
    login.chmod(0o755)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(login), "interactiveMode": "Never"}
    path = folder / "kubeconfig"
    document = {
        "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {"exec": exec_}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me"}}],
    }
    path.write_text(json.dumps(document))
    return path


def test_a_plugin_that_hangs_is_seen_and_does_not_outlive_the_daemon(run: Daemons, tmp_path: Path) -> None:
    (tmp_path / "maps.py").write_text(PLUGIN)
    socket = tmp_path / "control"
    daemon = run("--kubeconfig", kubeconfig(tmp_path), "--control-socket", socket, tmp_path / "maps.py")
    eventually(lambda: daemon.says("login has not answered for 5 s"), within=20)
    asked = subprocess.run(
        [sys.executable, "-m", "kcontroller", "clusters", "--socket", str(socket)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert asked.returncode == 3
    assert "login has not answered for" in asked.stdout
    began = time.monotonic()

    assert daemon.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 3
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    eventually(lambda: not any(Path(f"/proc/{pid}/cwd").exists() for pid in pids))
    assert [line for line in daemon.troubles() if "has not answered" not in line] == []

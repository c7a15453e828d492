"""An exec plugin that never answers, or fails: the daemon says so, and takes the plugin with it however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from kcontroller.process.repeats import NAMED
from kcontroller.testing import eventually

if TYPE_CHECKING:
    from kcontroller.embedded import EmbeddedServer
    from tests.integration.daemons import Daemons

PLUGIN = """
from kcontroller import Object, ObjectReconciler

class Maps(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def reconcile_object(self, ctx, obj): ...
"""

BUSY = """
import threading
from kcontroller import Object, ObjectReconciler

class Busy(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def reconcile_object(self, ctx, obj):
        ctx.log.info("begun")
        threading.Event().wait(60)
"""

MAPS = "/api/v1/namespaces/default/configmaps"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in Linux's /proc")


def kubeconfig(folder: Path, also: str = "") -> Path:
    """A file of one cluster whose plugin hangs, and of those of another file."""
    login = folder / "login"
    login.write_text(f"#!/bin/sh\necho $$ > {folder}/pids\nsleep 1000 & echo $! >> {folder}/pids\nwait\n")
    login.chmod(0o755)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(login), "interactiveMode": "Never"}
    path = folder / "kubeconfig"
    others = yaml.safe_load(also) if also else {"clusters": [], "users": [], "contexts": []}
    document = {
        "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:9"}}, *others["clusters"]],
        "users": [{"name": "me", "user": {"exec": exec_}}, *others["users"]],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me"}}, *others["contexts"]],
    }
    path.write_text(json.dumps(document))
    return path


def pids(folder: Path) -> list[str]:
    """Those of the plugin and of its child, as far as they have begun."""
    path = folder / "pids"
    return path.read_text().split() if path.exists() else []


def lives(pid: str) -> bool:
    return Path(f"/proc/{pid}/cwd").exists()


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
    assert len(pids(tmp_path)) == 2
    eventually(lambda: not any(map(lives, pids(tmp_path))))
    assert [line for line in daemon.troubles() if "has not answered" not in line] == []


def test_a_plugin_that_hangs_does_not_outlive_a_daemon_that_is_ended_at_once(
    run: Daemons, api_server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    path = kubeconfig(tmp_path, also=api_server.kubeconfig())
    assert api_server.request("POST", MAPS, {"metadata": {"name": "a"}})[0] == 201
    fleet = ("--provider", "file", "--provider-option", f"path={path}")
    daemon = run("--kubeconfig", path, *fleet, tmp_path / "busy.py")
    eventually(lambda: len(pids(tmp_path)) == 2 and daemon.says("begun"), within=20)

    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: daemon.says("SIGTERM: stopping"))
    assert all(map(lives, pids(tmp_path))), "a reconcile still runs, so the clusters stay"
    eventually(lambda: daemon.process.poll() is not None or daemon.process.send_signal(signal.SIGTERM) is not None)
    assert daemon.process.wait(5) == 1
    eventually(lambda: not any(map(lives, pids(tmp_path))))


def test_of_a_fleet_whose_plugin_fails_for_each_user_a_few_are_named(run: Daemons, tmp_path: Path) -> None:
    (tmp_path / "maps.py").write_text(PLUGIN)
    path = kubeconfig(tmp_path)
    (tmp_path / "login").write_text("#!/bin/sh\nexit 3\n")
    document, names = json.loads(path.read_text()), [f"c{number}" for number in range(30)]
    ((cluster,), (user,)) = document["clusters"], document["users"]
    for name in names:
        exec_ = {**user["user"]["exec"], "args": [name]}
        document["clusters"].append({**cluster, "name": name})
        document["users"].append({"name": name, "user": {"exec": exec_}})
        document["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    path.write_text(json.dumps(document))
    socket = tmp_path / "control"
    fleet = ("--provider", "file", "--provider-option", f"path={path}", "--control-socket", socket)
    daemon = run("--kubeconfig", path, *fleet, tmp_path / "maps.py")

    eventually(lambda: daemon.says("exited with status 3"), within=20)
    eventually(lambda: all(name in failing(socket) for name in names), within=20)
    assert len(daemon.troubles()) == NAMED + 1
    assert daemon.stop(signal.SIGTERM) == 0


def failing(socket: Path) -> set[str]:
    """The clusters whose plugin is known to fail."""
    words = [sys.executable, "-m", "kcontroller", "clusters", "--socket", str(socket)]
    asked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    return {line.split()[0] for line in asked.stdout.splitlines() if "exited with status 3" in line}

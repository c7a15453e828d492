"""SIGTERM at random moments of ``kcontroller run``, from its first line on: it ends in order, in time and in silence.

Before its first line, while the interpreter itself starts, the kernel answers; see `kcontroller.process.early`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kcontroller.testing import Hang, Milo, Rule
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.testing import EmbeddedServer

PLUGIN = """
import atexit, sys, threading, time
from kcontroller import Object, ObjectReconciler

def tell():
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("kc-")]
    print("threads left:", left, file=sys.stderr)

atexit.register(tell)

class Maps(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def setup(self, builder):
        builder.for_(self.kind, predicates=[]).watches(self.kind, to=lambda cluster, obj: [])
    def reconcile_object(self, ctx, obj):
        ctx.event(obj, "Normal", "Seen", "it is here")
        time.sleep({seconds})
"""
MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
GRACE = 5.0
WINDOW = 1.0
AT_ONCE = 4
FLEET = Milo(projects=("p1", "p2"), cold_storage=False)

on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="caught signals are read from Linux's /proc"
)
pytestmark = on_linux


@dataclass(frozen=True)
class Scene:
    """What the process does when the signal comes.

    Attributes:
        line: the log says it when the process is where the scene wants it.
        options: of the command.
        seconds: that a reconcile takes.
        hangs: a control plane that does not answer meanwhile.
        away: whether the server is.
    """

    line: str
    options: Callable[[int], tuple[str, ...]] = lambda _number: ()
    seconds: float = 0.0
    hangs: str = "none"
    away: bool = False


def own_lease(number: int) -> tuple[str, ...]:
    return ("--leader-elect", "--leader-election-id", f"widget-{number}")


SCENES = [
    pytest.param(Scene("synced; reconciling"), id="alone"),
    pytest.param(Scene("connection refused", away=True), id="the server is away"),
    pytest.param(
        Scene("other leads", lambda _number: ("--leader-elect", "--leader-election-id", "held")), id="standby"
    ),
    pytest.param(Scene("became leader", own_lease), id="leader"),
    pytest.param(
        Scene('"engaged"', lambda _number: ("--provider", "milo"), hangs="p1"),
        id="fleet with a cluster that hangs",
        marks=pytest.mark.embedded(milo=FLEET),
    ),
    pytest.param(Scene("synced; reconciling", seconds=0.2), id="reconciling"),
]


@pytest.fixture
def busy_server(api_server: EmbeddedServer) -> EmbeddedServer:
    """A server with objects, and a Lease that somebody else holds."""
    for number in range(20):
        assert api_server.request("POST", MAPS, {"metadata": {"name": f"a-{number}"}})[0] == 201
    held = {"metadata": {"name": "held"}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}}
    assert api_server.request("POST", LEASES, held)[0] == 201
    return api_server


@pytest.fixture
def folder(busy_server: EmbeddedServer, tmp_path: Path) -> Path:
    """Where the processes find their kubeconfig."""
    busy_server.write_kubeconfig(tmp_path / "kubeconfig")
    return tmp_path


def command(folder: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "kcontroller", "run", str(folder / "plugin.py")),
        *("--kubeconfig", str(folder / "kubeconfig"), "--graceful-shutdown-timeout", f"{GRACE:g}s"),
        *("--metrics-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "127.0.0.1:0", *options),
    ]


@contextmanager
def started(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(arguments, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def catches_sigterm(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def end_at(scene: Scene, folder: Path, number: int, moment: float) -> str:
    """Send SIGTERM so many seconds after a begin; returns what was wrong with the end, "" for nothing.

    The begin is the first line of ours for even numbers, else the line of the scene.
    """
    log = folder / f"log-{number}"
    with started(command(folder, *scene.options(number)), log) as process:
        try:
            eventually(lambda: scene.line in log.read_text() if number % 2 else catches_sigterm(process), within=20)
        except AssertionError:
            return f"number {number} does not begin:\n{log.read_text()}"
        time.sleep(moment)
        process.terminate()
        began = time.monotonic()
        process.wait(GRACE + 20)
        took = time.monotonic() - began
    said = log.read_text(encoding="utf-8")
    wrong = [
        f"exit code {process.returncode}" if process.returncode else "",
        f"it took {took:.1f} s" if took > GRACE + 1 else "",
        *(f"it says {text!r}" for text in ("Traceback", "Fatal Python error", "Exception ignored") if text in said),
        "threads are left" if "threads left: ['" in said else "",
        "it does not say that it stopped" if " starts" in said and '"stopped"' not in said else "",
    ]
    found = ", ".join(filter(None, wrong))
    return f"number {number}, after {moment:.4f} s: {found}:\n{said}" if found else ""


def end_often(scene: Scene, server: EmbeddedServer, folder: Path, *, times: int, seed: int) -> None:
    (folder / "plugin.py").write_text(PLUGIN.format(seconds=scene.seconds), encoding="utf-8")
    if scene.away:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(kubeconfig.read_text().replace(server.url, "https://127.0.0.1:9"))
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    moments = [rng.uniform(0, WINDOW) for _ in range(times)]
    with ThreadPoolExecutor(AT_ONCE) as pool, server.faults(Rule(Hang(), plane=scene.hangs)):
        ends = pool.map(partial(end_at, scene, folder), range(times), moments)
        assert list(filter(None, ends)) == []


@pytest.mark.parametrize("scene", SCENES)
def test_sigterm_at_ten_random_moments_ends_it_in_order(
    scene: Scene, busy_server: EmbeddedServer, folder: Path
) -> None:
    end_often(scene, busy_server, folder, times=10, seed=1)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scene", SCENES)
def test_sigterm_at_forty_random_moments_ends_it_in_order(
    scene: Scene, busy_server: EmbeddedServer, folder: Path
) -> None:
    end_often(scene, busy_server, folder, times=40, seed=2)


def may_unshare() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and not subprocess.run([unshare, "-pf", "true"], capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not may_unshare(), reason="this user may not make a process number 1 (unshare --pid)")
def test_process_number_1_hears_sigterm_while_it_still_loads(folder: Path) -> None:
    """For a first process without a handler the kernel drops it: the pod would run on until it is killed."""
    (folder / "plugin.py").write_text('import time; print("here", flush=True); time.sleep(60)', encoding="utf-8")
    log = folder / "log"
    with started(["unshare", "-pf", *command(folder)], log) as outer:
        eventually(lambda: "here" in log.read_text(), within=20)
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text(encoding="utf-8").split()
        try:
            os.kill(int(inner), signal.SIGTERM)
            assert outer.wait(10) == 0
        except subprocess.TimeoutExpired:
            os.kill(int(inner), signal.SIGKILL)
            raise

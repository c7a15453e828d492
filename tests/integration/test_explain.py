"""``kcontroller explain``, ``pause`` and ``resume`` against ``kcontroller run``, on the embedded API server."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Key, Object
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing.managers import ServerClient
    from tests.integration.daemons import Daemon, Daemons

CANARY = "canary-7c1f09d2"

SOURCE = """
from kcontroller import Object, ObjectReconciler, predicates

class Web(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    name = "web"

    def setup(self, builder):
        builder.for_(self.kind, predicates=[predicates.function(worth_it)])
        builder.owns("v1 Secret", predicates=[predicates.field_changed("data")])

    def reconcile_object(self, ctx, obj):
        name = obj.metadata.name
        secret = ctx.client.get_or_none("v1 Secret", ctx.request.key)
        if name == "poison":
            password = "" if secret is None else secret["data"]["password"]
            raise RuntimeError(f"cannot log in with password={password}")
        if secret is not None and "seen" not in secret["data"]:
            secret["data"]["seen"] = secret["data"]["password"]
            ctx.client.patch(secret)

def worth_it(event):
    return event.old is None or event.old.get("data") != event.new.get("data")
"""


@dataclass(frozen=True)
class Asked:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """Who asks a daemon by the command line."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def __call__(self, *arguments: str) -> Asked:
        command = [sys.executable, "-m", "kcontroller", *arguments, "--socket", str(self.socket)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert "Traceback" not in done.stderr
        for text in (done.stdout, done.stderr):
            assert CANARY not in text
            assert base64.b64encode(CANARY.encode()).decode() not in text
        return Asked(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "control")


@pytest.fixture
def begin(run: Daemons, api_server: EmbeddedServer, tmp_path: Path, operator: Operator) -> Callable[..., Daemon]:
    """Start the daemon of these tests and wait until it has synced."""
    source = tmp_path / "web.py"
    source.write_text(SOURCE)
    kubeconfig = api_server.write_kubeconfig(tmp_path / "kubeconfig")

    def start(*more: str, until: str = "synced; reconciling") -> Daemon:
        daemon = run(source, "--kubeconfig", kubeconfig, "--control-socket", operator.socket, *more)
        eventually(lambda: daemon.says(until), within=20)
        return daemon

    return start


def create(client: ServerClient, name: str, kind: str = "ConfigMap", **more: Any) -> Object:
    obj = Object({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": "default", "name": name}, **more})
    client.create(obj)
    return obj


def secret_of(client: ServerClient, owner: Object) -> Object:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}
    made = Object(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": "default",
                "name": owner.metadata.name,
                "ownerReferences": [{**reference, "controller": True}],
            },
            "data": {"password": base64.b64encode(CANARY.encode()).decode()},
        }
    )
    client.create(made)
    return made


def test_explain_tells_of_backoff_predicates_owners_and_writes_and_of_no_secret(
    begin: Callable[..., Daemon], client: ServerClient, operator: Operator
) -> None:
    poison = create(client, "poison")
    secret_of(client, poison)
    well = create(client, "well")
    secret_of(client, well)
    daemon = begin()
    eventually(lambda: daemon.says("Reconciler error"), within=10)

    # A poison object: its backoff, and the line of the error.
    eventually(lambda: "waits for its backoff" in operator("explain", "ConfigMap", "default/poison").out, within=20)
    told = operator("explain", "configmaps", "default/poison")
    first = told.out.splitlines()[0]
    assert told.code == 3
    assert first.startswith("ConfigMap default/poison, controller web: waits for its backoff, ")
    assert "error   " in told.out
    assert "RuntimeError: cannot log in with [redacted] at web.py:17, retry" in told.out

    # Of an owned kind, the owner; what it wrote, as a difference.
    eventually(lambda: operator("explain", "Secret", "default/well", "-o", "json").json[0]["settled"], within=20)
    owner = operator("explain", "Secret", "default/well", "-o", "json")
    (explained,) = owner.json
    assert (owner.code, explained["kind"], explained["key"]) == (0, "v1 ConfigMap", "default/well")
    assert explained["version"] == "kcontroller.dev/explain/v1"
    (write,) = explained["writes"]
    assert (write["verb"], write["target"]) == ("patch", "v1 Secret default/well")
    assert write["change"] == {"data": {"seen": "[left out]"}}

    # Predicates by their names.
    found = client.get("v1 Secret", Key("default", "well"))
    found["metadata"]["labels"] = {"tier": "one"}
    client.update(found)
    found = client.get("v1 ConfigMap", Key("default", "well"))
    found["metadata"]["labels"] = {"tier": "one"}
    client.update(found)
    eventually(lambda: "dropped by function(worth_it)" in operator("explain", "ConfigMap", "default/well").out)
    assert "dropped by field_changed('data')" in operator("explain", "ConfigMap", "default/well").out

    assert daemon.stop() == 0
    assert not operator.socket.exists()
    gone = operator("explain", "ConfigMap", "default/well")
    assert (gone.code, gone.out) == (1, "")
    assert "no daemon answers at" in gone.err


def test_what_is_paused_is_left_alone_until_it_is_resumed(
    begin: Callable[..., Daemon], client: ServerClient, operator: Operator
) -> None:
    daemon = begin()

    paused = operator("pause", "web", "--why", "bad release")
    assert (paused.code, paused.out) == (0, "web is paused (bad release)\n")
    create(client, "poison")
    eventually(lambda: operator("explain", "ConfigMap", "default/poison").code == 3, within=10)
    told = operator("explain", "ConfigMap", "default/poison")
    assert told.out.splitlines()[:2] == [
        "ConfigMap default/poison, controller web: waits: web is paused (bad release)",
        "  remedy  kcontroller resume web",
    ]
    assert not daemon.says("Reconciler error")
    assert operator("pauses").out == "web is paused (bad release)\n"
    wrong = operator("pause", "wbe")
    assert (wrong.code, wrong.err) == (
        1,
        "Error: there is no controller 'wbe' to pause; there are: web\n",
    )

    resumed = operator("resume", "web")
    assert resumed.out == "resumed: web is paused (bad release)\nnothing is paused\n"
    eventually(lambda: daemon.says("Reconciler error"), within=10)
    assert operator("resume", "--all").out == "there was nothing to resume\nnothing is paused\n"
    assert daemon.stop() == 0


def test_a_standby_says_that_it_stands_by_and_who_leads(
    begin: Callable[..., Daemon], client: ServerClient, operator: Operator
) -> None:
    held = Object(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": "default", "name": "kcontroller"},
            "spec": {
                "holderIdentity": "x-7f9c",
                "leaseDurationSeconds": 3600,
                "acquireTime": "2026-01-01T00:00:00.000000Z",
                "renewTime": "2026-01-01T00:00:00.000000Z",
            },
        }
    )
    client.create(held)
    create(client, "well")
    lease = ("--leader-elect", "--leader-election-namespace", "default", "--leader-election-lease-duration", "3600s")
    daemon = begin(*lease, until="x-7f9c leads")

    eventually(lambda: operator("explain", "ConfigMap", "default/well").code == 3, within=10)
    told = operator("explain", "ConfigMap", "default/well")
    assert told.out.splitlines()[0] == ("ConfigMap default/well, controller web: this replica stands by; x-7f9c leads")
    paused = operator("pause", "--all")
    assert paused.err == "this replica stands by, and x-7f9c leads: pause it there too\n"
    assert daemon.stop() == 0


def test_what_nobody_knows_is_one_line(begin: Callable[..., Daemon], operator: Operator) -> None:
    daemon = begin()

    absent = operator("explain", "ConfigMap", "default/absent")
    unknown = operator("explain", "Widget", "default/web")
    usage = operator("explain", "Widget")
    key = operator("explain", "ConfigMap", "a/b/c")

    assert absent.code == 1
    assert "is not known here: no cache shows it" in absent.out
    assert (unknown.code, unknown.err) == (
        1,
        "Error: no controller here has to do with Widget; there are web (v1 ConfigMap, v1 Secret)\n",
    )
    assert (usage.code, "name a kind and an object" in usage.err) == (2, True)
    assert (key.code, "write it like 'namespace/name'" in key.err) == (1, True)
    assert daemon.stop() == 0


def test_sigusr1_prints_every_stack_and_a_client_that_hangs_holds_up_no_stop(
    begin: Callable[..., Daemon], operator: Operator
) -> None:
    daemon = begin()
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.connect(str(operator.socket))

        daemon.process.send_signal(signal.SIGUSR1)
        eventually(lambda: daemon.says(r"(?m)^(Current thread|Thread) 0x"), within=10)
        assert operator("pauses").code == 0

        began = time.monotonic()
        assert daemon.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5

"""G2: whichever thread dies, the process ends with 1, at once, and says which it was."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import kcontroller
from kcontroller import Builder, Context, Manager, ManagerOptions, Object, ObjectReconciler
from kcontroller.leaderelection import LeaderElection
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.server import EmbeddedServer

SOURCE = Path(kcontroller.__file__).parent

WHILE_IT_RUNS = (
    "health-1",
    "metrics-1",
    "watchdog",
    "cluster-local",
    "fleet",
    "elector",
    "elector-watch",
    "worker-busy-0",
    "mapper-busy-0",
    "events-0",
    "check-healthz-threads",
)
WHILE_IT_STOPS = ("interrupt", "leave-one", "provider")


class Busy(ObjectReconciler[Object]):
    """Needs every thread that there is: it maps, tells an event, and asks for the health."""

    name: ClassVar[str] = "busy"
    kind: ClassVar[str] = "v1 Namespace"

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def setup(self, builder: Builder) -> None:
        builder.for_(self.kind).watches("v1 ConfigMap", to=lambda _cluster, _obj: [])

    def reconcile_object(self, ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "default":
            ctx.event(obj, "Normal", "Seen", "it is here")
            self._act()


class Sabotage:
    """Lets one thread of a manager die as soon as it runs.

    Attributes:
        at: when it died.
    """

    def __init__(self, manager: Manager, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0.0
        threads = manager._parts.supervisor.threads
        spawn = threads.spawn

        def instead(role: str, key: str, target: Callable[[], None]) -> threading.Thread:
            ours = f"{role}-{key}".rstrip("-") == name
            return spawn(role, key, self._die if ours else target)

        monkeypatch.setattr(threads, "spawn", instead)

    def _die(self) -> None:
        self.at = time.monotonic()
        msg = "sabotage"
        raise RuntimeError(msg)


@pytest.fixture
def make(api_server: EmbeddedServer) -> Callable[..., Manager]:
    """A manager of a fleet of one cluster, with everything that has a thread."""
    body = {"metadata": {"name": "a"}}
    assert api_server.request("POST", "/api/v1/namespaces/default/configmaps", body)[0] == 201

    def new(act: Callable[[], object], **options: Any) -> Manager:
        manager = Manager(
            config_of(api_server),
            provider=StaticProvider({"one": config_of(api_server)}),
            options=ManagerOptions(
                metrics_bind_address="127.0.0.1:0",
                health_probe_bind_address="127.0.0.1:0",
                leader_election=LeaderElection(name="busy", namespace="default"),
                switch_interval=0,
                **options,
            ),
        )
        manager.add(Busy(act))
        return manager

    return new


@pytest.mark.parametrize("name", WHILE_IT_RUNS)
def test_a_thread_that_dies_ends_the_run(
    make: Callable[..., Manager], name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make(lambda: manager.healthz.run())  # noqa: PLW0108 - it is not there yet
    sabotage = Sabotage(manager, name, monkeypatch)

    assert manager.run() == 1
    assert 0 < time.monotonic() - sabotage.at < 5
    assert manager.failure == f"thread kc-{name} failed: RuntimeError"
    assert f"thread kc-{name} failed, the process stops: RuntimeError: sabotage" in caplog.text


@pytest.mark.parametrize("name", WHILE_IT_STOPS)
def test_a_thread_of_the_stop_that_dies_keeps_nothing_from_stopping(
    make: Callable[..., Manager], name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    def act() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        if name == "leave-one":  # It is needed where a reconcile is left behind only.
            go_on.wait(10)

    manager = make(act, graceful_shutdown_timeout=0)
    sabotage = Sabotage(manager, name, monkeypatch)

    assert manager.run() == 1
    assert 0 < time.monotonic() - sabotage.at < 5
    assert f"thread kc-{name} failed, the process stops: RuntimeError: sabotage" in caplog.text
    go_on.set()


def test_no_role_is_left_out() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if "embedded" not in path.parts)
    spawned = set(re.findall(r'\.(?:spawn|apart)\(\s*"([a-z]+)"', text))
    tested = {name.partition("-")[0] for name in (*WHILE_IT_RUNS, *WHILE_IT_STOPS)}
    assert spawned
    assert spawned - tested == set()

"""One round of work, on the embedded API server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import (
    Builder,
    Context,
    Key,
    LeaderElection,
    Manager,
    ManagerOptions,
    Object,
    ObjectReconciler,
    Result,
    TerminalError,
)
from kcontroller.errors import ConfigError, Conflict
from kcontroller.multicluster.providers.file import FileProvider
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.process.early import EndAtOnce, end_at_once_with
from kcontroller.testing import Hang, Milo, Rule, config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kcontroller.testing import EmbeddedServer

    Act = Callable[[Context, Object], Result | None]

MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
QUIET: dict[str, Any] = {"metrics_bind_address": "0", "health_probe_bind_address": "0", "switch_interval": 0}


def nothing(_ctx: Context, _obj: Object) -> None:
    """Be content."""


class Maps(ObjectReconciler[Object]):
    """Does what a test says, and counts."""

    kind: ClassVar[str] = "v1 ConfigMap"

    def __init__(self, act: Act = nothing, *, kind: str = "v1 ConfigMap") -> None:
        self.kind = kind  # type: ignore[misc]
        self._act = act
        self.calls: Counter[str] = Counter()

    def setup(self, builder: Builder) -> None:
        builder.for_(self.kind, predicates=[])

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        if obj.metadata.namespace != "default" or obj.metadata.name == "kube-root-ca.crt":
            return None
        self.calls[obj.metadata.name] += 1
        return self._act(ctx, obj)


@pytest.fixture(autouse=True)
def three_maps(api_server: EmbeddedServer) -> None:
    for name in "abc":
        assert api_server.request("POST", MAPS, {"metadata": {"name": name}, "data": {"n": "0"}})[0] == 201


def once(server: EmbeddedServer, *reconcilers: ObjectReconciler[Object], timeout: float = 10.0, **options: Any) -> int:
    manager = Manager(config_of(server), options=ManagerOptions(**{**QUIET, **options}))
    manager.add(*reconcilers)
    return manager.run_once(timeout)


def test_a_round_reconciles_what_there_is_and_ends_in_order(api_server: EmbeddedServer) -> None:
    maps = Maps()
    assert once(api_server, maps) == 0
    assert maps.calls == {"a": 1, "b": 1, "c": 1}


def test_what_follows_from_a_write_belongs_to_the_round(api_server: EmbeddedServer) -> None:
    """The one makes Secrets, which concern the other, which writes what concerns the one."""

    def make(ctx: Context, obj: Object) -> None:
        name = obj.metadata.name
        if ctx.client.get_or_none("v1 Secret", Key("default", name)) is None:
            ctx.client.create(
                Object({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "default", "name": name}})
            )

    def mark(ctx: Context, obj: Object) -> None:
        found = ctx.client.get("v1 ConfigMap", Key("default", obj.metadata.name))
        if found["data"]["n"] == "0":
            found["data"]["n"] = "1"
            ctx.client.update(found)

    makers = Maps(make)
    makers.name = "makers"  # type: ignore[misc]
    assert once(api_server, makers, Maps(mark, kind="v1 Secret")) == 0
    assert [api_server.request("GET", f"{MAPS}/{name}")[1]["data"]["n"] for name in "abc"] == ["1", "1", "1"]


def test_what_cannot_be_used_as_a_cluster_is_not_waited_for_and_said(
    api_server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    manager = Manager(config_of(api_server), provider=FileProvider([str(tmp_path)]), options=ManagerOptions(**QUIET))
    manager.add(Maps())
    began = time.monotonic()

    assert manager.run_once(30) == 1
    assert time.monotonic() - began < 15
    assert f"not all was reconciled: what cannot be used as a cluster: {tmp_path / 'a.yaml'}" in caplog.messages


def test_a_request_that_fails_is_tried_five_times_and_the_others_are_done(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def act(_ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "b":
            raise ValueError(obj.metadata.name)

    maps = Maps(act)
    assert once(api_server, maps) == 1
    assert (maps.calls["a"], maps.calls["c"]) == (1, 1)
    assert maps.calls["b"] >= 5
    assert "failed: default/b" in caplog.messages


def test_what_fails_first_and_works_then_is_no_failure(api_server: EmbeddedServer) -> None:
    def act(_ctx: Context, obj: Object) -> None:
        if maps.calls[obj.metadata.name] < 3:
            raise Conflict("somebody was faster", status=409, reason="Conflict")

    maps = Maps(act)
    assert once(api_server, maps) == 0
    assert maps.calls == {"a": 3, "b": 3, "c": 3}


def test_a_terminal_error_fails_the_round_at_its_first_try(api_server: EmbeddedServer) -> None:
    def act(_ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "b":
            raise TerminalError("never")

    maps = Maps(act)
    assert once(api_server, maps) == 1
    assert maps.calls == {"a": 1, "b": 1, "c": 1}


def test_what_asks_to_be_called_later_is_left_for_the_next_round(api_server: EmbeddedServer) -> None:
    maps = Maps(lambda _ctx, _obj: Result(requeue_after=3600))
    began = time.monotonic()
    assert once(api_server, maps) == 0
    assert time.monotonic() - began < 5
    assert maps.calls.total() == 3


def test_a_kind_that_cannot_be_synced_fails_the_round_when_its_time_is_over(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert once(api_server, Maps(kind="example.com/v1 Nothing"), timeout=0.3) == 1
    assert "not all was reconciled: example.com/v1 Nothing is not synced" in caplog.text


def test_a_reconcile_that_does_not_end_fails_the_round(api_server: EmbeddedServer) -> None:
    go_on = threading.Event()
    maps = Maps(lambda _ctx, _obj: go_on.wait(10) and None)
    assert once(api_server, maps, timeout=0.3, graceful_shutdown_timeout=0.1) == 1
    go_on.set()


def test_a_round_that_a_signal_ends_is_not_done(api_server: EmbeddedServer) -> None:
    def act(_ctx: Context, _obj: Object) -> Result:
        if maps.calls.total() == 1:  # A second one would end this process at once.
            os.kill(os.getpid(), signal.SIGTERM)
        return Result(requeue=True)

    maps = Maps(act)
    assert once(api_server, maps) == 1


def test_a_replica_that_does_not_lead_has_done_nothing(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    held = {"metadata": {"name": "widget"}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}}
    assert api_server.request("POST", LEASES, held)[0] == 201
    maps = Maps()
    election = LeaderElection(name="widget", namespace="default")
    assert once(api_server, maps, timeout=0.5, leader_election=election) == 1
    assert maps.calls == {}
    assert "not all was reconciled: another replica leads" in caplog.messages


@pytest.mark.embedded(milo=Milo(projects=("p1", "p2"), cold_storage=False))
def test_a_fleet_is_done_when_every_cluster_is(api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    def round_of(maps: Maps, timeout: float) -> int:
        provider = StaticProvider({name: config_of(api_server, cluster=name) for name in ("p1", "p2")})
        provider.patience = 0.1
        manager = Manager(config_of(api_server), provider=provider, options=ManagerOptions(**QUIET))
        manager.add(maps)
        return manager.run_once(timeout)

    assert round_of(Maps(), 10.0) == 0
    with api_server.faults(Rule(Hang(), plane="p1")):
        assert round_of(Maps(), 1.0) == 1
    assert "not all was reconciled: clusters that are not engaged: p1" in caplog.messages


@pytest.fixture
def early() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    end_at_once_with(99)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("early")
@pytest.mark.parametrize(("kind", "code"), [("v1 ConfigMap", 0), ("example.com/v1 Nothing", 1)])
def test_a_signal_between_the_end_and_the_exit_does_not_change_the_code(
    api_server: EmbeddedServer, kind: str, code: int
) -> None:
    assert once(api_server, Maps(kind=kind), timeout=10.0 if code == 0 else 0.3) == code
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        assert isinstance(handler, EndAtOnce)
        assert handler.code == code


@pytest.mark.parametrize("paused", ["maps", "*", "*@*"])
def test_a_paused_controller_ends_the_round_at_once_and_undone(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture, paused: str
) -> None:
    maps, others = Maps(), Maps(kind="v1 Secret")
    maps.name, others.name = "maps", "others"  # type: ignore[misc]
    began = time.monotonic()
    assert once(api_server, maps, others, timeout=60.0, paused=(paused,)) == 1
    assert time.monotonic() - began < 10
    assert maps.calls == {}
    who = "every controller" if paused.startswith("*") else "maps"
    assert f"not all was reconciled: {who} is paused" in caplog.text
    assert "(from the start); run it again without the pause" in caplog.text


def test_a_pause_of_what_has_nothing_to_do_is_no_failure(api_server: EmbeddedServer) -> None:
    maps, idle = Maps(), Maps(kind="v1 Secret")
    idle.name = "idle"  # type: ignore[misc]
    assert once(api_server, maps, idle, paused=("idle",)) == 0
    assert maps.calls == {"a": 1, "b": 1, "c": 1}


def test_a_pause_that_comes_between_two_tries_leaves_the_round_undone(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def act(_ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "b":
            manager.pause("maps")
            raise Conflict("somebody was faster", status=409, reason="Conflict")

    maps = Maps(act)
    maps.name = "maps"  # type: ignore[misc]
    manager = Manager(config_of(api_server), options=ManagerOptions(**QUIET))
    manager.add(maps)
    assert manager.run_once(60.0) == 1
    assert maps.calls["b"] == 1
    assert "not all was reconciled: maps is paused; run it again without the pause" in caplog.text


def test_a_spent_budget_ends_the_round_at_once_and_undone(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    maps = Maps(lambda ctx, obj: ctx.client.delete(obj))
    maps.name = "maps"  # type: ignore[misc]
    began = time.monotonic()
    assert once(api_server, maps, timeout=60.0, delete_budget="1/10m") == 1
    assert time.monotonic() - began < 10
    assert (
        "not all was reconciled: maps has spent its 1 delete in 10m; look at what was written, "
        "then run it again, or with a larger --delete-budget"
    ) in caplog.text


def test_an_event_that_was_dropped_fails_the_round(
    api_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Mapped(Maps):
        def setup(self, builder: Builder) -> None:
            builder.for_("v1 Secret").watches("v1 ConfigMap", self.to)

        def to(self, _cluster: object, obj: Object) -> list[Key]:
            if obj.metadata.name == "b":
                raise TerminalError("never")
            return []

    assert once(api_server, Mapped()) == 1
    assert "not all was reconciled: functions of sources dropped 1 event" in caplog.text


def test_one_round_does_not_go_with_canaries(api_server: EmbeddedServer) -> None:
    config = config_of(api_server)
    options = ManagerOptions(**QUIET, canary="tier=canary")
    manager = Manager(config, provider=StaticProvider({"eu": config}), options=options)

    with pytest.raises(ConfigError, match="one round does not go with canaries: it is over before the other"):
        manager.run_once()

"""Rows 35, 37 to 42 and 45 of the conformance list on running servers: the embedded one, and the real kube-apiserver.

`test_controller.py`, `test_leader_election.py` and `test_client.py` hold them in every detail against what the test
plays. Rows 24 to 34 and 36 are about what happens in the process, whatever the server.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller import Condition, Key, Model, Object, Reconciler, Resource, Result, conditions, owners
from kcontroller.leaderelection import Elector, LeaderElection
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import Hang, install_crds
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller import Builder, Context, Request
    from kcontroller.testing.clock import VirtualClock
    from tests.conformance.stage import Stage

CONFIG_MAP, SECRET = "v1 ConfigMap", "v1 Secret"


def made(stage: Stage, name: str, *, kind: str = CONFIG_MAP, owner: Object | None = None) -> Object:
    obj = Object(
        {"apiVersion": "v1", "kind": kind.split()[1], "metadata": {"namespace": stage.namespace, "name": name}}
    )
    if owner is not None:
        owners.set_controller(owner, obj)
    return stage.client.create(obj)


class Maps(Reconciler):
    """Notes which config maps it was called for, and does what the test says."""

    def __init__(
        self,
        act: Callable[[Context, Request], object] = lambda _ctx, _request: None,
        *,
        setup: Callable[[Builder], object] = lambda builder: builder.for_(CONFIG_MAP),
    ) -> None:
        self._act = act
        self._setup = setup
        self.names: list[str] = []
        self.began = threading.Event()

    def setup(self, builder: Builder) -> None:
        self._setup(builder)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        if request.name == "kube-root-ca.crt":
            return None
        self.names.append(request.name)
        self.began.set()
        self._act(ctx, request)
        return None


# ---- 35 and 37: sources and handlers ---------------------------------------------------------------------------------


def test_35_no_reconcile_before_all_handlers_finished_initial_events(stage: Stage) -> None:
    maps = Maps(setup=lambda builder: builder.for_(CONFIG_MAP).owns(SECRET))
    made(stage, "a")
    with stage.proxy.add(Hang(), path_prefix=f"/api/v1/namespaces/{stage.namespace}/secrets"):
        manager = stage.manager(maps, ready=False)
        eventually(lambda: [each.kind for each in manager.pending()] == [SECRET])
        before = manager.controllers[0].queue.depth("")
        made(stage, "b")
        eventually(lambda: manager.controllers[0].queue.depth("") == before + 1)
        assert maps.names == []
        assert not manager.wait_ready(0)
    eventually(lambda: sorted(maps.names) == ["a", "b"])
    assert manager.wait_ready(5)


def test_37_the_owner_handler_enqueues_old_and_new_owner(stage: Stage) -> None:
    old, new = made(stage, "old"), made(stage, "new")
    child = made(stage, "child", kind=SECRET, owner=old)
    maps = Maps(setup=lambda builder: builder.for_(CONFIG_MAP).owns(SECRET))
    stage.manager(maps)
    eventually(lambda: {"old", "new"} <= set(maps.names))
    maps.names.clear()

    owners.remove_owner(old, child)
    owners.set_controller(new, child)
    stage.client.patch(child)
    eventually(lambda: sorted(maps.names) == ["new", "old"])

    maps.names.clear()
    stage.client.delete(child)
    eventually(lambda: maps.names == ["new"])


# ---- 38 to 40: the manager -------------------------------------------------------------------------------------------


@pytest.fixture
def definition(stage: Stage) -> Iterator[dict[str, Any]]:
    """A kind that the server does not have yet."""
    group = f"late-{uuid.uuid4().hex[:8]}.example.com"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    yield {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    stage.server.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}")


def test_38_a_source_that_cannot_be_synced_is_pending_until_it_can_and_the_others_work(
    stage: Stage, definition: dict[str, Any]
) -> None:
    kind = f"{definition['spec']['group']}/v1 Thing"
    maps, things = Maps(), Maps(setup=lambda builder: builder.for_(kind))
    made(stage, "a")
    manager = stage.manager(maps, things, ready=False)
    eventually(lambda: "a" in maps.names)
    eventually(lambda: [(each.kind, "does not serve" in each.reason) for each in manager.pending()] == [(kind, True)])
    assert not manager.wait_ready(0)
    assert manager.healthz.run() == {"threads": None}

    install_crds(stage.server, definition)
    thing = Object({"apiVersion": f"{definition['spec']['group']}/v1", "kind": "Thing"})
    thing.metadata.namespace, thing.metadata.name = stage.namespace, "t"
    stage.client.create(thing)
    eventually(lambda: things.names == ["t"], 30)
    assert manager.wait_ready(5)


QUICK: dict[str, Any] = {"lease_duration": 2, "renew_deadline": 1.0, "retry_period": 0.1}


def elected(stage: Stage) -> dict[str, Any]:
    """The option of a manager that leads within moments."""
    return {"leader_election": LeaderElection(name="widget", namespace=stage.namespace, **QUICK)}


def lease_path(stage: Stage, name: str = "widget") -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/{name}".rstrip("/")


def test_39_caches_fill_first_then_the_leader_works_and_the_lease_is_given_back_last(
    stage: Stage,
) -> None:
    made(stage, "a")
    go_on = threading.Event()

    def act(ctx: Context, request: Request) -> None:
        assert go_on.wait(10)
        ctx.client.create(
            Object({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": request.namespace, "name": "last"}})
        )

    maps = Maps(act)
    manager = stage.manager(maps, ready=False, **elected(stage))
    assert maps.began.wait(10)
    stopping = threading.Thread(target=manager.stop)
    stopping.start()
    assert manager.wait_stopping(5)
    assert stage.server.request("GET", lease_path(stage))[1]["spec"]["holderIdentity"]
    go_on.set()
    stopping.join(10)

    what = [f"{each.method} {each.path.rpartition('/')[2]}" for each in stage.proxy.exchanges]
    assert what.index("GET configmaps") < what.index("POST leases") < what.index("POST secrets")
    assert stage.proxy.exchanges[-1].path == lease_path(stage)
    assert stage.server.request("GET", lease_path(stage))[1]["spec"]["holderIdentity"] == ""


@pytest.fixture
def stuck(stage: Stage) -> Iterator[Maps]:
    """A reconcile that does not end before the test does."""
    made(stage, "a")
    go_on = threading.Event()
    yield Maps(lambda _ctx, _request: go_on.wait(30))
    go_on.set()


def test_40_a_graceful_timeout_is_told_with_its_time(
    stage: Stage, stuck: Maps, caplog: pytest.LogCaptureFixture
) -> None:
    manager = stage.manager(stuck, graceful_shutdown_timeout=0.02)
    assert stuck.began.wait(10)
    assert manager.stop() is False
    assert "reconciles still run after 0.02 s: configmap" in caplog.text


def test_40_a_timeout_of_0_does_not_wait(stage: Stage, stuck: Maps) -> None:
    manager = stage.manager(stuck, graceful_shutdown_timeout=0)
    assert stuck.began.wait(10)
    began = time.monotonic()
    manager.stop()
    assert manager.controllers[0].queue.in_flight == 1
    assert time.monotonic() - began < 5.0


def test_40_a_lost_lease_does_not_wait_for_reconciles_and_is_an_error(stage: Stage, stuck: Maps) -> None:
    manager = stage.manager(stuck, graceful_shutdown_timeout=30, **elected(stage))
    assert stuck.began.wait(10)

    eventually(lambda: edited(stage, holderIdentity="other"))
    eventually(lambda: manager.healthz.run()["threads"] == "leader election lost")
    began = time.monotonic()
    assert manager.stop() is False
    assert manager.controllers[0].queue.in_flight == 1
    assert time.monotonic() - began < 5.0
    assert stage.server.request("GET", lease_path(stage))[1]["spec"]["holderIdentity"] == "other"


# ---- 45: conditions --------------------------------------------------------------------------------------------------


class Nothing(Model):
    pass


class LampStatus(Model):
    conditions: list[Condition] = []


class Lamp(Resource[Nothing, LampStatus], group="example.com", version="v1", plural="lamps"):
    pass


@pytest.mark.parametrize("kind", [Lamp, "example.com/v1 Lamp"])
def test_45_the_transition_time_stays_when_only_the_reason_changes(stage: Stage, kind: Any) -> None:
    install_crds(stage.server, Lamp)
    key, client = Key(stage.namespace, "a"), stage.client
    client.create(Lamp.named("a", namespace=stage.namespace))
    first, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def report(status: str, reason: str, now: datetime) -> tuple[bool, dict[str, Any], list[str]]:
        """Set the condition on what the server has; returns whether it changed, the condition there, what was sent."""
        lamp, mark = client.get(kind, key), stage.mark()
        changed = conditions.set(lamp, "Lit", status, reason=reason, now=now)
        client.status.patch(lamp)
        sent = [each.method for each in stage.asked("PATCH", "PUT", since=mark)]
        document = stage.server.request("GET", f"/apis/example.com/v1/namespaces/{key.namespace}/lamps/a")[1]
        (condition,) = document["status"]["conditions"]
        return changed, condition, sent

    changed, condition, _ = report("False", "Starting", first)
    assert (changed, condition["lastTransitionTime"]) == (True, "2026-01-01T00:00:00Z")
    changed, condition, _ = report("False", "Pulling", later)
    assert (changed, condition["reason"]) == (True, "Pulling")
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    changed, _, sent = report("False", "Pulling", later)
    assert (changed, sent) == (False, [])
    changed, condition, _ = report("True", "Pulling", later)
    assert (changed, condition["lastTransitionTime"]) == (True, "2026-01-02T00:00:00Z")


# ---- 41 and 42: the election -----------------------------------------------------------------------------------------


def edited(stage: Stage, **changes: Any) -> bool:
    """Change the lease by hand; False if its holder was faster."""
    lease = stage.server.request("GET", lease_path(stage))[1]
    lease["spec"] |= changes
    return stage.server.request("PUT", lease_path(stage), lease)[0] == 200


@pytest.fixture
def elected_at(stage: Stage, clock: VirtualClock) -> Iterator[list[float]]:
    """When an elector, which stands by from now on, began to lead."""
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3}
    lease = {"metadata": {"name": "widget"}, "spec": spec}
    assert stage.server.request("POST", lease_path(stage, ""), lease)[0] == 201
    began: list[float] = []
    elector = Elector(
        stage.config,
        LeaderElection(name="widget", namespace=stage.namespace),
        on_elected=lambda: began.append(clock.elapsed()),
        on_lost=lambda _why: None,
        clock=clock,
        metrics=Metrics(),
    )
    elector.start(ThreadGroup(on_failure=lambda _name, _error: None))
    clock.register(*(each for each in threading.enumerate() if each.name == "kc-elector"))
    yield began
    elector.stop(release=False)


def test_41_a_skewed_renew_time_never_causes_a_takeover_before_the_local_duration_is_over(
    stage: Stage, clock: VirtualClock, elected_at: list[float]
) -> None:
    seen = clock.elapsed()
    for hour in range(3):
        eventually(lambda hour=hour: clock.elapsed() > seen + 10 * (hour + 1), within=60, clock=clock)
        assert edited(stage, renewTime=f"1999-01-01T{hour:02d}:00:00.000000Z")
    renewed = clock.elapsed()
    eventually(lambda: elected_at, within=60, clock=clock)

    assert elected_at[0] >= renewed + 15


def test_42_an_empty_holder_is_acquired_at_once_and_counts_as_a_transition(
    stage: Stage, clock: VirtualClock, elected_at: list[float]
) -> None:
    released = clock.elapsed()
    assert edited(stage, holderIdentity="", leaseDurationSeconds=1)
    eventually(lambda: elected_at, within=60, clock=clock)

    assert elected_at[0] - released <= 2.8, "at the next look"
    assert stage.server.request("GET", lease_path(stage))[1]["spec"]["leaseTransitions"] == 4

"""What a manager's reconciles may do before, while and after it leads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import Context, Manager, ManagerOptions, Object, ObjectReconciler, Result
from kcontroller.embedded.faults import Hang, Rule
from kcontroller.errors import Conflict, NotLeader, Stopped
from kcontroller.leaderelection import LeaderElection
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.controller import Builder
    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing.managers import Managers

    Act = Callable[[Context, Object], Result | None]

MAPS = "/api/v1/namespaces/default/configmaps"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/widget"
ELECTION = LeaderElection(name="widget", namespace="default", lease_duration=2, renew_deadline=1.2, retry_period=0.3)


class Maps(ObjectReconciler[Object]):
    """Does what a test says."""

    kind: ClassVar[str] = "v1 ConfigMap"

    def __init__(self, act: Act, *, needs_leader_election: bool = True) -> None:
        self._act = act
        self._needs = needs_leader_election

    def setup(self, builder: Builder) -> None:
        builder.for_(self.kind, predicates=[]).options(needs_leader_election=self._needs)

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        return self._act(ctx, obj)


def holder(server: EmbeddedServer) -> str:
    return str(server.request("GET", LEASE)[1]["spec"]["holderIdentity"])


def taken_by_other(server: EmbeddedServer) -> bool:
    """Take the Lease by hand; False if it was renewed meanwhile."""
    lease = server.request("GET", LEASE)[1]
    lease["spec"]["holderIdentity"] = "other"
    return server.request("PUT", LEASE, lease)[0] == 200


@pytest.fixture(autouse=True)
def one_object(api_server: EmbeddedServer) -> None:
    status, _answer = api_server.request("POST", MAPS, {"metadata": {"name": "a"}, "data": {"n": "0"}})
    assert status == 201


def test_the_lease_is_given_back_after_the_last_reconcile(api_server: EmbeddedServer, manager: Managers) -> None:
    """E4: in 100 of 100 stops in the middle of a reconcile."""
    seen: list[str] = []
    for number in range(100):
        begun, goes_on = threading.Event(), threading.Event()

        def act(_ctx: Context, obj: Object, begun: Any = begun, goes_on: Any = goes_on) -> None:
            if obj.metadata.name == "a" and not begun.is_set():
                begun.set()
                assert goes_on.wait(10)
                seen.append(holder(api_server))

        started = manager(Maps(act), ready=False, leader_election=ELECTION)
        assert begun.wait(10)
        stopping = threading.Thread(target=started.stop)
        stopping.start()
        until(lambda started=started: started.readyz.run()["caches"] == "stopping")  # type: ignore[misc]
        goes_on.set()
        stopping.join(10)
        assert holder(api_server) == ""
        assert len(seen) == number + 1
    assert "" not in seen


def test_a_reconcile_that_goes_on_after_the_loss_cannot_write(api_server: EmbeddedServer) -> None:
    """E2 and E5 at about 1:10: each write is refused from 1.2 s after the last renewal, for as long as it is tried."""
    outcomes: list[tuple[float, str]] = []
    ended = threading.Event()

    def act(ctx: Context, obj: Object) -> None:
        if obj.metadata.name != "a":
            return
        while not ended.is_set():
            began = time.monotonic()
            try:
                obj["data"] = {"n": str(began)}
                obj = ctx.client.update(obj)
            except (NotLeader, Stopped) as error:
                outcomes.append((began, type(error).__name__))
                time.sleep(0.002)
            else:
                outcomes.append((began, "written"))

    options = ManagerOptions(
        metrics_bind_address="0", health_probe_bind_address="0", leader_election=ELECTION, graceful_shutdown_timeout=5
    )
    made = Manager(config_of(api_server), options=options)
    made.add(Maps(act))
    made.start()
    try:
        until(lambda: outcomes)
        with api_server.faults(Rule(Hang(), verbs={"update", "get"}, resource="leases")):
            cut = time.monotonic()
            until(lambda: made.healthz.run()["threads"])
            lost = time.monotonic()
            until(lambda: sum(when > lost for when, _ in outcomes) > 20)
        assert made.healthz.run()["threads"] == "leader election lost"
    finally:
        ended.set()
        made.stop()
    written = [when for when, outcome in outcomes if outcome == "written"]
    assert max(written) - cut <= ELECTION.renew_deadline
    assert lost - cut <= ELECTION.renew_deadline + 0.3
    assert {outcome for when, outcome in outcomes if when > max(written)} <= {"NotLeader", "Stopped"}
    assert holder(api_server) != "", "what was lost is not given back"


def test_what_a_reconcile_hangs_on_its_token_does_not_hide_the_loss(api_server: EmbeddedServer) -> None:
    """The callbacks of a token run on the thread that stops it; this one does not return."""
    ended = threading.Event()
    began: list[str] = []

    def act(ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "a":
            ctx.stop.on_stop(lambda: ended.wait(20) and None)
            began.append("a")
            ended.wait(20)

    options = ManagerOptions(
        metrics_bind_address="0", health_probe_bind_address="0", leader_election=ELECTION, graceful_shutdown_timeout=5
    )
    made = Manager(config_of(api_server), options=options)
    made.add(Maps(act))
    made.start()
    try:
        until(lambda: began)
        until(lambda: taken_by_other(api_server))
        assert made.wait_stopping(10)
        assert made.failure == "leader election lost"
        until(lambda: all(controller.queue.stopped for controller in made.controllers))
        stopping = time.monotonic()
        assert not made.stop()
        assert time.monotonic() - stopping < 5
    finally:
        ended.set()
        made.stop()


def test_a_write_that_arrives_after_the_successors_is_refused_by_its_version(
    api_server: EmbeddedServer, manager: Managers
) -> None:
    """What passed the guard may be late; then the resourceVersion in it is the fence."""
    outcomes: list[str] = []

    def act(ctx: Context, obj: Object) -> None:
        if obj.metadata.name == "a" and not outcomes:
            obj["data"] = {"n": "late"}
            try:
                ctx.client.update(obj)
                outcomes.append("written")
            except Conflict:
                outcomes.append("refused")

    with api_server.faults(Rule(Hang(), verbs={"update"}, resource="configmaps", times=1)) as rule:
        manager(Maps(act), ready=False, leader_election=ELECTION)
        until(lambda: rule.hits)
        found = api_server.request("GET", f"{MAPS}/a")[1]
        assert api_server.request("PUT", f"{MAPS}/a", {**found, "data": {"n": "successor"}})[0] == 200
    until(lambda: outcomes)
    assert outcomes == ["refused"]
    assert api_server.request("GET", f"{MAPS}/a")[1]["data"] == {"n": "successor"}


def test_a_controller_that_needs_no_lease_works_and_writes_without(
    api_server: EmbeddedServer, manager: Managers
) -> None:
    content = {"holderIdentity": "other", "leaseDurationSeconds": 3600}
    assert (
        api_server.request("POST", LEASE.rpartition("/")[0], {"metadata": {"name": "widget"}, "spec": content})[0]
        == 201
    )
    seen: list[str] = []

    def act(ctx: Context, obj: Object) -> None:
        if obj.get("data.n") == "0":
            obj["data"] = {"n": "1"}
            ctx.client.update(obj)

    def never(_ctx: Context, obj: Object) -> None:
        seen.append(obj.metadata.name)

    leader_only = Maps(never)
    leader_only.name = "leader-only"  # type: ignore[misc]
    made = manager(Maps(act, needs_leader_election=False), leader_only, leader_election=ELECTION)
    until(lambda: api_server.request("GET", f"{MAPS}/a")[1]["data"] == {"n": "1"})
    assert seen == []
    assert not made.is_leader


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)

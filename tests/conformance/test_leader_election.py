"""Rows 39 to 42 of the conformance list, as far as they speak of leader election."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import Context, Manager, ManagerOptions, Object, ObjectReconciler, Result
from kcontroller.leaderelection import Elector, LeaderElection
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.managers import config_of
from kcontroller.testing.polling import eventually as in_real_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.testing.clock import VirtualClock
    from kcontroller.testing.managers import Managers

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
MAPS = "/api/v1/namespaces/default/configmaps"
ELECTION = LeaderElection(name="widget", namespace="default")
QUICK = LeaderElection(name="widget", namespace="default", lease_duration=2, renew_deadline=1.0, retry_period=0.1)


class Maps(ObjectReconciler[Object]):
    """Reconciles one config map."""

    kind: ClassVar[str] = "v1 ConfigMap"

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self._act = act
        self.began = threading.Event()

    def reconcile_object(self, ctx: Context, obj: Object) -> Result | None:
        del ctx
        if obj.metadata.name == "a":
            self.began.set()
            self._act()
        return None


def options_of(election: LeaderElection) -> ManagerOptions:
    return ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0", leader_election=election)


def lease_of(server: EmbeddedServer) -> dict[str, Any]:
    spec = server.request("GET", f"{LEASES}/widget")[1]["spec"]
    assert isinstance(spec, dict)
    return spec


def put_lease(server: EmbeddedServer, **spec: Any) -> None:
    assert server.request("POST", LEASES, {"metadata": {"name": "widget"}, "spec": spec})[0] == 201


def told(server: EmbeddedServer) -> list[str]:
    """The notes of the events about the Lease, oldest first."""
    lease = server.request("GET", f"{LEASES}/widget")[1]
    about = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "namespace": "default", "name": "widget"}
    notes = []
    items = server.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events")[1]["items"]
    for each in sorted(items, key=lambda each: int(each["metadata"]["resourceVersion"])):
        regarding = {name: value for name, value in each["regarding"].items() if name != "resourceVersion"}
        assert regarding == {**about, "uid": lease["metadata"]["uid"]}
        assert (each["type"], each["reason"]) == ("Normal", "LeaderElection")
        notes.append(each["note"])
    return notes


def write_lease(server: EmbeddedServer, **changes: Any) -> bool:
    """Change it by hand; False if its holder was faster."""
    document = server.request("GET", f"{LEASES}/widget")[1]
    document["spec"] |= changes
    return server.request("PUT", f"{LEASES}/widget", document)[0] == 200


@pytest.fixture
def elected(api_server: EmbeddedServer, clock: VirtualClock) -> Iterator[list[float]]:
    """When an elector, which stands by from now on, began to lead."""
    began: list[float] = []
    elector = Elector(
        config_of(api_server),
        ELECTION,
        on_elected=lambda: began.append(clock.elapsed()),
        on_lost=lambda _why: None,
        clock=clock,
        metrics=Metrics(),
    )

    put_lease(api_server, holderIdentity="other", leaseDurationSeconds=15, leaseTransitions=3)
    elector.start(ThreadGroup(on_failure=lambda _name, _error: None))
    clock.register(*(each for each in threading.enumerate() if each.name == "kc-elector"))
    yield began
    elector.stop(release=False)


def test_39_caches_fill_before_the_election_workers_start_after_it_and_the_lease_is_given_back_last(
    api_server: EmbeddedServer, manager: Managers
) -> None:
    assert api_server.request("POST", MAPS, {"metadata": {"name": "a"}})[0] == 201
    put_lease(api_server, holderIdentity="other", leaseDurationSeconds=3600)
    holders: list[str] = []
    maps = Maps(lambda: holders.append(lease_of(api_server)["holderIdentity"]))
    standby = manager(maps, leader_election=QUICK)
    assert standby.pending() == ()
    assert standby.controllers[0].queue.depth("") > 0, "a standby is ready to work at once"
    assert not maps.began.is_set()

    assert write_lease(api_server, holderIdentity="")
    assert maps.began.wait(10)
    assert standby.stop()

    assert "" not in holders
    assert lease_of(api_server)["holderIdentity"] == ""


class Unsynced(Maps):
    """Watches a kind that the server does not have."""

    name: ClassVar[str] = "unsynced"
    kind: ClassVar[str] = "example.com/v1 Nothing"


def test_39_a_replica_that_is_not_synced_leaves_the_lease_to_one_that_is(
    api_server: EmbeddedServer, manager: Managers, eventually: Callable[..., Any]
) -> None:
    broken = manager(Unsynced(), ready=False, leader_election=dataclasses.replace(QUICK, sync_patience=60))
    asked = api_server.requests
    eventually(lambda: asked.where(verb="get", resource="leases.coordination.k8s.io"))
    healthy = manager(Maps(), leader_election=QUICK)
    eventually(lambda: healthy.is_leader)
    assert not broken.is_leader


def test_39_a_replica_that_nobody_replaces_leads_although_it_is_not_synced(
    api_server: EmbeddedServer, manager: Managers, eventually: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    del api_server
    broken = manager(Unsynced(), Maps(), ready=False, leader_election=dataclasses.replace(QUICK, sync_patience=0.3))
    began = time.monotonic()
    eventually(lambda: broken.is_leader)
    assert time.monotonic() - began >= 0.2
    eventually(lambda: "leads although it is not ready, since nobody else took the lease: example.com" in caplog.text)


def test_40_a_lost_lease_does_not_wait_for_reconciles_and_is_an_error(api_server: EmbeddedServer) -> None:
    assert api_server.request("POST", MAPS, {"metadata": {"name": "a"}})[0] == 201
    go_on = threading.Event()
    maps = Maps(lambda: go_on.wait(10))
    manager = Manager(config_of(api_server), options=options_of(QUICK))
    manager.add(maps)
    try:
        manager.start()
        assert maps.began.wait(10)
        in_real_time(lambda: write_lease(api_server, holderIdentity="other"))
        in_real_time(lambda: manager.healthz.run()["threads"] == "leader election lost")
        assert manager.stop() is False, "at once, though the option gives reconciles 30 s"
        assert manager.controllers[0].queue.in_flight == 1
    finally:
        go_on.set()
        manager.stop()


def test_41_a_skewed_renew_time_never_causes_a_takeover_before_the_local_duration_is_over(
    api_server: EmbeddedServer, clock: VirtualClock, elected: list[float], eventually: Callable[..., Any]
) -> None:
    seen = clock.elapsed()
    for hour in range(3):
        eventually(lambda hour=hour: clock.elapsed() > seen + 10 * (hour + 1), within=60)
        assert write_lease(api_server, renewTime=f"1999-01-01T{hour:02d}:00:00.000000Z")
    renewed = clock.elapsed()
    eventually(lambda: elected, within=60)

    assert elected[0] >= renewed + 15


def test_42_an_empty_holder_is_acquired_at_once_and_counts_as_a_transition(
    api_server: EmbeddedServer, clock: VirtualClock, elected: list[float], eventually: Callable[..., Any]
) -> None:
    released = clock.elapsed()
    assert write_lease(api_server, holderIdentity="", leaseDurationSeconds=1)
    eventually(lambda: elected, within=60)

    assert elected[0] - released <= 2.8, "at the next look"
    assert lease_of(api_server)["leaseTransitions"] == 4


def test_events_on_the_lease_tell_who_became_leader_and_who_stopped_leading(
    api_server: EmbeddedServer, manager: Managers
) -> None:
    """client-go: ``RecordEvent`` of the resource lock, at the election and when the renewals end."""
    first = manager(Maps(), leader_election=dataclasses.replace(QUICK, identity="one"))
    in_real_time(lambda: told(api_server) == ["one became leader"])
    assert first.stop()
    assert told(api_server)[1:] == ["one stopped leading"]

    with Manager(config_of(api_server), options=options_of(dataclasses.replace(QUICK, identity="two"))) as second:
        in_real_time(lambda: told(api_server)[2:] == ["two became leader"])
        in_real_time(lambda: write_lease(api_server, holderIdentity="other"))
        in_real_time(lambda: second.healthz.run()["threads"] == "leader election lost")
    assert told(api_server)[3:] == ["two stopped leading"]


def test_a_standby_and_a_lease_that_another_configuration_reaches_leave_no_event(
    api_server: EmbeddedServer, manager: Managers
) -> None:
    put_lease(api_server, holderIdentity="other", leaseDurationSeconds=3600)
    standby = manager(Maps(), leader_election=QUICK)
    assert standby.stop()

    other = dataclasses.replace(config_of(api_server), namespace="elsewhere")
    with Manager(config_of(api_server), options=options_of(QUICK), leader_election_config=other) as elsewhere:
        in_real_time(lambda: write_lease(api_server, holderIdentity=""))
        in_real_time(lambda: elsewhere.is_leader)
    assert told(api_server) == []

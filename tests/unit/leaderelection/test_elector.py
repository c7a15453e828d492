"""The elector on an embedded API server; its time is virtual unless a request has to time out."""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.embedded.faults import Cut, Hang, Refuse, Rule
from kcontroller.errors import NotLeader
from kcontroller.leaderelection import Elector, LeaderElection
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.embedded.server import EmbeddedServer
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import ClientCertificate, Credentials

    Eventually = Callable[..., Any]

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
LEASE = f"{LEASES}/widget"
QUICK: dict[str, Any] = {"lease_duration": 2, "renew_deadline": 1.2, "retry_period": 0.3}


class Replica:
    """An elector and what it said."""

    def __init__(
        self,
        server: EmbeddedServer,
        clock: Clock,
        user: str = "admin",
        *,
        credentials: Callable[[Credentials], Credentials] | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.elected: list[float] = []
        self.lost: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self.threads = ThreadGroup(on_failure=lambda name, error: self.failures.append(f"{name}: {error!r}"))
        config = config_of(server, user=user)
        self.elector = Elector(
            config if credentials is None else dataclasses.replace(config, credentials=credentials(config.credentials)),
            LeaderElection(**{"name": "widget", "namespace": "default", **options}),
            on_elected=self._elected,
            on_lost=lambda why: self.lost.append((clock.elapsed(), why)),
            clock=clock,
            metrics=self.metrics,
        )

    def start(self) -> Replica:
        self.elector.start(self.threads)
        self._register("kc-elector")
        return self

    def _elected(self) -> None:
        self._register("kc-elector-watch")
        self.elected.append(self.clock.elapsed())

    def _register(self, name: str) -> None:
        if isinstance(self.clock, VirtualClock):
            self.clock.register(*(each for each in threading.enumerate() if each.name == name))

    def passes(self) -> bool:
        try:
            self.elector.guard()
        except NotLeader:
            return False
        return True

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"name": "widget"})


@pytest.fixture
def replica(api_server: EmbeddedServer, clock: VirtualClock) -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def start(user: str = "admin", *, clock: Clock = clock, **options: Any) -> Replica:
        made.append(Replica(api_server, clock, user, **options).start())
        return made[-1]

    yield start
    for each in made:
        each.elector.stop(release=False)
        assert each.failures == []


def spec(server: EmbeddedServer) -> dict[str, Any]:
    status, answer = server.request("GET", LEASE)
    assert status == 200
    assert isinstance(answer["spec"], dict)
    return answer["spec"]


def edit(server: EmbeddedServer, **changes: Any) -> None:
    """Change the Lease by hand."""
    document = server.request("GET", LEASE)[1]
    document["spec"] |= changes
    assert server.request("PUT", LEASE, document)[0] == 200


def held_by_other(server: EmbeddedServer, **changes: Any) -> None:
    content = {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3, **changes}
    assert server.request("POST", LEASES, {"metadata": {"name": "widget"}, "spec": content})[0] == 201


# ---- getting it ------------------------------------------------------------------------------------------------------


def test_the_first_one_makes_the_lease_and_leads(
    api_server: EmbeddedServer, replica: Callable[..., Replica], eventually: Eventually
) -> None:
    first = replica(labels={"app": "widget"})
    eventually(lambda: first.elected)
    lease = api_server.request("GET", LEASE)[1]
    assert lease["spec"]["holderIdentity"] == first.elector.identity
    assert lease["spec"]["leaseDurationSeconds"] == 15
    assert lease["spec"]["leaseTransitions"] == 0
    assert lease["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    assert lease["metadata"]["labels"] == {"app": "widget"}
    assert first.elector.is_leader
    assert first.passes()
    assert first.metric("leader_election_master_status") == 1


def test_an_identity_is_made_of_the_host_and_something_unique(api_server: EmbeddedServer, clock: VirtualClock) -> None:
    names = {Replica(api_server, clock).elector.identity for _ in range(2)}
    assert len(names) == 2
    assert all("_" in name for name in names)
    assert Replica(api_server, clock, identity="pod-0").elector.identity == "pod-0"


def test_before_it_leads_it_refuses_writes_and_says_so(api_server: EmbeddedServer, clock: VirtualClock) -> None:
    made = Replica(api_server, clock)
    assert not made.elector.is_leader
    assert made.elector.check() is None
    assert made.metric("leader_election_master_status") == 0
    with pytest.raises(NotLeader, match="lease default/widget is not held any more; the write was not sent"):
        made.elector.guard()


def test_a_standby_leads_a_retry_period_after_the_lease_was_given_back(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    """E4: within 1.4 retry periods, 2.8 s."""
    first = replica()
    eventually(lambda: first.elected)
    second = replica()
    eventually(lambda: clock.monotonic() > 1060, within=90)
    first.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == ""
    assert spec(api_server)["leaseDurationSeconds"] == 1
    assert not first.passes()
    released = clock.elapsed()
    eventually(lambda: second.elected)
    assert second.elected[0] - released <= 2.8
    assert spec(api_server)["leaseTransitions"] == 1
    assert first.metric("leader_election_master_status") == 0
    assert second.metric("leader_election_master_status") == 1


def test_the_log_tells_the_election_once_each(
    replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kcontroller.leaderelection")
    first = replica(identity="one")
    eventually(lambda: first.elected)
    replica(identity="two")
    eventually(lambda: clock.monotonic() > 1060, within=90)
    assert [record.getMessage() for record in caplog.records] == [
        "attempting to acquire lease default/widget",
        "became leader",
        "attempting to acquire lease default/widget",
        "one leads",
    ]


# ---- E7: what others do to the lease ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"renewTime": "2199-01-01T00:00:00.000000Z"},
        {"renewTime": "1999-01-01T00:00:00.000000Z", "acquireTime": "1999-01-01T00:00:00.000000Z"},
        {"holderIdentity": "x" * 100_000},
        {"leaseDurationSeconds": None, "leaseTransitions": None},
        {"leaseTransitions": 2**31 - 2},
    ],
    ids=["their clock far ahead", "far behind", "huge", "empty", "many transitions"],
)
def test_no_lease_is_taken_before_a_full_duration_was_seen(
    api_server: EmbeddedServer,
    replica: Callable[..., Replica],
    clock: VirtualClock,
    eventually: Eventually,
    changes: dict[str, Any],
) -> None:
    held_by_other(api_server, **changes)
    began = clock.elapsed()
    standby = replica()
    eventually(lambda: standby.elected, within=30)
    assert standby.elected[0] - began == pytest.approx(15, abs=0.01)


def test_a_lease_that_is_deleted_is_made_again_by_its_leader(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader = replica(identity="leader")
    eventually(lambda: leader.elected)
    standby = replica(identity="standby")
    eventually(lambda: clock.monotonic() > 1010, within=30)
    assert api_server.request("DELETE", LEASE)[0] == 200
    eventually(lambda: clock.monotonic() > 1060, within=90)
    assert spec(api_server)["holderIdentity"] == "leader"
    assert standby.elected == []
    assert leader.lost == []
    assert leader.metric("leader_election_slowpath_total") == 1


def test_an_edited_lease_is_put_right(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader = replica(identity="leader")
    eventually(lambda: leader.elected)
    edit(api_server, leaseDurationSeconds=3600, leaseTransitions=9, strategy="OldestEmulationVersion")
    eventually(lambda: clock.monotonic() > 1010, within=30)
    now = spec(api_server)
    assert (now["holderIdentity"], now["leaseDurationSeconds"], now["leaseTransitions"]) == ("leader", 15, 9)
    assert now["strategy"] == "OldestEmulationVersion"
    assert leader.lost == []


def test_who_is_replaced_by_hand_has_lost(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    edit(api_server, holderIdentity="other")
    eventually(lambda: leader.lost)
    assert leader.lost[0][1] == "other holds it"
    assert clock.elapsed() - leader.elected[0] <= 2
    assert not leader.passes()
    leader.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == "other", "who has lost it gives nothing back"


# ---- losing it -------------------------------------------------------------------------------------------------------


def test_who_cannot_renew_has_lost_exactly_at_the_deadline(
    api_server: EmbeddedServer,
    replica: Callable[..., Replica],
    clock: VirtualClock,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    since = clock.elapsed()
    caplog.set_level(logging.INFO, "kcontroller.leaderelection")
    with api_server.faults(Rule(Refuse(503), resource="leases")) as rule:
        eventually(lambda: leader.lost, within=20)
    assert leader.lost == [(since + 10, "it could not be renewed within 10 s")]
    assert rule.hits == 4, "every retry period"
    assert not leader.passes()
    assert leader.metric("leader_election_master_status") == 0
    (record,) = caplog.records
    assert record.getMessage().startswith("update of lease default/widget fails, trying on: update leases.coordination")
    assert clock.jump() is False, "it does not try again"


def test_a_short_outage_is_told_at_its_begin_and_end(
    api_server: EmbeddedServer,
    replica: Callable[..., Replica],
    clock: VirtualClock,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    caplog.set_level(logging.INFO, "kcontroller.leaderelection")
    with api_server.faults(Rule(Cut(after=True), verbs={"update"}, resource="leases", times=2)):
        eventually(lambda: clock.monotonic() > 1060, within=90)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.records[1].getMessage() == "update of lease default/widget works again"
    assert leader.lost == []
    assert leader.passes()


@pytest.mark.parametrize(
    ("user", "namespace", "remedy"),
    [
        ("nobody", "default", "get leases.coordination.k8s.io: 403 Forbidden: .*; grant get, create and update on "),
        ("admin", "missing", "create leases.coordination.k8s.io: 404 NotFound: .*; create namespace missing, or name"),
    ],
)
def test_a_standby_that_may_not_says_what_is_missing_and_keeps_trying(
    replica: Callable[..., Replica],
    clock: VirtualClock,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    user: str,
    namespace: str,
    remedy: str,
) -> None:
    standby = replica(user, namespace=namespace)
    eventually(lambda: clock.monotonic() > 1060, within=90)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert re.search(remedy, record.getMessage())
    assert standby.elected == []


def test_a_hanging_renewal_ends_the_writes_in_time(api_server: EmbeddedServer, replica: Callable[..., Replica]) -> None:
    """E2 at about 1:10: the guard passes for 1.2 s after the last renewal; the loss is told before the lease ends."""
    leader = replica(clock=SYSTEM_CLOCK, **QUICK)
    passed = 0.0

    def lost() -> bool:
        nonlocal passed
        if leader.passes():
            passed = time.monotonic()
        return bool(leader.lost)

    while not leader.elected:
        lost()
    with api_server.faults(Rule(Hang(), verbs={"update", "get"}, resource="leases")) as rule:
        began = time.monotonic()
        deadline = began + 5
        while not lost() and time.monotonic() < deadline:
            time.sleep(0.005)
        ended = time.monotonic()
        assert rule.hits
    assert passed - began <= QUICK["renew_deadline"]
    assert ended - began <= QUICK["renew_deadline"] + 0.3 < QUICK["lease_duration"]


class HangingCredentials:
    """As those of an exec plugin that does not return, from when the test says so."""

    def __init__(self, inner: Credentials) -> None:
        self._inner = inner
        self.hang = threading.Event()
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def authorization(self) -> str | None:
        if self.hang.is_set():
            self.asked.set()
            self.go_on.wait(20)
        return self._inner.authorization()

    def client_certificate(self) -> ClientCertificate | None:
        return self._inner.client_certificate()

    def invalidate(self) -> None: ...


def leader_whose_credentials_may_hang(
    replica: Callable[..., Replica], eventually: Eventually
) -> tuple[Replica, HangingCredentials]:
    made: list[HangingCredentials] = []

    def hanging(inner: Credentials) -> HangingCredentials:
        made.append(HangingCredentials(inner))
        return made[-1]

    leader = replica(credentials=hanging)
    eventually(lambda: leader.elected)
    (credentials,) = made
    return leader, credentials


def test_credentials_that_hang_do_not_hide_the_loss_which_is_told_once(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader, credentials = leader_whose_credentials_may_hang(replica, eventually)
    since = clock.elapsed()
    credentials.hang.set()
    clock.advance(2)
    assert credentials.asked.wait(10)
    clock.advance(8)
    assert not leader.passes()
    until(lambda: "kc-elector-watch: 0.1 s" in clock.waits())
    assert leader.lost == [], "the elector's own thread comes first, if it can"
    clock.advance(0.1)
    until(lambda: leader.lost)
    assert leader.lost == [(since + 10.1, "it could not be renewed within 10 s, and the last try hangs")]
    assert leader.metric("leader_election_master_status") == 0

    renewed = spec(api_server)["renewTime"]
    credentials.go_on.set()
    until(lambda: not leader.threads.alive())
    assert len(leader.lost) == 1
    assert not leader.passes()
    assert spec(api_server)["renewTime"] == renewed, "what was lost is not renewed"


def test_no_loss_is_told_after_a_stop_although_credentials_hang(
    replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader, credentials = leader_whose_credentials_may_hang(replica, eventually)
    credentials.hang.set()
    clock.advance(2)
    assert credentials.asked.wait(10)
    stopper = threading.Thread(target=lambda: leader.elector.stop(release=True))
    stopper.start()
    until(lambda: leader.threads.alive() == ("kc-elector",))
    clock.advance(60)
    credentials.go_on.set()
    stopper.join(10)
    assert leader.threads.join(10) == ()
    assert leader.lost == []


def until(holds: Callable[[], object]) -> None:
    """Wait in real time; `eventually` would move the clock."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# ---- stopping --------------------------------------------------------------------------------------------------------


def test_a_stop_ends_a_running_request_at_once_and_says_nothing_more(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    with api_server.faults(Rule(Hang(), verbs={"update"}, resource="leases")) as rule:
        clock.advance(2)
        until(lambda: rule.hits)
        began = time.monotonic()
        leader.elector.stop(release=False)
        assert time.monotonic() - began < 1
    assert leader.lost == []
    assert not leader.passes()
    leader.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == leader.elector.identity


def test_a_release_that_meets_a_change_looks_again(
    api_server: EmbeddedServer, replica: Callable[..., Replica], eventually: Eventually
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    with api_server.faults(Rule(Refuse(409), verbs={"update"}, resource="leases", times=2)):
        leader.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == ""


def test_a_release_that_fails_says_when_the_lease_ends(
    api_server: EmbeddedServer,
    replica: Callable[..., Replica],
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    with api_server.faults(Rule(Refuse(500), resource="leases")) as rule:
        leader.elector.stop(release=True)
    assert rule.hits == 1
    assert "lease default/widget was not given back and ends in 15 s" in caplog.text


def test_a_lease_is_kept_on_stop_if_wanted(
    api_server: EmbeddedServer, replica: Callable[..., Replica], eventually: Eventually
) -> None:
    leader = replica(identity="me", release_on_stop=False)
    eventually(lambda: leader.elected)
    leader.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == "me"


def test_a_standby_gives_nothing_back(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    held_by_other(api_server)
    standby = replica()
    eventually(lambda: clock.monotonic() > 1005)
    standby.elector.stop(release=True)
    assert spec(api_server)["holderIdentity"] == "other"


def test_an_elector_that_hangs_is_unhealthy_after_the_lease_and_a_request(
    api_server: EmbeddedServer, replica: Callable[..., Replica], clock: VirtualClock, eventually: Eventually
) -> None:
    leader = replica()
    eventually(lambda: leader.elected)
    with api_server.faults(Rule(Hang(), verbs={"update"}, resource="leases")) as rule:
        clock.advance(2)
        until(lambda: rule.hits)
        clock.advance(17.9)
        assert leader.elector.check() is None
        clock.advance(0.2)
        assert leader.elector.check() == "lease default/widget is held but was last renewed 20 s ago"
        assert not leader.passes()
        leader.elector.stop(release=False)
    assert leader.elector.check() is None

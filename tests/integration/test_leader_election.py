"""Two replicas as processes on a real kube-apiserver, of which one leads.

The times are scaled: lease 3 s, renew deadline 2 s, retry period 0.5 s (a standby looks every 0.5 to 0.7 s). The
server's audit log says who asked for what and when.
"""

from __future__ import annotations

import base64
import json
import signal
import time
import uuid
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kcontroller.embedded.faults import Hang
from kcontroller.leaderelection.options import JITTER
from kcontroller.testing import binaries
from kcontroller.testing.control_plane import ControlPlane
from kcontroller.testing.http_proxy import HttpFaultProxy
from kcontroller.testing.plugin import NO_REAL_SERVERS
from kcontroller.testing.polling import eventually
from tests.integration.conftest import config_map
from tests.integration.daemons import Daemons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

LEASE, RENEW, RETRY = 3, 2.0, 0.5
HANDED_OVER = RETRY + 1.0
TAKEN_OVER = LEASE + RETRY * (1 + JITTER) + 0.5
"""From the last renewal to the standby's look at it, its observation, and half a second for requests and the kill."""

RECONCILER = Path(__file__).with_name("leader_election_reconciler.py")
OBJECTS = ("a", "b", "c")
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
"""


OF_INTEREST = {"configmaps", "leases", "namespaces", "events"}


def complete_lines(text: str) -> list[str]:
    """The lines of a file that is being written."""
    return text[: text.rfind("\n") + 1].splitlines()


class Audit:
    """What the server was asked, by user."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def requests(self, user: str, *, since: float, verbs: set[str]) -> list[dict[str, Any]]:
        """The requests of a user that arrived after a moment."""
        entries = map(json.loads, complete_lines(self._path.read_text(encoding="utf-8")))
        return [
            entry
            for entry in entries
            if entry["stage"] in {"ResponseStarted", "ResponseComplete"}
            and entry["user"]["username"] == user
            and entry["verb"] in verbs
            and entry.get("objectRef", {}).get("resource") in OF_INTEREST
            and datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp() > since
        ]


class Replica:
    """``kcontroller run --leader-elect`` as a process."""

    def __init__(self, name: str, daemons: Daemons, kubeconfig: Path, namespace: str) -> None:
        self.name = name
        options = {
            "--kubeconfig": str(kubeconfig),
            "--namespace": namespace,
            "--leader-election-id": "diary",
            "--leader-election-namespace": namespace,
            "--leader-election-lease-duration": f"{LEASE}s",
            "--leader-election-renew-deadline": f"{RENEW}s",
            "--leader-election-retry-period": f"{RETRY}s",
            "--metrics-bind-address": "0",
            "--health-probe-bind-address": "0",
            "--log-format": "json",
        }
        arguments = [each for pair in options.items() for each in pair]
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("WRITER", name)
            self._daemon = daemons.start("run", str(RECONCILER), "--leader-elect", *arguments)
        self.process = self._daemon.process

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in complete_lines(self._daemon.text) if line.startswith("{")]

    def said(self, text: str) -> float | None:
        """When it first logged that, in seconds since 1970."""
        for line in self.lines():
            if text in line["msg"]:
                return datetime.fromisoformat(line["ts"]).timestamp()
        return None

    def wait_for(self, *texts: str, within: float = 20.0) -> float:
        """Wait until it has said all of that; returns when it said the last."""

        def last() -> float | None:
            moments = [self.said(text) for text in texts]
            return None if None in moments else max(moment for moment in moments if moment is not None)

        return float(eventually(last, within) or 0.0)

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when."""
        now = time.time()
        self.process.send_signal(number)
        return now


class Stage:
    """A server with an audit log, a namespace with objects to write, and the replicas of a test."""

    def __init__(self, plane: ControlPlane, audit: Audit, directory: Path) -> None:
        self.server = plane.servers[0]
        self.audit = audit
        self._directory = directory
        self._daemons = Daemons(directory)
        self.namespace = f"test-{uuid.uuid4().hex[:10]}"
        self.server.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        for name in OBJECTS:
            self.server.request("POST", self.path, config_map(self.namespace, name, lines="[]"))

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def replica(self, name: str, *, through: HttpFaultProxy | None = None) -> Replica:
        kubeconfig = self.server.write_kubeconfig(self._directory / f"{name}.kubeconfig", user=name)
        if through is not None:
            document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
            ca = base64.b64encode(through.ca_pem.encode()).decode()
            document["clusters"][0]["cluster"] = {"server": through.url, "certificate-authority-data": ca}
            kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")
        return Replica(name, self._daemons, kubeconfig, self.namespace)

    def leader_and_standby(self, *, through: HttpFaultProxy | None = None) -> tuple[Replica, Replica]:
        """Start alpha, which writes (by a proxy), and beta, whose caches are full."""
        leader = self.replica("alpha", through=through)
        leader.wait_for("became leader")
        eventually(lambda: self.writers("a") == ["alpha"], 10)
        standby = self.replica("beta")
        standby.wait_for("synced; standing by", " leads")
        # From here the time to the next look of the standby is anything.
        renewed = self.lease()["renewTime"]
        eventually(lambda: self.lease()["renewTime"] != renewed, 5)
        return leader, standby

    def writers(self, name: str) -> list[str]:
        """Who wrote an object, in order, runs of the same writer taken together."""
        _status, answer = self.server.request("GET", f"{self.path}/{name}")
        return [writer for writer, _ in groupby(json.loads(answer["data"]["lines"]))]

    @property
    def lease_path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/diary"

    def lease(self) -> dict[str, Any]:
        status, answer = self.server.request("GET", self.lease_path)
        assert status == 200
        assert isinstance(answer["spec"], dict)
        return answer["spec"]

    def end(self) -> None:
        self._daemons.end()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlPlane, Audit]]:
    if binaries.find() is None:
        pytest.skip(NO_REAL_SERVERS)
    directory = tmp_path_factory.mktemp("audit")
    (directory / "policy.yaml").write_text(POLICY, encoding="utf-8")
    log = directory / "audit.log"
    arguments = (f"--audit-policy-file={directory / 'policy.yaml'}", f"--audit-log-path={log}")
    users = dict.fromkeys(("alpha", "beta"), ("system:masters",))
    with ControlPlane(users=users, arguments=arguments) as plane:
        yield plane, Audit(log)


@pytest.fixture
def stage(audited: tuple[ControlPlane, Audit], tmp_path: Path) -> Iterator[Stage]:
    made = Stage(*audited, tmp_path)
    yield made
    made.end()


def takes_over(stage: Stage, standby: Replica, *, since: float, within: float) -> float:
    """Wait until the standby leads and writes; says after how many seconds it led, without a list or a new watch."""
    elected = standby.wait_for("became leader", within=within + 5)
    eventually(lambda: all(stage.writers(name)[-1] == standby.name for name in OBJECTS), 5)
    took = elected - since
    print(f"took over after {took:.2f} s")  # noqa: T201 - measured; shown by -s
    assert took <= within
    assert stage.audit.requests(standby.name, since=since, verbs={"list", "watch"}) == []
    assert stage.lease()["leaseTransitions"] == 1
    return elected


def test_row_45_sigterm_hands_over_within_the_retry_period_and_a_second(stage: Stage) -> None:
    leader, standby = stage.leader_and_standby()

    since = leader.signal(signal.SIGTERM)
    takes_over(stage, standby, since=since, within=HANDED_OVER)

    assert leader.process.wait(5) == 0
    assert [stage.writers(name) for name in OBJECTS] == [["alpha", "beta"]] * len(OBJECTS)


def test_row_45_sigkill_costs_the_lease_and_a_retry_period(stage: Stage) -> None:
    leader, standby = stage.leader_and_standby()

    since = leader.signal(signal.SIGKILL)
    takes_over(stage, standby, since=since, within=TAKEN_OVER)

    assert [stage.writers(name) for name in OBJECTS] == [["alpha", "beta"]] * len(OBJECTS)


def test_row_47_a_leader_that_was_paused_beyond_its_lease_writes_nothing_more_and_ends(stage: Stage) -> None:
    leader, standby = stage.leader_and_standby()

    since = leader.signal(signal.SIGSTOP)
    takes_over(stage, standby, since=since, within=TAKEN_OVER)
    resumed = leader.signal(signal.SIGCONT)

    assert leader.process.wait(5) == 1
    assert leader.said("leader election lost")
    # What had passed the guard when the process was stopped may arrive: one write of its one worker, one renewal.
    late = stage.audit.requests("alpha", since=resumed, verbs={"update", "patch", "create"})
    # The event that says so is no write of a leader, and sent all the same.
    late = [entry for entry in late if entry["objectRef"]["resource"] != "events"]
    print(f"{len(late)} late writes")  # noqa: T201
    assert len(late) <= 2
    assert {entry["responseStatus"]["code"] for entry in late} <= {409}
    assert [stage.writers(name) for name in OBJECTS] == [["alpha", "beta"]] * len(OBJECTS)


def test_a_write_that_is_on_the_way_when_the_lease_passes_is_refused_by_its_version(stage: Stage) -> None:
    with HttpFaultProxy(stage.server.url, ca_pem=stage.server.ca_pem) as proxy:
        leader, standby = stage.leader_and_standby(through=proxy)
        held = proxy.add(Hang(), path_prefix=f"{stage.path}/a", methods={"PUT"}, times=1)
        eventually(lambda: held.hits == 1, 5)

        since = leader.signal(signal.SIGSTOP)
        elected = takes_over(stage, standby, since=since, within=TAKEN_OVER)
        proxy.remove(held)
        late = eventually(lambda: stage.audit.requests("alpha", since=elected, verbs={"update"}), 5)
        leader.signal(signal.SIGCONT)

        assert [entry["responseStatus"]["code"] for entry in late] == [409]
        assert leader.process.wait(5) == 1
    assert stage.writers("a") == ["alpha", "beta"]


def test_a_deleted_lease_is_made_again_by_its_leader(stage: Stage) -> None:
    leader, standby = stage.leader_and_standby()
    holder = stage.lease()["holderIdentity"]

    assert stage.server.request("DELETE", stage.lease_path)[0] == 200
    eventually(lambda: stage.lease()["holderIdentity"] == holder, RETRY + 1)
    made = stage.lease()["renewTime"]
    eventually(lambda: stage.lease()["renewTime"] != made, RETRY + 1)

    assert stage.lease()["leaseTransitions"] == 0
    assert standby.said("became leader") is None
    assert leader.said("leader election lost") is None


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "test",
    [
        test_row_45_sigterm_hands_over_within_the_retry_period_and_a_second,
        test_row_45_sigkill_costs_the_lease_and_a_retry_period,
        test_row_47_a_leader_that_was_paused_beyond_its_lease_writes_nothing_more_and_ends,
    ],
)
def test_it_is_so_each_time(audited: tuple[ControlPlane, Audit], tmp_path: Path, test: Callable[[Stage], None]) -> None:
    for number in range(10):
        directory = tmp_path / str(number)
        directory.mkdir()
        stage = Stage(*audited, directory)
        try:
            test(stage)
        finally:
            stage.end()

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.cli.election import election_of
from kcontroller.errors import ConfigError
from kcontroller.leaderelection import LeaderElection
from kcontroller.transport import loading
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

if TYPE_CHECKING:
    from pathlib import Path

HERE = Config("https://here.example.com", StaticCredentials(""), namespace="team", source="a test")
OTHER = """
apiVersion: v1
kind: Config
current-context: other
contexts: [{name: other, context: {cluster: other, user: other, namespace: leases}}]
clusters: [{name: other, cluster: {server: "https://other.example.com"}}]
users: [{name: other, user: {token: canary}}]
"""


def options(**changed: Any) -> dict[str, Any]:
    return {
        "leader_elect": True,
        "leader_election_id": "kcontroller",
        "leader_election_namespace": None,
        "leader_election_lease_duration": 15.0,
        "leader_election_renew_deadline": 10.0,
        "leader_election_retry_period": 2.0,
        "leader_election_sync_patience": 15.0,
        "leader_election_kubeconfig": None,
        **changed,
    }


def test_nobody_is_elected_unless_it_is_wanted() -> None:
    assert election_of(options(leader_elect=False, leader_election_kubeconfig="/no/such"), HERE) == (None, HERE)


def test_the_lease_is_in_the_namespace_of_the_configuration() -> None:
    assert election_of(options(), HERE) == (LeaderElection(name="kcontroller", namespace="team"), HERE)


def test_every_option_reaches_the_election() -> None:
    wanted = options(
        leader_election_id="widgets",
        leader_election_namespace="leases",
        leader_election_lease_duration=30.0,
        leader_election_renew_deadline=20.0,
        leader_election_retry_period=4.0,
        leader_election_sync_patience=3.0,
    )
    expected = LeaderElection(
        name="widgets",
        namespace="leases",
        lease_duration=30.0,
        renew_deadline=20.0,
        retry_period=4.0,
        sync_patience=3.0,
    )
    assert election_of(wanted, HERE) == (expected, HERE)


def test_the_lease_may_be_on_another_server_and_is_in_its_namespace_then(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text(OTHER)
    path.chmod(0o600)
    election, holder = election_of(options(leader_election_kubeconfig=str(path)), HERE)
    assert election is not None
    assert (holder.server, election.namespace) == ("https://other.example.com", "leases")


def test_the_lease_of_a_pod_may_be_in_its_own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(loading, "SERVICE_ACCOUNT_DIR", tmp_path)
    with pytest.raises(ConfigError, match=rf"^--leader-election-kubeconfig: .*{tmp_path}/token"):
        election_of(options(leader_election_kubeconfig="in-cluster"), HERE)


def test_the_word_for_the_pods_cluster_is_refused_outside_of_a_pod() -> None:
    with pytest.raises(ConfigError) as caught:
        election_of(options(leader_election_kubeconfig="in-cluster"), HERE)
    assert str(caught.value) == (
        "--leader-election-kubeconfig: this is not a pod; name a kubeconfig file, or leave the option out"
    )


def test_a_kubeconfig_that_is_not_there_is_told_with_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--leader-election-kubeconfig: .*/no/such"):
        election_of(options(leader_election_kubeconfig="/no/such"), HERE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"leader_election_lease_duration": 10.0},
            "--leader-election-lease-duration (10 s) must be longer than --leader-election-renew-deadline (10 s)",
        ),
        (
            {"leader_election_retry_period": 9.0},
            "--leader-election-renew-deadline (10 s) must be longer than 1.2 x --leader-election-retry-period (9 s)",
        ),
        (
            {"leader_election_retry_period": 0.0},
            "--leader-election-retry-period is 0 s; it must be a positive number of seconds",
        ),
        (
            {"leader_election_lease_duration": 15.5},
            "--leader-election-lease-duration is 15.5 s; the API keeps whole seconds: use 15, for example",
        ),
        (
            {"leader_election_id": "My Lease"},
            "the Lease's name 'My Lease' is no DNS name; use lower-case letters, digits, '-' and '.'",
        ),
    ],
)
def test_what_does_not_go_together_is_told_in_the_words_of_the_options(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        election_of(options(**changed), HERE)
    assert str(caught.value).removesuffix(": raise the one or lower the other") == message

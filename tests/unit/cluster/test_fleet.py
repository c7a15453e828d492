from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.cluster import Cluster, Fleet
from kcontroller.errors import ClusterNotFound, ConfigError
from kcontroller.process.threads import ThreadGroup
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet(cluster(name) for name in ("eu", "us"))
    yield made
    made.stop()


def cluster(name: str) -> Cluster:
    return Cluster(Config("https://127.0.0.1:1", StaticCredentials()), name=name)


def test_clusters_are_found_by_name_and_come_in_their_order(fleet: Fleet) -> None:
    assert [each.name for each in fleet] == ["eu", "us"]
    assert fleet.get("us").name == "us"


@pytest.mark.parametrize("name", ["asia", ""])
def test_a_name_that_is_not_there_is_named(fleet: Fleet, name: str) -> None:
    with pytest.raises(ClusterNotFound, match=f"no cluster '{name}' is engaged"):
        fleet.get(name)


def test_two_clusters_cannot_have_one_name() -> None:
    with pytest.raises(ConfigError, match="two clusters are named 'eu'"):
        Fleet([cluster("eu"), cluster("eu")])


def test_a_fleet_has_at_least_one_cluster() -> None:
    with pytest.raises(ConfigError, match="there is no cluster to work on; give at least one"):
        Fleet([])


def test_every_cluster_has_a_thread_and_a_stop_ends_all(fleet: Fleet) -> None:
    threads = ThreadGroup(on_failure=lambda _name, error: pytest.fail(str(error)))
    fleet.start(threads)
    running = threads.alive()
    fleet.stop()

    assert running == ("kc-cluster-eu", "kc-cluster-us")
    assert threads.join(10) == ()


def test_what_is_pending_says_where(fleet: Fleet) -> None:
    fleet.get("us").cache("v1 ConfigMap")

    assert [str(each) for each in fleet.pending()] == [
        "cluster us: v1 ConfigMap is not synced: the first list is under way"
    ]

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.api.objects import Object
from kcontroller.cluster import Cluster, ClustersView, ClusterView, Terms
from kcontroller.errors import NotLeader, Stopped
from kcontroller.process.stop import StopToken
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kcontroller.client.client import Client
    from kcontroller.testing import EmbeddedServer

NAMESPACE = "v1 Namespace"


class Only:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def get(self, name: str) -> Cluster:
        assert name == self.cluster.name
        return self.cluster


@pytest.fixture
def cluster(api_server: EmbeddedServer) -> Iterator[Cluster]:
    made = Cluster(config_of(api_server), name="eu")
    yield made
    made.stop()


def refuse() -> None:
    raise NotLeader("the lease may have passed")


def namespace(name: str) -> Object:
    return Object({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


CLIENTS: dict[str, Callable[[ClusterView, ClustersView], Client]] = {
    "its client": lambda view, _clusters: view.client,
    "its api_reader": lambda view, _clusters: view.api_reader,
    "one made of it": lambda view, _clusters: view.client_for("somebody"),
    "that of another cluster": lambda _view, clusters: clusters.get("eu").client,
    "the api_reader of another cluster": lambda _view, clusters: clusters.get("eu").api_reader,
}


@pytest.mark.parametrize("which", CLIENTS)
def test_every_client_of_a_reconcile_has_its_guard(cluster: Cluster, which: str) -> None:
    terms = Terms("controller", guard=refuse)
    client = CLIENTS[which](ClusterView(cluster, terms), ClustersView(Only(cluster), terms))

    with pytest.raises(NotLeader):
        client.create(namespace("a"))
    assert client.get_or_none(NAMESPACE, Key("", "a")) is None, "reads are free"
    cluster.client.create(namespace("a"))


@pytest.mark.parametrize("which", CLIENTS)
def test_every_client_of_a_reconcile_ends_with_it(cluster: Cluster, which: str) -> None:
    with StopToken() as stop:
        terms = Terms("controller", stop=stop)
        client = CLIENTS[which](ClusterView(cluster, terms), ClustersView(Only(cluster), terms))
        stop.stop("the reconcile is over")

        with pytest.raises(Stopped, match="the reconcile is over"):
            client.get(NAMESPACE, Key("", "default"))


def test_all_else_is_the_clusters_own(cluster: Cluster) -> None:
    view: Any = ClusterView(cluster, Terms("controller"))

    assert view.itself is cluster
    assert (view.name, view.config, view.leaving) == (cluster.name, cluster.config, cluster.leaving)
    assert view.cache(NAMESPACE).kind is cluster.cache(NAMESPACE).kind
    assert repr(view) == repr(cluster)
    with pytest.raises(AttributeError):
        _ = view.nothing_of_that_name


def test_writes_are_owned_by_the_controller(cluster: Cluster) -> None:
    ClusterView(cluster, Terms("controller")).api_reader.create(namespace("a"))

    made = cluster.api_reader.get(NAMESPACE, Key("", "a"))
    assert [entry["manager"] for entry in made.data["metadata"]["managedFields"]] == ["controller"]


class Seen:
    def __init__(self) -> None:
        self.what: list[tuple[object, Key, bool]] = []

    def saw(self, objects: object, kind: object, key: Key, version: int) -> None:
        self.what.append((kind, key, version > 0))

    def wrote(self, key: Key, promise: object) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("which", ["its client", "one made of it", "that of another cluster"])
def test_the_reconcile_hears_of_tracked_reads_in_whatever_cluster(cluster: Cluster, which: str) -> None:
    seen = Seen()
    terms = Terms("controller", tracker=seen)
    client = CLIENTS[which](ClusterView(cluster, terms), ClustersView(Only(cluster), terms))
    client.get(NAMESPACE, Key("", "default"), track=True)
    client.with_options(dry_run=True).get_or_none(NAMESPACE, Key("", "nope"), track=True)
    client.get(NAMESPACE, Key("", "default"))

    assert seen.what == [(NAMESPACE, Key("", "default"), True), (NAMESPACE, Key("", "nope"), False)]


@pytest.mark.parametrize("which", ["api_reader", "client"])
def test_outside_of_a_reconcile_nothing_can_be_tracked(cluster: Cluster, which: str) -> None:
    with pytest.raises(ValueError, match=r"v1 Namespace default cannot be tracked here: track=True is for ctx.client"):
        getattr(cluster, which).get(NAMESPACE, Key("", "default"), track=True)

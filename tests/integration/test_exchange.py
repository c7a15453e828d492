"""Another configuration for a cluster at work, on the embedded server: rows 6, 10 and 36 of the feature table."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kcontroller import Key, Object, Reconciler
from kcontroller.multicluster import ClusterSpec, State
from kcontroller.testing import EmbeddedServer, FaultProxy, Milo, config_of
from kcontroller.testing.polling import eventually
from kcontroller.testing.providers import MemoryProvider
from kcontroller.transport.shared_loops import OWN_LOOPS

if TYPE_CHECKING:
    from kcontroller import Builder, Context, Manager, Request
    from kcontroller.cluster import Cluster
    from kcontroller.testing import Managers, ServerClient
    from kcontroller.transport.config import Config

CONFIG_MAP = "v1 ConfigMap"
NAME = "one"
FLEET = tuple(f"p{number}" for number in range(OWN_LOOPS + 8))  # Some have a thread of their own, some share one.

pytestmark = pytest.mark.embedded(users={"robot": ("system:masters",)})


class Told(MemoryProvider):
    """Says where a cluster is when the test says so."""

    def say(self, config: Config, *, name: str = NAME, uid: str = "uid") -> None:
        self.present(ClusterSpec(name, config, uid))


class Counting(Reconciler):
    """Counts its reconciles by object and content, and hears of the cluster."""

    name: ClassVar[str] = "counting"

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.heard: list[str] = []
        self.writes = 0

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, ctx: Context, request: Request) -> None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        self.seen[request.name, "" if found is None else found["data"]["n"]] += 1
        if found is not None and found["data"]["n"] == "write":
            found["data"]["n"] = "written"
            ctx.client.patch(found)

    def on_engaged(self, cluster: Cluster) -> None:
        self.heard.append(f"engaged {cluster.name}")

    def on_draining(self, cluster: Cluster, why: str) -> None:
        self.heard.append(f"draining {cluster.name}: {why}")

    def on_gone(self, name: str, uid: str) -> None:
        self.heard.append(f"gone {name} {uid}")


def config_map(name: str, value: str = "1") -> Object:
    made = Object({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": value}})
    made.metadata.namespace, made.metadata.name = "default", name
    return made


def put(client: Any, name: str, value: str) -> None:
    found = client.get(CONFIG_MAP, Key("default", name))
    found["data"]["n"] = value
    client.update(found)


@pytest.fixture
def provider() -> Told:
    return Told()


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def running(api_server: EmbeddedServer, manager: Managers, provider: Told, counting: Counting) -> Manager:
    made = manager(counting, provider=provider)
    provider.say(config_of(api_server, user="robot"))
    eventually(lambda: state(made) is State.ENGAGED)
    return made


def state(manager: Manager) -> State | None:
    return next((each.state for each in manager.clusters.states()), None)


def lists(server: EmbeddedServer) -> int:
    """Count the lists of ConfigMaps that robot asked for, streamed or by pages, but for proofs."""
    asked = server.requests.where(user="robot", resource="configmaps", verb=("list", "watch"))
    return sum(
        each.query.get("limit") != "1" and (each.verb == "list" or "sendInitialEvents" in each.query) for each in asked
    )


def test_10_a_token_that_is_rotated_costs_no_event_no_list_and_no_engagement(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    before = running.cluster(NAME)
    for number in range(30):
        if number == 10:
            api_server.rotate_token("robot")  # The old one is refused from here on.
            provider.say(config_of(api_server, user="robot"))
        client.create(config_map(f"c{number}"))
    fresh = config_of(api_server, user="robot")
    eventually(lambda: before.config == fresh)
    for number in range(30):
        put(client, f"c{number}", "2")
    client.delete(CONFIG_MAP, Key("default", "c3"))
    put(client, "c5", "write")

    eventually(lambda: counting.seen["c3", ""] and counting.seen["c5", "written"])
    eventually(lambda: all(counting.seen[f"c{number}", "2"] for number in range(30)))
    assert running.cluster(NAME) is before
    assert lists(api_server) == 1
    assert max(counting.seen[f"c{number}", "1"] for number in range(30)) == 1, "no object was told of again"
    assert counting.heard == ["engaged one"]
    assert running.clusters.states()[0].last_error == ""


def test_a_wrong_configuration_leaves_the_one_in_use_and_says_so(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    right = config_of(api_server, user="robot")
    nobody, elsewhere = config_of(api_server, user="nobody"), replace(right, server="https://127.0.0.1:9")
    for wrong, why in ((nobody, "forbidden"), (elsewhere, "cannot connect")):
        provider.say(wrong)
        eventually(lambda why=why: why in running.clusters.states()[0].last_error)
        assert state(running) is State.ENGAGED
        client.create(config_map(why.replace(" ", "-"), "write"))
        eventually(lambda why=why: counting.seen[why.replace(" ", "-"), "written"])
    provider.say(right)
    eventually(lambda: running.clusters.states()[0].last_error == "")

    assert running.cluster(NAME).config == right
    assert lists(api_server) == 1
    assert counting.heard == ["engaged one"]


def test_another_way_to_the_same_cluster_is_listed_and_engages_nothing_anew(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    client.create(config_map("before"))
    eventually(lambda: counting.seen["before", "1"])
    before = running.cluster(NAME)
    with FaultProxy(api_server.url) as proxy:
        there = proxy.config(config_of(api_server, user="robot"))
        provider.say(there)
        eventually(lambda: before.config == there)
        client.create(config_map("after", "write"))

        eventually(lambda: counting.seen["after", "written"])
        eventually(lambda: before.pending() == ())
        assert running.cluster(NAME) is before
        assert lists(api_server) == 2
        assert counting.heard == ["engaged one"]
        running.stop()


def test_another_cluster_under_the_same_name_is_engaged_afresh(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    """Its objects were not deleted from the old one, and what was queued of the old one is nothing to it."""
    client.create(config_map("here"))
    eventually(lambda: counting.seen["here", "1"])
    before = running.cluster(NAME)
    with EmbeddedServer() as other:
        other.request("POST", "/api/v1/namespaces/default/configmaps", config_map("there", "write").data)
        provider.say(config_of(other))

        eventually(lambda: counting.seen["there", "written"])
        assert running.cluster(NAME) is not before
        assert before.leaving.stopped
        why = "its new configuration leads to another cluster"
        eventually(lambda: counting.heard == ["engaged one", f"draining one: {why}", "gone one uid", "engaged one"])
        assert not counting.seen["here", ""], "a purge tells no deletions"
        put(client, "here", "2")
        other.request("DELETE", "/api/v1/namespaces/default/configmaps/there")
        eventually(lambda: counting.seen["there", ""])
        assert not counting.seen["here", "2"], "nothing is heard of the old one"
        running.stop()


def test_nothing_is_left_of_the_way_that_was_given_up(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    with FaultProxy(api_server.url) as first, FaultProxy(api_server.url) as second:
        for proxy in (first, second):
            way = proxy.config(config_of(api_server, user="robot"))
            provider.say(way)
            eventually(lambda way=way: running.cluster(NAME).config == way)
        client.create(config_map("a", "write"))

        eventually(lambda: counting.seen["a", "written"])
        eventually(lambda: first.connections == ())
        assert second.connections
        eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("kc-prove")])
        assert counting.heard == ["engaged one"]
        running.stop()


def test_6_another_uid_is_another_cluster_and_each_is_told_of_in_order(
    api_server: EmbeddedServer, client: ServerClient, provider: Told, counting: Counting, running: Manager
) -> None:
    client.create(config_map("a"))
    eventually(lambda: counting.seen["a", "1"] == 1)
    first = running.cluster(NAME)
    provider.say(config_of(api_server, user="robot"), uid="another")
    eventually(lambda: state(running) is State.ENGAGED and running.cluster(NAME) is not first)

    why = "it was replaced by one with another uid"
    eventually(lambda: counting.heard == ["engaged one", f"draining one: {why}", "gone one uid", "engaged one"])
    eventually(lambda: counting.seen["a", "1"] == 2)
    assert first.leaving.stopped
    assert running.cluster(NAME).uid == "another"


@pytest.mark.embedded(users={"robot": ("system:masters",)}, milo=Milo(projects=FLEET, cold_storage=False))
def test_10_the_tokens_of_a_whole_fleet_are_rotated_at_once(
    api_server: EmbeddedServer, client: ServerClient, manager: Managers, provider: Told, counting: Counting
) -> None:
    running = manager(counting, provider=provider)
    for name in FLEET:
        provider.say(config_of(api_server, cluster=name, user="robot"), name=name)
    eventually(lambda: [each.state for each in running.clusters.states()] == [State.ENGAGED] * len(FLEET))
    asked = lists(api_server)
    api_server.rotate_token("robot")
    for name in FLEET:
        provider.say(config_of(api_server, cluster=name, user="robot"), name=name)
    eventually(
        lambda: all(running.cluster(name).config == config_of(api_server, cluster=name, user="robot") for name in FLEET)
    )
    for name in FLEET:
        client(cluster=name).create(config_map(f"of-{name}", "write"))

    eventually(lambda: all(counting.seen[f"of-{name}", "written"] for name in FLEET))
    assert lists(api_server) == asked == len(FLEET)
    assert sorted(counting.heard) == sorted(f"engaged {name}" for name in FLEET)

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key
from kcontroller.cluster import Cluster, exchange
from kcontroller.errors import ConnectFailed, Forbidden, NotSynced, RequestTimeout, ServerError, Stopped, Unauthorized
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.stop import StopToken
from kcontroller.process.threads import ThreadGroup
from kcontroller.testing import EmbeddedServer, EndWatch, FaultProxy, Hang, Refuse, Rule, config_of
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import StaticCredentials, TokenFile
from kcontroller.transport.limiter import RateLimits
from kcontroller.transport.shared_loops import SharedLoops

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kcontroller.cache.store import Change

CONFIG_MAP = "v1 ConfigMap"
PATH = "/api/v1/namespaces/default/configmaps"
A = Key("default", "a")


def prove(config: Config) -> None:
    exchange.prove(config, (), stop=StopToken(), clock=SYSTEM_CLOCK)


def test_where_nothing_is_in_memory_the_server_has_to_answer_and_to_know_who_asks(api_server: EmbeddedServer) -> None:
    right = config_of(api_server)
    prove(right)
    prove(config_of(api_server, user="nobody"))  # May not list anything, and has to list nothing.
    with pytest.raises(Unauthorized):
        prove(replace(right, credentials=StaticCredentials("Bearer wrong")))
    with pytest.raises(ConnectFailed):
        prove(replace(right, server="https://127.0.0.1:9"))


@pytest.mark.parametrize("anonymous", [False, True])
def test_who_has_no_credentials_is_not_known_though_everybody_may_ask_for_the_version(*, anonymous: bool) -> None:
    with EmbeddedServer(anonymous=anonymous) as server, pytest.raises(Unauthorized):
        prove(replace(config_of(server), credentials=StaticCredentials()))


def test_a_server_that_does_not_say_who_asks_has_to_answer(api_server: EmbeddedServer) -> None:
    api_server.faults.add(Rule(Refuse(404), resource="selfsubjectreviews"))
    prove(config_of(api_server))
    with pytest.raises(Unauthorized):
        prove(replace(config_of(api_server), credentials=StaticCredentials("Bearer wrong")))


@pytest.fixture
def cluster(api_server: EmbeddedServer) -> Iterator[Cluster]:
    """Keeps ConfigMaps in memory."""
    failures: list[BaseException] = []
    threads = ThreadGroup(on_failure=lambda _name, error: failures.append(error))
    made = Cluster(config_of(api_server), name="one")
    made.start(threads)
    handle = made.cache(CONFIG_MAP)
    eventually(lambda: handle.synced)
    yield made
    made.stop()
    assert threads.join(10) == ()
    assert failures == []


def test_what_is_in_memory_has_to_be_listed(api_server: EmbeddedServer, cluster: Cluster) -> None:
    mark = api_server.requests.mark()
    cluster.prove(config_of(api_server))
    (asked,) = api_server.requests.where(since=mark)
    assert (asked.path, asked.query) == ("/api/v1/configmaps", {"limit": "1"})

    with pytest.raises(Forbidden, match="configmaps is forbidden"):
        cluster.prove(config_of(api_server, user="nobody"))
    api_server.faults.add(Rule(Refuse(500), verbs={"list"}))
    with pytest.raises(ServerError):
        cluster.prove(config_of(api_server))


def test_what_the_configuration_in_use_cannot_list_the_other_one_need_not_either(
    api_server: EmbeddedServer, cluster: Cluster
) -> None:
    gone = api_server.faults.add(Rule(Refuse(404), verbs={"list", "watch"}))
    api_server.faults.add(Rule(EndWatch(), times=1))
    eventually(lambda: "does not serve v1 ConfigMap" in str(cluster.troubles()))
    cluster.prove(config_of(api_server))
    gone.release()
    with pytest.raises(Unauthorized):
        cluster.prove(replace(config_of(api_server), credentials=StaticCredentials("Bearer wrong")))


def test_a_proof_that_hangs_ends_with_its_cluster(api_server: EmbeddedServer, cluster: Cluster) -> None:
    hung = api_server.faults.add(Rule(Hang(), verbs={"list"}))
    ended: list[BaseException] = []

    def proves() -> None:
        try:
            cluster.prove(config_of(api_server))
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=proves, daemon=True)
    thread.start()
    eventually(lambda: hung.hits)
    cluster.leaving.stop("it leaves")
    thread.join(exchange.REQUEST_SECONDS / 2)

    assert [str(each) for each in ended] == ["it leaves"]


# ---- another server --------------------------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as made:
        yield made


def named(name: str, value: str = "1") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": value}}


def names(cluster: Cluster) -> set[str]:
    return {each.metadata.name for each in cluster.client.list(CONFIG_MAP, namespace="default") if "data" in each}


def behind(server: EmbeddedServer, config: Config | None = None) -> Config:
    """The same URL for every server."""
    config = config or config_of(server)
    address = server.url.removeprefix("https://")
    return replace(
        config,
        server="https://project.test",
        resolve=address,
        tls=replace(config.tls, server_name="127.0.0.1"),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"server": "https://one.test/other"},
        {"server": "https://two.test"},
        {"resolve": "127.0.0.1:9"},
        {"tls": TLSConfig(ca=b"other")},
        {"proxy": "http://proxy.test:3128"},
    ],
)
def test_whatever_keeps_connections_apart_may_lead_to_another_server(changed: dict[str, Any]) -> None:
    used = Config("https://one.test", StaticCredentials("Bearer one"))
    assert exchange.leads_elsewhere(used, replace(used, **changed))
    other = replace(used, credentials=StaticCredentials("Bearer two"), source="another file", qps=5.0)
    assert not exchange.leads_elsewhere(used, other)


def test_another_place_behind_the_same_url_is_listed_anew(
    api_server: EmbeddedServer, other: EmbeddedServer, cluster: Cluster
) -> None:
    cluster.adopt(behind(api_server))
    api_server.request("POST", PATH, named("only-here"))
    eventually(lambda: shown(cluster) == {"only-here"})
    other.request("POST", PATH, named("only-there"))
    cluster.adopt(behind(other))

    eventually(lambda: shown(cluster) == {"only-there"})
    other.request("POST", PATH, named("later"))
    eventually(lambda: names(cluster) == {"only-there", "later"})


def shown(cluster: Cluster) -> set[str]:
    try:
        return names(cluster)
    except NotSynced:
        return set()


def test_a_write_that_ends_on_the_server_that_was_left_holds_up_no_read(
    api_server: EmbeddedServer, other: EmbeddedServer, cluster: Cluster
) -> None:
    for number in range(50):  # Its versions are far higher than those of the other server.
        api_server.request("POST", PATH, named(f"old-{number}"))
    api_server.request("POST", PATH, named("a"))
    other.request("POST", PATH, named("a", "there"))
    eventually(lambda: "a" in names(cluster))
    found = cluster.client.get(CONFIG_MAP, A)
    found["data"]["n"] = "2"
    slow = api_server.faults.add(Rule(Hang(), verbs={"update"}))
    writing = threading.Thread(target=cluster.client.update, args=(found,), daemon=True)
    writing.start()
    eventually(lambda: slow.hits)
    cluster.adopt(config_of(other))
    eventually(lambda: shown(cluster) == {"a"})
    slow.release()
    writing.join(5)

    assert not writing.is_alive()
    assert cluster.client.get(CONFIG_MAP, A)["data"] == {"n": "there"}
    assert names(cluster) == {"a"}


def test_what_was_seen_of_the_server_that_was_left_is_not_read_while_the_other_one_cannot_be_listed(
    api_server: EmbeddedServer, other: EmbeddedServer, cluster: Cluster
) -> None:
    api_server.request("POST", PATH, named("a"))
    eventually(lambda: names(cluster) == {"a"})
    other.request("POST", PATH, named("b"))
    refused = other.faults.add(Rule(Refuse(500), verbs={"list", "watch"}, resource="configmaps"))
    cluster.adopt(config_of(other))
    eventually(lambda: refused.hits)

    with pytest.raises(NotSynced):
        cluster.client.get(CONFIG_MAP, A)
    (pending,) = cluster.pending()
    assert "v1 ConfigMap is not synced" in str(pending)
    refused.release()
    eventually(lambda: shown(cluster) == {"b"}, within=10)
    assert cluster.pending() == ()


def test_an_object_of_equal_version_and_other_content_is_told_again(
    api_server: EmbeddedServer, cluster: Cluster
) -> None:
    """As of a server that was restored from a backup of the other one."""
    api_server.request("POST", PATH, named("a"))
    eventually(lambda: names(cluster) == {"a"})
    heard: list[tuple[int, int]] = []
    with FaultProxy(api_server.url) as proxy, cluster.cache(CONFIG_MAP) as handle:
        done = threading.Event()
        handle.subscribe(lambda change: _note(heard, change), done.set)
        assert done.wait(5)
        cluster.adopt(proxy.config(config_of(api_server)))
        eventually(lambda: heard)
        cluster.stop()
    assert {old == new for old, new in heard} == {True}


def _note(heard: list[tuple[int, int]], change: Change) -> None:
    if change.old is not None and change.new is not None:
        heard.append((change.old.version, change.new.version))


def test_the_same_cluster_is_known_by_its_kube_system_namespace(
    api_server: EmbeddedServer, other: EmbeddedServer, cluster: Cluster
) -> None:
    with FaultProxy(api_server.url) as proxy:
        there = proxy.config(config_of(api_server))
        assert cluster.prove(there)
        assert not cluster.prove(config_of(other))
        for status in (403, 404):
            unreadable = api_server.faults.add(Rule(Refuse(status), resource="namespaces", name="kube-system"))
            assert not cluster.prove(there), "what cannot be known to be the same is another one"
            unreadable.release()


def test_on_a_loop_that_is_shared_credentials_that_may_block_make_another_cluster(
    api_server: EmbeddedServer, tmp_path: Path
) -> None:
    config = config_of(api_server)
    (tmp_path / "token").write_text((config.credentials.authorization() or "").removeprefix("Bearer "))
    blocking = replace(config, credentials=TokenFile(tmp_path / "token", what="test"))
    threads = ThreadGroup(on_failure=lambda *_: None)
    for own in (0, 1):
        loops = SharedLoops(threads, own=own, shared=1)
        made = Cluster(config, name="one", loops=loops)
        made.start(threads)
        assert made.prove(blocking) is bool(own)
        assert made.prove(replace(config, namespace="other"))
        made.stop()
    assert threads.join(10) == ()


def test_a_server_that_cannot_say_now_which_cluster_it_is_is_asked_again_later(
    api_server: EmbeddedServer, cluster: Cluster
) -> None:
    with FaultProxy(api_server.url) as proxy:
        there = proxy.config(config_of(api_server))
        api_server.faults.add(Rule(Refuse(500), resource="namespaces", name="kube-system"))
        with pytest.raises(ServerError):
            cluster.prove(there)


def test_one_that_is_gone_already_cannot_be_known_to_be_the_same(cluster: Cluster, other: EmbeddedServer) -> None:
    with FaultProxy(other.url) as proxy:
        cluster.adopt(proxy.config(config_of(other)))
        eventually(lambda: not cluster.pending())
    assert not cluster.prove(config_of(other))


def test_another_token_is_no_other_cluster_and_nobody_asks(api_server: EmbeddedServer, cluster: Cluster) -> None:
    mark = api_server.requests.mark()
    assert cluster.prove(replace(config_of(api_server), source="renewed", namespace="team"))
    assert not api_server.requests.where(resource="namespaces", since=mark)


def test_the_rate_of_the_fleet_is_also_that_of_another_configuration_unless_it_sets_one(
    api_server: EmbeddedServer,
) -> None:
    config = config_of(api_server)
    cluster = Cluster(config, name="one", limits=RateLimits(qps=0.01, burst=3))

    def burst() -> int:
        for reads in range(10):
            try:
                cluster.api_reader.list(CONFIG_MAP)
            except RequestTimeout:
                return reads
        return 10

    assert burst() <= 3  # The kind has to be found first.
    cluster.adopt(replace(config, namespace="other"))
    assert burst() == 3
    cluster.adopt(replace(config, qps=0.01, burst=5))
    assert burst() == 5
    cluster.stop()


def test_a_server_that_hangs_has_so_long_for_all_requests_together(
    api_server: EmbeddedServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_server.faults.add(Rule(Hang(), verbs={"list"}))
    monkeypatch.setattr(exchange, "ALL_REQUESTS_SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises((RequestTimeout, Stopped)):
        cluster.prove(config_of(api_server))
    assert time.monotonic() - began < exchange.REQUEST_SECONDS / 2

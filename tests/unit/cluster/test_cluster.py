from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.api.models import Model, Resource
from kcontroller.cluster import Cluster, Pending
from kcontroller.cluster.circuit import CLOSED, FAILURES, HALF_OPEN, OPEN
from kcontroller.cluster.floors import Promise
from kcontroller.errors import ClusterMismatch, ConnectFailed, NotFound, NotSynced, StaleRead, UnlistedNamespace
from kcontroller.process.metrics import Metrics
from kcontroller.process.threads import ThreadGroup
from kcontroller.transport import exec_runs
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from kcontroller.transport.exec_plugin import ExecCredentials, ExecEntry, ExecPolicy
from tests.unit.cache.feeds import FakeFeed
from tests.unit.tiny_api import TinyApi

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG_MAP = "v1 ConfigMap"


class Empty(Model):
    pass


class Node(Resource[Empty, Empty], group="example.com", version="v1", plural="nodes", namespaced=False):
    pass


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class World:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.failures: list[tuple[str, BaseException]] = []
        self.threads = ThreadGroup(on_failure=lambda name, error: self.failures.append((name, error)))
        self.started: list[Cluster] = []

    def cluster(self, url: str, *, start: bool = True, **options: Any) -> Cluster:
        config = Config(url, StaticCredentials(header="Bearer c4n4ry"))
        cluster = Cluster(config, metrics=self.metrics, **options)
        self.started.append(cluster)
        if start:
            cluster.start(self.threads)
        return cluster

    def synced(self, cluster: Cluster, kind: str = CONFIG_MAP) -> Cluster:
        done = threading.Event()
        cluster.cache(kind).subscribe(lambda _change: None, done.set)
        assert done.wait(10)
        return cluster


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for cluster in made.started:
        cluster.stop()
    assert made.threads.join(10) == ()
    assert made.failures == []


@pytest.fixture
def api() -> Iterator[TinyApi]:
    with TinyApi("a", "b") as made:
        yield made


def test_the_same_kind_is_cached_once_however_it_is_named(world: World) -> None:
    cluster = world.cluster(unused_address(), start=False)

    assert cluster.cache(CONFIG_MAP).kind is cluster.cache(gvk_of(CONFIG_MAP)).kind
    assert cluster.cache(Node).kind is cluster.cache("example.com/v1 Node").kind


def test_many_threads_get_the_same_cache(world: World) -> None:
    cluster = world.cluster(unused_address(), start=False)
    begin = threading.Barrier(8)
    got: list[object] = []

    def get() -> None:
        begin.wait(10)
        got.append(cluster.cache(CONFIG_MAP).kind)

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(set(map(id, got))) == 1


def test_what_is_declared_is_read_from_memory(world: World, api: TinyApi) -> None:
    cluster = world.synced(world.cluster(api.url))
    before = list(api.asked)

    assert cluster.client.get(CONFIG_MAP, Key("default", "a")).metadata.name == "a"
    assert sorted(each.metadata.name for each in cluster.client.list(CONFIG_MAP)) == ["a", "b"]
    with pytest.raises(NotFound):
        cluster.client.get(CONFIG_MAP, Key("default", "zzz"))
    assert api.asked == before


def test_the_api_reader_always_asks_the_server(world: World, api: TinyApi) -> None:
    cluster = world.synced(world.cluster(api.url))
    before = len(api.asked)
    cluster.api_reader.list(CONFIG_MAP)

    assert len(api.asked) > before


def test_reading_never_starts_a_cache(world: World, api: TinyApi) -> None:
    cluster = world.cluster(api.url)
    cluster.client.list(CONFIG_MAP)

    assert cluster.pending() == ()
    assert not any("watch" in target for target in api.asked)


def test_before_the_first_list_a_kind_is_pending_and_reads_say_so(world: World, api: TinyApi) -> None:
    api.gate.clear()
    cluster = world.cluster(api.url, name="eu")
    cluster.cache(CONFIG_MAP)
    (pending,) = cluster.pending()

    assert str(pending) == "cluster eu: v1 ConfigMap is not synced: the first list is under way"
    with pytest.raises(NotSynced, match="the cache of v1 ConfigMap is not synced yet"):
        cluster.client.list(CONFIG_MAP)


def test_after_it_nothing_is(world: World, api: TinyApi) -> None:
    cluster = world.synced(world.cluster(api.url))

    assert cluster.pending() == ()
    assert cluster.troubles() == {}


def test_a_server_that_is_away_is_told_with_its_reason(world: World, eventually: Any) -> None:
    cluster = world.cluster(unused_address())
    cluster.cache(CONFIG_MAP)
    eventually(lambda: bool(cluster.troubles()))
    (pending,) = cluster.pending()

    assert "v1 ConfigMap is not synced: " in str(pending)
    assert "c4n4ry" not in str(pending)


class Turns(FakeFeed):
    """The loop of every cluster: the test is the server, and moves the time."""

    on_loop_thread = True

    def loop(self, _config: Config, **_options: Any) -> Turns:
        return self

    def observe(self, _observer: object) -> None:
        """The test tells the breaker."""

    def stop(self) -> None:
        """There is no thread."""


def informer_that_waits(turns: Turns, *, seconds: float) -> Cluster:
    """Make a cluster whose breaker is open, and whose informer tries again in so many seconds or more."""
    cluster = Cluster(Config("https://server", StaticCredentials()), clock=turns.clock, loops=turns)  # type: ignore[arg-type]
    cluster.cache(Node)
    turns.run()
    refused = ConnectFailed("refused")
    until = 0.0
    while until < turns.clock.monotonic() + seconds:
        turns.stream.end(refused)
        (until,) = [timer.due for timer in turns.timers if timer.function]
        if until < turns.clock.monotonic() + seconds:
            turns.advance(until - turns.clock.monotonic())
    for _ in range(FAILURES):
        cluster.breaker.unanswered(refused)
    return cluster


def test_a_breaker_that_closes_ends_the_wait_of_the_informers_within_a_second() -> None:
    turns = Turns()
    cluster = informer_that_waits(turns, seconds=20)
    asked = len(turns.streams)

    for _ in (OPEN, HALF_OPEN):
        cluster.breaker.answered(200, waits=False)
    assert cluster.breaker.state == CLOSED
    assert len(turns.streams) == asked  # Not at once: others come back, too.
    turns.run()
    turns.advance(1.0)

    assert turns.stream.target.startswith("/apis/example.com/v1/nodes?")
    cluster.stop()


def test_a_breaker_that_opens_again_ends_no_wait() -> None:
    turns = Turns()
    cluster = informer_that_waits(turns, seconds=20)
    asked = [stream for stream in turns.streams if "limit=1" not in stream.target]

    cluster.breaker.answered(200, waits=False)
    cluster.breaker.unanswered(ConnectFailed("refused"))
    assert cluster.breaker.state == OPEN
    turns.run()
    turns.advance(3.0)

    assert [stream for stream in turns.streams if "limit=1" not in stream.target] == asked
    cluster.stop()


def test_a_namespace_that_is_not_held_is_no_absence(world: World, api: TinyApi) -> None:
    cluster = world.synced(world.cluster(api.url, namespaces=("default",)))

    with pytest.raises(UnlistedNamespace, match="namespace 'other' is not watched; this process holds v1 ConfigMap of"):
        cluster.client.get(CONFIG_MAP, Key("other", "a"))
    assert any(target.startswith("/api/v1/namespaces/default/configmaps") for target in api.asked)


def test_whether_a_kind_has_namespaces_is_known_after_discovery_or_from_its_class(world: World, api: TinyApi) -> None:
    cluster = world.cluster(api.url)
    assert cluster.is_namespaced(CONFIG_MAP) is None
    assert cluster.is_namespaced(Node) is False
    world.synced(cluster)

    assert cluster.is_namespaced(CONFIG_MAP) is True


def test_a_request_of_another_cluster_is_refused(world: World, api: TinyApi) -> None:
    from kcontroller.api.keys import Request  # noqa: PLC0415

    cluster = world.cluster(api.url, name="eu")

    with pytest.raises(ClusterMismatch):
        cluster.client.get(CONFIG_MAP, Request("us", "default", "a"))


def test_a_read_that_gives_up_is_counted(world: World, api: TinyApi) -> None:
    cluster = world.synced(world.cluster(api.url, name="eu"))
    informer = cluster.cache(CONFIG_MAP).covering("default", {})
    assert informer is not None
    cluster._floors.record(Key("default", "a"), Promise(informer, 10**6))

    with pytest.raises(StaleRead):
        cluster.client.get(CONFIG_MAP, Key("default", "a"))
    assert world.metrics.registry.get_sample_value("kcontroller_stale_reads_total") == 1


def test_a_cluster_that_is_not_there_yet_is_pending_as_a_whole() -> None:
    assert str(Pending("eu", "", "connecting")) == "cluster eu: not engaged: connecting"


def test_it_is_shown_by_name_and_server_only() -> None:
    config = Config("https://server:6443", StaticCredentials(header="Bearer c4n4ry"), proxy="http://u:c4n4ry@p:1")
    cluster = Cluster(config, name="eu")

    assert repr(cluster) == "<Cluster eu https://server:6443>"
    cluster.stop()


def test_stopping_before_the_start_and_twice_is_harmless(world: World) -> None:
    cluster = world.cluster(unused_address(), start=False)
    cluster.cache(CONFIG_MAP)
    cluster.stop()
    cluster.stop()
    cluster.start(world.threads)

    assert world.threads.join(10) == ()


def plugin_that_hangs(folder: Path) -> ExecCredentials:
    (folder / "plugin").write_text(f"#!/bin/sh\necho $$ > {folder}/pid\nexec sleep 60\n")
    (folder / "plugin").chmod(0o755)
    entry = ExecEntry(command="./plugin", api_version="client.authentication.k8s.io/v1")
    policy = ExecPolicy(environ={"PATH": os.environ["PATH"]})
    return ExecCredentials(entry, where="the test", folder=folder, cluster={}, policy=policy)


def plugin_pid(folder: Path) -> str:
    path = folder / "pid"
    return path.read_text().strip() if path.exists() else ""


def test_a_plugin_that_hangs_is_a_trouble_and_ends_with_its_cluster(
    world: World, eventually: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_runs, "SLOW_SECONDS", 0.05)
    cluster = Cluster(Config(unused_address(), plugin_that_hangs(tmp_path)))
    cluster.cache(CONFIG_MAP)
    cluster.start(world.threads)
    eventually(cluster.troubles)
    ((what, why),) = cluster.troubles().items()
    assert what == "credentials"
    assert why.startswith(f"exec plugin {tmp_path}/plugin has not answered for ")
    eventually(lambda: plugin_pid(tmp_path))
    began = time.monotonic()
    cluster.stop()

    assert world.threads.join(10) == ()
    assert time.monotonic() - began < 3
    eventually(lambda: not Path(f"/proc/{plugin_pid(tmp_path)}/cwd").exists())


def test_a_plugin_that_hangs_ends_when_its_cluster_has_other_credentials(
    world: World, api: TinyApi, eventually: Any, tmp_path: Path
) -> None:
    plugin = plugin_that_hangs(tmp_path)
    cluster = Cluster(Config(api.url, plugin))
    world.started.append(cluster)
    cluster.cache(CONFIG_MAP)
    cluster.start(world.threads)
    eventually(lambda: plugin_pid(tmp_path))
    cluster.adopt(Config(api.url, StaticCredentials()))

    with pytest.raises(ConnectFailed, match="nobody waits for it any more"):
        plugin.authorization()


def test_stopping_ends_the_thread_in_the_middle_of_a_list(world: World, api: TinyApi, eventually: Any) -> None:
    api.gate.clear()
    cluster = world.cluster(api.url)
    cluster.cache(CONFIG_MAP)
    eventually(lambda: any("configmaps" in target for target in api.asked))
    cluster.stop()

    assert world.threads.join(5) == ()


def test_a_scrape_may_come_before_and_after_the_first_list(world: World, api: TinyApi) -> None:
    cluster = world.cluster(api.url, name="eu")
    cluster.cache(CONFIG_MAP)
    cluster.observe()
    world.synced(cluster)
    cluster.observe()

    labels = {"cluster": "eu", "kind": ""}  # Of a fleet: all kinds together.
    assert world.metrics.registry.get_sample_value("kcontroller_informer_objects", labels) == 2

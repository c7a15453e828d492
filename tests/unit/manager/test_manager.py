from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kcontroller
from kcontroller.config import ManagerOptions
from kcontroller.controller import Builder, Context, Reconciler, Result
from kcontroller.errors import ClusterNotFound, ConfigError
from kcontroller.manager import Manager, lifecycle
from kcontroller.multicluster import ClusterSpec
from kcontroller.multicluster.providers.static import StaticProvider
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.unit.tiny_api import TinyApi

if TYPE_CHECKING:
    from kcontroller.api.keys import Request
    from kcontroller.cluster import Cluster
    from kcontroller.multicluster import Sink

ROOT = Path(kcontroller.__file__).parents[1]
CONFIG_MAP = "v1 ConfigMap"
QUIET = ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0", switch_interval=0)

Make = Callable[..., Manager]


class Maps(Reconciler):
    """Reconciles config maps by a function of the test."""

    def __init__(
        self,
        act: Callable[[Context, Request], Result | None] = lambda _ctx, _request: None,
        *,
        name: str = "maps",
        workers: int = 1,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._act = act
        self._workers = workers
        self.began = threading.Event()

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=self._workers)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        self.began.set()
        return self._act(ctx, request)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def names_of_ours() -> list[str]:
    """The threads of a manager; the embedded server of other tests may live beside it for the whole run."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("kc-") and name != "kc-embedded"]


@pytest.fixture
def api() -> Iterator[TinyApi]:
    with TinyApi("a", "b") as made:
        yield made


@pytest.fixture
def make() -> Iterator[Make]:
    """Make managers that are stopped when the test is over."""
    made: list[Manager] = []

    def new(*reconcilers: Reconciler, server: str = "", options: ManagerOptions = QUIET) -> Manager:
        server = server or f"http://127.0.0.1:{unused_port()}"
        manager = Manager(Config(server, StaticCredentials()), options=options)
        made.append(manager)
        manager.add(*reconcilers)
        return manager

    yield new
    for manager in made:
        manager.stop(0)


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """What a reconcile of the test waits for; comes at the latest when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def ask(port: int, path: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def with_health(**options: Any) -> ManagerOptions:
    return ManagerOptions(
        metrics_bind_address="0", health_probe_bind_address="127.0.0.1:0", switch_interval=0, **options
    )


# ---- start -----------------------------------------------------------------------------------------------------------


def test_it_reconciles_what_there_is_and_is_ready(make: Make, api: TinyApi) -> None:
    seen: set[str] = set()
    both = threading.Event()

    def act(_ctx: Context, request: Request) -> None:
        seen.add(request.name)
        if seen == {"a", "b"}:
            both.set()

    with make(Maps(act), server=api.url) as manager:
        assert both.wait(10)
        assert manager.wait_ready(10)
        assert manager.pending() == ()

    assert names_of_ours() == []


def test_servers_start_first_then_mappers_then_the_cluster_then_sources_then_workers(
    make: Make, api: TinyApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make(Maps(), server=api.url, options=with_health())
    started: list[str] = []
    spawn = manager._parts.supervisor.threads.spawn

    def recorded(role: str, key: str, target: Any) -> threading.Thread:
        started.append(role)
        return spawn(role, key, target)

    monkeypatch.setattr(manager._parts.supervisor.threads, "spawn", recorded)
    manager.start()

    assert list(dict.fromkeys(started)) == ["health", "watchdog", "cluster", "worker"]


def test_a_second_start_raises(make: Make) -> None:
    manager = make(Maps())
    manager.start()

    with pytest.raises(RuntimeError, match="a manager starts once; make a new one"):
        manager.start()


def test_two_controllers_cannot_have_one_name(make: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"two controllers are named 'maps'; give one of the Reconcilers another `name`"
    ):
        make(Maps(), Maps())


def test_a_wrong_setup_adds_nothing(make: Make) -> None:
    class Wrong(Maps):
        def setup(self, builder: Builder) -> None: ...

    manager = make()
    with pytest.raises(ConfigError, match="setup watches nothing"):
        manager.add(Wrong())
    manager.add(Maps())

    assert [each.name for each in manager.controllers] == ["maps"]


@pytest.mark.parametrize("which", ["metrics_bind_address", "health_probe_bind_address"])
def test_an_occupied_port_leaves_nothing_running(make: Make, which: str) -> None:
    free = unused_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        addresses = {
            "metrics_bind_address": f"127.0.0.1:{free}",
            "health_probe_bind_address": f"127.0.0.1:{free}",
            which: f"127.0.0.1:{other.getsockname()[1]}",
        }
        manager = make(Maps(), options=ManagerOptions(**addresses))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="the port is in use"):
            manager.start()

    assert names_of_ours() == []
    with socket.create_server(("127.0.0.1", free)):  # The other address is free again.
        pass


def test_a_controller_may_come_later(make: Make, api: TinyApi) -> None:
    first, second = Maps(), Maps(name="later")
    with make(first, server=api.url) as manager:
        assert first.began.wait(10)
        manager.add(second)
        assert second.began.wait(10)


def test_controllers_that_come_during_the_start_run_once(make: Make, api: TinyApi) -> None:
    manager = make(Maps(name="first"), server=api.url)
    begin = threading.Barrier(2)

    def add() -> None:
        begin.wait(10)
        for number in range(20):
            manager.add(Maps(name=f"later-{number}"))

    adder = threading.Thread(target=add)
    adder.start()
    begin.wait(10)
    manager.start()
    adder.join(10)
    workers = [name for name in names_of_ours() if name.startswith("kc-worker-")]

    assert sorted(workers) == sorted({*workers})
    assert len(workers) == 21


def test_after_the_stop_no_controller_comes(make: Make) -> None:
    manager = make(Maps())
    manager.start()
    manager.stop()
    with pytest.raises(RuntimeError, match="the manager has stopped; make a new one"):
        manager.add(Maps(name="late"))

    assert [each.name for each in manager.controllers] == ["maps"]
    assert names_of_ours() == []


@pytest.mark.parametrize(
    ("own", "by_kind", "for_all", "workers"),
    [(3, {"ConfigMap": 2}, 5, 3), (0, {"ConfigMap": 2}, 5, 2), (0, {"ConfigMap.apps": 2}, 5, 5), (0, {}, None, 1)],
)
def test_the_reconciler_says_how_many_workers_it_has_then_its_kind_then_the_option_for_all(
    make: Make, own: int, by_kind: dict[str, int], for_all: int | None, workers: int
) -> None:
    class Own(Maps):
        def setup(self, builder: Builder) -> None:
            builder.for_(CONFIG_MAP)
            if own:
                builder.options(max_concurrent_reconciles=own)

    options = dataclasses.replace(QUIET, concurrency=by_kind, max_concurrent_reconciles=for_all)
    manager = make(Own(), options=options)
    assert manager.controllers[0].workers == workers


def test_workers_for_a_kind_that_nobody_reconciles_are_a_mistake(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    options = dataclasses.replace(QUIET, concurrency={"Deployment.apps": 8, "ConfigMap": 2})
    make(Maps(), options=options).start()

    assert "concurrency is given for Deployment.apps, which no controller reconciles" in caplog.messages
    assert not any("ConfigMap" in each for each in caplog.messages)


def test_there_is_one_cluster(make: Make) -> None:
    manager = make()

    assert manager.cluster() is manager.clusters.get("")
    with pytest.raises(ClusterNotFound, match="no cluster 'eu' is engaged"):
        manager.cluster("eu")


# ---- several clusters ------------------------------------------------------------------------------------------------


def configs(**urls: str) -> dict[str, Config]:
    return {name: Config(url, StaticCredentials()) for name, url in urls.items()}


def test_the_same_reconciler_works_on_every_cluster_and_finds_the_others(api: TinyApi) -> None:
    seen: dict[str, str] = {}
    all_seen = threading.Event()

    def act(ctx: Context, request: Request) -> None:
        other = ctx.clusters.get("us" if request.cluster == "eu" else "eu")
        seen[str(request)] = f"{ctx.cluster.name}, beside {other.name}"
        if len(seen) == 3:
            all_seen.set()

    with TinyApi("c") as us:
        manager = Manager(clusters=configs(eu=api.url, us=us.url), options=QUIET)
        manager.add(Maps(act))
        with manager:
            assert all_seen.wait(10)
            assert manager.wait_ready(10)

    assert seen == {
        "eu:default/a": "eu, beside us",
        "eu:default/b": "eu, beside us",
        "us:default/c": "us, beside eu",
    }
    assert names_of_ours() == []


def test_a_cluster_that_is_away_is_pending_by_its_name_and_the_others_work(api: TinyApi) -> None:
    reconciler = Maps()
    manager = Manager(clusters=configs(eu=api.url, us=f"http://127.0.0.1:{unused_port()}"), options=QUIET)
    manager.add(reconciler)
    with manager:
        assert reconciler.began.wait(10)
        assert not manager.wait_ready(0.05)
        assert {each.cluster for each in manager.pending()} == {"us"}
        assert str(manager.readyz.run()["caches"]).startswith("cluster us: v1 ConfigMap is not synced: ")


def test_metrics_count_each_cluster_for_itself(api: TinyApi, eventually: Any) -> None:
    def act(_ctx: Context, request: Request) -> None:
        if request.cluster == "us":
            raise RuntimeError("no")

    def value(name: str, **labels: str) -> float | None:
        return manager.metrics.registry.get_sample_value(name, labels)

    reconciles = "kcontroller_cluster_reconciles_total"
    with TinyApi("c") as us:
        manager = Manager(clusters=configs(eu=api.url, us=us.url), options=QUIET)
        manager.add(Maps(act))
        with manager:
            eventually(lambda: value(reconciles, cluster="eu", result="success") == 2)
            eventually(lambda: (value(reconciles, cluster="us", result="error") or 0) >= 2)
            manager.observe()
            assert value("kcontroller_cluster_queue_depth", cluster="eu") == 0
            assert value(reconciles, cluster="eu", result="error") is None
            hosts = set(re.findall(r'host="([^"]*)"', manager.metrics.render().decode()))
            assert hosts == {"fleet"}, "a thousand clusters have a thousand hosts"


def test_a_hub_is_measured_also_where_no_controller_works_on_it(api: TinyApi, eventually: Any) -> None:
    """What a provider finds, it finds in the hub's cache."""
    provider = StaticProvider(configs(eu=api.url))
    manager = Manager(Config(api.url, StaticCredentials()), provider=provider, options=QUIET)

    def objects(cluster: str) -> float | None:
        manager.observe()
        found = {"cluster": cluster, "kind": CONFIG_MAP}
        return manager.metrics.registry.get_sample_value("kcontroller_informer_objects", found)

    manager.cluster("").cache(CONFIG_MAP)
    with manager:
        eventually(lambda: objects("") == 2)
        assert objects("eu") is None


def test_a_controller_that_comes_later_works_on_every_cluster(api: TinyApi) -> None:
    seen: set[str] = set()
    both = threading.Event()

    def act(_ctx: Context, request: Request) -> None:
        seen.add(request.cluster)
        if len(seen) == 2:
            both.set()

    with TinyApi("c") as us, Manager(clusters=configs(eu=api.url, us=us.url), options=QUIET) as manager:
        manager.add(Maps(act))
        assert both.wait(10)


def test_the_log_names_the_provider(api: TinyApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Manager(clusters=configs(eu=api.url, us=api.url), options=QUIET):
        pass

    record = next(each for each in caplog.records if each.getMessage().endswith("starts"))
    assert record.__dict__["kc_fields"] == {"provider": "static", "controllers": ""}


def test_one_configuration_or_several() -> None:
    config = Config("https://127.0.0.1:1", StaticCredentials())
    with pytest.raises(TypeError, match="either config or clusters"):
        Manager(config, clusters={"eu": config})
    with pytest.raises(ConfigError, match="canary chooses among the clusters of a provider, and there is none"):
        Manager(config, options=dataclasses.replace(QUIET, canary="tier=canary"))
    with pytest.raises(ConfigError, match="cluster_qps is of the clusters of a provider, and there is none; give qps"):
        Manager(config, options=dataclasses.replace(QUIET, cluster_qps=5.0))
    with pytest.raises(ConfigError, match="there is no cluster to work on"):
        Manager(clusters={})


# ---- readiness -------------------------------------------------------------------------------------------------------


def test_before_during_and_after(make: Make, api: TinyApi) -> None:
    api.gate.clear()
    manager = make(Maps(), server=api.url)
    assert manager.readyz.run() == {"caches": "starting"}
    manager.start()
    assert manager.readyz.run() == {"caches": "v1 ConfigMap is not synced: the first list is under way"}
    assert not manager.wait_ready(0.05)
    api.gate.set()
    assert manager.wait_ready(10)
    assert manager.readyz.run() == {"caches": None}
    manager.stop()

    assert manager.readyz.run() == {"caches": "stopping"}
    assert manager.healthz.run() == {"threads": None}
    assert not manager.wait_ready(10)


def test_it_is_never_ready_while_it_starts(make: Make, api: TinyApi) -> None:
    """The probe is answered before controllers have said what they watch."""
    manager = make(*(Maps(name=str(number)) for number in range(30)), server=api.url, options=with_health())
    api.gate.clear()
    answers: list[str | None] = []
    started = threading.Event()

    def probe() -> None:
        while not started.is_set():
            answers.append(manager.readyz.run()["caches"])

    prober = threading.Thread(target=probe)
    prober.start()
    manager.start()
    started.set()
    prober.join(10)
    api.gate.set()

    assert None not in answers


def test_a_server_that_is_away_is_not_ready_and_lives(make: Make, eventually: Any) -> None:
    manager = make(Maps(), options=with_health())
    manager.start()
    port = manager._parts.servers.port("health")
    eventually(lambda: bool(manager.cluster().troubles()))

    status, text = ask(port, "/readyz")
    assert status == 500
    assert "v1 ConfigMap is not synced" in text
    assert ask(port, "/healthz") == (200, "ok")


def test_a_map_function_that_hangs_keeps_it_from_being_ready(make: Make, api: TinyApi, eventually: Any) -> None:
    go_on = threading.Event()

    class Hanging(Maps):
        def setup(self, builder: Builder) -> None:
            builder.watches(CONFIG_MAP, to=lambda _cluster, _obj: (go_on.wait(20) and []) or [])

    manager = make(Hanging(), server=api.url)
    manager.start()
    eventually(lambda: manager.pending() == ())
    assert manager.readyz.run() == {"caches": "controller maps has not queued its first objects"}
    go_on.set()
    assert manager.wait_ready(10)


def test_a_check_of_the_user_counts_also_if_it_comes_while_the_manager_runs(make: Make) -> None:
    manager = make(options=with_health())
    manager.start()
    port = manager._parts.servers.port("health")
    assert ask(port, "/readyz") == (200, "ok")
    manager.readyz.add("mine", lambda: "the database is away")

    status, text = ask(port, "/readyz")
    assert status == 500
    assert "[-]mine failed: the database is away" in text


def test_the_probes_are_answered_while_reconciles_end(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    reconciler = Maps(lambda _ctx, _request: go_on.wait(10) and None)
    manager = make(reconciler, server=api.url, options=with_health())
    manager.start()
    assert reconciler.began.wait(10)
    port = manager._parts.servers.port("health")
    stopper = threading.Thread(target=manager.stop)
    stopper.start()
    manager._parts.supervisor.stop.wait(10)

    assert ask(port, "/healthz") == (200, "ok")
    assert ask(port, "/readyz")[0] == 500
    go_on.set()
    stopper.join(10)
    assert not stopper.is_alive()


# ---- stop ------------------------------------------------------------------------------------------------------------


def held(make: Make, api: TinyApi, go_on: threading.Event, **options: Any) -> Manager:
    """A manager with a reconcile that runs until the event is set."""
    reconciler = Maps(lambda _ctx, _request: go_on.wait(20) and None)
    manager = make(
        reconciler,
        server=api.url,
        options=ManagerOptions(metrics_bind_address="0", health_probe_bind_address="0", switch_interval=0, **options),
    )
    manager.start()
    assert reconciler.began.wait(10)
    return manager


def test_a_running_reconcile_is_awaited(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    manager = held(make, api, go_on, graceful_shutdown_timeout=10)
    timer = threading.Timer(0.05, go_on.set)
    timer.start()

    assert manager.stop() is True
    timer.join(10)
    assert names_of_ours() == []


def test_a_reconcile_that_does_not_end_is_named_when_the_time_is_over(
    make: Make, api: TinyApi, go_on: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    manager = held(make, api, go_on, graceful_shutdown_timeout=0.02)

    assert manager.stop() is False
    assert "reconciles still run after 0.02 s: maps" in caplog.text
    assert re.search("threads that did not end: .*kc-worker-maps-0", caplog.text)


def test_0_does_not_wait(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    manager = held(make, api, go_on, graceful_shutdown_timeout=0)

    assert manager.stop() is False


def test_below_0_there_is_no_limit(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    manager = held(make, api, go_on, graceful_shutdown_timeout=-1)
    timer = threading.Timer(0.05, go_on.set)
    timer.start()

    assert manager.stop() is True
    timer.join(10)


def test_the_grace_of_the_call_goes_before_the_option(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    manager = held(make, api, go_on, graceful_shutdown_timeout=1000)

    assert manager.stop(0.01) is False


def test_a_reconcile_that_listens_ends_when_the_time_is_over(make: Make, api: TinyApi) -> None:
    ended = threading.Event()

    def act(ctx: Context, _request: Request) -> None:
        if ctx.stop.wait(20):
            ended.set()
        ctx.check()

    reconciler = Maps(act)
    manager = make(reconciler, server=api.url)
    manager.start()
    assert reconciler.began.wait(10)
    manager.stop(0.01)

    assert ended.wait(10)


def test_what_reconciles_hang_on_their_tokens_does_not_hold_the_stop(
    make: Make, api: TinyApi, go_on: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """The callbacks of a token run one after the other, on the thread that stops it; these do not return."""
    both = threading.Barrier(3)

    def act(ctx: Context, _request: Request) -> None:
        ctx.stop.on_stop(lambda: go_on.wait(20) and None)
        both.wait(10)
        go_on.wait(20)

    manager = make(Maps(act, workers=2), server=api.url)
    manager.start()
    both.wait(10)
    began = time.monotonic()

    assert manager.stop(0.01) is False
    assert time.monotonic() - began < 5
    assert "kc-interrupt" in caplog.text.rpartition("threads that did not end: ")[2]
    go_on.set()


def test_the_tokens_of_reconciles_stop_only_after_the_drain_time(
    make: Make, api: TinyApi, go_on: threading.Event
) -> None:
    manager = held(make, api, go_on)
    controller = manager.controllers[0]
    stopper = threading.Thread(target=manager.stop)
    stopper.start()
    assert manager._parts.supervisor.stop.wait(10)
    assert not controller._stop.stopped
    go_on.set()
    stopper.join(10)

    assert controller._stop.stopped


def test_it_stops_in_reverse_order(make: Make, api: TinyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make(Maps(), server=api.url, options=with_health())
    manager.start()
    calls: list[str] = []
    parts = {
        "queue": (manager.controllers[0], "stop_queue"),
        "drained": (manager.controllers[0], "drained"),
        "interrupt": (manager.controllers[0], "interrupt"),
        "mappers": (manager.mappers, "stop"),
        "cluster": (manager.cluster(), "stop"),
        "servers": (manager._parts.servers, "stop"),
    }
    for name, (part, method) in parts.items():
        before = getattr(part, method)

        def recorded(*arguments: Any, _name: str = name, _before: Any = before, **named: Any) -> Any:
            calls.append(_name)
            return _before(*arguments, **named)

        monkeypatch.setattr(part, method, recorded)
    manager.stop()

    assert calls == ["mappers", "queue", "drained", "interrupt", "cluster", "servers"]


def test_stopping_twice_gives_the_same_answer(make: Make, api: TinyApi, go_on: threading.Event) -> None:
    manager = held(make, api, go_on)
    answers: list[bool] = []
    stoppers = [threading.Thread(target=lambda: answers.append(manager.stop(0.05))) for _ in range(4)]
    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join(10)
    go_on.set()

    assert answers == [False] * 4
    assert manager.stop() is False


def test_a_stop_before_the_start_is_harmless_and_a_start_after_it_leaves_nothing(make: Make) -> None:
    manager = make(Maps(), options=with_health())
    assert manager.stop() is True
    with contextlib.suppress(RuntimeError):
        manager.start()

    assert names_of_ours() == []


@pytest.mark.parametrize("spawned", range(8))
def test_a_stop_in_the_middle_of_a_start_leaves_nothing(
    make: Make, api: TinyApi, spawned: int, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    """The stop comes when so many threads run."""
    manager = make(Maps(workers=4), server=api.url, options=with_health())
    spawn, seen = manager._parts.supervisor.threads.spawn, []
    stoppers: list[threading.Thread] = []

    def stop_in_the_middle(role: str, key: str, target: Any) -> threading.Thread:
        if len(seen) == spawned:
            stoppers.append(threading.Thread(target=lambda: manager.stop(1)))
            stoppers[0].start()
            threading.Event().wait(0.01)  # It may come as far as it can.
        seen.append(role)
        return spawn(role, key, target)

    monkeypatch.setattr(manager._parts.supervisor.threads, "spawn", stop_in_the_middle)
    with contextlib.suppress(RuntimeError):
        manager.start()
    stoppers[0].join(20)

    eventually(lambda: names_of_ours() == [])
    assert manager.failure == ""


class Faulty:
    """A provider that finds one cluster; a user's, so it may raise anything."""

    name = "faulty"
    patience = None

    def __init__(
        self, server: str, reconciler: Maps, *, start: bool = False, stop: Callable[[], object] = lambda: None
    ) -> None:
        self._spec = ClusterSpec("one", Config(server, StaticCredentials()))
        self._reconciler, self._start, self._stop = reconciler, start, stop

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        sink.present(self._spec)
        assert self._reconciler.began.wait(10)
        if self._start:
            msg = "start fails"
            raise OSError(msg)

    def stop(self) -> None:
        self._stop()


def raises() -> None:
    msg = "stop fails"
    raise OSError(msg)


@pytest.mark.parametrize("stop", [lambda: None, raises])
def test_a_provider_that_cannot_start_leaves_nothing_running(api: TinyApi, stop: Callable[[], None]) -> None:
    reconciler = Maps()
    provider = Faulty(api.url, reconciler, start=True, stop=stop)
    manager = Manager(Config(api.url, StaticCredentials()), provider=provider, options=QUIET)
    manager.add(reconciler)

    with pytest.raises(OSError, match="start fails"):
        manager.start()

    assert names_of_ours() == []
    assert manager.stop() is manager.stop()


def test_a_provider_that_cannot_stop_keeps_nothing_from_stopping(
    api: TinyApi, caplog: pytest.LogCaptureFixture
) -> None:
    reconciler = Maps()
    provider = Faulty(api.url, reconciler, stop=raises)
    manager = Manager(Config(api.url, StaticCredentials()), provider=provider, options=QUIET)
    manager.add(reconciler)
    manager.start()

    assert manager.stop()
    assert names_of_ours() == []
    assert "provider faulty failed to stop: OSError: stop fails" in caplog.text


def test_a_provider_that_hangs_keeps_nothing_from_stopping(
    api: TinyApi, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifecycle, "_PROVIDER_SECONDS", 0.1)
    reconciler = Maps()
    provider = Faulty(api.url, reconciler, stop=lambda: go_on.wait(20))
    manager = Manager(Config(api.url, StaticCredentials()), provider=provider, options=QUIET)
    manager.add(reconciler)
    manager.start()
    stopper = threading.Thread(target=manager.stop, args=(5.0,))
    stopper.start()
    monkeypatch.setattr(manager._parts.leadership, "stop", lambda *, release: release and go_on.set())
    stopper.join(10)

    assert go_on.is_set(), "the lease is given back although the provider hangs"
    assert "provider faulty has not stopped within 0.1 s; not waiting" in caplog.text
    assert manager.failure == ""


def test_a_map_function_may_write_until_the_lease_is_given_back_and_no_longer(
    make: Make, api: TinyApi, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    calls: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def mapped(_cluster: Cluster, _obj: object) -> list[Request]:
        begun.set()
        go_on.wait(10)
        calls.append("mapped")
        return []

    class Mapped(Maps):
        def setup(self, builder: Builder) -> None:
            builder.watches(CONFIG_MAP, to=mapped)

    manager = make(Mapped(), server=api.url)
    manager.start()
    assert begun.wait(10)
    monkeypatch.setattr(manager._parts.leadership, "stop", lambda *, release: release and calls.append("given back"))
    monkeypatch.setattr(lifecycle, "_ABANDON_SECONDS", 10.0)
    stopper = threading.Thread(target=manager.stop)
    stopper.start()
    eventually(lambda: all(each.queue.stopped for each in manager.controllers))
    go_on.set()
    stopper.join(10)

    assert calls == ["mapped", "given back"], "the second object's function does not begin any more"


def test_a_body_that_raises_stops_the_manager_and_is_told(make: Make) -> None:
    with pytest.raises(ZeroDivisionError), make(Maps()):
        1 / 0  # noqa: B018 - it raises

    assert names_of_ours() == []


def test_it_may_run_on_any_thread(make: Make, api: TinyApi) -> None:
    reconciler = Maps()
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with make(reconciler, server=api.url) as manager:
                assert manager.wait_ready(10)
                assert reconciler.began.wait(10)
        except BaseException as error:  # noqa: BLE001 - for the main thread
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)

    assert problems == []


# ---- failing threads --------------------------------------------------------------------------------------------


def test_a_failing_thread_is_named_counted_and_stops_the_manager(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    manager = make(Maps())
    manager.start()
    manager.cluster()._loop.call(lambda: 1 / 0 and None)

    assert manager._parts.supervisor.stop.wait(10)
    assert manager.failure == "thread kc-cluster-local failed: ZeroDivisionError"
    assert manager.healthz.run() == {"threads": "thread kc-cluster-local failed: ZeroDivisionError"}
    assert "thread kc-cluster-local failed, the process stops: ZeroDivisionError: division by zero" in caplog.text
    assert manager.metrics.registry.get_sample_value("kcontroller_thread_failures_total") == 1
    manager.stop()


def test_whoever_embeds_it_waits_until_it_stops_and_is_told_why(make: Make) -> None:
    manager = make(Maps())
    manager.start()
    assert not manager.wait_stopping(0.01)
    assert manager.failure == ""
    manager.cluster()._loop.call(lambda: 1 / 0 and None)

    assert manager.wait_stopping(10)
    assert manager.failure == "thread kc-cluster-local failed: ZeroDivisionError"
    assert manager.stop()
    assert manager.wait_stopping()


def test_the_first_failure_counts_and_a_stop_is_none(make: Make) -> None:
    manager = make(Maps())
    manager.start()
    manager._parts.supervisor.fail("the first")
    manager._parts.supervisor.fail("the second")
    assert manager.failure == "the first"

    other = make(Maps())
    with other:
        pass
    assert other.wait_stopping()
    assert other.failure == ""


# ---- run -------------------------------------------------------------------------------------------------------------


def test_a_signal_ends_the_run_with_0(make: Make, api: TinyApi) -> None:
    reconciler = Maps(lambda _ctx, _request: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)

    assert make(reconciler, server=api.url).run() == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_of_another_thread_ends_the_run_with_0(make: Make, api: TinyApi) -> None:
    reconciler = Maps()
    manager = make(reconciler, server=api.url)

    def stop() -> None:
        reconciler.began.wait(10)
        manager.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert manager.run() == 0
    stopper.join(10)


def test_a_drain_time_that_ran_out_ends_the_run_with_1(make: Make, api: TinyApi, go_on: threading.Event) -> None:

    def act(_ctx: Context, _request: Request) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        go_on.wait(20)

    options = ManagerOptions(
        metrics_bind_address="0", health_probe_bind_address="0", switch_interval=0, graceful_shutdown_timeout=0.02
    )
    assert make(Maps(act), server=api.url, options=options).run() == 1


def test_who_asks_not_to_wait_for_reconciles_stops_in_order_although_one_runs(
    make: Make, api: TinyApi, go_on: threading.Event
) -> None:
    def act(_ctx: Context, _request: Request) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        go_on.wait(20)

    options = dataclasses.replace(QUIET, graceful_shutdown_timeout=0)
    assert make(Maps(act), server=api.url, options=options).run() == 0
    assert not go_on.is_set()


def test_a_thread_that_fails_while_it_stops_ends_the_run_with_1(
    make: Make, api: TinyApi, caplog: pytest.LogCaptureFixture
) -> None:
    """An end in order would hide it; what else has to stop stops."""
    manager = make(Maps(lambda _ctx, _request: os.kill(os.getpid(), signal.SIGTERM)), server=api.url)
    manager._parts.supervisor.stop.on_stop(lambda: manager._parts.supervisor.threads.spawn("late", "", lambda: 1 / 0))

    assert manager.run() == 1
    assert "thread kc-late failed" in caplog.text
    assert names_of_ours() == []


def test_a_port_that_is_taken_gives_the_signals_back(make: Make) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as other:
        options = ManagerOptions(
            metrics_bind_address=f"127.0.0.1:{other.getsockname()[1]}", health_probe_bind_address="0"
        )
        with pytest.raises(ConfigError):
            make(Maps(), options=options).run()

    assert signal.getsignal(signal.SIGTERM) is before
    assert names_of_ours() == []

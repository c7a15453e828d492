"""The rails at work: a controller that was told to delete too much, and one that was told to leave an object alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kcontroller import Key, Model, Object, ObjectReconciler, Reconciler, Request, Resource
from kcontroller.api.marks import PAUSED
from kcontroller.errors import ConfigError, KControllerError
from kcontroller.testing import eventually
from kcontroller.testing.crds import install_crds, open_crd
from tests.integration.conftest import Seen, config_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Client, Context, Manager
    from kcontroller.testing import EmbeddedServer
    from kcontroller.testing.control_plane import ApiServer
    from kcontroller.testing.managers import Managers, ServerClient

CONFIG_MAP = "v1 ConfigMap"
OBJECTS = 60


class Sweeper(Reconciler):
    """Deletes every config map: its author forgot the selector."""

    name = "sweeper"

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=4, delete_budget="20/10m")

    def reconcile(self, ctx: Context, request: Request) -> None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        if found is not None:
            ctx.client.delete(found)


class Watcher(Reconciler):
    """Only looks on."""

    name = "watcher"

    def __init__(self) -> None:
        self.seen = Seen()

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, _ctx: Context, request: Request) -> None:
        self.seen.add(request.name)


def fill(client: ServerClient) -> None:
    for number in range(OBJECTS):
        client.create(Object(config_map("default", f"n{number:02}")))


def left(client: ServerClient) -> int:
    return len([each for each in client.list(CONFIG_MAP, namespace="default") if each.metadata.name[0] == "n"])


def events_of(client: Client, reason: str, namespace: str = "default") -> list[Object]:
    return [each for each in client.list("v1 Event", namespace=namespace) if each["reason"] == reason]


def metric(manager: Manager, name: str, **labels: str) -> float | None:
    return manager.metrics.registry.get_sample_value(name, labels)


def test_a_mass_delete_stops_at_its_budget_says_so_and_goes_on_by_a_word(
    manager: Managers, client: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    fill(client)
    with caplog.at_level(logging.INFO, "kcontroller"):
        running = manager(Sweeper())
        eventually(running.paused, within=10)
    controller = running.controllers[0]
    assert controller.queue.wait_in_flight(10)

    assert left(client) == OBJECTS - 20
    assert running.readyz.run()["caches"] is None
    assert len(controller.queue) + controller.queue.in_flight > 0, "the requests are kept"
    assert metric(running, "kcontroller_budget_trips_total", controller="sweeper", budget="deletes") == 1
    running.observe()
    [line] = [each.getMessage() for each in caplog.records if each.name == "kcontroller.safety"]
    assert line.startswith("sweeper has spent its 20 deletes in 10m; it is paused there until you say: kcontroller res")
    assert not [each for each in caplog.records if "Reconciler error" in each.getMessage()]
    [event] = eventually(lambda: [each for each in client.list("v1 Event") if each["reason"] == "DeleteBudgetSpent"])
    assert event["involvedObject"]["kind"] == "ConfigMap"

    assert running.resume("sweeper") == ("sweeper has spent its 20 deletes in 10m",)
    eventually(lambda: left(client) == OBJECTS - 40, within=10)
    eventually(running.paused, within=10)
    running.resume()
    eventually(lambda: left(client) == 0, within=10)
    assert running.paused() == ()


class SetSpec(Model):
    names: list[str] = []


class Set(Resource[SetSpec, dict], group="example.com", version="v1", plural="sets"):  # type: ignore[type-arg]
    pass


class SetReconciler(ObjectReconciler[Set]):
    def setup(self, builder: Builder) -> None:
        builder.for_(Set).owns(CONFIG_MAP).options(delete_budget="5/1h")

    def reconcile_object(self, ctx: Context, obj: Set) -> None:
        ctx.children.apply([Object(config_map("default", name)) for name in obj.spec.names], prune=True)


def test_children_that_are_pruned_count_each(
    manager: Managers, api_server: EmbeddedServer, client: ServerClient
) -> None:
    install_crds(api_server, open_crd(Set))
    names = [f"n{number:02}" for number in range(20)]
    client.create(made := Set.named("a", namespace="default", spec=SetSpec(names=names)))
    running = manager(SetReconciler())
    eventually(lambda: left(client) == 20, within=10)

    made.spec.names = []  # The list came from a selector that matched nothing for a moment.
    client.patch(made)
    eventually(running.paused, within=10)
    assert running.controllers[0].queue.wait_in_flight(10)
    assert left(client) == 15


def test_one_controller_that_is_stopped_stops_no_other(manager: Managers, client: ServerClient) -> None:
    fill(client)
    watcher = Watcher()
    running = manager(Sweeper(), watcher)
    eventually(running.paused, within=10)

    client.create(Object(config_map("default", "z")))
    eventually(lambda: watcher.seen.count("z"))


def test_what_is_paused_from_the_start_begins_nothing_until_it_is_resumed(
    manager: Managers, client: ServerClient
) -> None:
    fill(client)
    watcher = Watcher()
    running = manager(Sweeper(), watcher, paused=("sweeper",))
    eventually(lambda: len(watcher.seen.snapshot()) >= OBJECTS)
    assert left(client) == OBJECTS

    running.resume("sweeper")
    eventually(lambda: left(client) < OBJECTS)


def test_to_start_with_a_pause_of_nobody_is_refused(manager: Managers) -> None:
    with pytest.raises(ConfigError, match="there is no controller 'sweper' to pause; there are: sweeper"):
        manager(Sweeper(), paused=("sweper",))


def test_an_annotation_on_the_real_server_pauses_an_object_and_its_end_is_a_reconcile(
    start: Callable[..., Manager], server: ApiServer, namespace: str
) -> None:
    watcher = Watcher()
    running = start(watcher, namespaces=(namespace,))
    client = running.cluster().api_reader
    made = client.create(Object(config_map(namespace, "a")))
    client.create(Object(config_map(namespace, "b")))
    eventually(lambda: {"a", "b"} <= watcher.seen.snapshot().keys())

    made.metadata.annotations[PAUSED] = "true"
    client.patch(made)
    eventually(lambda: running.controllers[0].safety.objects)
    before = watcher.seen.count("a")
    for name in ("a", "b"):
        other = client.get(CONFIG_MAP, Key(namespace, name))
        other["data"] = {"x": "1"}
        client.patch(other)
    eventually(lambda: watcher.seen.count("b") >= 2)
    assert watcher.seen.count("a") == before

    made = client.get(CONFIG_MAP, Key(namespace, "a"))
    del made.metadata.annotations[PAUSED]
    client.patch(made)
    eventually(lambda: watcher.seen.count("a") == before + 1)
    assert server.request("GET", "/readyz")[0] == 200


def test_a_word_for_a_controller_that_is_not_there_names_those_that_are(manager: Managers) -> None:
    running = manager(Watcher())
    for word in (running.pause, running.resume):
        with pytest.raises(KControllerError, match="there is no controller 'wacher' to pause; there are: watcher"):
            word("wacher")


class Stamper(Reconciler):
    """Writes the number of its call into each object."""

    name = "stamper"

    def __init__(self) -> None:
        self.calls = 0

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, ctx: Context, request: Request) -> None:
        self.calls += 1
        found = ctx.client.get(CONFIG_MAP, request)
        found["data"] = {"calls": str(self.calls)}
        ctx.client.patch(found)


def test_a_controller_that_its_own_writes_keep_busy_is_told_of_once(
    manager: Managers, client: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.create(Object(config_map("default", "a")))
    running = manager(Stamper())
    eventually(lambda: metric(running, "kcontroller_hot_requests_total", controller="stamper", cause="echo"), within=10)

    [line] = [each.getMessage() for each in caplog.records if each.name == "kcontroller.safety"]
    assert line.startswith("default/a is reconciled more than 100 times in 10 s, and nobody else asked for it")
    assert "each reconcile writes ConfigMap default/a, which queues it again" in line


class Keeper(Reconciler):
    """Keeps a value as it should be."""

    name = "keeper"

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP)

    def reconcile(self, ctx: Context, request: Request) -> None:
        found = ctx.client.get(CONFIG_MAP, request)
        found["data"] = {"size": "3"}
        ctx.client.patch(found)


def test_two_that_fight_over_a_field_are_both_named(
    start: Callable[..., Manager], namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = start(Keeper(), namespaces=(namespace,))
    client = running.cluster().api_reader.with_options(field_owner="somebody-else")
    key = Key(namespace, "a")
    client.create(Object(config_map(namespace, "a", size="5")))
    for _ in range(4):
        eventually(lambda: client.get(CONFIG_MAP, key)["data"] == {"size": "3"})
        other = client.get(CONFIG_MAP, key)
        other["data"] = {"size": "5"}
        client.patch(other)
    eventually(lambda: metric(running, "kcontroller_contested_fields_total", controller="keeper"))

    [line] = [each.getMessage() for each in caplog.records if each.name == "kcontroller.safety"]
    assert line.startswith(f"keeper and somebody-else fight over data.size of v1 ConfigMap {namespace}/a: keeper wrote")
    [event] = eventually(lambda: events_of(client, "FieldContested", namespace))
    assert event["involvedObject"]["name"] == "a"

"""The main job on a real API server: an object with a finalizer, a child, a condition, and nothing to do afterwards."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, ClassVar

import pytest

from kcontroller import (
    Condition,
    Key,
    Model,
    Object,
    ObjectReconciler,
    Resource,
    Result,
    conditions,
    owners,
)
from kcontroller.errors import NotFound
from tests.integration.conftest import crd, install

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Context, Manager
    from kcontroller.testing.control_plane import ApiServer

CONFIG_MAP = "v1 ConfigMap"
QUIET_SECONDS = 10.0


class WidgetSpec(Model):
    size: int = 1


class WidgetStatus(Model):
    seen_size: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
    pass


class WidgetReconciler(ObjectReconciler[Widget]):
    finalizer: ClassVar[str] = "example.com/widget"

    def __init__(self) -> None:
        self.finalized: list[str] = []

    def setup(self, builder: Builder) -> None:
        builder.for_(Widget).owns(CONFIG_MAP)

    def reconcile_object(self, ctx: Context, widget: Widget) -> Result | None:
        key = Key(widget.metadata.namespace, widget.metadata.name)
        child = ctx.client.get_or_none(CONFIG_MAP, key)
        if child is None:
            child = Object({"apiVersion": "v1", "kind": "ConfigMap", "data": {}})
            child.metadata.namespace, child.metadata.name = key
            owners.set_controller(widget, child)
            child["data"] = {"size": str(widget.spec.size)}
            ctx.client.create(child)
        elif child.get("data.size") != str(widget.spec.size):
            child["data"] = {"size": str(widget.spec.size)}
            ctx.client.patch(child)
        widget.status.seen_size = widget.spec.size
        conditions.set(widget, "Ready", True, reason="Reconciled")
        ctx.client.status.patch(widget)
        return None

    def finalize(self, ctx: Context, widget: Widget) -> Result | None:
        self.finalized.append(widget.metadata.name)
        return None


@pytest.fixture
def reconciler() -> WidgetReconciler:
    return WidgetReconciler()


@pytest.fixture
def manager(start: Callable[..., Manager], reconciler: WidgetReconciler) -> Manager:
    manager = start(reconciler, ready=False)
    install(manager.cluster().api_reader, crd("widgets", "Widget"))
    assert manager.wait_ready(20), manager.pending()
    return manager


def requests_of_the_server(server: ApiServer) -> dict[str, float]:
    """What the API server itself counts for the kinds at hand; ended watches are counted when they end."""
    _status, text = server.request("GET", "/metrics")
    found = re.findall(
        r'^apiserver_request_total\{([^}]*resource="(?:widgets|configmaps)"[^}]*)\} (\S+)$', text, re.MULTILINE
    )
    return {labels: float(value) for labels, value in found}


def test_it_creates_restores_reports_finalizes_and_is_then_silent(
    manager: Manager,
    reconciler: WidgetReconciler,
    server: ApiServer,
    namespace: str,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    api = manager.cluster().api_reader
    key = Key(namespace, "one")

    def ready(generation: int) -> bool:
        condition = conditions.get(api.get(Widget, key), "Ready")
        return condition is not None and condition.observed_generation == generation

    def child() -> Object | None:
        return api.get_or_none(CONFIG_MAP, key)

    widget = api.create(Widget.named("one", namespace=namespace, spec=WidgetSpec(size=3)))
    eventually(lambda: ready(1))
    created = child()
    assert created is not None
    assert created.get("data.size") == "3"
    assert owners.is_controlled_by(created, widget)
    assert api.get(Widget, key).metadata.finalizers == ["example.com/widget"]

    api.delete(CONFIG_MAP, key)
    eventually(lambda: child() is not None)
    restored = child()
    assert restored is not None
    assert restored.metadata.uid != created.metadata.uid

    widget = api.get(Widget, key)
    widget.spec.size = 5
    api.patch(widget)
    eventually(lambda: ready(2))
    assert api.get(Widget, key).status.seen_size == 5
    eventually(lambda: (found := child()) is not None and found.get("data.size") == "5")

    assert_silent(manager, server)

    api.delete(Widget, key)
    eventually(lambda: api.get_or_none(Widget, key) is None)
    assert reconciler.finalized == ["one"], "finalize ran once, although the cache lags behind the last patch"


def assert_silent(manager: Manager, server: ApiServer) -> None:
    """Nobody asks anybody anything: neither our own counters nor the server's move."""
    sent, received = client_requests(manager), requests_of_the_server(server)
    threading.Event().wait(QUIET_SECONDS)  # Absence can only be watched, not waited for.
    assert client_requests(manager) == sent
    assert requests_of_the_server(server) == received


def client_requests(manager: Manager) -> float:
    return sum(
        sample.value
        for family in manager.metrics.registry.collect()
        if family.name == "rest_client_requests"
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def test_a_read_after_a_write_sees_the_write(manager: Manager, namespace: str) -> None:
    """Two hundred times: without the wait for own writes, most of these reads find nothing or the old value."""
    client = manager.cluster().client
    for number in range(100):
        key = Key(namespace, f"own-{number}")
        created = Object({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": "0"}})
        created.metadata.namespace, created.metadata.name = key
        client.create(created)
        read = client.get(CONFIG_MAP, key)
        read["data"] = {"n": "1"}
        client.patch(read)
        assert client.get(CONFIG_MAP, key).get("data.n") == "1"
        assert any(each.metadata.name == key.name for each in client.list(CONFIG_MAP, namespace=namespace))
        client.delete(read)
        with pytest.raises(NotFound):
            client.get(CONFIG_MAP, key)


def test_a_patch_does_not_land_on_a_recreated_namesake(manager: Manager, namespace: str) -> None:
    api = manager.cluster().api_reader
    key = Key(namespace, "namesake")
    made = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": "namesake"}})
    seen = api.create(Object({**made.data, "data": {"n": "first"}}))
    api.delete(seen)
    api.create(Object({**made.data, "data": {"n": "second"}}))
    seen["data"]["n"] = "changed"
    with pytest.raises(NotFound, match="another object has its name now"):
        api.patch(seen)
    assert api.get(CONFIG_MAP, key).get("data.n") == "second"

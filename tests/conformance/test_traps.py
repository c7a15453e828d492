"""Traps of controller-runtime that are not shown elsewhere; TRAPS.md lists them all, with their tests.

Where a server matters they run on the embedded one and on the real kube-apiserver.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller import Key, Object, Reconciler, Request, Result, predicates
from kcontroller.multicluster.providers.milo import MiloProvider
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.testing import Answer, Hang, Milo
from kcontroller.testing.polling import eventually
from kcontroller.workqueue import Outcome, WorkQueue
from tests.faults.watched import EXPIRED, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller import Builder, Context
    from kcontroller.testing import ServerClient
    from kcontroller.testing.managers import Managers
    from tests.conformance.stage import Stage

CONFIG_MAP, SECRET = "v1 ConfigMap", "v1 Secret"


def test_a_stop_and_a_drain_may_come_in_any_order_and_again() -> None:
    """``ShutDownWithDrain`` is ``ShutDown`` in the priority queue, and the second call panics."""
    request = Request("", "default", "a")
    queue: WorkQueue[Request] = WorkQueue("traps", clock=SYSTEM_CLOCK)
    queue.add(request)
    drained: list[bool] = []
    drain = threading.Thread(target=lambda: drained.append(queue.drain(10)))
    drain.start()
    item = queue.get(timeout=5)
    assert item is not None
    assert drain.is_alive()
    queue.done(item, Outcome.forget())
    drain.join(5)
    queue.stop()
    assert [*drained, queue.drain(0), queue.drain(0)] == [True, True, True]

    other: WorkQueue[Request] = WorkQueue("traps", clock=SYSTEM_CLOCK)
    other.add(request)
    other.stop()
    other.stop()
    assert other.drain(0) is False
    assert other.get(timeout=0) is None


class Called(Reconciler):
    """Notes for whom it was called, and what it found."""

    def __init__(
        self, name: str = "called", setup: Callable[[Builder], object] = lambda builder: builder.for_(CONFIG_MAP)
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._setup = setup
        self.calls: list[tuple[str, bool]] = []
        self.hold = threading.Event()
        self.hold.set()

    def setup(self, builder: Builder) -> None:
        self._setup(builder)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        found = ctx.client.get_or_none(CONFIG_MAP, request)
        if request.name != "kube-root-ca.crt":
            self.calls.append((request.name, found is not None))
        ctx.stop.wait(0) if self.hold.is_set() else self.hold.wait(10)
        return None


def config_map(namespace: str, name: str, **labels: str) -> Object:
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def test_a_deletion_that_nobody_saw_is_reconciled(stage: Stage) -> None:
    """A tombstone without an object is logged and dropped there."""
    stage.client.create(config_map(stage.namespace, "a"))
    called = Called()
    stage.manager(called)
    eventually(lambda: called.calls == [("a", True)])

    # The next watch is refused as too old, so that only a list tells of it.
    stage.proxy.add(Answer(event("ERROR", EXPIRED)), watch=True, times=1)
    with stage.proxy.add(Hang(), watch=True):
        stage.client.delete(CONFIG_MAP, Key(stage.namespace, "a"))
        stage.proxy.cut(watch=True)
    eventually(lambda: called.calls[1:] == [("a", False)], 15)


def test_an_object_that_leaves_a_selection_is_reconciled(stage: Stage) -> None:
    """``LabelSelectorPredicate`` asks about the new object only."""
    selected = predicates.selector("tier=web")
    called = Called(setup=lambda builder: builder.for_(CONFIG_MAP, predicates=[selected]))
    stage.manager(called)
    web = stage.client.create(config_map(stage.namespace, "a", tier="web"))
    stage.client.create(config_map(stage.namespace, "b", tier="db"))
    eventually(lambda: called.calls == [("a", True)])

    web.metadata.labels["tier"] = "db"
    stage.client.patch(web)
    eventually(lambda: called.calls[1:] == [("a", True)])


def test_a_controller_that_comes_later_waits_for_its_sources(stage: Stage) -> None:
    """A watch that is added to a running controller is not waited for."""
    stage.client.create(config_map(stage.namespace, "a"))
    first = Called("first")
    manager = stage.manager(first)
    later = Called("later", lambda builder: builder.for_(CONFIG_MAP).owns(SECRET))
    with stage.proxy.add(Hang(), path_prefix=f"/api/v1/namespaces/{stage.namespace}/secrets"):
        manager.add(later)
        stage.client.create(config_map(stage.namespace, "b"))
        eventually(lambda: ("b", True) in first.calls)
        assert later.calls == []
    eventually(lambda: sorted(later.calls) == [("a", True), ("b", True)], 15)


def test_a_controller_that_comes_later_starts_at_once_and_none_after_the_stop(stage: Stage) -> None:
    stage.client.create(config_map(stage.namespace, "a"))
    manager = stage.manager(Called("first"))
    later = Called("later")
    manager.add(later)
    eventually(lambda: later.calls == [("a", True)])
    assert manager.stop()
    with pytest.raises(RuntimeError, match="stop"):
        manager.add(Called("last"))


@pytest.mark.embedded(milo=Milo(projects=("p0", "p1"), cold_storage=False))
def test_a_cluster_that_leaves_takes_its_queued_requests_along(client: ServerClient, manager: Managers) -> None:
    """multicluster-runtime leaves them in the queue; each is then a reconcile of a cluster that is not there."""
    called = Called()
    fleet = manager(called, provider=MiloProvider())
    (controller,) = fleet.controllers
    eventually(lambda: {"p0", "p1"} <= {each.name for each in fleet.clusters.states() if each.state.value == "engaged"})
    called.hold.clear()
    for number in range(10_000):
        controller.queue.add(Request("p0", "default", f"n{number}"))
    assert controller.queue.depth("p0") > 9_000
    client.delete("resourcemanager.miloapis.com/v1alpha1 Project", Key("", "p0"))
    eventually(lambda: controller.queue.depth("p0") == 0)
    called.hold.set()
    eventually(lambda: not controller.queue.in_flight)
    assert len(called.calls) < 100

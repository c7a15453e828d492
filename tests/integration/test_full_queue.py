"""A cluster with more objects than its queue takes: none of them is forgotten."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kcontroller import Key, Object, Reconciler
from kcontroller.controller import controller
from kcontroller.testing import eventually
from tests.integration.conftest import Seen, config_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller import Builder, Context, Request
    from kcontroller.cluster import Cluster
    from kcontroller.testing.managers import Managers, ServerClient

LIMIT = 20
OBJECTS = 300
CONFIG_MAP = "v1 ConfigMap"


class Watcher(Reconciler):
    """Only looks on; `mapped` says whether a function of its own names the requests."""

    name = "watcher"

    def __init__(self, *, mapped: bool) -> None:
        self.seen = Seen()
        self._mapped = mapped

    def setup(self, builder: Builder) -> None:
        if self._mapped:
            builder.watches(CONFIG_MAP, self.requests)
        else:
            builder.for_(CONFIG_MAP)

    @staticmethod
    def requests(_cluster: Cluster, found: Object) -> Iterator[Key]:
        yield Key(found.metadata.namespace, found.metadata.name)

    def reconcile(self, _ctx: Context, request: Request) -> None:
        self.seen.add(request.name)


@pytest.mark.parametrize("mapped", [False, True])
def test_more_objects_than_the_queue_takes_are_all_reconciled(
    manager: Managers,
    client: ServerClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mapped: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(controller, "QUEUE_LIMIT", LIMIT)
    names = {f"n{number:03}" for number in range(OBJECTS)}
    for name in sorted(names):
        client.create(Object(config_map("default", name)))
    watcher = Watcher(mapped=mapped)
    with caplog.at_level(logging.INFO, "kcontroller"):
        running = manager(watcher)
        eventually(lambda: names <= set(watcher.seen.snapshot()), within=10)
    running.observe()

    refused = running.metrics.registry.get_sample_value("kcontroller_queue_refused_total", {"controller": "watcher"})
    assert refused is not None
    assert refused > OBJECTS - LIMIT - 50
    assert any(each.getMessage().startswith("the queue is full") for each in caplog.records)

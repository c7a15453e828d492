"""What stands in the way of a reconcile that finds its object in memory, as nearly all of them do."""

from __future__ import annotations

import statistics
import sys
import threading
from typing import TYPE_CHECKING

from kcontroller import Object, Reconciler
from tests.integration.conftest import config_map

if TYPE_CHECKING:
    from kcontroller import Builder, Context, Request
    from kcontroller.testing.managers import Managers, ServerClient

CONFIG_MAP = "v1 ConfigMap"
OBJECTS = 200
MOST = 65
"""Calls of Python functions, of which each takes about a quarter of a microsecond."""


class Counter(Reconciler):
    """Counts the calls from one reconcile of a worker to its next one."""

    name = "counter"

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.enough = threading.Event()
        self._calls = threading.local()

    def setup(self, builder: Builder) -> None:
        builder.for_(CONFIG_MAP).options(max_concurrent_reconciles=10)

    def reconcile(self, ctx: Context, request: Request) -> None:
        sys.setprofile(None)  # Of this thread alone.
        calls: list[str] | None = getattr(self._calls, "all", None)
        if calls is not None:
            self.counts.append(len(calls))
        if len(self.counts) >= OBJECTS // 2:
            self.enough.set()
            return
        calls = self._calls.all = []
        sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_name) if event == "call" else None)
        ctx.client.get(CONFIG_MAP, request)


def test_a_reconcile_from_the_cache_takes_few_calls(manager: Managers, client: ServerClient) -> None:
    counter = Counter()
    for number in range(OBJECTS):
        client.create(Object(config_map("default", f"n{number:03}")))
    manager(counter)

    assert counter.enough.wait(10)
    assert 30 < statistics.median(counter.counts) <= MOST

"""Many clusters at once, each behind a slow line: rows 16 and 17 of the feature table."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest

from kcontroller import Manager, ManagerOptions
from kcontroller.errors import ClusterNotFound
from kcontroller.multicluster import State
from kcontroller.testing import Delay, EmbeddedServer, Hang, Milo, Rule, config_of
from kcontroller.testing.polling import eventually
from kcontroller.transport.gate import CONNECTING
from tests.integration.conftest import OPTIONS
from tests.integration.projects import Watching

CLUSTERS = int(os.environ.get("KC_FLEET_CLUSTERS", "100"))
NAMES = tuple(f"p{number}" for number in range(CLUSTERS))
HUNG = NAMES[: CONNECTING.limit + 2]  # They come first, and fill the gate that all connect through.
ROUND_TRIP = 0.2
SECONDS = 15.0 * CLUSTERS / 200  # Of row 17.

pytestmark = pytest.mark.embedded(milo=Milo(projects=NAMES, cold_storage=False))


def test_row_17_many_clusters_behind_a_slow_line_are_engaged_side_by_side(api_server: EmbeddedServer) -> None:
    for name in NAMES:
        api_server.faults.add(Rule(Delay(ROUND_TRIP), plane=name))
    for name in HUNG:
        api_server.faults.add(Rule(Hang(), plane=name))
    healthy = len(NAMES) - len(HUNG)
    manager = Manager(
        clusters={name: config_of(api_server, cluster=name) for name in NAMES},
        options=ManagerOptions(**OPTIONS),
    )
    manager.add(Watching())
    slowest = Slowest(manager)
    began = time.monotonic()
    with manager:
        eventually(lambda: engaged(manager) == healthy, within=SECONDS)
        took = time.monotonic() - began
        slowest.end()
        assert took < SECONDS
        assert slowest.p99 < 0.001, "row 16: nobody waits for a cluster to be looked up"


def engaged(manager: Manager) -> int:
    return sum(each.state is State.ENGAGED for each in manager.clusters.states())


class Slowest(threading.Thread):
    """Looks clusters up all the while, and keeps how long that took."""

    def __init__(self, manager: Manager) -> None:
        super().__init__(daemon=True)
        self._manager = manager
        self._ended = threading.Event()
        self._times: list[float] = []
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.001):
            for name in NAMES[::7]:
                began = time.perf_counter()
                with contextlib.suppress(ClusterNotFound):
                    self._manager.clusters.get(name)
                self._times.append(time.perf_counter() - began)

    def end(self) -> None:
        self._ended.set()
        self.join(10)

    @property
    def p99(self) -> float:
        return sorted(self._times)[len(self._times) * 99 // 100]

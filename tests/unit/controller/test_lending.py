"""What degraded clusters hold of the workers, with real threads and by the system's clock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import Request
from kcontroller.controller import Controller
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.testing.polling import eventually
from tests.unit.controller.fakes import FakeCluster, FakeHost, Scripted

if TYPE_CHECKING:
    from kcontroller.controller import Context

BAD = [f"bad{number}" for number in range(12)]
GOOD = [f"good{number}" for number in range(12)]


def test_clusters_that_hang_all_at_once_hold_up_the_others_for_a_moment_only() -> None:
    let_go = threading.Event()
    hanging: list[Request] = []

    def act(_ctx: Context, request: Request) -> Any:
        if request.cluster in BAD:
            hanging.append(request)
            let_go.wait(20)

    host = FakeHost(*(FakeCluster(name) for name in (*BAD, *GOOD)), clock=SYSTEM_CLOCK)
    scripted = Scripted(act)
    controller = Controller(scripted, host, max_concurrent_reconciles=8, many_clusters=True, reconcile_timeout=60.0)
    host.watchdog.start(host.threads)
    host.run(controller)
    try:
        for cluster in host.known.values():
            cluster.synced()
        for name in GOOD:  # What others take is known.
            controller.queue.add(Request(name, "n", "before"))
        eventually(lambda: len(scripted.calls) == len(GOOD))
        for name in BAD:
            controller.queue.add(Request(name, "n", "a"))
        eventually(lambda: len(hanging) >= 8)
        for name in GOOD:
            controller.queue.add(Request(name, "n", "a"))
        eventually(lambda: len(scripted.calls) == 2 * len(GOOD), within=3.0)
        for name in BAD:
            controller.queue.add(Request(name, "n", "b"))
        for name in GOOD:
            controller.queue.add(Request(name, "n", "b"))
        eventually(lambda: len(scripted.calls) == 3 * len(GOOD), within=3.0)
        workers = [each for each in threading.enumerate() if each.name.startswith("kc-worker-scripted")]
        assert len(workers) <= 8 + len(BAD) * 2
        let_go.set()
        eventually(lambda: len(scripted.calls) == 3 * len(GOOD) + 2 * len(BAD), within=10.0)
        eventually(lambda: sum(each.is_alive() for each in workers) == 8)
    finally:
        let_go.set()
        host.end()

"""Reconciles that outlast their project on an embedded Milo server; ``test_fleet_discovery`` has the rest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.multicluster import State
from kcontroller.testing import Milo, polling
from tests.integration.projects import SECOND, Projects, Watching

if TYPE_CHECKING:
    from kcontroller import Context
    from kcontroller.testing import Managers, VirtualClock

WARM = Milo(projects=("p1", "p2", "p3"), cold_storage=False)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.embedded(milo=WARM)
def test_a_reconcile_that_does_not_look_at_its_token_delays_the_successor_only_as_long_as_it_runs(
    manager: Managers, projects: Projects, eventually: Any
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.name == "slow" and not inside.is_set():
            inside.set()
            go_on.wait(10)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "slow")
    assert inside.wait(SECOND)
    first = running.cluster("p1")
    projects.delete("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    projects.put("p2", "meanwhile")
    watching.wait_for("p2:default/meanwhile")
    mark = watching.mark
    assert projects.state_of("p1") is State.DRAINING

    threading.Timer(1.0, go_on.set).start()
    eventually(lambda: projects.is_engaged("p1"), within=2.0)
    watching.wait_for("p1:default/slow", since=mark)
    assert running.cluster("p1") is not first


@pytest.mark.embedded(milo=WARM)
def test_row_35_a_reconcile_that_never_ends_holds_its_successor_up_for_ten_seconds_and_no_longer(
    clock: VirtualClock, manager: Managers, projects: Projects
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(ctx: Context) -> None:
        if ctx.request.name == "slow" and not inside.is_set():
            inside.set()
            go_on.wait(30)

    watching = Watching(act)
    running = projects.watch(manager, watching)
    polling.eventually(lambda: projects.is_engaged("p1"))
    projects.put("p1", "slow")
    assert inside.wait(SECOND)
    projects.delete("p1")
    polling.eventually(lambda: projects.is_away("p1"), within=SECOND)
    projects.make("p1")
    clock.advance(9.9)
    assert projects.state_of("p1") is State.DRAINING

    clock.advance(0.2)
    polling.eventually(lambda: projects.is_engaged("p1"), within=2 * SECOND)
    projects.put("p1", "next")
    watching.wait_for("p1:default/next")
    assert not running.cluster("p1").leaving.stopped
    go_on.set()

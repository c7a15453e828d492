"""The weaknesses of the provider that Milo has in Go (W1 to W14, as far as they can be met here), and what we do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import AlreadyExists, ConfigError
from kcontroller.multicluster import State
from kcontroller.multicluster.providers.milo import External, MiloProvider
from kcontroller.testing import Hang, HttpFaultProxy, Milo, config_of
from kcontroller.testing.polling import eventually
from kcontroller.transport.config import Config
from kcontroller.transport.credentials import StaticCredentials
from tests.integration.projects import SECOND, Projects, Watching
from tests.unit.multicluster.fakes import FakeFleet, FakeMember, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller import Context
    from kcontroller.testing import EmbeddedServer, Managers

WARM = Milo(projects=("p1", "p2"), cold_storage=False)


@pytest.fixture
def fleet() -> Iterator[FakeFleet]:
    made = FakeFleet()
    yield made
    made.end()


@pytest.mark.embedded(milo=WARM)
def test_w1_one_slow_project_does_not_freeze_get_for_the_workers_of_the_others(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    proxy.add(Hang(), project="p1")
    longest: list[float] = []

    def act(ctx: Context) -> None:
        began = time.monotonic()
        assert ctx.clusters.get("p1").name == "p1"
        longest.append(time.monotonic() - began)

    watching = Watching(act)
    projects.watch(manager, watching, config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: projects.is_engaged("p2") and not projects.is_away("p1"))
    for number in range(10):
        projects.put("p2", f"a{number}")
        watching.wait_for(f"p2:default/a{number}")

    eventually(lambda: len(longest) >= 10)
    assert max(longest) < 0.5


@pytest.mark.embedded(milo=WARM)
def test_w2_a_project_that_hangs_for_good_stops_neither_discovery_nor_disengagement(
    api_server: EmbeddedServer, proxy: HttpFaultProxy, manager: Managers, projects: Projects
) -> None:
    proxy.add(Hang(), project="p1")
    projects.watch(manager, Watching(), config=proxy.config(config_of(api_server)), ready=False)
    eventually(lambda: projects.is_engaged("p2"))
    projects.make("p3")
    eventually(lambda: projects.is_engaged("p3"), within=SECOND)
    for name in ("p1", "p2"):
        projects.delete(name)
    eventually(lambda: projects.is_away("p1") and projects.is_away("p2"), within=SECOND)


@pytest.mark.embedded(milo=Milo(projects=("p1",), readiness="manual", cold_storage=False))
def test_w3_not_ready_disengages(manager: Managers, projects: Projects) -> None:
    projects.watch(manager, Watching())
    projects.ready("p1")
    eventually(lambda: projects.is_engaged("p1"), within=SECOND)
    projects.ready("p1", "Unknown")
    eventually(lambda: projects.is_away("p1"), within=SECOND)


def test_w4_nothing_is_kept_of_a_cluster_that_is_gone(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())
    fleet.settle()
    fleet.registry.absent("p1", "gone")
    fleet.settle()
    eventually(lambda: fleet.threads.alive() == ("kc-fleet",))
    for _ in range(3):
        fleet.advance(1.0)

    inside = fleet.registry._fleet
    eventually(
        lambda: (len(inside._slots), len(inside._departed), inside.clusters, inside.standings.states) == (0, 0, {}, {})
    )


def test_w5_a_cluster_that_a_controller_cannot_take_on_is_closed_before_the_next_try(fleet: FakeFleet) -> None:
    good, bad = FakeMember("good"), FakeMember("bad")
    bad.refuse = RuntimeError("no")
    fleet.registry.join(good)
    fleet.registry.join(bad)
    fleet.registry.present(spec())
    fleet.settle()
    fleet.advance(1.0)

    assert [(each.stops, each.leaving.stopped) for each in fleet.made] == [(1, True), (1, True)]
    assert good.asked == ["engage p1", "disengage p1"] * 2


@pytest.mark.embedded(milo=Milo(cold_storage=False))
def test_w6_a_project_that_loses_the_label_is_left(manager: Managers, projects: Projects) -> None:
    projects.make("p1", tier="gold")
    projects.watch(manager, Watching(), provider=MiloProvider(selector="tier=gold"))
    eventually(lambda: projects.is_engaged("p1"), within=SECOND)
    projects.label("p1", tier=None)
    eventually(lambda: projects.is_away("p1"), within=SECOND)


@pytest.mark.embedded(milo=WARM)
def test_w7_a_terminating_project_stays_engaged_until_it_is_gone_also_after_a_restart(
    manager: Managers, projects: Projects
) -> None:
    watching = Watching()
    first = projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1"))
    projects.hold("p1")
    projects.delete("p1")
    projects.put("p1", "late")
    watching.wait_for("p1:default/late")
    first.stop()

    projects.watch(manager, watching)
    eventually(lambda: projects.is_engaged("p1"))
    projects.let_go("p1")
    eventually(lambda: projects.is_away("p1"), within=SECOND)


@pytest.mark.embedded(milo=WARM)
def test_w8_one_of_the_same_name_is_another_cluster(manager: Managers, projects: Projects) -> None:
    running = projects.watch(manager, Watching())
    eventually(lambda: projects.is_engaged("p1"))
    before = running.cluster("p1")
    projects.delete("p1")
    eventually(lambda: projects.make("p1") is None, ignoring=(AlreadyExists,))

    eventually(lambda: projects.is_engaged("p1") and running.cluster("p1") is not before, within=2 * SECOND)
    assert running.clusters.states()[0].uid == projects.uid("p1")


@pytest.mark.embedded(milo=WARM)
def test_w9_a_server_behind_a_path_keeps_it_and_one_without_scheme_is_refused(
    api_server: EmbeddedServer, manager: Managers, projects: Projects
) -> None:
    root = config_of(api_server)
    gateway = root.with_server(f"{root.server}/any/gate/way")
    projects.manager = manager(Watching(), provider=MiloProvider(External(gateway)))
    eventually(lambda: projects.is_engaged("p1"))
    assert projects.manager.cluster("p1").config.server.startswith(f"{root.server}/any/gate/way/apis/")

    with pytest.raises(ConfigError, match="has no scheme"):
        Config("milo.local:6443", StaticCredentials())


def test_w11_a_cluster_whose_thread_has_died_is_not_left_among_the_living(fleet: FakeFleet) -> None:
    fleet.registry.present(spec())
    assert fleet.state() is State.ENGAGED
    fleet.made[0].die(RuntimeError("broken"))
    eventually(lambda: not fleet.has())
    fleet.advance(1.0)

    assert fleet.registry.get("p1") is fleet.made[1]


def test_w12_another_configuration_is_used_when_it_works_and_engages_nothing_twice(fleet: FakeFleet) -> None:
    fleet.registry.present(spec(server="https://one.test"))
    fleet.settle()
    fleet.registry.present(spec(server="https://two.test"))

    eventually(lambda: fleet.made[0].config.server == "https://two.test/p1")
    assert [each.stops for each in fleet.made] == [0]


@pytest.mark.embedded(milo=WARM)
def test_w14_the_time_of_one_reconcile_does_not_end_its_cluster(manager: Managers, projects: Projects) -> None:
    def act(ctx: Context) -> None:
        if ctx.request.name == "slow":
            ctx.stop.wait(5)

    watching = Watching(act)
    running = projects.watch(manager, watching, reconcile_timeout=0.05)
    eventually(lambda: projects.is_engaged("p1"))
    before = running.cluster("p1")
    projects.put("p1", "slow")
    watching.wait_for("p1:default/slow")
    eventually(lambda: _timeouts(running) >= 1)
    projects.put("p1", "next")
    watching.wait_for("p1:default/next")

    assert running.cluster("p1") is before
    assert not before.leaving.stopped


def _timeouts(running: Any) -> float:
    labels = {"controller": "watching"}
    value = running.metrics.registry.get_sample_value("controller_runtime_reconcile_timeouts_total", labels)
    return float(value or 0)

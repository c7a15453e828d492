from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs

from kcontroller.cluster import Source
from kcontroller.errors import NotLeader
from kcontroller.manager.engagement_events import QUIET_SECONDS, EngagementEvents
from kcontroller.multicluster import ClusterState, State
from kcontroller.testing.clock import VirtualClock
from tests.unit.multicluster.fakes import FakeCluster, spec

if TYPE_CHECKING:
    from kcontroller.cluster import Cluster
    from kcontroller.controller.leadership import Leadership
    from kcontroller.events import Broadcaster

PROJECT = Source("resourcemanager.miloapis.com/v1alpha1", "Project", "p1", uid="u1")
HUB = cast("Cluster", object())


class Leads:
    """Stands in for a `Leadership`."""

    leads = True

    def guard(self) -> None:
        if not self.leads:
            raise NotLeader("stands by")


class Heard:
    """Stands in for a `Broadcaster`: says what was recorded."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.about: Any = None

    def recorder(self, target: object, component: str, *, guard: Any = None) -> Heard:
        assert (target, component) == (HUB, "kcontroller")
        guard()
        return self

    def event(self, obj: Any, type_: str, reason: str, message: str) -> None:
        self.about = obj
        self.events.append((type_, reason, message))


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.leads = Leads()
        self.heard = Heard()
        self.told = EngagementEvents(
            cast("Broadcaster", self.heard),
            HUB,
            cast("Leadership", self.leads),
            states=lambda: self.states,
            clock=self.clock,
        )
        self.states: list[ClusterState] = []

    def fail(
        self,
        why: str = "no route",
        *,
        attempts: int = 1,
        source: Source | None = PROJECT,
        state: State = State.DISCOVERED,
    ) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        found = ClusterState("p1", "u1", state, now, last_error=why, attempts=attempts, source=source)
        self.states = [found]
        self.told.on_failed(found)

    def engage(self, *, uid: str = "u1") -> None:
        cluster: Any = FakeCluster(spec("p1", uid))
        cluster.source = PROJECT
        self.told.on_engaged(cluster)

    def take(self) -> list[tuple[str, str, str]]:
        taken, self.heard.events = self.heard.events, []
        return taken


@pytest.fixture
def world() -> World:
    return World()


def test_a_failure_is_told_on_what_stands_for_the_cluster_and_so_is_its_end(world: World) -> None:
    world.fail("x509: unknown authority")
    assert world.take() == [("Warning", "EngagementFailed", "it cannot be engaged: x509: unknown authority")]
    about = world.heard.about
    assert (str(about.gvk), about.metadata.name, about.metadata.uid) == (
        "resourcemanager.miloapis.com/v1alpha1 Project",
        "p1",
        "u1",
    )
    world.fail("x509: unknown authority", attempts=3)
    world.engage()

    assert world.take() == [("Normal", "Engaged", "engaged after 3 failures")]


def test_one_that_never_failed_is_engaged_without_a_word(world: World) -> None:
    world.engage()

    assert world.take() == []


def test_the_same_is_said_again_after_half_an_hour_and_another_cause_at_once(world: World) -> None:
    world.fail("a")
    world.fail("a")
    world.fail("b")
    assert len(world.take()) == 2
    world.clock.advance(QUIET_SECONDS - 1)
    world.fail("b")
    assert world.take() == []
    world.clock.advance(2)
    world.fail("b")

    assert len(world.take()) == 1


def test_a_configuration_that_does_not_work_is_no_cluster_that_does_not(world: World) -> None:
    world.fail("401", state=State.ENGAGED)

    ((_type, _reason, message),) = world.take()
    assert message == "its new configuration does not work, the one in use goes on: 401"


def test_what_the_provider_refuses_is_told_and_its_end_too(world: World) -> None:
    world.fail("no 'kubeconfig' in its data", state=State.REFUSED, attempts=0)
    assert world.take() == [("Warning", "EngagementFailed", "it cannot be used: no 'kubeconfig' in its data")]
    world.engage()

    assert world.take() == [("Normal", "Engaged", "engaged after a failure")]


def test_a_token_in_an_error_is_not_told(world: World) -> None:
    world.fail("sent Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl")

    assert "c2lnbmF0dXJl" not in str(world.take())


def test_a_standby_says_nothing_until_it_leads(world: World) -> None:
    world.leads.leads = False
    world.fail()
    assert world.told.look(100.0) == 130.0
    assert world.take() == []
    world.leads.leads = True
    world.told.look(130.0)
    world.told.look(160.0)

    assert len(world.take()) == 1


def test_what_goes_on_is_said_again_before_its_event_expires(world: World) -> None:
    world.fail()
    world.take()
    world.clock.advance(QUIET_SECONDS + 1)
    world.told.look(0.0)

    assert len(world.take()) == 1


def test_what_is_well_is_not_looked_at(world: World) -> None:
    world.fail()
    world.states = [structs.replace(world.states[0], last_error="")]
    world.engage()
    world.take()
    world.told.look(0.0)

    assert world.take() == []


def test_a_cluster_that_nothing_stands_for_is_told_of_nowhere(world: World) -> None:
    world.fail(source=None)

    assert world.take() == []


def test_another_cluster_of_the_name_has_not_failed(world: World) -> None:
    world.fail()
    world.take()
    world.engage(uid="u2")

    assert world.take() == []


def test_between_two_looks_nobody_is_asked_where_clusters_stand(world: World) -> None:
    assert world.told.look(100.0) == 130.0
    world.fail()
    world.take()
    world.clock.advance(QUIET_SECONDS + 1)

    assert world.told.look(129.0) == 130.0
    assert world.take() == []

"""The proof by model that there are never two leaders (reliability.md, E1).

The margin: a guard ends `renew_deadline` (10 s) after the moment before a renewal was sent, at the latest 10 / 0.95 =
10.53 s of true time; nobody takes over earlier than `lease_duration` (15 s) after he can have seen it, 15 / 1.05 =
14.28 s. So with clocks that run 5 % wrong 3.75 s are left, and two guards meet at 20 %.

300,000 steps are 29 hours of the candidates' life and take 2.3 s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kcontroller.leaderelection.decision import Decision, Write
from kcontroller.leaderelection.options import LeaderElection
from kcontroller.leaderelection.record import Lease
from tests.unit.leaderelection.simulation import STORM, Violation, World

if TYPE_CHECKING:
    from datetime import datetime

    from kcontroller.leaderelection.decision import Step

OPTIONS = LeaderElection(name="widget", namespace="default")
CYCLE = 2_000


def storms_and_calms(world: World, steps: int) -> None:
    """Alternate; once calm, somebody leads within two lease durations, and goes on leading."""
    storm = world.weather
    while world.steps < steps:
        world.weather = storm
        world.run(steps=CYCLE)
        world.calm_down()
        world.run(until=world.now + 2 * OPTIONS.lease_duration)
        (leader,) = world.leaders()
        world.run(until=world.now + 2 * OPTIONS.lease_duration)
        assert world.leaders() == [leader]


@pytest.mark.parametrize(("candidates", "seed"), [(3, 1), (4, 2), (5, 3)])
def test_there_are_never_two_leaders_and_soon_one(candidates: int, seed: int) -> None:
    world = World(OPTIONS, seed, candidates)
    storms_and_calms(world, 100_000)

    assert world.elections > 500


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 120))
def test_there_are_never_two_leaders_in_millions_of_steps(seed: int) -> None:
    storms_and_calms(World(OPTIONS, seed, 3 + seed % 3), 200_000)


def test_clocks_may_differ_by_the_declared_margin() -> None:
    drift = (OPTIONS.lease_duration - OPTIONS.renew_deadline) / (OPTIONS.lease_duration + OPTIONS.renew_deadline)
    assert drift == pytest.approx(0.20)

    World(OPTIONS, 4, weather=replace(STORM, drift=0.19)).run(steps=50_000)
    with pytest.raises(Violation):
        World(OPTIONS, 3, weather=replace(STORM, drift=0.24)).run(steps=50_000)


# ---- the model can fail: each wrong rule is found ------------------------------------------------------------------


class TrustsTheirClocks(Decision):
    """Takes over when the time in the Lease is long past by its own wall clock."""

    def step(self, now: float, wall: datetime, *, ready: bool = True) -> Step:
        self._wall = wall
        return super().step(now, wall, ready=ready)

    def _may_take(self, now: float) -> bool:
        seen = self._seen
        if seen is None or not seen.holder:
            return True
        renewed = type(self._wall).fromisoformat(seen.renewed)
        return (self._wall - renewed).total_seconds() > seen.seconds


class CountsFromTheAnswer(Decision):
    """Believes that the lease began when the server's answer came."""

    def written(self, lease: Lease, *, sent: float, now: float) -> None:
        super().written(lease, sent=now if sent else sent, now=now)


class TakesAtFirstSight(Decision):
    """Takes a Lease over that it has seen once, instead of watching it for its duration."""

    def _may_take(self, now: float) -> bool:
        return super()._may_take(now) or now - self._changed < 0.5


class KnowsItselfByName(Decision):
    """Takes what its name stands in for its own, whoever wrote it."""

    def _is_ours(self, lease: Lease) -> bool:
        return lease.holder == self._identity


class CannotBeLate(Decision):
    """Lets an answer that comes after the deadline make a leader."""

    def written(self, lease: Lease, *, sent: float, now: float) -> None:
        super().written(lease, sent=sent, now=sent)
        if self.leading:
            self._until = max(self._until, now + 1)


class CountsRenewals(Decision):
    """Counts a renewal as a transition."""

    def _write(self, now: float, wall: datetime) -> Write:
        write = super()._write(now, wall)
        document = write.lease.document
        spec = {**document["spec"], "leaseTransitions": write.lease.transitions + self.leading}
        return Write(Lease.of({**document, "spec": spec}), write.create, write.timeout)


@pytest.mark.parametrize(
    "wrong",
    [TrustsTheirClocks, CountsFromTheAnswer, TakesAtFirstSight, KnowsItselfByName, CannotBeLate, CountsRenewals],
)
def test_a_wrong_rule_is_found(wrong: type[Decision]) -> None:
    with pytest.raises(Violation, match="transitions went" if wrong is CountsRenewals else " lead, after"):
        World(OPTIONS, 3, make=wrong).run(steps=20_000)


def test_a_lease_without_margin_is_found() -> None:
    narrow = LeaderElection(name="widget", namespace="default", lease_duration=15, renew_deadline=14.9)
    with pytest.raises(Violation, match=" lead, after"):
        World(narrow, 3).run(steps=20_000)

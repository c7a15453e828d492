from __future__ import annotations

from typing import Any

import pytest

from kcontroller.api.keys import Key, Request
from kcontroller.cluster.floors import Promise
from kcontroller.controller.own_writes import HELD_SECONDS, OwnWrites
from kcontroller.testing.clock import VirtualClock
from tests.unit.cluster.held import HeldInformer

WEB = Request("", "default", "web")
CHILD = Key("default", "child")


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.held = 0
        self.writes = OwnWrites(self.clock, self._count)
        self.informer = HeldInformer()

    def _count(self) -> None:
        self.held += 1

    def wrote(self, version: int, request: Request = WEB) -> None:
        informer: Any = self.informer
        self.writes.note(request, [(CHILD, Promise(informer, version))])


@pytest.fixture
def world() -> World:
    return World()


def test_who_wrote_nothing_goes_on(world: World) -> None:
    assert world.writes.delay(WEB) == 0


def test_a_request_is_held_back_until_the_cache_shows_what_it_wrote(world: World) -> None:
    world.wrote(10)
    assert world.writes.delay(WEB) > 0
    world.informer.store.advance(10)

    assert world.writes.delay(WEB) == 0
    assert len(world.writes) == 0


def test_others_are_not(world: World) -> None:
    world.wrote(10)

    assert world.writes.delay(Request("", "default", "db")) == 0


def test_what_is_shown_at_the_end_of_the_reconcile_holds_nobody(world: World) -> None:
    world.wrote(10)
    world.informer.store.advance(11)
    world.wrote(11)

    assert len(world.writes) == 0


def test_it_looks_ever_more_rarely_and_goes_on_in_the_end(world: World) -> None:
    world.wrote(10)
    delays = []
    while delay := world.writes.delay(WEB):
        delays.append(delay)
        world.clock.advance(delay)

    assert delays[:3] == [0.005, 0.01, 0.02]
    assert sum(delays) == pytest.approx(HELD_SECONDS)
    assert len(delays) < 10
    assert world.held == 1


def test_requests_that_never_come_again_are_forgotten(world: World) -> None:
    for number in range(1023):
        world.wrote(10, Request("", "default", str(number)))
    world.clock.advance(HELD_SECONDS)
    world.wrote(10)

    assert len(world.writes) == 1


def test_what_a_cluster_that_left_has_promised_is_let_go(world: World) -> None:
    world.wrote(10, Request("eu", "default", "web"))
    world.wrote(10)
    world.writes.forget("eu")

    assert len(world.writes) == 1
    assert world.writes.delay(WEB) > 0

from __future__ import annotations

import threading
from typing import Any

import pytest

from kcontroller.controller.reserve import Reserve
from kcontroller.controller.seat import Seat
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

POOL: Any = None  # A seat that nobody works at does not ask it.


class World:
    """A reserve, and the threads that rest in it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.lock = threading.Lock()
        self.reserve = Reserve(self.lock, self.clock)
        self.answers: dict[int, bool] = {}
        self.threads: list[threading.Thread] = []

    def rest(self, *numbers: int) -> list[Seat]:
        """Have workers rest that are one too many."""
        seats = [Seat(POOL, number) for number in numbers]
        for seat in seats:
            seat.surplus = True
            self.start(seat)
        self.clock.wait_for_waiters(len(self.threads))
        return seats

    def start(self, seat: Seat) -> None:
        def rest() -> None:
            self.answers[seat.number] = self.reserve.rest(seat)

        thread = threading.Thread(target=rest, name=f"rests-{seat.number}", daemon=True)
        thread.start()
        self.threads.append(thread)

    def resize(self, size: int) -> None:
        with self.lock:
            self.reserve.resize(size)

    def end(self) -> None:
        with self.lock:
            self.reserve.stop()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.end()


def test_who_is_called_works_again_and_is_surplus_no_more(world: World) -> None:
    first, last = world.rest(1, 2)
    with world.lock:
        assert world.reserve.call() is last
        assert len(world.reserve) == 1
    eventually(lambda: world.answers == {2: True})
    assert (first.surplus, last.surplus) == (True, False)


def test_who_is_beyond_the_size_ends_after_a_second_and_the_others_stay(world: World) -> None:
    world.resize(1)
    world.rest(1, 2, 3)
    world.clock.advance(0.9)
    assert world.answers == {}
    world.clock.advance(0.2)
    eventually(lambda: sorted(world.answers.values()) == [False, False])
    world.clock.advance(7200.0)
    assert len(world.answers) == 2


def test_a_smaller_size_ends_those_beyond_it_and_a_larger_one_nobody(world: World) -> None:
    world.resize(3)
    world.rest(1, 2, 3)
    world.clock.advance(2.0)
    world.resize(4)
    world.resize(1)
    eventually(lambda: list(world.answers.values()) == [False, False])
    assert len(world.reserve) == 1


def test_who_is_called_before_its_thread_has_come_does_not_rest_at_all(world: World) -> None:
    seat = Seat(POOL, 1)
    with world.lock:
        world.reserve.add(seat)
        assert seat.surplus
        world.reserve.call()
    world.start(seat)
    eventually(lambda: world.answers == {1: True})


def test_all_end_when_it_stops_and_who_comes_later_ends_at_once(world: World) -> None:
    world.resize(5)
    world.rest(1, 2)
    with world.lock:
        world.reserve.stop()
    eventually(lambda: world.answers == {1: False, 2: False})
    late = Seat(POOL, 3)
    late.surplus = True
    world.start(late)
    eventually(lambda: world.answers.get(3) is False)

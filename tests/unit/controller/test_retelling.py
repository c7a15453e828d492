from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.keys import Key, Request
from kcontroller.cache.subscribers import SLICE
from kcontroller.controller.retelling import Retelling
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import Outcome, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER = "north"


class World:
    """Objects, a source that asks for a reconcile of each, the queue, and the turns of loop and lane by hand."""

    def __init__(self, objects: int, limit: int, *, lane: bool) -> None:
        self.objects = dict.fromkeys(map(str, range(objects)))
        self.reconciled: list[str] = []
        self.told = 0
        self.most = 0
        self._jobs: dict[str, deque[Callable[[], None]]] = {"loop": deque(), "lane": deque()}
        self._lane = lane
        self._retelling = Retelling(lambda: self, self._jobs["lane"].append if lane else None)  # type: ignore[arg-type, return-value]
        self.queue: WorkQueue[Request] = WorkQueue(
            "test", clock=VirtualClock(), limit=limit, on_room=lambda _cluster: self._retelling.room()
        )

    # What a subscription offers.

    def call(self, function: Callable[[], None]) -> None:
        self._jobs["loop"].append(function)

    def known(self) -> list[Any]:
        return [(None, Key("", name)) for name in self.objects]

    def tell_slice(self, known: list[Any], start: int) -> None:
        for _, key in known[start : start + SLICE]:
            if key.name in self.objects:
                self.tell(key.name, resync=True)

    # What happens.

    def tell(self, name: str, *, resync: bool = False) -> None:
        self.told += 1
        if self._lane:
            self._jobs["lane"].append(lambda: self._add(name, resync=resync))
        else:
            self._add(name, resync=resync)

    def _add(self, name: str, *, resync: bool) -> None:
        if not self.queue.add(Request(CLUSTER, "", name), may_refuse=True):
            self._retelling.refused(Key("", name), resync=resync)
        self.most = max(self.most, len(self.queue))

    def turn(self, *, reconciles: int = 0) -> bool:
        """One job of the loop, one of the lane, so many reconciles; False if there is nothing to do."""
        found = False
        for jobs in self._jobs.values():
            if jobs:
                jobs.popleft()()
                found = True
        for _ in range(reconciles):
            item = self.queue.get(timeout=0)
            if item is None:
                break
            found = True
            self.reconciled.append(item.request.name)
            self.queue.done(item, Outcome.forget())
        return found

    def settle(self, *, reconciles: int) -> None:
        for _ in range(1_000_000):
            if not self.turn(reconciles=reconciles):
                return
        pytest.fail("it goes on and on")


@pytest.mark.parametrize("lane", [False, True])
@pytest.mark.parametrize("reconciles", [1, 50, 10_000])
@pytest.mark.parametrize(("objects", "limit"), [(300, 1), (300, 2), (3000, 100), (3000, 2999), (1, 1)])
def test_every_object_is_reconciled_whatever_the_limit(lane: bool, reconciles: int, objects: int, limit: int) -> None:  # noqa: FBT001
    world = World(objects, limit, lane=lane)
    for name in world.objects:
        world.tell(name)
    world.settle(reconciles=reconciles)

    assert set(world.reconciled) == set(world.objects)
    assert world.most <= limit


@pytest.mark.parametrize("lane", [False, True])
def test_where_all_had_room_nothing_is_told_again(lane: bool) -> None:  # noqa: FBT001
    world = World(500, 500, lane=lane)
    for name in world.objects:
        world.tell(name)
    world.settle(reconciles=10)

    assert world.told == len(world.reconciled) == 500


@pytest.mark.parametrize("lane", [False, True])
def test_what_changes_during_a_pass_and_is_refused_is_told_of_after_it(lane: bool) -> None:  # noqa: FBT001
    world = World(3 * SLICE, SLICE, lane=lane)
    for name in world.objects:
        world.tell(name)
    changed: list[int] = []
    while world.turn(reconciles=7):
        # The first object is behind the pass nearly always.
        if len(world.reconciled) < 3 * SLICE:
            changed.append(len(world.reconciled))
            world.tell("0")

    assert "0" in world.reconciled[changed[-1] :]
    assert set(world.reconciled) == set(world.objects)


@pytest.mark.parametrize("lane", [False, True])
def test_of_what_came_and_went_unseen_nothing_is_kept(lane: bool) -> None:  # noqa: FBT001
    """As in a cluster that is paused for weeks."""
    world = World(10, 20, lane=lane)
    for number in range(10_000):
        name = f"short-lived-{number}"
        world.objects[name] = None
        world.tell(name)
        world.turn()
        del world.objects[name]
    for name in world.objects:
        world.tell(name)
    while world.turn():
        pass
    assert len(world.queue) == 20
    world.settle(reconciles=1)

    assert set(world.objects) <= set(world.reconciled)
    assert len(world.reconciled) < 100

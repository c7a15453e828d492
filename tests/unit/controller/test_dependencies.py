from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key, Request
from kcontroller.controller.dependencies import Dependencies, Reads
from kcontroller.testing.clock import VirtualClock
from kcontroller.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import GVK

SECRET = "v1 Secret"
A, B = Key("default", "a"), Key("default", "b")
WEB, DB = Request("", "default", "web"), Request("east", "default", "db")


class Listener:
    def __init__(self, objects: Objects, where: tuple[GVK, Key], seen: int, tell: Callable[[str], None]) -> None:
        self.objects = objects
        self.where = where
        self.seen = seen
        self.tell = tell
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.objects.open.remove(self)


class Objects:
    """What dependencies ask of the tracked objects of a cluster."""

    def __init__(self) -> None:
        self.open: list[Listener] = []

    def listen(self, kind: KindRef, key: Key, seen: int, on_change: Callable[[str], None]) -> Listener:
        self.open.append(Listener(self, (gvk_of(kind), key), seen, on_change))
        return self.open[-1]

    @property
    def names(self) -> list[str]:
        return sorted(listener.where[1].name for listener in self.open)


class World:
    def __init__(self) -> None:
        self.queue: WorkQueue[Request] = WorkQueue("test", clock=VirtualClock())
        self.dependencies = Dependencies(self.queue)
        self.objects: Any = Objects()

    def begin(self, *keys: Key, request: Request = WEB, version: int = 1) -> Reads:
        reads = Reads(self.dependencies, request)
        for key in keys:
            reads.saw(self.objects, SECRET, key, version)
        return reads

    def reconcile(self, *keys: Key, request: Request = WEB, version: int = 1) -> None:
        self.begin(*keys, request=request, version=version).settle()

    def queued(self) -> tuple[Request, tuple[str, ...]] | None:
        item = self.queue.get(timeout=0)
        return None if item is None else (item.request, item.reasons)


@pytest.fixture
def world() -> World:
    return World()


def test_a_change_queues_the_request_and_says_why(world: World) -> None:
    world.reconcile(A)
    world.objects.open[0].tell("updated")

    assert world.queued() == (WEB, ("tracked Secret updated",))


def test_what_is_read_again_is_held_on_to(world: World) -> None:
    world.reconcile(A)
    world.reconcile(A, version=2)
    (listener,) = world.objects.open

    assert listener.seen == 2


def test_what_is_not_read_any_more_is_let_go_after_the_reconcile(world: World) -> None:
    world.reconcile(A)
    reads = world.begin(B)
    assert world.objects.names == ["a", "b"]
    reads.settle()
    assert world.objects.names == ["b"]
    world.reconcile()

    assert world.objects.names == []
    assert len(world.dependencies) == 0


def test_of_two_readings_the_first_decides_what_is_news(world: World) -> None:
    reads = world.begin(A, version=1)
    reads.saw(world.objects, SECRET, A, 2)
    reads.settle()

    assert [listener.seen for listener in world.objects.open] == [1]


def test_a_reconcile_that_was_cut_short_keeps_what_there_was(world: World) -> None:
    world.reconcile(A)
    world.begin(B).settle(cut_short=True)
    assert world.objects.names == ["a", "b"]
    world.begin().settle(cut_short=True)
    assert world.objects.names == ["a", "b"]


def test_requests_do_not_share_what_they_hold(world: World) -> None:
    world.reconcile(A)
    world.reconcile(A, request=DB)
    world.reconcile()

    assert world.objects.names == ["a"]
    assert len(world.dependencies) == 1


def test_a_cluster_that_comes_back_is_watched_anew(world: World) -> None:
    world.reconcile(A)
    before, world.objects = world.objects, Objects()
    world.reconcile(A)

    assert (before.names, world.objects.names) == ([], ["a"])


def test_a_listener_that_was_closed_is_replaced(world: World) -> None:
    world.reconcile(A)
    world.objects.open[0].close()
    world.reconcile(A)

    assert world.objects.names == ["a"]


def test_the_requests_of_a_cluster_that_leaves_hold_nothing(world: World) -> None:
    world.reconcile(A)
    world.reconcile(B, request=DB)
    world.dependencies.forget("east")
    assert world.objects.names == ["a"]
    world.dependencies.forget()

    assert world.objects.names == []


@pytest.mark.parametrize("cut_short", [True, False])
def test_nor_does_a_reconcile_that_was_running_then(world: World, *, cut_short: bool) -> None:
    world.reconcile(A, request=DB)
    reads = world.begin(A, B, request=DB)
    world.dependencies.forget("east")
    reads.settle(cut_short=cut_short)

    assert world.objects.names == []
    assert len(world.dependencies) == 0


def test_who_never_tracks_costs_nothing(world: World) -> None:
    world.reconcile()

    assert world.dependencies._reading == set()
    assert world.dependencies.held == {}


def test_what_a_listener_keeps_alive_does_not_grow(world: World) -> None:
    """A listener outlives the reconcile that made it, and must not keep that one and those before it."""
    for number in range(3):
        world.reconcile(A, Key("default", str(number)))

    assert all(not any(isinstance(each, Reads) for each in listener.tell.args) for listener in world.objects.open)

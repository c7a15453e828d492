from __future__ import annotations

import pytest

from kcontroller.api.keys import Key
from kcontroller.cache.scope import Holding
from kcontroller.client.discovery import RestMapper
from kcontroller.cluster.floors import Floors
from kcontroller.cluster.informers import Informers
from kcontroller.cluster.kinds import Kinds
from kcontroller.cluster.tracked import TrackedObjects
from kcontroller.errors import ConnectFailed
from kcontroller.process.stop import StopToken
from tests.unit.cache.feeds import FakeFeed
from tests.unit.cache.objects import PODS, bookmark, line, pod

POD = "v1 Pod"
A = Key("east", "a")


class World:
    """A cluster's memory on a loop that the test turns."""

    def __init__(self) -> None:
        self.feed = FakeFeed()
        mapper = RestMapper(None)  # type: ignore[arg-type]
        mapper.learn(PODS)
        self.kinds = Kinds(
            feed=self.feed,
            mapper=mapper,
            clock=self.feed.clock,
            cluster="",
            namespaces=("north", "south"),
            on_trouble=lambda _kind, _error: None,
            on_end=lambda _kind: None,
            metrics=None,
        )
        self.tracked = TrackedObjects(
            feed=self.feed,
            mapper=mapper,
            floors=Floors(clock=self.feed.clock, on_loop_thread=lambda: False, on_stale=lambda: None),
            cached=self.kinds.get,
            clock=self.feed.clock,
            cluster="",
            on_trouble=lambda _gvk, _key, _error: None,
            leaving=StopToken(clock=self.feed.clock),
        )
        self.informers = Informers(self.kinds, self.tracked)

    def list_all(self) -> None:
        """Answer every first list; of the namespace east there is one pod, which is tracked."""
        self.feed.run()
        for stream in self.feed.open_streams:
            own = [line("ADDED", pod("a", 5, namespace="east"))] if "/east/" in stream.target else []
            stream.respond().send(*own, bookmark(9, mark="true"))


@pytest.fixture
def world() -> World:
    """North and south are kept, and one object of the east is tracked."""
    made = World()
    made.kinds.acquire(POD)
    made.feed.run()
    made.tracked.listen(POD, A, 5, lambda _why: None)
    made.list_all()
    return made


def test_a_probe_asks_for_what_is_kept_one_after_the_other(world: World) -> None:
    asked = [world.informers.probe_target(number) for number in range(4)]
    assert asked == [f"/api/v1/namespaces/{name}/pods?limit=1" for name in ("north", "south")] * 2


def test_where_nothing_is_kept_it_asks_for_the_version() -> None:
    assert World().informers.probe_target(1) == "/version"


def test_what_is_tracked_is_shown_like_what_is_kept(world: World) -> None:
    shown = world.informers.shown(PODS.gvk, A)
    assert shown is not None
    assert (shown.key, shown.version) == (A, 5)
    assert len(world.informers.showing(PODS.gvk, A, {})) == 1
    assert world.informers.shown(PODS.gvk, Key("north", "a")) is None
    assert len(world.informers.showing(PODS.gvk, Key("north", "a"), {})) == 1, "that one is about to, if it is made"


def test_only_what_is_kept_and_synced_has_to_be_listed_elsewhere(world: World) -> None:
    world.kinds.acquire(POD, Holding(metadata_only=True))
    world.feed.run()
    assert [each.scope.namespace for each in world.informers.synced()] == ["north", "south"]


def test_when_the_server_is_back_all_of_them_try_now(world: World) -> None:
    for _ in range(6):
        for stream in world.feed.open_streams:
            stream.end(ConnectFailed("refused"))
        world.feed.advance(max(timer.due for timer in world.feed.timers) - world.feed.clock.monotonic())
    for stream in world.feed.open_streams:
        stream.end(ConnectFailed("refused"))
    assert world.feed.open_streams == []
    world.informers.reachable()
    world.feed.advance(1.0)

    assert len(world.feed.open_streams) == 3


def test_with_another_configuration_all_of_them_watch_anew(world: World) -> None:
    before = world.feed.open_streams
    world.informers.renew(elsewhere=False)
    world.feed.run()

    assert len(world.feed.open_streams) == 3
    assert not any(stream in before for stream in world.feed.open_streams)

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kcontroller.cache.scope import Holding
from kcontroller.client.discovery import RestMapper
from kcontroller.cluster.floors import Floors, Promise
from kcontroller.cluster.kinds import Kinds
from kcontroller.cluster.tracked import LINGER_SECONDS, TrackedObjects
from kcontroller.errors import Forbidden, KindNotServed, NotFound, StaleRead, TooManyTracked
from kcontroller.process.stop import StopToken
from tests.unit.cache.feeds import FakeFeed, FakeStream
from tests.unit.cache.objects import PODS, bookmark, dump, entry, key, line, pod, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.api.codec import KindRef
    from kcontroller.api.keys import Key
    from kcontroller.cluster.kinds import CacheHandle
    from kcontroller.cluster.tracked_object import Listener

POD = "v1 Pod"
A = key("a")


class Api:
    """The server, as far as live reads notice."""

    def __init__(self) -> None:
        self.version = 0
        self.error: Exception | None = None
        self.asked = 0

    def get(self, kind: KindRef, key: Key, subresource: str = "", *, metadata: bool = False) -> bytes:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if not self.version:
            raise NotFound("gone", status=404, reason="NotFound")
        return dump(pod(key.name, self.version, namespace=key.namespace))

    def list(self, kind: KindRef, selection: object, *, metadata: bool = False) -> list[bytes]:
        raise NotImplementedError


class Reads:
    """A tracker that listens to whatever it is told of, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.listeners: list[Listener] = []

    def saw(self, objects: TrackedObjects, kind: KindRef, where: Key, version: int) -> None:
        self.listeners.append(objects.listen(kind, where, version, self.heard.append))

    def wrote(self, where: Key, promise: Promise) -> None:
        raise NotImplementedError

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


class World:
    def __init__(self, *, limit: int = 5) -> None:
        self.feed = FakeFeed()
        self.clock = self.feed.clock
        self.mapper = RestMapper(None)  # type: ignore[arg-type]
        self.mapper.learn(PODS)
        self.api = Api()
        self.floors = Floors(clock=self.clock, on_loop_thread=lambda: False, on_stale=lambda: None)
        self.kinds = Kinds(
            feed=self.feed,
            mapper=self.mapper,
            clock=self.clock,
            cluster="east",
            namespaces=(),
            on_trouble=lambda _kind, _error: None,
            on_end=lambda _kind: None,
            metrics=None,
        )
        self.troubles: list[tuple[str, str]] = []
        self.objects = TrackedObjects(
            feed=self.feed,
            mapper=self.mapper,
            floors=self.floors,
            cached=self.kinds.get,
            clock=self.clock,
            cluster="east",
            on_trouble=lambda gvk, where, error: self.troubles.append((f"{gvk} {where}", str(error or ""))),
            leaving=StopToken(clock=self.clock),
            limit=limit,
        )

    def read(self, reads: Reads, where: Key = A, kind: KindRef = POD) -> int:
        """Read with tracking; the version, or 0."""
        try:
            raw = self.objects.read(reads, self.api, kind, where)
        except NotFound:
            return 0
        finally:
            self.feed.run()
        return int(json.loads(raw)["metadata"]["resourceVersion"])

    def tracking(self, version: int, *, listed: bool = True) -> Reads:
        """Someone who has read this version (0: nothing), which the watch shows too if `listed`."""
        self.api.version = version
        reads = Reads()
        assert self.read(reads) == version
        if listed:
            self.list(version)
        return reads

    def list(self, version: int, *, upto: int = 100) -> FakeStream:
        """Answer the first list of the watch that is open."""
        lines = [line("ADDED", pod("a", version))] if version else []
        return self.feed.stream.respond().send(*lines, bookmark(upto, mark="true"))

    def cache(self, *namespaces: str) -> CacheHandle:
        """Have the whole kind cached."""
        handle = self.kinds.acquire(POD, Holding.of(namespaces=namespaces or None))
        self.feed.run()
        return handle


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    assert [stream.swallowed for stream in world.feed.streams if stream.swallowed] == []


# ---- what is watched -------------------------------------------------------------------------------------------------


def test_only_the_object_itself_is_listed_and_watched(world: World) -> None:
    world.tracking(5, listed=False)

    assert "/api/v1/namespaces/default/pods?" in world.feed.stream.target
    assert "fieldSelector=metadata.name%3Da" in world.feed.stream.target


def test_many_readers_of_one_object_share_a_watch(world: World) -> None:
    one, other = world.tracking(5), Reads()
    world.read(other)
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))

    assert len(world.feed.streams) == 1
    assert (one.take(), other.take()) == (["updated"], ["updated"])


def test_each_object_has_a_watch_of_its_own(world: World) -> None:
    reads = world.tracking(5)
    world.read(reads, key("b"))

    assert len(world.feed.open_streams) == 2
    assert len(world.objects) == 2


def test_a_kind_that_is_not_served_is_not_watched(world: World) -> None:
    world.api.error = KindNotServed("no such kind")

    with pytest.raises(KindNotServed):
        world.objects.read(Reads(), world.api, POD, A)
    assert world.feed.calls == []


# ---- where the answer comes from -------------------------------------------------------------------------------------


def test_until_the_watch_stands_the_server_is_asked(world: World) -> None:
    reads = world.tracking(5, listed=False)
    world.api.version = 6

    assert world.read(reads) == 6
    assert world.api.asked == 2


def test_then_memory_answers(world: World) -> None:
    reads = world.tracking(5)
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))

    assert world.read(reads) == 101
    assert world.api.asked == 1


def test_also_that_there_is_nothing(world: World) -> None:
    reads = world.tracking(0)

    with pytest.raises(NotFound, match="v1 Pod default/a does not exist"):
        world.objects.read(reads, world.api, POD, A)
    assert world.api.asked == 1


def test_a_read_waits_for_an_own_write(world: World) -> None:
    reads = world.tracking(5)
    informer = world.objects.informer(PODS.gvk, A)
    assert informer is not None
    world.floors.record(A, Promise(informer, 200))
    informer.store.advance(200)
    assert world.read(reads) == 5
    world.floors.record(A, Promise(informer, 300))
    informer.store.gave_up_at = informer.store.version  # As if a read had just waited in vain.

    with pytest.raises(StaleRead):
        world.objects.read(reads, world.api, POD, A)


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_what_was_read_is_no_news(world: World) -> None:
    reads = world.tracking(5)

    assert reads.heard == []


@pytest.mark.parametrize(
    ("read", "event", "heard"),
    [
        (5, ("MODIFIED", 101), ["updated"]),
        (5, ("DELETED", 101), ["deleted"]),
        (0, ("ADDED", 101), ["created"]),
    ],
)
def test_a_change_is_told_once(world: World, read: int, event: tuple[str, int], heard: list[str]) -> None:
    reads = world.tracking(read)
    world.feed.stream.send(line(event[0], pod("a", event[1])))

    assert reads.take() == heard


@pytest.mark.parametrize(("read", "listed", "heard"), [(5, 6, "updated"), (5, 0, "deleted"), (0, 6, "created")])
def test_a_change_between_the_read_and_the_first_list_is_told(world: World, read: int, listed: int, heard: str) -> None:
    reads = world.tracking(read, listed=False)
    assert reads.heard == []
    world.list(listed)

    assert reads.heard == [heard]


def test_a_reader_who_comes_late_with_an_old_reading_is_told_at_once(world: World) -> None:
    world.tracking(5)
    late = Reads()
    late.saw(world.objects, POD, A, 4)
    world.feed.run()

    assert late.heard == ["updated"]


def test_what_the_watch_brings_later_than_the_read_is_no_news(world: World) -> None:
    """The reader was quicker than the watch: the events up to its reading are old to it."""
    world.tracking(5)
    ahead = Reads()
    ahead.saw(world.objects, POD, A, 300)
    world.feed.run()
    world.feed.stream.send(line("MODIFIED", pod("a", 200)), line("MODIFIED", pod("a", 300)))
    assert ahead.heard == []
    world.feed.stream.send(line("MODIFIED", pod("a", 301)))

    assert ahead.heard == ["updated"]


def test_what_a_later_reconcile_has_read_counts(world: World) -> None:
    reads = world.tracking(5)
    (listener,) = reads.listeners
    listener.seen = 101
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))

    assert reads.heard == []


def test_a_change_during_a_gap_of_the_watch_is_told(world: World) -> None:
    reads = world.tracking(5)
    world.feed.advance(40)
    world.feed.stream.send(line("ERROR", status(410)))
    world.list(150, upto=160)

    assert reads.heard == ["updated"]


def test_a_server_that_went_back_in_time_is_news(world: World) -> None:
    reads = world.tracking(90)
    informer = world.objects.informer(PODS.gvk, A)
    assert informer is not None
    informer._subscribers.tell(informer.store.replace([entry("a", 40)], 50, reset=True))

    assert reads.heard == ["updated"]


@pytest.mark.parametrize("version", [3, 5, 200])
def test_whatever_another_server_has_is_news(world: World, version: int) -> None:
    reads = world.tracking(5)
    informer = world.objects.informer(PODS.gvk, A)
    assert informer is not None
    informer.renew(elsewhere=True)
    world.list(version, upto=version + 10)
    assert reads.heard == ["updated"]
    world.feed.stream.send(line("MODIFIED", pod("a", version + 20)))

    assert reads.heard == ["updated", "updated"]


def test_who_has_closed_hears_nothing(world: World) -> None:
    reads = world.tracking(5)
    reads.close()
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))

    assert reads.heard == []


def test_a_cluster_that_leaves_tells_its_readers_and_takes_no_more(world: World) -> None:
    reads, late = world.tracking(5), Reads()
    world.objects.close()
    world.read(late)

    assert reads.heard == ["left with its cluster"]
    assert late.heard == ["left with its cluster"]
    assert [listener.closed for listener in late.listeners] == [True]


def test_also_those_who_are_still_on_their_way_to_the_loop(world: World) -> None:
    heard: list[str] = []
    world.objects.listen(POD, A, 5, heard.append)
    world.objects.close()
    world.feed.run()

    assert heard == ["left with its cluster"]


# ---- the end of a watch ----------------------------------------------------------------------------------------------


def test_the_watch_is_closed_a_while_after_its_last_reader(world: World) -> None:
    one, other = world.tracking(5), Reads()
    world.read(other)
    one.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS * 2)
    assert len(world.feed.open_streams) == 1
    other.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS - 0.1)
    assert len(world.feed.open_streams) == 1
    world.feed.advance(0.1)

    assert world.feed.open_streams == []
    assert not world.feed.waiting
    assert len(world.objects) == 0


def test_who_comes_back_in_time_finds_the_watch(world: World) -> None:
    world.tracking(5).close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS - 1)
    again = Reads()
    world.read(again)
    world.feed.advance(LINGER_SECONDS * 2)

    assert len(world.feed.streams) == 1
    assert world.api.asked == 1
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))
    assert again.heard == ["updated"]


def test_who_comes_at_the_last_moment_does_too(world: World) -> None:
    world.tracking(5).close()
    world.feed.run()
    world.objects.listen(POD, A, 5, lambda _what: None)  # It is on its way to the loop thread.
    due = [timer.function for timer in world.feed.timers if timer.function]
    due[-1]()  # type: ignore[misc]
    world.feed.run()

    assert len(world.objects) == 1
    assert len(world.feed.open_streams) == 1


def test_who_came_and_left_at_the_last_moment_ends_nothing_twice(world: World) -> None:
    world.tracking(5).close()
    world.feed.run()
    world.objects.listen(POD, A, 5, lambda _what: None).close()  # Both are on their way to the loop thread.
    due = [timer.function for timer in world.feed.timers if timer.function]
    due[-1]()  # type: ignore[misc]
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)

    assert len(world.objects) == 0
    assert world.feed.open_streams == []


def test_a_watch_that_ended_keeps_no_read_waiting_for_an_own_write(world: World) -> None:
    reads = world.tracking(5)
    informer = world.objects.informer(PODS.gvk, A)
    assert informer is not None
    promise = Promise(informer, 300)
    reads.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)

    assert promise.kept(A)


def test_who_leaves_before_the_watch_was_opened_leaves_nothing_behind(world: World) -> None:
    listener = world.objects.listen(POD, A, 5, lambda _what: None)
    listener.close()
    listener.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)

    assert len(world.objects) == 0
    assert world.feed.open_streams == []


# ---- kinds that are cached anyway ------------------------------------------------------------------------------------


def test_of_a_cached_kind_no_watch_is_opened_and_memory_answers(world: World) -> None:
    world.cache()
    world.list(5)
    reads = Reads()

    assert world.read(reads) == 5
    assert len(world.feed.streams) == 1
    assert world.api.asked == 0
    world.feed.stream.send(line("MODIFIED", pod("b", 101)), line("MODIFIED", pod("a", 102)))
    assert reads.heard == ["updated"]


def test_a_cached_kind_that_is_not_synced_is_read_live_and_no_change_is_lost(world: World) -> None:
    world.cache()
    world.api.version = 5
    reads = Reads()
    assert world.read(reads) == 5
    assert world.api.asked == 1
    world.list(6)

    assert reads.heard == ["updated"]


def test_the_kind_is_let_go_with_its_last_tracked_object(world: World) -> None:
    handle = world.cache()
    world.list(5)
    reads = Reads()
    world.read(reads)
    world.read(reads, key("b"))
    handle.close()
    world.feed.run()
    world.feed.stream.send(line("MODIFIED", pod("a", 101)))
    assert reads.heard == ["updated"]
    reads.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)
    world.feed.run()

    assert world.feed.open_streams == []
    assert len(world.objects) == 0


def test_what_has_its_own_watch_is_read_from_it_also_when_the_kind_is_cached_later(world: World) -> None:
    """The cached kind may be behind what the listener was told of, and nothing would tell of it again."""
    reads = world.tracking(5)
    own = world.feed.stream
    world.cache()
    world.feed.open_streams[-1].respond().send(line("ADDED", pod("a", 5)), bookmark(100, mark="true"))
    own.send(line("MODIFIED", pod("a", 101)))
    assert reads.take() == ["updated"]

    assert world.read(reads) == 101


def test_an_object_of_a_namespace_that_is_not_cached_has_a_watch_of_its_own(world: World) -> None:
    world.cache("team")
    world.list(0)
    world.api.version = 5

    assert world.read(Reads()) == 5
    assert len(world.feed.open_streams) == 2


# ---- limits and rights -----------------------------------------------------------------------------------------------


def test_there_are_so_many_watches_and_no_more(world: World) -> None:
    world.api.version = 5
    reads = Reads()
    for number in range(5):
        world.read(reads, key(str(number)))

    with pytest.raises(TooManyTracked, match="v1 Pod default/a cannot be tracked: cluster east has 5 watches"):
        world.objects.read(reads, world.api, POD, A)
    reads.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)
    assert world.read(Reads()) == 5


def test_objects_of_cached_kinds_do_not_count(world: World) -> None:
    world.cache()
    world.list(5)
    reads = Reads()
    for number in range(10):
        world.read(reads, key(str(number)))

    assert len(world.objects) == 10


def test_who_may_not_watch_is_told_and_reads_live(world: World) -> None:
    reads = world.tracking(5, listed=False)
    world.feed.stream.refuse(403)
    where, why = world.troubles[-1]
    assert where == "v1 Pod default/a"
    assert "403" in why
    world.api.version = 6

    assert world.read(reads) == 6


def test_the_trouble_ends_with_the_watch(world: World) -> None:
    reads = world.tracking(5, listed=False)
    world.feed.stream.refuse(403)
    reads.close()
    world.feed.run()
    world.feed.advance(LINGER_SECONDS)

    assert world.troubles[-1] == ("v1 Pod default/a", "")


def test_a_refused_read_is_the_readers_to_handle(world: World) -> None:
    world.api.error = Forbidden("no", status=403, reason="Forbidden")
    reads = Reads()

    with pytest.raises(Forbidden):
        world.objects.read(reads, world.api, POD, A)
    assert reads.listeners == []

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Key
from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.projection import pairs
from kcontroller.cluster.floors import READ_SECONDS, Floors, Promise
from kcontroller.errors import StaleRead, WouldDeadlock
from kcontroller.process.waits import on_wait
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually
from tests.unit.cluster.held import GVK, A, Call, HeldInformer

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry

OTHER = Key("default", "b")
EVERY = LabelSelector()


class Fixture:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.informer = HeldInformer()
        self.on_loop = False
        self.stale = 0
        self.waited: list[float] = []
        self.floors = Floors(
            clock=self.clock,
            on_loop_thread=lambda: self.on_loop,
            on_stale=self._count,
            on_waited=self.waited.append,
        )

    def _count(self) -> None:
        self.stale += 1

    def promise(
        self,
        key: Key = A,
        version: int = 0,
        *,
        uid: str = "",
        finalized: bool = False,
        informer: HeldInformer | None = None,
    ) -> None:
        where: Any = informer or self.informer
        self.floors.record(key, Promise(where, version, uid, finalized, where.store.resets))

    def await_key(self, key: Key = A) -> None:
        self.floors.await_key(GVK, key, self.informer)  # type: ignore[arg-type]

    def await_kind(self, namespace: str = "", *others: HeldInformer) -> None:
        informers: Any = (self.informer, *others)
        self.floors.await_list(GVK, namespace, informers, EVERY, list)

    def read(self, key: Key = A) -> Call:
        return Call(lambda: self.await_key(key))

    def list(self, namespace: str = "", *others: HeldInformer) -> Call:
        return Call(lambda: self.await_kind(namespace, *others))

    def give_up(self, call: Call) -> object:
        self.clock.wait_for_waiters(1)
        self.clock.advance(READ_SECONDS)
        return call.outcome


@pytest.fixture
def world() -> Fixture:
    return Fixture()


def test_without_a_promise_nobody_waits(world: Fixture) -> None:
    world.await_key(A)
    world.await_kind("")


@pytest.mark.parametrize("seen", [10, 11])
def test_a_version_that_was_seen_is_a_kept_promise(world: Fixture, seen: int) -> None:
    world.promise(version=10)
    world.informer.store.advance(seen)
    world.await_key(A)

    assert world.floors._open == {}


def test_a_read_waits_for_the_event_that_another_thread_brings(world: Fixture) -> None:
    world.promise(version=10)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("other", 9)
    assert not reading.over
    world.informer.put("a", 10)

    assert reading.outcome is None
    assert world.stale == 0


def test_a_bookmark_is_enough(world: Fixture) -> None:
    world.promise(version=10)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.store.advance(10)

    assert reading.outcome is None


def test_a_read_gives_up_after_a_second_and_names_kind_and_key(world: Fixture) -> None:
    world.promise(version=10)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.clock.advance(READ_SECONDS - 0.001)
    assert not reading.over
    world.clock.advance(0.001)

    assert isinstance(reading.outcome, StaleRead)
    assert str(reading.outcome) == "the cache of v1 ConfigMap has not caught up with an own write of default/a"
    assert world.stale == 1


def test_once_a_read_gave_up_others_do_so_at_once_until_the_next_event(world: Fixture) -> None:
    world.promise(version=10)
    world.promise(OTHER, version=11)
    world.give_up(world.read())
    with pytest.raises(StaleRead):
        world.await_key(OTHER)
    with pytest.raises(StaleRead):
        world.await_kind("")
    assert world.stale == 3

    world.informer.put("c", 9)
    again = world.read(OTHER)
    world.clock.wait_for_waiters(1)
    world.informer.put("b", 11)
    assert again.outcome is None


def test_staleness_of_one_kind_does_not_touch_another(world: Fixture) -> None:
    pods, informer = gvk_of("v1 Pod"), HeldInformer()
    world.promise(version=10)
    world.floors.record(A, Promise(informer, 5))  # type: ignore[arg-type]
    world.give_up(world.read())
    reading = Call(lambda: world.floors.await_key(pods, A, informer))  # type: ignore[arg-type]
    world.clock.wait_for_waiters(1)
    informer.store.advance(5)

    assert reading.outcome is None


def test_a_promise_that_was_not_kept_in_time_is_still_one(world: Fixture) -> None:
    world.promise(version=10)
    world.give_up(world.read())
    world.informer.put("x", 9)

    assert isinstance(world.give_up(world.read()), StaleRead)


# ---- gone or terminating ---------------------------------------------------------------------------------------------


def test_a_deleted_object_must_be_gone(world: Fixture) -> None:
    world.informer.put("a", 5)
    world.promise(uid="uid-a")
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("a", 6)
    assert not reading.over
    world.informer.drop("a", 7)

    assert reading.outcome is None


def test_or_terminating(world: Fixture) -> None:
    world.informer.put("a", 5)
    world.promise(uid="uid-a")
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("a", 6, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])

    assert reading.outcome is None


def test_or_followed_by_another_of_its_name(world: Fixture) -> None:
    world.informer.put("a", 5)
    world.promise(uid="uid-a")
    world.informer.put("a", 8, uid="new")
    world.await_key(A)


def test_the_last_finalizer_is_gone_only_with_the_object(world: Fixture) -> None:
    """The PATCH answers version 256, the DELETED event has 257: a wait for the version would show the old object."""
    world.informer.put("a", 256, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    world.promise(uid="uid-a", finalized=True)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("other", 256)
    assert not reading.over
    world.informer.drop("a", 257)

    assert reading.outcome is None


def test_a_pod_in_its_grace_period_has_lost_its_finalizers_and_stays(world: Fixture) -> None:
    world.informer.put("a", 5, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    world.promise(uid="uid-a", finalized=True)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("a", 6, deletionTimestamp="2026-01-01T00:00:00Z")

    assert reading.outcome is None


def test_a_second_deletion_does_not_undo_what_the_last_finalizer_promised(world: Fixture) -> None:
    world.informer.put("a", 5, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    world.promise(uid="uid-a", finalized=True)
    world.promise(uid="uid-a")

    assert isinstance(world.give_up(world.read()), StaleRead)


def test_an_object_that_was_created_and_deleted_at_once_is_not_seen_afterwards(world: Fixture) -> None:
    world.promise(version=10)
    world.promise(uid="uid-a")
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("a", 10)
    assert not reading.over
    world.informer.drop("a", 11)

    assert reading.outcome is None


# ---- several writes of one object ------------------------------------------------------------------------------------


def test_a_later_write_goes_before_an_earlier_one(world: Fixture) -> None:
    world.promise(version=10)
    world.promise(version=12)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.put("a", 11)
    assert not reading.over
    world.informer.put("a", 12)

    assert reading.outcome is None


def test_the_answers_of_two_threads_may_be_noted_in_the_wrong_order(world: Fixture) -> None:
    world.promise(version=12)
    world.promise(version=10)
    world.informer.put("a", 10)

    assert isinstance(world.give_up(world.read()), StaleRead)


def test_a_late_note_of_an_update_does_not_hide_the_deletion(world: Fixture) -> None:
    world.informer.put("a", 5)
    world.promise(uid="uid-a")
    world.promise(version=6)
    world.informer.put("a", 6)

    assert isinstance(world.give_up(world.read()), StaleRead)


def test_a_promise_that_came_during_the_wait_is_not_forgotten(world: Fixture) -> None:
    world.promise(version=10)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.promise(version=20)
    world.informer.put("a", 10)
    assert reading.outcome is None

    assert isinstance(world.give_up(world.read()), StaleRead)


# ---- a server that went back in time ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", ["", "uid-a"])
def test_a_server_that_went_back_in_time_keeps_no_promise(world: Fixture, uid: str) -> None:
    world.informer.put("a", 900)
    world.promise(version=0 if uid else 1000, uid=uid)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.informer.store.replace([world.informer.entry("a", 500)], 500, reset=True)

    assert reading.outcome is None
    assert world.floors._open == {}


def test_a_promise_of_the_new_time_replaces_one_of_the_old(world: Fixture) -> None:
    world.promise(version=1000)
    world.informer.store.replace([], 500, reset=True)
    world.promise(version=501)
    world.informer.store.advance(501)
    world.await_key(A)


def test_an_ordinary_relist_keeps_promises_open(world: Fixture) -> None:
    world.promise(version=1000)
    world.informer.store.replace([], 500)

    assert isinstance(world.give_up(world.read()), StaleRead)


# ---- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_waits_for_every_key_of_the_kind(world: Fixture) -> None:
    world.promise(version=10)
    world.promise(Key("other", "b"), version=12)
    listing = world.list()
    world.clock.wait_for_waiters(1)
    world.informer.store.advance(10)
    assert not listing.over
    world.informer.store.advance(12)

    assert listing.outcome is None


def test_a_list_of_a_namespace_waits_for_that_one_only(world: Fixture) -> None:
    world.promise(Key("other", "b"), version=12)
    world.await_kind("default")


def test_a_list_does_not_wait_for_other_informers(world: Fixture) -> None:
    world.promise(version=12)
    world.floors.await_list(GVK, "", (HeldInformer(),), EVERY, list)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "held", "waits"),
    [
        ({"app": "db"}, None, False),
        ({"app": "web"}, None, True),
        (None, None, True),  # A deletion, say.
        ({"app": "db"}, {"app": "web"}, True),
        ({"app": "db"}, {"app": "db"}, False),
    ],
)
def test_a_list_by_labels_waits_for_what_matches_before_or_after_the_write(
    world: Fixture, written: dict[str, str] | None, held: dict[str, str] | None, *, waits: bool
) -> None:
    if held is not None:
        world.informer.put("a", 5, labels=held)
    informer: Any = world.informer
    world.floors.record(A, Promise(informer, 10, labels=written))
    web = LabelSelector.of("app=web")

    def look() -> list[Entry]:
        return [entry for entry in informer.store.entries() if web.matches(pairs(entry.labels))]

    listing = Call(lambda: world.floors.await_list(GVK, "", (informer,), web, look))
    if waits:
        world.clock.wait_for_waiters(1)
        world.informer.store.advance(10)

    assert listing.outcome == look()
    assert len(world.waited) == waits


def test_what_a_list_shows_after_its_wait_may_be_worth_another_one(world: Fixture) -> None:
    """Somebody else gives an object the label while the list waits for the first; our own write takes it off again."""
    informer: Any = world.informer
    world.informer.put("b", 5)
    world.floors.record(A, Promise(informer, 10, labels={"app": "web"}))
    world.floors.record(OTHER, Promise(informer, 12, labels={}))
    shown: list[list[str]] = []

    def look() -> list[Entry]:
        found = [entry for entry in informer.store.entries() if "app" in pairs(entry.labels)]
        shown.append([entry.key.name for entry in found])
        return found

    listing = Call(lambda: world.floors.await_list(GVK, "", (informer,), LabelSelector.of("app=web"), look))
    world.clock.wait_for_waiters(1)
    world.informer.put("b", 9, labels={"app": "web"})
    world.informer.put("a", 10, labels={"app": "web"})
    eventually(lambda: len(shown) == 2)
    world.clock.wait_for_waiters(1)
    world.informer.put("b", 12)

    assert listing.outcome == [world.informer.store.get(A)]
    assert [sorted(names) for names in shown] == [[], ["a", "b"], ["a"]]


def test_of_two_writes_with_other_labels_nobody_knows_what_the_cache_shows_between_them(world: Fixture) -> None:
    informer: Any = world.informer
    world.floors.record(A, Promise(informer, 10, labels={"app": "web"}))
    world.floors.record(A, Promise(informer, 11, labels={"app": "db"}))

    assert world.floors._open[informer, A].labels is None


def test_all_waits_of_a_list_take_a_second_together(world: Fixture) -> None:
    slow, dead = HeldInformer("x"), HeldInformer("y")
    world.promise(Key("x", "a"), version=10, informer=slow)
    world.promise(Key("y", "b"), version=10, informer=dead)
    listing = world.list("", slow, dead)
    world.clock.wait_for_waiters(1)
    world.clock.advance(0.6)
    slow.store.advance(10)
    world.clock.wait_for_waiters(1)
    for _ in range(100):
        if listing.over:
            break
        world.clock.advance(0.4)
        threading.Event().wait(0.001)

    assert isinstance(listing.outcome, StaleRead)


# ---- other informers, and what is counted ----------------------------------------------------------------------------


def test_an_informer_that_began_after_the_write_has_nothing_to_catch_up_with(world: Fixture) -> None:
    world.promise(version=10, informer=HeldInformer())
    world.await_key()
    world.await_kind()

    assert world.waited == []


def test_what_a_read_waited_is_told_whether_it_gave_up_or_not(world: Fixture) -> None:
    world.promise(version=10)
    reading = world.read()
    world.clock.wait_for_waiters(1)
    world.clock.advance(0.25)
    world.informer.store.advance(10)
    assert reading.outcome is None
    world.promise(version=20)
    world.give_up(world.read())

    assert world.waited == pytest.approx([0.25, READ_SECONDS])


def test_a_read_that_waits_lets_another_worker_go_on(world: Fixture) -> None:
    told: list[str] = []
    world.promise(version=10)

    def read() -> None:
        on_wait(lambda: told.append(threading.current_thread().name))
        world.await_key()

    reading = Call(read)
    world.clock.wait_for_waiters(1)
    world.informer.store.advance(10)

    assert reading.outcome is None
    assert len(told) == 1


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_the_loop_thread_would_wait_for_itself(world: Fixture) -> None:
    world.promise(version=10)
    world.on_loop = True

    with pytest.raises(
        WouldDeadlock, match="waiting for an own write of v1 ConfigMap default/a on the thread that must"
    ):
        world.await_key(A)
    with pytest.raises(WouldDeadlock):
        world.await_kind("")


def test_the_loop_thread_does_not_ask_the_server(world: Fixture) -> None:
    informer: Any = world.informer
    world.floors.doubt(A, Promise(informer))
    world.on_loop = True

    with pytest.raises(WouldDeadlock):
        world.floors.resolve(GVK, "", (informer,), lambda _: 0)


def test_a_doubt_about_what_is_no_longer_kept_goes_with_the_next(world: Fixture) -> None:
    held: Any = (HeldInformer(), HeldInformer())
    for key, informer in zip((A, OTHER), held, strict=True):
        world.floors.doubt(key, Promise(informer))
        informer.store.close()

    assert {key for _, key in world.floors._doubts} == {OTHER}


def test_the_loop_thread_may_read_what_has_come(world: Fixture) -> None:
    world.promise(version=10)
    world.informer.store.advance(10)
    world.on_loop = True
    world.await_key(A)


def test_many_threads_may_write_read_and_give_up_at_once() -> None:
    world = Fixture()
    world.clock.advance(0)
    errors: list[BaseException] = []
    begin = threading.Barrier(9)

    def work(thread: int) -> None:
        begin.wait(10)
        try:
            for number in range(1, 400):
                key = Key("n", str(number % 50))
                world.promise(key, version=number)
                try:
                    if number % 2:
                        world.await_key(key)
                    else:
                        world.await_kind("n")
                except StaleRead:
                    pass
        except BaseException as error:  # noqa: BLE001 - for the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    begin.wait(10)
    for version in range(1, 401):
        world.informer.store.advance(version)
        world.clock.advance(0.3)
    while any(thread.is_alive() for thread in threads):
        world.clock.advance(1.0)
        threads[0].join(0.001)
    for thread in threads:
        thread.join(10)

    assert errors == []
    world.await_kind("")
    assert world.floors._open == {}


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_kept_promises_are_thrown_away_when_there_are_1024(world: Fixture) -> None:
    world.informer.store.advance(5000)
    for number in range(3000):
        world.promise(Key("n", str(number)), version=number + 1)

    assert len(world.floors._open) < 1024


def test_open_promises_are_never_thrown_away(world: Fixture) -> None:
    for number in range(5000):
        world.promise(Key("n", str(number)), version=number + 1)

    assert len(world.floors._open) == 5000


def test_pruning_begins_anew_after_a_dead_watch_has_come_back(world: Fixture) -> None:
    for number in range(1, 5001):
        world.promise(Key("n", str(number)), version=number)
    world.informer.store.advance(10_000)
    for number in range(5001, 20_000):
        world.promise(Key("n", str(number)), version=1)

    assert len(world.floors._open) < 1024


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=8), st.integers(0, 8))
def test_a_joined_promise_is_kept_exactly_when_all_its_parts_are(writes: list[tuple[int, bool]], seen: int) -> None:
    """Whatever the order in which the answers are noted."""
    informer = HeldInformer()
    informer.put("a", 1)
    joined: Promise | None = None
    parts = [Promise(informer, uid="uid-a") if gone else Promise(informer, version) for version, gone in writes]  # type: ignore[arg-type]
    for part in parts:
        joined = part.and_before(joined)
    informer.store.advance(seen)

    assert joined is None or joined.kept(A) is all(part.kept(A) for part in parts)

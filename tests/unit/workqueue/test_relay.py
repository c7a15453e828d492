from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.api.keys import Request
from kcontroller.testing.polling import eventually
from kcontroller.workqueue import Item, Outcome, WorkQueue
from kcontroller.workqueue.relay import LOOK_SECONDS, PATIENCE, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.testing.clock import VirtualClock

DONE = Outcome.forget()
WORKERS = 4


class Pool:
    """Workers whose reconciles last until a test ends them."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.queue: WorkQueue[Request] = WorkQueue("pool", clock=clock, workers=WORKERS, relay=True)
        self._changed = threading.Condition()
        self._inside: dict[str, Item[Request]] = {}
        self._ends: set[str] = set()
        self._threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    def add(self, names: str) -> None:
        for name in names:
            self.queue.add(Request("", "default", name))

    def waits(self, name: str) -> None:
        """The reconcile of `name` says that it is about to wait."""
        self.queue.let_others(self._inside[name])

    def end(self, name: str) -> None:
        with self._changed:
            self._ends.add(name)
            self._changed.notify_all()

    @property
    def inside(self) -> set[str]:
        with self._changed:
            return set(self._inside)

    def are_inside(self, *names: str) -> None:
        eventually(lambda: self.inside == set(names))
        # Nobody else comes: all others sleep, and only the clock or a call wakes them.
        self.clock.wait_for_waiters(WORKERS - len(names))
        assert self.inside == set(names)

    def close(self) -> None:
        self.queue.stop()
        for name in "abcdefgh":
            self.end(name)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _work(self) -> None:
        item = self.queue.get()
        while item is not None:
            name = item.request.name
            with self._changed:
                self._inside[name] = item
                assert self._changed.wait_for(lambda name=name: name in self._ends, 20)  # type: ignore[misc]
                del self._inside[name]
                self._ends.discard(name)
            item = self.queue.exchange(item, DONE)


@pytest.fixture
def pool(clock: VirtualClock) -> Iterator[Pool]:
    made = Pool(clock)
    yield made
    made.close()


def test_one_worker_computes_and_goes_from_item_to_item(pool: Pool) -> None:
    pool.add("abc")
    pool.are_inside("a")
    pool.end("a")
    pool.are_inside("b")


def test_another_starts_when_one_is_about_to_wait(pool: Pool) -> None:
    pool.add("abc")
    pool.are_inside("a")
    pool.waits("a")
    pool.are_inside("a", "b")


def test_who_says_twice_that_it_waits_makes_room_once(pool: Pool) -> None:
    pool.add("abc")
    pool.are_inside("a")
    pool.waits("a")
    pool.waits("a")
    pool.are_inside("a", "b")


def test_another_starts_when_an_item_takes_too_long(pool: Pool) -> None:
    pool.add("ab")
    pool.are_inside("a")
    pool.clock.advance(0.9 * PATIENCE)
    pool.are_inside("a")
    pool.clock.advance(0.2 * PATIENCE)
    pool.are_inside("a", "b")


def test_where_reconciles_wait_for_something_unseen_all_workers_run(pool: Pool) -> None:
    pool.add("abcdefgh")
    eventually(lambda: (pool.clock.advance(PATIENCE), len(pool.inside) == WORKERS)[1])
    for name in "abc":  # And from now on at once: there is room for as many as have waited.
        pool.end(name)
    eventually(lambda: len(pool.inside) == WORKERS)


class Machine:
    """A relay on a machine whose process computes a share of the time; items end within their time."""

    def __init__(self) -> None:
        self.now = self.computed = 50.0
        self.relay = Relay(WORKERS, cpu_seconds=lambda: self.computed)
        self._look()

    @property
    def room(self) -> int:
        running: list[Item[Request]] = []
        while self.relay.has_room(self.now):
            running.append(an_item())
            self.relay.start(running[-1], self.now)
        for item in running:
            self.relay.pause(item)
        return len(running)

    def run(self, *, share: float, more: bool = True) -> None:
        self.now += LOOK_SECONDS
        self.computed += LOOK_SECONDS * share
        self._look(more=more)

    def _look(self, *, more: bool = False) -> None:
        item = an_item()
        self.relay.start(item, self.now)
        self.relay.end(item, self.now, more=more)


def an_item() -> Item[Request]:
    return Item(Request("", "default", "a"), 0, 0, (), 1, 0.0)


def test_where_they_compute_the_room_shrinks_again() -> None:
    machine = Machine()
    machine.run(share=0.1)
    machine.run(share=0.1)
    assert machine.room == WORKERS
    machine.run(share=1.0)
    assert machine.room == WORKERS / 2
    for _ in range(5):
        machine.run(share=1.0)
    assert machine.room == 1


def test_waits_that_are_too_short_to_be_seen_make_room_as_long_as_there_is_work() -> None:
    machine = Machine()
    machine.run(share=0.1, more=False)
    assert machine.room == 1
    machine.run(share=0.1)
    assert machine.room == 2
    for _ in range(5):
        machine.run(share=0.5)
    assert machine.room == WORKERS


def test_a_process_that_is_neither_idle_nor_busy_stays_as_it_is() -> None:
    machine = Machine()
    machine.run(share=0.1)
    machine.run(share=0.75)
    assert machine.room == 2


def test_without_a_relay_every_worker_takes_an_item(clock: VirtualClock) -> None:
    queue: WorkQueue[Request] = WorkQueue("pool", clock=clock, workers=2)
    queue.add(Request("", "default", "a"))
    queue.add(Request("", "default", "b"))
    assert queue.get(timeout=0) is not None
    assert queue.get(timeout=0) is not None


def test_an_exchange_gives_back_and_takes_and_ends_with_the_queue(clock: VirtualClock) -> None:
    queue: WorkQueue[Request] = WorkQueue("one", clock=clock, workers=1)
    for name in "ab":
        queue.add(Request("", "default", name))
    first = queue.get()
    assert first is not None
    second = queue.exchange(first, DONE)
    assert second is not None
    assert second.request.name == "b"
    with pytest.raises(ValueError, match="not in work"):
        queue.exchange(first, DONE)
    queue.stop()
    assert queue.exchange(second, DONE) is None
    assert queue.in_flight == 0

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest

from kcontroller.multicluster.mailbox import Mailbox
from kcontroller.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Post:
    """A mailbox whose thread runs, and what it did."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.done: list[str] = []
        self.due = math.inf
        self.mailbox = Mailbox(clock=self.clock, due=lambda: self.due, look=self._look)
        self.thread = threading.Thread(target=self.mailbox.run)

    def _look(self) -> None:
        self.done.append("look")
        self.due = math.inf

    def settle(self) -> None:
        over = threading.Event()
        self.mailbox.post(over.set)
        assert over.wait(10)


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    yield made
    made.mailbox.stop()
    if made.thread.ident is not None:
        made.thread.join(10)
        assert not made.thread.is_alive()


def test_jobs_run_in_the_order_in_which_they_were_posted(post: Post) -> None:
    for name in "abc":
        post.mailbox.post(lambda name=name: post.done.append(name))  # type: ignore[misc]
    post.thread.start()
    post.settle()

    assert post.done == ["a", "b", "c"]


def test_what_is_due_comes_before_jobs_so_that_a_storm_of_them_delays_nothing(post: Post) -> None:
    post.due = post.clock.monotonic()
    post.mailbox.post(lambda: post.done.append("job"))
    post.thread.start()
    post.settle()

    assert post.done == ["look", "job"]


def test_it_waits_for_what_is_due(post: Post) -> None:
    post.due = post.clock.monotonic() + 5
    post.thread.start()
    post.clock.wait_for_waiters(1)
    assert post.done == []
    post.clock.advance(5)
    post.settle()

    assert post.done == ["look"]


def test_a_job_may_move_what_is_due(post: Post) -> None:
    post.thread.start()
    post.mailbox.post(lambda: setattr(post, "due", post.clock.monotonic() + 5))
    post.settle()
    post.clock.advance(5)
    post.settle()

    assert post.done == ["look"]


def test_after_the_stop_nothing_runs(post: Post) -> None:
    post.mailbox.post(lambda: post.done.append("waited"))
    post.mailbox.stop()
    post.mailbox.post(lambda: post.done.append("late"))
    post.thread.start()
    post.thread.join(10)

    assert post.done == []

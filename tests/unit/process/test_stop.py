from __future__ import annotations

import gc
import threading
import weakref

import pytest

from kcontroller.errors import Stopped
from kcontroller.process.stop import Deadline, StopToken
from kcontroller.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_the_first_reason_stays() -> None:
    token = StopToken()
    token.stop("first")
    token.stop("second")

    assert (token.stopped, token.reason) == (True, "first")


def test_a_child_stops_with_its_parent_and_takes_its_reason() -> None:
    parent = StopToken()
    child, grandchild = parent.child(), parent.child().child()
    parent.stop("the process stops")

    assert (child.stopped, child.reason, grandchild.reason) == (True, "the process stops", "the process stops")


def test_a_parent_does_not_stop_with_its_child() -> None:
    parent = StopToken()
    sibling = parent.child()
    parent.child().stop()

    assert not parent.stopped
    assert not sibling.stopped


def test_a_child_of_a_stopped_token_is_stopped() -> None:
    parent = StopToken()
    parent.stop("over")

    assert parent.child().reason == "over"


def test_a_closed_child_no_longer_follows() -> None:
    parent = StopToken()
    with parent.child() as child:
        pass
    parent.stop()

    assert not child.stopped


def test_a_closed_child_is_not_kept_by_its_parent() -> None:
    parent = StopToken()
    with parent.child() as child:
        gone = weakref.ref(child)
    del child
    gc.collect()

    assert gone() is None
    assert not parent._callbacks


def test_a_stopped_child_leaves_its_parent() -> None:
    parent = StopToken()
    parent.child().stop()

    assert not parent._callbacks


def test_callbacks_run_once_and_at_once_if_it_is_too_late() -> None:
    token, calls = StopToken(), []
    token.on_stop(lambda: calls.append("before"))
    token.stop()
    token.stop()
    token.on_stop(lambda: calls.append("after"))

    assert calls == ["before", "after"]


def test_a_callback_can_be_taken_back() -> None:
    token, calls = StopToken(), []
    take_back = token.on_stop(lambda: calls.append("called"))
    take_back()
    take_back()
    token.stop()
    take_back()

    assert calls == []


def test_a_callback_that_raises_does_not_keep_the_stop_from_others(caplog: pytest.LogCaptureFixture) -> None:
    parent = StopToken()
    parent.on_stop(lambda: 1 / 0)
    child = parent.child()
    parent.stop()

    assert child.stopped
    assert "a callback of a stop token failed: ZeroDivisionError: division by zero" in caplog.text


def test_a_callback_may_use_the_token() -> None:
    token, seen = StopToken(), []

    def callback() -> None:
        threading.Thread(target=lambda: seen.append(token.wait(10))).start()
        seen.append(token.wait(10))
        token.on_stop(lambda: seen.append(token.stopped))
        token.stop()

    token.on_stop(callback)
    token.stop()

    assert seen[-1] is True


def test_a_wait_ends_with_the_stop(clock: VirtualClock) -> None:
    token, answers = StopToken(clock=clock), []
    thread = threading.Thread(target=lambda: answers.append(token.wait()))
    thread.start()
    clock.wait_for_waiters(1)
    token.stop()
    thread.join(10)

    assert answers == [True]


def test_a_wait_ends_with_its_time(clock: VirtualClock) -> None:
    token, answers = StopToken(clock=clock), []
    thread = threading.Thread(target=lambda: answers.append(token.wait(5)))
    thread.start()
    clock.wait_for_waiters(1)
    clock.advance(4.9)
    assert answers == []
    clock.advance(0.1)
    thread.join(10)

    assert answers == [False]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_without_time_only_looks(clock: VirtualClock, seconds: float) -> None:
    assert StopToken(clock=clock).wait(seconds) is False


def test_a_child_waits_by_the_clock_of_its_parent(clock: VirtualClock) -> None:
    assert StopToken(clock=clock).child().clock is clock


def test_a_stopped_token_raises_with_its_reason() -> None:
    token = StopToken()
    token.raise_if_stopped()
    token.stop("enough")

    with pytest.raises(Stopped, match="enough"):
        token.raise_if_stopped()


def test_many_threads_may_make_close_and_stop_children_while_it_stops() -> None:
    parent = StopToken()
    called = []
    begin = threading.Barrier(9)
    left = []

    def work() -> None:
        begin.wait(10)
        for number in range(300):
            child = parent.child()
            child.on_stop(lambda: called.append(1))
            if number % 3 == 0:
                child.close()
            elif number % 3 == 1:
                child.stop()
            else:
                left.append(child)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    begin.wait(10)
    parent.stop("now")
    for thread in threads:
        thread.join(10)

    assert all(child.stopped for child in left)
    # Of each three, the stopped one and the kept one must have called; a closed one only if it was born too late.
    assert 8 * 200 <= len(called) <= 8 * 300
    assert not parent._callbacks


def test_a_deadline_counts_down_and_never_below_0(clock: VirtualClock) -> None:
    deadline = Deadline.after(3, clock=clock)
    assert (deadline.remaining(), deadline.expired) == (3, False)
    clock.advance(3)
    assert (deadline.remaining(), deadline.expired) == (0.0, True)
    clock.advance(3)
    assert deadline.remaining() == 0.0


def test_a_deadline_stops_a_token_that_waits_and_one_that_is_looked_at() -> None:
    clock = VirtualClock()
    parent = StopToken(clock=clock)
    waiting, looking = (parent.child(deadline=Deadline.after(5, clock=clock)) for _ in range(2))
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(waiting.wait(1000)))
    thread.start()
    clock.wait_for_waiters(1)
    assert not looking.stopped
    clock.advance(5)
    thread.join(10)

    assert ended == [True]
    assert looking.stopped
    assert looking.reason == "its time is over"
    assert not parent.stopped


def test_a_wait_on_a_child_ends_at_the_deadline_of_its_parent() -> None:
    clock = VirtualClock()
    parent = StopToken(clock=clock, deadline=Deadline.after(5, clock=clock))
    child = parent.child(deadline=Deadline.after(60, clock=clock))
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(child.wait(1000)))
    thread.start()
    clock.wait_for_waiters(1)
    clock.advance(5)
    thread.join(10)

    assert ended == [True]


def test_a_callback_that_comes_after_the_deadline_is_called_at_once(clock: VirtualClock) -> None:
    calls: list[str] = []
    token = StopToken(clock=clock, deadline=Deadline.after(5, clock=clock))
    child = token.child()
    clock.advance(5)
    child.on_stop(lambda: calls.append("child"))
    token.on_stop(lambda: calls.append("itself"))

    assert calls == ["child", "itself"]


def test_who_stops_a_token_may_have_its_callbacks_run_elsewhere() -> None:
    token, calls, elsewhere = StopToken(), [], []
    token.on_stop(lambda: calls.append("first"))
    token.on_stop(lambda: 1 / 0)
    token.on_stop(lambda: calls.append("third"))
    token.stop("now", apart=elsewhere.append)
    assert (token.reason, calls) == ("now", [])
    (run,) = elsewhere
    run()

    assert calls == ["first", "third"]


def test_where_nothing_hangs_on_a_token_nothing_runs_elsewhere() -> None:
    elsewhere: list[object] = []
    StopToken().stop("now", apart=elsewhere.append)

    assert elsewhere == []

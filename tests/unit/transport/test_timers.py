from __future__ import annotations

import math

from kcontroller.testing.clock import VirtualClock
from kcontroller.transport.timers import Timers


def test_timers_are_taken_in_the_order_of_their_times() -> None:
    clock, fired = VirtualClock(), list[str]()
    timers = Timers(clock=clock)
    timers.add(2, lambda: fired.append("second"))
    timers.add(1, lambda: fired.append("first"))
    assert timers.take_due() is None
    clock.advance(2)
    while (timer := timers.take_due()) is not None:
        timer.fire()
    assert fired == ["first", "second"]


def test_nobody_wakes_for_a_timer_that_was_stopped() -> None:
    clock = VirtualClock()
    timers = Timers(clock=clock)
    early, late = timers.add(1, lambda: None), timers.add(5, lambda: None)
    early.stop()
    assert timers.next_at == clock.monotonic() + 5
    late.stop()
    assert timers.next_at == math.inf


def test_the_timers_of_one_who_is_done_are_stopped_and_no_others() -> None:
    clock, done = VirtualClock(), object()
    timers = Timers(clock=clock)
    gone = [timers.add(seconds, lambda: None, owner=done) for seconds in (1, 3)]
    stays = timers.add(2, lambda: None, owner=object())
    timers.stop_of(done)

    assert [timer.over for timer in (*gone, stays)] == [True, True, False]

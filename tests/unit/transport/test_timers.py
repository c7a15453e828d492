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

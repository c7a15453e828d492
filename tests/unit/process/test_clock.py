from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from kcontroller.process.clock import SYSTEM_CLOCK


def test_monotonic_time_does_not_go_back() -> None:
    readings = [SYSTEM_CLOCK.monotonic() for _ in range(1000)]

    assert readings == sorted(readings)


def test_the_age_of_a_lease_runs_on_while_the_machine_sleeps() -> None:
    readings = [SYSTEM_CLOCK.elapsed() for _ in range(1000)]
    assert readings == sorted(readings)
    if sys.platform == "linux":
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert SYSTEM_CLOCK.elapsed() - boot < 1
        assert boot >= time.monotonic() - 1


def test_wall_time_carries_the_zone_utc() -> None:
    now = SYSTEM_CLOCK.now()

    assert now.tzinfo is UTC
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)


def test_a_wait_says_whether_it_was_notified() -> None:
    condition = threading.Condition()

    with condition:
        assert SYSTEM_CLOCK.wait(condition, 0.001) is False
        threading.Thread(target=lambda: notify(condition)).start()
        assert SYSTEM_CLOCK.wait(condition, 10) is True


def notify(condition: threading.Condition) -> None:
    with condition:
        condition.notify()

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kcontroller.events.lane import REQUEST_SECONDS
from kcontroller.events.patience import Patience


def lane(*, failures: int = 0, answered_in: float = 0.0) -> Any:
    return SimpleNamespace(failures=failures, answered_in=answered_in)


def hang_one_after_another(patience: Patience, count: int) -> float:
    """When the last of the lanes that never answer has been found out."""
    now = 0.0
    for _ in range(count):
        seconds = patience.of(lane(), now)
        now += seconds
        patience.spend(seconds, now)
    return now


@pytest.mark.parametrize(("count", "seconds"), [(1, 1.0), (3, 2.0), (40, 6.0), (1000, 103.0)])
def test_the_first_waits_the_longest_and_all_together_cost_little(count: int, seconds: float) -> None:
    assert hang_one_after_another(Patience(), count) <= seconds


def test_a_lane_whose_last_try_failed_has_the_whole_time() -> None:
    patience = Patience()
    hang_one_after_another(patience, 10)
    assert patience.of(lane(failures=1), 10) == REQUEST_SECONDS


@pytest.mark.parametrize(("answered_in", "seconds"), [(0.02, 0.1), (0.5, 2.0), (3.0, REQUEST_SECONDS)])
def test_a_lane_that_is_known_to_be_slow_has_four_times_what_it_took(answered_in: float, seconds: float) -> None:
    patience = Patience()
    patience.spend(10, 0)
    assert patience.of(lane(answered_in=answered_in), 0) == seconds


def test_half_a_minute_later_there_is_patience_again() -> None:
    patience = Patience()
    patience.spend(10, 0)
    assert patience.of(lane(), 15) == pytest.approx(0.5)
    assert patience.of(lane(), 30) == pytest.approx(1.0)
    assert patience.of(lane(), 3000) == pytest.approx(1.0)

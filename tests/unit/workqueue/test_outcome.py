from __future__ import annotations

import math

import pytest

from kcontroller.workqueue import Outcome
from kcontroller.workqueue.outcome import FORGET


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.forget(), (True, False, None, None)),
        (Outcome.after(3, priority=1), (True, False, 3, 1)),
        (Outcome.retry(priority=2), (False, True, None, 2)),
    ],
)
def test_the_table_of_outcomes(outcome: Outcome, expected: tuple[object, ...]) -> None:
    assert (outcome.forgets, outcome.fails, outcome.delay, outcome.priority) == expected


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_a_delay_that_no_clock_reaches_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite number >= 0"):
        Outcome.after(seconds)


def test_the_constant_is_the_value() -> None:
    assert Outcome.forget() == FORGET

from __future__ import annotations

import pytest

from kcontroller.process.spans import span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0, "0 ms"),
        (0.0049, "5 ms"),
        (0.9996, "1 s"),
        (1, "1 s"),
        (41.4, "41 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (100 * 3600, "100 h 0 min"),
    ],
)
def test_a_time_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.process.bucket import Bucket


def test_as_many_as_the_burst_go_at_once_and_the_others_at_the_rate() -> None:
    bucket = Bucket(qps=10, burst=3)

    assert [bucket.reserve(5.0) for _ in range(6)] == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_a_bucket_that_was_left_alone_is_full_and_not_fuller() -> None:
    bucket = Bucket(qps=10, burst=2)
    for _ in range(4):
        bucket.reserve(0.0)

    assert [bucket.reserve(100.0) for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.5, 100), st.integers(1, 10))
def test_no_second_has_more_than_the_burst_and_what_comes_back_in_it(
    pauses: list[float], qps: float, burst: int
) -> None:
    bucket = Bucket(qps, burst)
    now, moments = 0.0, []
    for pause in pauses:
        now += pause
        moments.append(now + bucket.reserve(now))

    assert moments == sorted(moments)
    for start in moments:
        assert sum(start <= moment < start + 1 for moment in moments) <= burst + qps + 1


@pytest.mark.parametrize(("qps", "burst"), [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0)])
def test_a_rate_that_lets_nobody_go_is_refused(qps: float, burst: int) -> None:
    with pytest.raises(ValueError, match="not a token bucket"):
        Bucket(qps, burst)

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.process.backoff import RECONCILE, REFLECTOR, Backoff

FAILURES = st.integers(1, 10**9)


def test_reconciles_are_retried_after_5_ms_doubling_to_1000_s() -> None:
    expected = [min(1000.0, 0.005 * 2**n) for n in range(40)]

    assert [RECONCILE.delay(failures) for failures in range(1, 41)] == pytest.approx(expected)


@pytest.mark.parametrize("failures", [0, -1])
def test_without_failures_there_is_no_delay(failures: int) -> None:
    assert REFLECTOR.delay(failures) == 0.0


@pytest.mark.parametrize(("factor", "failures"), [(2.0, 10**6), (1e300, 3), (2, 10**6), (1.01, 10**6), (math.inf, 2)])
def test_any_number_of_failures_ends_at_the_cap(factor: float, failures: int) -> None:
    assert Backoff(initial=1.0, cap=100.0, factor=factor).delay(failures) == 100.0


def test_a_slow_factor_still_reaches_the_cap() -> None:
    backoff = Backoff(initial=1.0, cap=100.0, factor=1.05)

    assert backoff.delay(90) == pytest.approx(1.05**89)
    assert backoff.delay(200) == 100.0


@given(
    st.floats(1e-6, 1e3),
    st.floats(0, 1e6),
    st.floats(1, 1e9),
    st.floats(0, 10),
    FAILURES,
    st.randoms(use_true_random=False),
)
def test_a_delay_lies_in_its_band(
    initial: float, more: float, factor: float, jitter: float, failures: int, rng: random.Random
) -> None:
    backoff = Backoff(initial=initial, cap=initial + more, factor=factor, jitter=jitter)
    plain = Backoff(initial=initial, cap=initial + more, factor=factor).delay(failures)

    assert initial <= plain <= initial + more
    assert plain <= backoff.delay(failures, rng=rng) <= plain * (1 + jitter)


def test_jitter_spreads() -> None:
    assert len({REFLECTOR.delay(3) for _ in range(100)}) > 50


def test_the_same_randomness_gives_the_same_delay() -> None:
    one, other = (random.Random(1) for _ in range(2))  # noqa: S311 - not a secret

    assert REFLECTOR.delay(3, rng=one) == REFLECTOR.delay(3, rng=other)


@pytest.mark.parametrize(
    "values",
    [
        {"initial": 0.0, "cap": 1.0},
        {"initial": -1.0, "cap": 1.0},
        {"initial": 2.0, "cap": 1.0},
        {"initial": 1.0, "cap": math.inf},
        {"initial": math.nan, "cap": 1.0},
        {"initial": 1.0, "cap": math.nan},
        {"initial": 1.0, "cap": 2.0, "factor": 0.5},
        {"initial": 1.0, "cap": 2.0, "factor": math.nan},
        {"initial": 1.0, "cap": 2.0, "jitter": -0.1},
        {"initial": 1.0, "cap": 2.0, "jitter": math.inf},
        {"initial": 1.0, "cap": 2.0, "jitter": math.nan},
    ],
)
def test_what_would_be_a_busy_loop_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        Backoff(**values)

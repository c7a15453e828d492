from __future__ import annotations

import random

import pytest

from kcontroller.cache.delays import LONGEST_WAIT, WAIT_JITTER, Delays
from kcontroller.errors import ServerError, TooManyRequests
from kcontroller.process.backoff import Backoff


@pytest.fixture
def delays() -> Delays:
    return Delays(Backoff(initial=1.0, cap=60.0, jitter=0.0), random.Random(1))  # noqa: S311 - to be repeated


def cold(seconds: float | None = 1.0) -> TooManyRequests:
    return TooManyRequests("cold", status=429, retry_after=seconds)


def test_a_server_that_says_when_to_come_again_has_not_failed(delays: Delays) -> None:
    waits = [delays.after(cold()) for _ in range(10)]

    assert all(1.0 <= wait <= 1.0 + WAIT_JITTER for wait in waits)
    assert len(set(waits)) == len(waits), "those who were told the same do not come at one moment"
    assert not delays.exhausted
    assert delays.after(ServerError("", status=500)) == 1.0


def test_a_time_beyond_reason_is_not_believed(delays: Delays) -> None:
    assert delays.after(cold(1e9)) <= LONGEST_WAIT * (1 + WAIT_JITTER)


@pytest.mark.parametrize("error", [cold(None), cold(0.0), ServerError("", status=503)])
def test_what_says_no_time_is_a_failure(delays: Delays, error: TooManyRequests | ServerError) -> None:
    assert [delays.after(error) for _ in range(3)] == [1.0, 2.0, 4.0]
    assert delays.exhausted


def test_another_error_that_says_a_time_waits_for_both(delays: Delays) -> None:
    error = ServerError("", status=503, retry_after=3.0)
    waits = [delays.after(error) for _ in range(4)]

    assert all(3.0 <= wait <= 3.0 * (1 + WAIT_JITTER) for wait in waits[:2])
    assert waits[3] == 8.0

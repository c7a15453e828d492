from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.errors import Conflict, NotFound
from kcontroller.testing.clock import VirtualClock
from kcontroller.testing.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


def answers(*given: Any) -> Callable[[], Any]:
    """Give these answers in turn, the last one for ever; exceptions are raised."""
    left = list(given)

    def check() -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return check


def missing() -> NotFound:
    return NotFound("a is not here", status=404)


def test_it_gives_the_first_true_answer() -> None:
    assert eventually(answers(None, 0, "", [], "here")) == "here"


@pytest.mark.parametrize("error", [AssertionError("no"), missing()])
def test_what_is_not_true_yet_is_tried_again(error: Exception) -> None:
    assert eventually(answers(error, error, 7)) == 7


def test_any_other_exception_is_told_at_once() -> None:
    with pytest.raises(Conflict):
        eventually(answers(Conflict(status=409), True))


def test_further_exceptions_can_be_ignored() -> None:
    assert eventually(answers(Conflict(status=409), True), ignoring=(Conflict,))


def test_a_function_of_asserts_holds_when_it_raises_no_more() -> None:
    tries = []

    def check() -> None:
        tries.append(1)
        assert len(tries) > 2

    eventually(check)
    assert len(tries) == 3


def test_a_function_that_may_return_something_does_not_hold_by_returning_none() -> None:
    tries = []

    def check() -> str | None:
        tries.append(1)
        return "x" if len(tries) > 2 else None

    assert eventually(check) == "x"


def test_a_return_of_an_inner_function_is_not_its_own() -> None:
    def check() -> None:
        def inner() -> int:
            return 1

        assert inner() == 1

    eventually(check, within=0)


def test_none_from_what_has_no_source_does_not_hold() -> None:
    with pytest.raises(AssertionError, match="partial did not hold"):
        eventually(functools.partial({}.get, "x"), within=0.002)


def test_the_message_shows_each_answer_when_it_came_and_how_often() -> None:
    check = answers(missing(), missing(), None, None, None, 0)
    with pytest.raises(AssertionError) as caught:
        eventually(check, within=0.05)
    first, *lines = str(caught.value).splitlines()

    assert first.startswith("check did not hold within 0.05 s (")
    assert [line.split(": ", 1)[1] for line in lines[:2]] == [
        "NotFound: 404: a is not here  (2 times)",
        "None  (3 times)",
    ]
    assert lines[2].split(": ", 1)[1].startswith("0  (")
    assert lines[0].startswith("  from 0.0")


def test_the_last_exception_is_the_cause() -> None:
    with pytest.raises(AssertionError) as caught:
        eventually(answers(missing()), within=0.003)

    assert isinstance(caught.value.__cause__, NotFound)


def test_of_many_answers_the_last_are_shown() -> None:
    numbers = iter(range(1000))

    def check() -> Any:
        raise AssertionError(str(next(numbers)))

    with pytest.raises(AssertionError, match=r"other answers") as caught:
        eventually(check, within=0.1)
    assert len(str(caught.value).splitlines()) == 10
    with pytest.raises(AssertionError) as caught:
        eventually(lambda: () or 0, within=0)
    assert "the lambda in line" in str(caught.value)


def test_it_is_tried_at_least_once_and_a_last_time_at_the_end() -> None:
    assert eventually(answers("now"), within=0) == "now"


def test_the_first_tries_are_close_together() -> None:
    tries = []
    with pytest.raises(AssertionError):
        eventually(lambda: tries.append(1), within=0.03)

    assert len(tries) >= 6


def test_on_a_virtual_clock_time_is_not_waited_for() -> None:
    clock = VirtualClock()
    done = []

    def work() -> None:
        condition = threading.Condition()
        with condition:
            clock.wait(condition, 3600)
        done.append(clock.monotonic())

    clock.spawn("work", work)

    assert eventually(lambda: done, within=4000, clock=clock) == [4600.0]


def test_a_virtual_clock_goes_no_further_than_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcontroller.testing.polling._REAL_SECONDS", 0.005)
    clock = VirtualClock()
    condition = threading.Condition()

    def work() -> None:
        with condition:
            clock.wait(condition, 3600)

    thread = clock.spawn("work", work)
    with pytest.raises(AssertionError, match="did not hold within 3599 s"):
        eventually(lambda: False, within=3599, clock=clock)
    assert clock.monotonic() == 1000
    clock.advance(3600)
    thread.join(10)

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from kcontroller.controller.outcomes import Verdict, of_error, of_result
from kcontroller.controller.reconciler import Result
from kcontroller.errors import ModelMismatch, NotSynced, StaleRead, TerminalError, Wait
from kcontroller.workqueue import Outcome


class NoTime(Wait):
    def __init__(self) -> None:  # It forgets what its base needs.
        Exception.__init__(self)


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


_SHARED = caused_by(ValueError(), TerminalError())
TWICE = BaseExceptionGroup("the same one twice", [_SHARED, _SHARED])


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (None, Verdict("success", Outcome.forget())),
        (Result(), Verdict("success", Outcome.forget())),
        (Result(requeue_after=0), Verdict("success", Outcome.forget())),
        (Result(requeue_after=timedelta()), Verdict("success", Outcome.forget())),
        (Result(priority=5), Verdict("success", Outcome.forget())),
        (Result(requeue_after=30), Verdict("requeue_after", Outcome.after(30.0))),
        (Result(requeue_after=0.5, priority=7), Verdict("requeue_after", Outcome.after(0.5, priority=7))),
        (Result(requeue_after=timedelta(minutes=2)), Verdict("requeue_after", Outcome.after(120.0))),
        (Result(requeue=True), Verdict("requeue", Outcome.retry())),
        (Result(requeue=True, priority=-3), Verdict("requeue", Outcome.retry(priority=-3))),
        (Result(requeue=True, requeue_after=1), Verdict("requeue_after", Outcome.after(1.0))),
    ],
)
def test_what_a_return_means(result: Result | None, verdict: Verdict) -> None:
    assert of_result(result) == verdict


@pytest.mark.parametrize("result", [True, 5, "again", {"requeue": True}, Result])
def test_anything_else_is_a_type_error(result: Any) -> None:
    with pytest.raises(TypeError, match="reconcile must return a Result or None, got "):
        of_result(result)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Wait(after=10, why="no database"), Verdict("requeue_after", Outcome.after(10), "no database")),
        (Wait(after=0), Verdict("requeue", Outcome.retry())),
        (Wait(after=-5), Verdict("requeue", Outcome.retry())),
        (StaleRead("behind"), Verdict("requeue", Outcome.retry(), "behind")),
        (NotSynced("not yet"), Verdict("requeue", Outcome.retry(), "not yet")),
        (TerminalError("no use"), Verdict("error", Outcome.forget(), terminal=True)),
        (ModelMismatch("no fit"), Verdict("error", Outcome.forget(), terminal=True)),
        (caused_by(ValueError(), TerminalError()), Verdict("error", Outcome.forget(), terminal=True)),
        (
            caused_by(OSError(), caused_by(ValueError(), TerminalError())),
            Verdict("error", Outcome.forget(), terminal=True),
        ),
        (ExceptionGroup("all", [TerminalError(), ModelMismatch()]), Verdict("error", Outcome.forget(), terminal=True)),
        (
            BaseExceptionGroup("deep", [BaseExceptionGroup("down", [caused_by(ValueError(), TerminalError())])]),
            Verdict("error", Outcome.forget(), terminal=True),
        ),
        (TWICE, Verdict("error", Outcome.forget(), terminal=True)),
        (
            caused_by(ExceptionGroup("a cause", [ValueError()]), TerminalError()),
            Verdict("error", Outcome.forget(), terminal=True),
        ),
        (ExceptionGroup("one may pass", [TerminalError(), ValueError()]), Verdict("error", Outcome.retry())),
        (BaseExceptionGroup("exits", [TerminalError(), SystemExit()]), Verdict("error", Outcome.retry(), panic=True)),
        (ValueError(), Verdict("error", Outcome.retry())),
        (MemoryError(), Verdict("error", Outcome.retry())),
        (SystemExit(1), Verdict("error", Outcome.retry(), panic=True)),
        (KeyboardInterrupt(), Verdict("error", Outcome.retry(), panic=True)),
        (GeneratorExit(), Verdict("error", Outcome.retry(), panic=True)),
    ],
)
def test_what_an_error_means(error: BaseException, verdict: Verdict) -> None:
    assert of_error(error) == verdict


@pytest.mark.parametrize(
    "error",
    [Wait(after=math.inf), Wait(after=math.nan), Wait(after="10"), Wait(after=10**400), NoTime()],  # type: ignore[arg-type]
)
def test_a_wait_that_names_no_time_is_an_ordinary_error(error: BaseException) -> None:
    assert of_error(error) == Verdict("error", Outcome.retry())


def test_causes_in_a_circle_end() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one

    assert of_error(one) == Verdict("error", Outcome.retry())


def test_a_group_whose_part_was_caused_by_it_ends() -> None:
    part = ValueError()
    part.__cause__ = ExceptionGroup("circle", [part])

    assert of_error(part.__cause__) == Verdict("error", Outcome.retry())


class Broken(Wait):
    @property
    def after(self) -> float:
        raise KeyboardInterrupt

    @after.setter
    def after(self, _value: float) -> None: ...


def test_an_error_that_raises_when_it_is_asked_is_an_ordinary_one() -> None:
    assert of_error(Broken(after=1)) == Verdict("error", Outcome.retry())


def test_a_mere_context_is_no_cause() -> None:
    error = ValueError()
    error.__context__ = TerminalError()

    assert of_error(error) == Verdict("error", Outcome.retry())


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"requeue_after": -1}, ValueError, "not negative, got -1"),
        ({"requeue_after": timedelta(seconds=-1)}, ValueError, "not negative"),
        ({"requeue_after": math.inf}, ValueError, "a number of seconds"),
        ({"requeue_after": math.nan}, ValueError, "a number of seconds"),
        ({"requeue_after": 10**400}, OverflowError, "too large"),
        ({"requeue_after": [1]}, TypeError, "float"),
        ({"priority": "high"}, TypeError, "priority must be an int, got str"),
        ({"priority": 1.5}, TypeError, "priority must be an int, got float"),
    ],
)
def test_a_result_refuses_what_the_queue_could_not_work_with(
    values: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Result(**values)


@pytest.mark.parametrize(
    ("result", "again"),
    [
        (Result(), False),
        (Result(requeue=True), True),
        (Result(requeue_after=1), True),
        (Result(requeue_after=0), False),
    ],
)
def test_a_result_says_whether_it_asks_for_another_call(result: Result, again: bool) -> None:  # noqa: FBT001
    assert result.again is again

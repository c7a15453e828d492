from __future__ import annotations

import math

from kcontroller.controller.trial import State, Trial

FIRST, SECOND = ("widget", "one"), ("widget", "two")
A, B = (*FIRST, "a"), (*FIRST, "b")


def test_a_trial_is_over_when_it_was_clean_for_long_enough() -> None:
    trial = Trial(10.0)
    assert (trial.state, trial.due) == (State.WAITING, math.inf)
    assert not trial.tick(1000.0), "no canary is at work"

    assert trial.joined(FIRST, 1000.0)
    assert (trial.state, trial.due) == (State.CLEAN, 1010.0)
    assert not trial.joined(SECOND, 1005.0), "the time has begun with the first"
    assert not trial.tick(1009.9)
    assert trial.tick(1010.0)
    assert trial.state is State.RELEASED


def test_a_failure_lets_the_time_begin_anew_when_all_is_well_again() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    assert trial.failed(A, "a failed", 9.0)
    assert (trial.state, trial.why, trial.due) == (State.FAILING, "a failed", math.inf)
    assert not trial.failed(B, "b failed", 10.0)
    assert not trial.failed(A, "a failed again", 500.0), "it may be tried again seldom: it fails until it succeeds"
    assert not trial.passed(A, 501.0)
    assert (trial.state, trial.why) == (State.FAILING, "b failed")

    assert trial.passed(B, 502.0)
    assert (trial.state, trial.due) == (State.CLEAN, 512.0)


def test_what_passes_and_never_failed_changes_nothing() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)

    assert not trial.passed(A, 5.0)
    assert trial.due == 10.0


def test_without_a_canary_at_work_the_time_does_not_run() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    assert trial.left(FIRST, 9.0)
    assert (trial.state, trial.due) == (State.WAITING, math.inf)

    trial.joined(SECOND, 20.0)
    assert trial.due == 30.0


def test_the_failures_of_a_canary_leave_with_it() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    trial.joined(SECOND, 0.0)
    trial.failed(A, "a failed", 1.0)
    trial.forget(FIRST)
    assert trial.left(FIRST, 2.0)

    assert (trial.state, trial.due) == (State.CLEAN, 12.0)


def test_what_fails_after_the_release_holds_nothing_back_again() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    trial.tick(10.0)

    assert not trial.failed(A, "a failed", 11.0)
    assert not trial.left(FIRST, 12.0)
    assert trial.state is State.RELEASED


def test_every_controller_must_be_at_work_in_a_canary() -> None:
    trial = Trial(10.0)
    trial.expects("widget", 0.0)
    trial.expects("gadget", 0.0)
    assert not trial.joined(FIRST, 0.0)
    assert (trial.state, trial.missing) == (State.WAITING, ("gadget",))

    assert trial.failed(A, "a failed", 1.0)
    assert trial.state is State.FAILING
    assert trial.passed(A, 2.0)
    assert trial.state is State.WAITING

    assert trial.joined(("gadget", "two"), 5.0)
    assert (trial.state, trial.missing, trial.due) == (State.CLEAN, (), 15.0)

    assert trial.expects("late", 6.0)
    assert (trial.state, trial.missing) == (State.WAITING, ("late",))


def test_what_nobody_tries_again_counts_for_the_time_of_a_trial() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    trial.failed(A, "a failed", 1.0)
    assert trial.failing == (A,)
    assert not trial.given_up(A, 2.0)
    assert not trial.given_up(A, 11.9)
    assert trial.given_up(A, 12.0)
    assert (trial.state, trial.failing, trial.due) == (State.CLEAN, (), 22.0)


def test_what_was_given_up_and_fails_again_is_as_new() -> None:
    trial = Trial(10.0)
    trial.joined(FIRST, 0.0)
    trial.failed(A, "a failed", 1.0)
    trial.given_up(A, 2.0)
    trial.failed(A, "a failed", 11.0)

    assert not trial.given_up(A, 20.9)
    assert trial.given_up(A, 30.9)

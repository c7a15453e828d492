from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kcontroller.leaderelection.decision import Decision, Look, Lost, Step, Wait, Write
from kcontroller.leaderelection.options import LeaderElection
from kcontroller.leaderelection.record import Lease

WALL = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = LeaderElection(name="widget", namespace="default", labels={"app": "widget"})


def lease(holder: str, renewed: str = "r1", **spec: Any) -> Lease:
    full = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15, "leaseTransitions": 4, **spec}
    metadata = {"name": "widget", "namespace": "default", "resourceVersion": "7", "uid": "u"}
    return Lease.of({"metadata": metadata, "spec": full})


class Candidate(Decision):
    """A decision with its time."""

    def __init__(self, options: LeaderElection = OPTIONS) -> None:
        super().__init__(options, "me")
        self.now = 100.0
        self.ready = True

    def next(self) -> Step:
        return self.step(self.now, WALL, ready=self.ready)

    def waits(self) -> float:
        step = self.next()
        assert isinstance(step, Wait)
        return step.seconds

    def sees(self, found: Lease | None) -> Step:
        """Read the lease, when it is time for that; returns what follows."""
        step = self.next()
        if isinstance(step, Wait):
            self.now += step.seconds
            step = self.next()
        assert isinstance(step, Look), step
        self.looked(found, self.now)
        return self.next()

    def writes(self, *, takes: float = 0.0) -> Lease:
        """Write, and be answered that it was done."""
        step = self.next()
        assert isinstance(step, Write), step
        sent = self.now
        self.now += takes
        self.written(step.lease, sent=sent, now=self.now)
        return step.lease

    def elected(self) -> Lease:
        self.sees(None)
        return self.writes()


@pytest.fixture
def candidate() -> Candidate:
    return Candidate()


# ---- a standby -------------------------------------------------------------------------------------------------------


def test_where_there_is_no_lease_one_is_made(candidate: Candidate) -> None:
    step = candidate.sees(None)
    assert isinstance(step, Write)
    assert step.create
    assert (step.lease.holder, step.lease.seconds, step.lease.transitions) == ("me", 15, 0)
    assert step.lease.document["metadata"]["labels"] == {"app": "widget"}


def test_a_lease_at_first_sight_is_watched_for_its_whole_duration(candidate: Candidate) -> None:
    found = lease("other", renewTime="1999-01-01T00:00:00.000000Z")
    first = candidate.now
    while isinstance(candidate.sees(found), Wait):
        pass
    assert candidate.now == pytest.approx(first + 15), "neither before, nor only at the try after"


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2199-01-01T00:00:00.000000Z", "", "not a time"])
def test_what_their_clocks_say_does_not_matter(candidate: Candidate, renewed: str) -> None:
    candidate.sees(lease("other", renewed))
    candidate.now += 14.99
    assert isinstance(candidate.sees(lease("other", renewed)), Wait)
    assert isinstance(candidate.sees(lease("other", renewed)), Write)


def test_each_change_begins_the_watch_again(candidate: Candidate) -> None:
    for number in range(5):
        assert isinstance(candidate.sees(lease("other", f"r{number}")), Wait)
        candidate.now += 14.0


def test_the_duration_that_counts_is_the_one_in_the_lease(candidate: Candidate) -> None:
    candidate.sees(lease("other", leaseDurationSeconds=60))
    candidate.now += 59
    assert isinstance(candidate.sees(lease("other", leaseDurationSeconds=60)), Wait)
    candidate.now += 1
    assert isinstance(candidate.sees(lease("other", leaseDurationSeconds=60)), Write)


def taken_after(candidate: Candidate, found: Lease | None) -> tuple[float, int]:
    """Let time pass until the lease is taken; returns the seconds, and how often the server was asked."""
    began, looks = candidate.now, 0
    while not isinstance(step := candidate.next(), Write):
        if isinstance(step, Wait):
            candidate.now += step.seconds
        else:
            looks += 1
            candidate.looked(found, candidate.now)
    return candidate.now - began, looks


@pytest.mark.parametrize("found", [None, lease("")])
def test_one_that_is_not_ready_leaves_a_free_lease_to_the_others_for_a_while(
    candidate: Candidate, found: Lease | None
) -> None:
    candidate.ready = False
    seconds, looks = taken_after(candidate, found)
    assert seconds == pytest.approx(OPTIONS.sync_patience)
    assert looks == pytest.approx(OPTIONS.sync_patience / OPTIONS.retry_period, abs=1), "no more than a standby asks"


def test_one_that_becomes_ready_takes_it_within_a_tenth_of_a_second(candidate: Candidate) -> None:
    candidate.ready = False
    candidate.sees(None)
    candidate.now += 1.0
    candidate.next()
    candidate.ready = True
    assert taken_after(candidate, None)[0] <= 0.1


def test_the_patience_begins_anew_when_a_leader_has_gone(candidate: Candidate) -> None:
    """A standby that never became ready would race the healthy ones otherwise, however long it has waited before."""
    candidate.ready = False
    for _ in range(20):
        assert isinstance(candidate.sees(lease("other", f"r{candidate.now}")), Wait)
    assert taken_after(candidate, lease(""))[0] >= OPTIONS.sync_patience


def test_without_patience_the_caches_do_not_matter() -> None:
    candidate = Candidate(LeaderElection(name="widget", namespace="default", sync_patience=0))
    candidate.ready = False
    assert isinstance(candidate.sees(None), Write)


def test_a_lease_that_states_no_duration_is_watched_for_our_own(candidate: Candidate) -> None:
    candidate.sees(lease("other", leaseDurationSeconds=None))
    candidate.now += 14
    assert isinstance(candidate.sees(lease("other", leaseDurationSeconds=None)), Wait)


def test_without_a_holder_it_is_taken_at_once_and_counted(candidate: Candidate) -> None:
    step = candidate.sees(lease("", leaseDurationSeconds=1))
    assert isinstance(step, Write)
    assert not step.create
    assert (step.lease.holder, step.lease.seconds, step.lease.transitions) == ("me", 15, 5)
    assert step.lease.version == "7", "the server refuses it if somebody was faster"


def test_a_lease_that_is_deleted_is_not_made_before_its_holder_had_the_time_to(candidate: Candidate) -> None:
    candidate.sees(lease("other"))
    candidate.now += 10
    assert isinstance(candidate.sees(None), Wait)
    gone = candidate.now
    candidate.now = gone + 14.9
    assert isinstance(candidate.sees(None), Wait)
    step = candidate.sees(None)
    assert candidate.now == pytest.approx(gone + 15)
    assert isinstance(step, Write)
    assert step.create
    assert step.lease.transitions == 5


def test_a_standby_looks_every_retry_period_and_up_to_four_tenths_more(candidate: Candidate) -> None:
    waits = [step.seconds for _ in range(200) if isinstance(step := candidate.sees(lease("x", f"{_}")), Wait)]
    assert 2.0 <= min(waits) < 2.1
    assert 2.7 < max(waits) <= 2.8


def test_who_lost_the_race_waits(candidate: Candidate) -> None:
    candidate.sees(lease(""))
    candidate.refused(candidate.now)
    assert candidate.waits() >= 2


def test_its_own_write_whose_answer_was_lost_is_known_again(candidate: Candidate) -> None:
    step = candidate.sees(lease("", transitions=4))
    assert isinstance(step, Write)
    candidate.failed(candidate.now + 5)
    again = candidate.sees(step.lease)
    assert isinstance(again, Write), "it need not be watched"
    assert again.lease.transitions == step.lease.transitions
    assert again.lease.document["spec"]["acquireTime"] == step.lease.document["spec"]["acquireTime"]


def test_a_namesake_is_another_candidate(candidate: Candidate) -> None:
    """A pod that comes back under its name does not know whether the old one still works."""
    assert isinstance(candidate.sees(lease("me")), Wait)
    candidate.now += 15
    step = candidate.sees(lease("me"))
    assert isinstance(step, Write)
    assert step.lease.transitions == 5


def test_a_lease_that_is_promised_to_another_is_left_alone(candidate: Candidate) -> None:
    candidate.sees(lease("x", preferredHolder="y"))
    candidate.now += 60
    assert isinstance(candidate.sees(lease("x", preferredHolder="y")), Wait)
    assert isinstance(candidate.sees(lease("", preferredHolder="me")), Write)


def test_an_answer_that_comes_too_late_makes_no_leader(candidate: Candidate) -> None:
    candidate.sees(None)
    candidate.writes(takes=10.0)
    assert not candidate.leading
    assert not candidate.holds(candidate.now)


# ---- a leader --------------------------------------------------------------------------------------------------------


def test_the_term_is_counted_from_before_the_write_was_sent(candidate: Candidate) -> None:
    candidate.sees(None)
    sent = candidate.now
    candidate.writes(takes=4.0)
    assert candidate.leading
    assert candidate.holds(sent + 9.99)
    assert not candidate.holds(sent + 10.0)


def test_it_renews_every_retry_period_without_looking(candidate: Candidate) -> None:
    first = candidate.elected()
    for _ in range(20):
        candidate.now += candidate.waits()
        renewal = candidate.writes()
        assert renewal.transitions == 0
        assert renewal.document["spec"]["acquireTime"] == first.document["spec"]["acquireTime"]
    assert candidate.now == pytest.approx(100 + 20 * 2)


def test_a_renewal_that_is_refused_looks_and_goes_on_if_nobody_took_over(candidate: Candidate) -> None:
    mine = candidate.elected()
    candidate.now += 2
    assert isinstance(candidate.next(), Write)
    candidate.refused(candidate.now)
    step = candidate.sees(Lease.of({**mine.document, "metadata": {**mine.document["metadata"], "labels": {"a": "b"}}}))
    assert isinstance(step, Write)
    assert step.lease.document["metadata"]["labels"] == {"a": "b", "app": "widget"}


def test_a_second_refusal_waits_for_the_next_turn(candidate: Candidate) -> None:
    mine = candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.refused(candidate.now)
    candidate.sees(mine)
    candidate.refused(candidate.now)
    assert candidate.waits() == 2
    assert isinstance(candidate.sees(mine), Write)


def test_an_edited_lease_is_put_right_by_its_leader(candidate: Candidate) -> None:
    candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.refused(candidate.now)
    step = candidate.sees(lease("me", "edited", leaseDurationSeconds=1))
    assert isinstance(step, Write)
    assert step.lease.seconds == 15


def test_a_deleted_lease_is_made_again_by_its_leader(candidate: Candidate) -> None:
    mine = candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.refused(candidate.now)
    step = candidate.sees(None)
    assert isinstance(step, Write)
    assert step.create
    assert (step.lease.holder, step.lease.transitions) == ("me", 0)
    assert step.lease.document["spec"]["acquireTime"] == mine.document["spec"]["acquireTime"]
    assert "resourceVersion" not in step.lease.document["metadata"]


def test_who_finds_another_holder_has_lost(candidate: Candidate) -> None:
    candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.refused(candidate.now)
    assert candidate.sees(lease("other")) == Lost("other holds it")
    assert not candidate.holds(candidate.now)


def test_who_finds_a_namesake_that_took_it_has_lost(candidate: Candidate) -> None:
    """Somebody deleted or freed the Lease, and a process of the same identity was faster; both would lead for ever."""
    candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.refused(candidate.now)
    step = candidate.sees(lease("me", acquireTime="2026-01-01T00:00:02.000000Z"))
    assert step == Lost("another process of the name me holds it")
    assert not candidate.holds(candidate.now)


def test_an_own_renewal_whose_answer_was_lost_is_no_namesakes(candidate: Candidate) -> None:
    candidate.elected()
    candidate.now += 2
    step = candidate.next()
    assert isinstance(step, Write)
    candidate.failed(candidate.now)
    candidate.now += candidate.waits()
    candidate.next()
    candidate.refused(candidate.now)
    assert isinstance(candidate.sees(step.lease), Write)


@pytest.mark.parametrize("transitions", [2**31 - 1, 2**40])
def test_a_count_that_is_full_is_kept_or_no_server_would_take_the_lease(candidate: Candidate, transitions: int) -> None:
    """The API keeps an int32."""
    step = candidate.sees(lease("", leaseTransitions=transitions))
    assert isinstance(step, Write)
    assert step.lease.transitions == 2**31 - 1


def test_failures_are_tried_again_until_the_deadline_and_then_it_is_lost_for_ever(candidate: Candidate) -> None:
    candidate.elected()
    tries = []
    while not isinstance(step := candidate.next(), Lost):
        if isinstance(step, Wait):
            candidate.now += step.seconds
        else:
            assert isinstance(step, Write)
            tries.append((candidate.now - 100, step.timeout))
            candidate.now += 0.5
            candidate.failed(candidate.now)
    assert tries == [(2, 5), (4, 5), (6, 4), (8, 2)], "no request outlives the deadline"
    assert candidate.now == 110
    assert step == Lost("it could not be renewed within 10 s")
    assert candidate.next() == step


def test_a_try_that_used_up_its_time_is_followed_at_once(candidate: Candidate) -> None:
    candidate.elected()
    candidate.now += 2
    candidate.next()
    candidate.now += 5
    candidate.failed(candidate.now)
    assert isinstance(candidate.next(), Write)


def test_an_answer_after_the_deadline_does_not_call_a_leader_back(candidate: Candidate) -> None:
    candidate.elected()
    candidate.now += 8
    candidate.writes(takes=2.0)
    assert isinstance(candidate.next(), Lost)
    assert not candidate.holds(candidate.now)


def test_a_leader_stops_when_another_is_preferred(candidate: Candidate) -> None:
    mine = candidate.elected()
    candidate.now += 2
    step = candidate.next()
    assert isinstance(step, Write)
    spec = {**mine.document["spec"], "preferredHolder": "younger"}
    candidate.written(Lease.of({**mine.document, "spec": spec}), sent=candidate.now, now=candidate.now)
    assert candidate.next() == Lost("the lease is to go to younger")
    assert not candidate.holds(candidate.now)


# ---- giving it back --------------------------------------------------------------------------------------------------


def test_what_is_given_back_is_free_and_keeps_its_count(candidate: Candidate) -> None:
    candidate.sees(lease(""))
    mine = candidate.writes()
    candidate.resign()
    assert not candidate.holds(candidate.now)
    given = candidate.returned(mine, WALL)
    assert given is not None
    assert (given.holder, given.seconds, given.transitions) == ("", 1, 5)


@pytest.mark.parametrize("found", [lease("other"), lease("me", "not ours"), lease("")])
def test_only_its_holder_gives_a_lease_back(candidate: Candidate, found: Lease) -> None:
    candidate.elected()
    candidate.resign()
    assert candidate.returned(found, WALL) is None


def test_what_was_lost_is_not_given_back(candidate: Candidate) -> None:
    mine = candidate.elected()
    candidate.now += 10
    assert isinstance(candidate.next(), Lost)
    assert candidate.returned(mine, WALL) is None

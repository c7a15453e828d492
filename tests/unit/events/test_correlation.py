from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.events.correlation import (
    AGGREGATE_MESSAGES,
    AGGREGATE_SECONDS,
    COMBINED,
    EXPIRY_SECONDS,
    FINISH_SECONDS,
    REFRESH_SECONDS,
    SPAM_BURST,
    SPAM_SECONDS,
    Correlator,
    Verdict,
)
from tests.unit.events.fakes import at, event, pod

if TYPE_CHECKING:
    from kcontroller.events.correlation import Record

CREATE, PATCH, COUNTED, FILTERED = Verdict.CREATE, Verdict.PATCH, Verdict.COUNTED, Verdict.FILTERED


class Told:
    """A correlator whose requests all succeed."""

    def __init__(self, *, series: bool = True, size: int = 4096) -> None:
        self.correlator = Correlator(size=size)
        self.series = series

    def __call__(self, happened: Any, now: float, component: str = "widget") -> tuple[Verdict, Record | None]:
        verdict, record = self.correlator.observe(happened, component, at=at(now), now=now, series=self.series)
        if record is not None and verdict in {CREATE, PATCH}:
            self.correlator.told(record, record.count, now=now)
        return verdict, record

    def verdict(self, happened: Any, now: float, component: str = "widget") -> Verdict:
        return self(happened, now, component)[0]

    def sweep(self, now: float) -> list[int]:
        due = self.correlator.sweep(now=now, series=self.series)
        for record in due:
            self.correlator.told(record, record.count, now=now)
        return [record.count for record in due]


def test_in_core_every_repeat_is_a_patch_with_the_count() -> None:
    told = Told(series=False)

    assert [told(event(), now)[0] for now in range(4)] == [CREATE, PATCH, PATCH, PATCH]
    _verdict, record = told(event(), 60)
    assert record is not None
    assert (record.count, record.first, record.last) == (5, at(0), at(60))


def test_a_series_is_told_at_its_first_repeat_and_counted_here_after_it() -> None:
    told = Told()

    assert [told.verdict(event(), now) for now in range(5)] == [CREATE, PATCH, COUNTED, COUNTED, COUNTED]


@pytest.mark.parametrize(
    ("other", "component"),
    [
        (event("another"), "widget"),
        (event(type_="Warning"), "widget"),
        (event(reason="Shouted"), "widget"),
        (event(obj=pod("b")), "widget"),
        (event(obj=pod("a", namespace="default")), "widget"),
        (event(), "gadget"),
    ],
)
def test_what_differs_is_another_event(other: Any, component: str) -> None:
    told = Told()
    told(event(), 0)

    assert told.verdict(other, 1, component) is CREATE


def test_the_same_of_a_newer_version_of_the_object_is_the_same_event() -> None:
    told = Told()
    told(event(obj=pod(version="7")), 0)

    assert told.verdict(event(obj=pod(version="8")), 1) is PATCH


def test_a_running_series_is_refreshed_every_half_hour() -> None:
    told = Told()
    swept = []
    for now in range(0, 4000, 60):
        told(event(), now)
        if now % FINISH_SECONDS == 0:
            swept += [(now, count) for count in told.sweep(now)]

    assert swept == [(2160, 37), (3960, 67)]
    assert all(later - before >= REFRESH_SECONDS for before, later in zip([60, 2160], [2160, 3960], strict=True))


def test_a_series_ends_after_six_idle_minutes_and_tells_its_last_count() -> None:
    told = Told()
    for now in range(10):
        told(event(), now)

    assert told.sweep(9 + FINISH_SECONDS - 1) == []
    assert told.sweep(9 + FINISH_SECONDS) == [10]
    assert told.sweep(9 + 2 * FINISH_SECONDS) == []
    assert told.verdict(event(), 1000) is CREATE


def test_an_end_without_news_sends_nothing() -> None:
    told = Told()
    told(event(), 0)
    told(event(), 1)

    assert told.sweep(1 + FINISH_SECONDS) == []
    assert len(told.correlator) == 0


def test_closing_tells_every_count_that_is_not_told() -> None:
    told = Told()
    for now in range(5):
        told(event(), now)
    told(event("once"), 5)

    assert [record.count for record in told.correlator.sweep(now=6, series=True, ending=True)] == [5]
    assert len(told.correlator) == 0


def test_in_core_an_event_is_remembered_as_long_as_the_server_keeps_it() -> None:
    told = Told(series=False)
    told(event(), 0)
    assert told.sweep(EXPIRY_SECONDS - 1) == []
    assert told.verdict(event(), EXPIRY_SECONDS - 1) is PATCH
    assert told.sweep(2 * EXPIRY_SECONDS) == []
    assert told.verdict(event(), 2 * EXPIRY_SECONDS) is CREATE


def test_the_tenth_message_and_all_after_it_are_combined() -> None:
    told = Told(series=False)
    for number in range(AGGREGATE_MESSAGES - 1):
        verdict, record = told(event(f"port {number}"), number)
        assert record is not None
        assert (verdict, record.message) == (CREATE, f"port {number}")

    verdict, combined = told(event("port 9"), 10)
    assert combined is not None
    assert (verdict, combined.message) == (CREATE, f"{COMBINED}port 9")
    verdict, again = told(event("port 10"), 11)
    assert again is combined
    assert (verdict, combined.message, combined.count) == (PATCH, f"{COMBINED}port 10", 2)
    assert told.verdict(event("port 3"), 12) is PATCH  # One of the nine keeps its own count.


def test_a_combined_message_still_fits() -> None:
    told = Told()
    records = [told(event(f"{number} {'x' * 1020}"), number)[1] for number in range(10)]

    assert records[-1] is not None
    assert len(records[-1].message.encode()) == 1024


@pytest.mark.parametrize(("pause", "combined"), [(AGGREGATE_SECONDS, True), (AGGREGATE_SECONDS + 1, False)])
def test_ten_quiet_minutes_end_the_combining(pause: float, *, combined: bool) -> None:
    told = Told()
    for number in range(12):
        told(event(f"port {number}"), number)
    _verdict, record = told(event("port 12"), 11 + pause)

    assert record is not None
    assert record.message.startswith(COMBINED) is combined


def test_a_flood_about_one_object_is_cut_after_25_requests_and_let_through_one_in_five_minutes() -> None:
    told = Told(series=False)
    found = Counter(told.verdict(event(), 0) for _ in range(40))

    assert found == {CREATE: 1, PATCH: SPAM_BURST - 1, FILTERED: 40 - SPAM_BURST}
    assert told.verdict(event(), SPAM_SECONDS - 1) is FILTERED
    assert told.verdict(event(), SPAM_SECONDS) is PATCH
    assert told.verdict(event(), SPAM_SECONDS) is FILTERED


def test_what_was_filtered_is_in_the_count_that_is_told_later() -> None:
    told = Told(series=False)
    for _ in range(40):
        told(event(), 0)
    _verdict, record = told(event(), SPAM_SECONDS)

    assert record is not None
    assert record.count == 41


@pytest.mark.parametrize("other", [event(type_="Warning"), event(obj=pod("b"))])
def test_a_flood_costs_other_types_and_objects_nothing(other: Any) -> None:
    told = Told(series=False)
    for _ in range(40):
        told(event(), 0)

    assert told.verdict(other, 0) is CREATE
    assert told.verdict(event(), 0, "gadget") is CREATE


def test_what_is_counted_here_costs_no_token() -> None:
    told = Told()
    found = Counter(told.verdict(event(), 0) for _ in range(1000))

    assert found == {CREATE: 1, PATCH: 1, COUNTED: 998}
    assert told.verdict(event("another"), 0) is CREATE


def test_a_record_that_never_arrived_is_made_anew() -> None:
    told = Told()
    _verdict, record = told.correlator.observe(event(), "widget", at=at(0), now=0, series=True)
    assert record is not None
    told.correlator.forget(record)

    assert told.verdict(event(), 1) is CREATE


def test_a_sweep_leaves_nothing_of_what_has_no_effect_any_more() -> None:
    """Or a fleet would keep a kilobyte for each object that ever had an event."""
    told = Told()
    for number in range(SPAM_BURST - 1):
        told(event(f"port {number}", obj=pod("a")), 0)
    told(event(obj=pod("b")), 0)

    told.sweep(AGGREGATE_SECONDS)
    assert told.correlator.remembered == 3, "the messages of both for ten minutes, and what a has not paid back"
    told.sweep(AGGREGATE_SECONDS + 1)
    assert told.correlator.remembered == 1, "of b nothing"
    told.sweep(SPAM_BURST * SPAM_SECONDS)
    assert told.correlator.remembered == 0


def test_a_sweep_forgives_no_flood() -> None:
    told = Told()
    for number in range(40):
        told(event(f"port {number}", obj=pod(), reason=f"R{number}"), 0)
    told.sweep(SPAM_SECONDS - 1)

    assert told.verdict(event("one more"), SPAM_SECONDS - 1) is FILTERED


def test_the_memory_is_bounded() -> None:
    told = Told(size=16)
    for number in range(1000):
        told(event(obj=pod(f"p{number}")), number)

    assert len(told.correlator) == 16
    assert told.verdict(event(obj=pod("p999")), 1000) is PATCH
    assert told.verdict(event(obj=pod("p0")), 1000) is CREATE


# ---- against models that are slow and plain ------------------------------------------------------------------------


class PlainBucket:
    """Counts in 300ths of a token and goes second by second."""

    def __init__(self) -> None:
        self._units, self._at = SPAM_BURST * 300, 0

    def pay(self, now: int) -> bool:
        while self._at < now:
            self._at += 1
            self._units = min(self._units + 1, SPAM_BURST * 300)
        if self._units < 300:
            return False
        self._units -= 300
        return True


@given(st.lists(st.one_of(st.just(0), st.integers(0, 700)), min_size=20, max_size=120))
def test_the_token_bucket_is_that_of_the_model(pauses: list[int]) -> None:
    told, model, now = Told(series=False), PlainBucket(), 0
    for pause in pauses:
        now += pause
        assert (told.verdict(event(), now) is not FILTERED) == model.pay(now)


def plainly_combined(history: list[tuple[int, str]]) -> list[bool]:
    """Whether each was combined: looks at all that went before, every time."""
    answers: list[bool] = []
    for index, (_now, message) in enumerate(history):
        start = index
        while start and history[start][0] - history[start - 1][0] <= AGGREGATE_SECONDS:
            start -= 1
        distinct = list(dict.fromkeys(text for _when, text in history[start : index + 1]))
        answers.append(distinct.index(message) >= AGGREGATE_MESSAGES - 1)
    return answers


@given(st.lists(st.tuples(st.sampled_from([0, 1, 300, 600, 601, 900]), st.integers(0, 14)), max_size=60))
def test_what_is_combined_is_what_the_model_combines(steps: list[tuple[int, int]]) -> None:
    told, now, history, found = Told(), 0, [], []
    for pause, number in steps:
        now += pause
        history.append((now, f"m{number}"))
        _verdict, record = told(event(f"m{number}"), now)
        found.append(record.message.startswith(COMBINED) if record else None)

    for combined, expected in zip(found, plainly_combined(history), strict=True):
        assert combined in {None, expected}  # None: filtered before there was a record.

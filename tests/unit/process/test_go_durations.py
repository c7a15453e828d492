from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.process.go_durations import parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("300ms", 0.3),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("1h30m5.5s", 5405.5),
        ("-1s", -1.0),
        ("+1s", 1.0),
        ("5us", 5e-6),
        ("5µs", 5e-6),
        ("5\u03bcs", 5e-6),
        ("5ns", 5e-9),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "10 sec", "s", "-", "1s2", "1.2.3s", "٣s", "1d", " 1s", "1s ", "--1s", "infs"]
)
def test_what_is_none_is_refused_with_some_that_are(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == f"'{text}' is not a duration; write 300ms, 10s, 2m or 1h30m"


@pytest.mark.parametrize("text", ["2562048h", "9" * 400 + "h"])
def test_more_than_go_can_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is too long; the longest duration is 2562047h"):
        parse(text)


@given(st.text(alphabet="0123456789.hmsnuµ+- ", max_size=12))
def test_any_text_is_a_number_of_seconds_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse(text), float)
    except ValueError as error:
        assert f"'{text}'" in str(error)  # noqa: PT017 - both outcomes are right

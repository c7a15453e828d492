from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.versions import parse_version


@given(st.integers(1, 2**64 - 1))
def test_a_version_is_its_number(number: int) -> None:
    assert parse_version(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "0", "007", "-1", "+1", " 1", "1 ", "1.0", "1e3", "1_0", "\u00b2", "\u0661", "9" * 21, "abc"]
)
def test_what_may_not_be_compared_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        parse_version(text)

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.cache.poison import DEEPEST, TOO_DEEP, shallow


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_only_what_is_deeper_than_the_limit_is_replaced(brackets: str) -> None:
    opening, closing = (brackets[0] if brackets == "[]" else '{"a":'), brackets[1]
    inside = "1"

    at_limit = (opening * DEEPEST + inside + closing * DEEPEST).encode()
    beyond = (opening * (DEEPEST + 1) + inside + closing * (DEEPEST + 1)).encode()

    assert shallow(at_limit) == at_limit
    assert shallow(beyond) == opening.encode() * DEEPEST + TOO_DEEP + closing.encode() * DEEPEST


def test_brackets_and_quotes_in_strings_do_not_count() -> None:
    text = json.dumps({"a": "[" * 1000, 'b"]]': '\\"{{{', "c": ["}"]}).encode()

    assert shallow(text) == text


def test_siblings_of_what_is_too_deep_stay() -> None:
    deep = "[" * 300 + "]" * 300
    text = f'{{"a":{deep},"b":1,"c":[{deep},2,{deep}]}}'.encode()

    found = json.loads(shallow(text))

    assert found["b"] == 1
    assert found["c"][1] == 2
    assert TOO_DEEP.strip(b'"').decode() in json.dumps(found["c"][2])


@given(st.text(alphabet='[]{}",:\\1 ', max_size=60))
def test_any_text_may_come_in_and_shallow_text_stays(text: str) -> None:
    assert shallow(text.encode()) == text.encode()


def test_text_that_ends_inside_does_not_grow_back() -> None:
    assert shallow(b"[" * 5000) == b"[" * DEEPEST + TOO_DEEP

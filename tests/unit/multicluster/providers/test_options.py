from __future__ import annotations

import pytest

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.options import Option, ProviderType
from kcontroller.testing.providers import MemoryProvider

KIND = ProviderType(
    "Of a test",
    (
        Option("path", "where it is", many=True, required=True),
        Option("count", "how many", int),
        Option("sizes", "how large", int, many=True),
    ),
    lambda _options, _context: MemoryProvider(),
)


def test_values_are_parsed_and_what_was_not_given_is_not_there() -> None:
    assert KIND.parsed("x", [("path", "a"), ("count", "3")]) == {"path": ("a",), "count": 3}


def test_an_option_of_many_values_takes_lists_and_may_be_repeated() -> None:
    given = [("path", "a, b"), ("sizes", "1,2"), ("path", "c"), ("sizes", "3,")]
    assert KIND.parsed("x", given) == {"path": ("a", "b", "c"), "sizes": (1, 2, 3)}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([("pth", "a")], "provider x has no option 'pth'; the known ones are: path, count, sizes"),
        ([("path", "a"), ("count", "1"), ("count", "2")], "provider x: option count is given twice; give it once"),
        ([("path", "a"), ("count", "two")], "provider x: count: invalid literal for int() with base 10: 'two'"),
        ([("path", "a"), ("sizes", "1,two")], "provider x: sizes: invalid literal for int() with base 10: 'two'"),
        ([("count", "1")], "provider x needs option path: where it is"),
        ([("path", " , ")], "provider x needs option path: where it is"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(given: list[tuple[str, str]], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        KIND.parsed("x", given)
    assert str(raised.value) == text

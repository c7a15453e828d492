from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kcontroller.cache.indexes import Index
from tests.unit.cache.objects import entry

ENTRIES = [entry(name, number + 1, namespace=namespace) for number, (name, namespace) in enumerate(["ax", "ay", "bx"])]
fields = st.none() | st.sampled_from(["u", "v", 3, {}]) | st.lists(st.sampled_from(["u", "v", "w"]), max_size=3)


@given(st.lists(st.tuples(st.integers(0, 2), fields), max_size=30))
def test_an_index_finds_what_was_added_and_not_removed(steps: list[tuple[int, object]]) -> None:
    index = Index()
    known: dict[int, object] = {}
    for number, field in steps:
        if number in known:
            index.remove(ENTRIES[number], known.pop(number))
        else:
            index.add(ENTRIES[number], field)
            known[number] = field

        for value in ("u", "v", "w", "3"):
            expected = {
                ENTRIES[other].key
                for other, held in known.items()
                if str(held) == value or (isinstance(held, list) and value in held)
            }
            found = list(index.find(value))
            assert {each.key for each in found} == expected
            assert len(found) == len(expected)


def test_an_index_keeps_nothing_of_values_that_nobody_has() -> None:
    index = Index()
    for each in ENTRIES:
        index.add(each, ["u", "v"])
    for each in ENTRIES:
        index.remove(each, ["u", "v"])

    assert index.content() == {}

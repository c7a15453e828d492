from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.keys import Key
from kcontroller.cache.entry import EntryMap
from tests.unit.cache.objects import entry

keys = st.tuples(st.sampled_from(["", "one", "two"]), st.sampled_from("abc"))


def test_an_entry_has_a_key() -> None:
    assert entry("a", 5, namespace="one").key == Key("one", "a")


def test_entries_with_values_that_cannot_be_hashed_can_be_in_a_set() -> None:
    made = entry("a", 5)

    assert {made, entry("a", 5), entry("a", 6), entry("b", 6)} == {made, entry("a", 6), entry("b", 6)}


@given(st.lists(st.tuples(st.booleans(), keys), max_size=40))
def test_a_map_is_a_dictionary_by_namespace_and_name(steps: list[tuple[bool, tuple[str, str]]]) -> None:
    entries, model = EntryMap(), {}
    for version, (put, key) in enumerate(steps, start=1):
        if put:
            model[key] = entry(key[1], version, namespace=key[0])
            entries.put(model[key])
        else:
            assert entries.pop(*key) is model.pop(key, None)

        assert len(entries) == len(model)
        assert {each.key: each for each in entries} == model
        assert entries.get(*key) is model.get(key)
        for namespace in ("", "one", "three"):
            of_it = [each for each in model.values() if each.namespace == namespace]
            assert list(entries.of_namespace(namespace)) == of_it

    entries.drain()
    assert list(entries) == []

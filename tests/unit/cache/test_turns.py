from __future__ import annotations

import threading

import pytest

from kcontroller.cache.turns import SLICE, Turns, in_turns
from kcontroller.testing import eventually


def test_every_item_has_its_result_in_order() -> None:
    items = list(range(3 * SLICE + 1))

    assert list(in_turns(lambda number: number + 1, items)) == [number + 1 for number in items]
    assert list(in_turns(str, [])) == []


def test_who_waits_longest_is_next_before_the_one_who_has_just_had_its_turn() -> None:
    turns = Turns()
    order: list[str] = []

    def work(name: str) -> None:
        with turns:
            order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "bc"]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            eventually(lambda number=number: len(turns._waiting) == number)
    work("a")
    for thread in threads:
        thread.join(10)

    assert order == ["b", "c", "a"]


def test_a_turn_that_failed_is_handed_on() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="wrong"), turns:
        raise ValueError("wrong")
    with turns:
        assert turns._taken
    assert not turns._taken

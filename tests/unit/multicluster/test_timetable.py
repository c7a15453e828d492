from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kcontroller.multicluster.timetable import Timetable

NAMES = st.sampled_from(["a", "b", "c", "d"])
MOMENTS = st.sampled_from([1.0, 2.0, 3.0, 4.0, math.inf])


@given(st.lists(st.tuples(NAMES, MOMENTS) | st.floats(0, 5), max_size=60))
def test_it_holds_one_moment_for_each_name_whatever_was_set_before(steps: list[tuple[str, float] | float]) -> None:
    table, expected = Timetable(), dict[str, float]()
    for step in steps:
        if isinstance(step, float):
            due = sorted((at, name) for name, at in expected.items() if at <= step)
            assert table.take(step) == [name for _at, name in due]
            expected = {name: at for name, at in expected.items() if at > step}
        else:
            name, at = step
            table.set(name, at)
            expected.pop(name, None)
            expected.update({name: at} if at < math.inf else {})
        assert table.next_at == min(expected.values(), default=math.inf)
        assert len(table) == len(expected)


def test_moments_that_do_not_hold_any_more_take_no_room() -> None:
    table = Timetable()
    table.set("other", 1.0)
    for number in range(10_000):
        table.set("a", 10.0 + number)

    assert len(table._heap) < 200

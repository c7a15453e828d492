from __future__ import annotations

import pytest

from kcontroller.api.keys import Request
from kcontroller.workqueue.delayed import DelayHeap
from kcontroller.workqueue.entry import DELAYED, NEVER, READY, Entry
from kcontroller.workqueue.share import ClusterShare

SHARE = ClusterShare("")


def entry(name: str, due: float) -> Entry:
    made = Entry(Request("", "", name), SHARE)
    made.state = DELAYED
    made.due = due
    return made


def test_entries_come_out_by_time_and_ties_in_order_of_arrival() -> None:
    heap = DelayHeap()
    entries = [entry("a", 2), entry("b", 1), entry("c", 2), entry("d", 1)]
    for one in entries:
        heap.push(one)

    came = [heap.pop_due(5) for _ in range(4)]

    assert [one.request.name for one in came if one] == ["b", "d", "a", "c"]


def test_nothing_comes_out_before_its_time() -> None:
    heap = DelayHeap()
    heap.push(entry("a", 2))

    assert (heap.pop_due(1.9), heap.head()) == (None, 2)


def test_the_head_skips_what_was_removed() -> None:
    heap = DelayHeap()
    first = entry("a", 1)
    heap.push(first)
    heap.push(entry("b", 2))
    heap.remove(first)

    assert (heap.head(), heap.live) == (2, 1)


def test_an_empty_heap_is_never_due() -> None:
    heap = DelayHeap()

    assert (heap.head(), heap.pop_due(1e9)) == (NEVER, None)


def test_moving_delays_again_and_again_takes_no_memory() -> None:
    heap = DelayHeap()
    entries = [entry(str(number), 1000.0) for number in range(10)]
    for one in entries:
        heap.push(one)
    for due in range(999, 0, -1):
        for one in entries:
            heap.remove(one)
            one.due = due
            heap.push(one)
        heap.check_invariants()

    assert len(heap._heap) <= 84


def test_the_check_finds_an_entry_in_a_wrong_state() -> None:
    heap = DelayHeap()
    one = entry("a", 1)
    heap.push(one)
    one.state = READY

    with pytest.raises(AssertionError, match="DELAYED"):
        heap.check_invariants()

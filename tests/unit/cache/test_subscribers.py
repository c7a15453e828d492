from __future__ import annotations

import pytest

from kcontroller.cache.store import Change
from kcontroller.cache.subscribers import SLICE, Subscribers
from tests.unit.cache.feeds import FakeFeed
from tests.unit.cache.objects import entry

KNOWN = [entry(f"n{number:03}", number + 1) for number in range(2 * SLICE + 10)]


class Late:
    """Someone who comes when there is much to tell, on a loop that the test turns."""

    def __init__(self, known: int = len(KNOWN)) -> None:
        self.feed = FakeFeed()
        self.subscribers = Subscribers(self.feed)
        self.heard: list[Change] = []
        self.synced_after: list[int] = []
        self.subscription = self.subscribers.add(
            self.heard.append, lambda: self.synced_after.append(len(self.heard)), KNOWN[:known]
        )

    def told(self, name: str) -> list[Change]:
        return [change for change in self.heard if change.entry.name == name]


@pytest.mark.parametrize("known", [0, 1, SLICE - 1, SLICE])
def test_what_fits_a_slice_is_told_at_once(known: int) -> None:
    late = Late(known)

    assert late.heard == [Change(None, each, initial=True) for each in KNOWN[:known]]
    assert late.synced_after == [known]
    assert late.feed.calls == []


@pytest.mark.parametrize("known", [SLICE + 1, 2 * SLICE, len(KNOWN)])
def test_more_is_told_in_turns_of_the_loop(known: int) -> None:
    late = Late(known)
    assert (len(late.heard), late.synced_after) == (SLICE, [])
    late.feed.run()

    assert late.heard == [Change(None, each, initial=True) for each in KNOWN[:known]]
    assert late.synced_after == [known]


def test_of_what_changes_before_it_was_told_the_change_is_the_first_that_is_heard() -> None:
    late, last = Late(), KNOWN[-1]
    changed = entry(last.name, 9999)
    late.subscribers.tell([Change(last, changed)])
    late.feed.run()

    assert late.told(last.name) == [Change(None, changed, initial=True)]
    assert late.synced_after == [len(KNOWN)]


def test_of_what_was_told_the_change_is_heard_as_it_is() -> None:
    late, first = Late(), KNOWN[0]
    changed = Change(first, entry(first.name, 9999))
    late.subscribers.tell([changed])
    late.feed.run()

    assert late.told(first.name) == [Change(None, first, initial=True), changed]


def test_what_is_gone_before_it_was_told_is_never_heard_of() -> None:
    late, last = Late(), KNOWN[-1]
    late.subscribers.tell([Change(last, None)])
    late.feed.run()
    again = Change(None, entry(last.name, 9999))
    late.subscribers.tell([again])

    assert late.told(last.name) == [again]


def test_a_list_that_comes_in_between_does_not_end_the_beginning() -> None:
    late = Late()
    late.subscribers.synced()
    assert late.synced_after == []
    late.feed.run()

    assert late.synced_after == [len(KNOWN)]


@pytest.mark.parametrize("how", ["close", "clear"])
def test_who_leaves_in_between_hears_nothing_more(how: str) -> None:
    late = Late()
    (late.subscription.close if how == "close" else late.subscribers.clear)()
    late.feed.run()

    assert len(late.heard) == SLICE
    assert late.synced_after == []

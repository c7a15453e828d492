"""Rows 13 to 23 of the conformance list: what an informer tells its handlers. Deviations: DEVIATIONS.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from kcontroller.cache.informer import Informer
from kcontroller.client.discovery import RestMapper
from kcontroller.cluster.cached_kind import CachedKind
from kcontroller.controller import predicates
from kcontroller.controller.event import Event
from tests.unit.cache.feeds import FakeFeed, FakeStream
from tests.unit.cache.listeners import Listener
from tests.unit.cache.objects import PODS, bookmark, key, line, pod, status

if TYPE_CHECKING:
    from kcontroller.cache.store import Change


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def informer(feed: FakeFeed) -> Informer:
    informer = Informer(PODS, feed=feed, clock=feed.clock)
    informer.start()
    return informer


def listed(feed: FakeFeed, *lines: bytes, version: int) -> FakeStream:
    """Stream a list; an expired version comes before all but the first."""
    if version > 10:
        feed.advance(60)
        feed.stream.send(line("ERROR", status(410)))
    return feed.stream.respond().send(*lines, bookmark(version, mark="true"))


def test_13_a_deletion_missed_during_a_cut_is_told_with_the_last_known_object(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    listed(feed, line("ADDED", pod("a", 5, spec={"x": 1})), version=10)
    listed(feed, version=20)

    (change,) = listener.changes[1:]
    assert (change.new, change.unseen) == (None, True)
    assert change.old is not None
    assert msgspec.json.decode(change.old.raw)["spec"] == {"x": 1}


def test_14_a_relist_tells_deletions_before_additions_and_the_store_is_new_already(
    informer: Informer, feed: FakeFeed
) -> None:
    seen: list[tuple[bool, list[str]]] = []

    def handler(change: Change) -> None:
        seen.append((change.new is None, sorted(entry.key.name for entry in informer.store.entries())))

    listed(feed, line("ADDED", pod("a", 5)), version=10)
    informer.subscribe(handler)
    seen.clear()
    listed(feed, line("ADDED", pod("b", 15)), version=20)

    assert seen == [(True, ["b"]), (False, ["b"])]


def test_15_we_tell_a_deletion_and_a_creation_of_what_was_made_again_between_two_lists(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    listed(feed, line("ADDED", pod("a", 5, uid="one")), version=10)
    listener.take()
    listed(feed, line("ADDED", pod("a", 15, uid="two")), version=20)

    assert listener.take() == ["unseen a@5", "add a@15"]


def test_16_a_handler_is_synced_after_its_last_initial_object_has_returned(informer: Informer, feed: FakeFeed) -> None:
    order: list[str] = []

    def handler(change: Change) -> None:
        order.append(f"begin {change.entry.key.name}")
        assert "synced" not in order
        order.append(f"end {change.entry.key.name}")

    informer.subscribe(handler, lambda: order.append("synced"))
    listed(feed, line("ADDED", pod("a", 5)), line("ADDED", pod("b", 6)), version=10)

    assert order == ["begin a", "end a", "begin b", "end b", "synced"]


def test_17_a_late_handler_gets_every_object_as_initial_without_gap_or_duplicate(
    informer: Informer, feed: FakeFeed
) -> None:
    stream = listed(feed, line("ADDED", pod("a", 5)), line("ADDED", pod("b", 6)), version=10)
    stream.send(line("DELETED", pod("a", 11)))
    late = Listener(informer)
    stream.send(line("ADDED", pod("c", 12)))

    assert late.take() == ["initial b@6", "synced", "add c@12"]


def test_18_our_handlers_run_one_after_another_on_the_clusters_thread(informer: Informer, feed: FakeFeed) -> None:
    order: list[str] = []
    informer.subscribe(lambda change: order.append(f"first {change.entry.key.name}"))
    informer.subscribe(lambda change: order.append(f"second {change.entry.key.name}"))
    listed(feed, line("ADDED", pod("a", 5)), line("ADDED", pod("b", 6)), version=10)

    assert order == ["first a", "second a", "first b", "second b"]


def test_19_the_order_of_an_objects_changes_is_kept_for_every_handler(informer: Informer, feed: FakeFeed) -> None:
    one, two = Listener(informer), Listener(informer)
    stream = listed(feed, version=10)
    for version in range(11, 31):
        stream.send(line("ADDED" if version == 11 else "MODIFIED", pod("a", version)))

    expected = ["synced", "add a@11", *(f"update a@{version}->{version + 1}" for version in range(11, 30))]
    assert one.take() == two.take() == expected


def test_20_a_resync_reaches_only_those_who_asked_and_tells_of_objects_as_at_first(feed: FakeFeed) -> None:
    mapper = RestMapper(None)  # type: ignore[arg-type]
    mapper.learn(PODS)
    kind = CachedKind(
        PODS.gvk, PODS.gvk, feed=feed, mapper=mapper, clock=feed.clock, on_trouble=lambda _kind, _error: None
    )
    asked: list[Change] = []
    others: list[Change] = []
    kind.subscribe(asked.append, lambda: None, resync=3600)
    kind.subscribe(others.append, lambda: None)
    kind.start()
    feed.run()
    listed(feed, line("ADDED", pod("a", 5)), version=10)
    streams = len(feed.streams)
    feed.advance(1.1 * 3600)

    assert [change.resync for change in asked] == [False, True]
    assert (asked[1].old, asked[1].new) == (None, asked[0].new)
    assert predicates.generation_changed().admits(Event("", "v1 Pod", asked[1]))
    assert len(others) == 1
    assert len(feed.streams) == streams


def test_20_nobody_else_is_told_of_what_did_not_change(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    listed(feed, line("ADDED", pod("a", 5)), version=10)
    listener.take()
    feed.advance(36_000)
    feed.stream.respond()
    listed(feed, line("ADDED", pod("a", 5)), version=20)

    assert listener.take() == []


def test_21_a_removed_handler_gets_nothing_more_and_removing_it_twice_is_fine(
    informer: Informer, feed: FakeFeed
) -> None:
    listener = Listener(informer)
    stream = listed(feed, line("ADDED", pod("a", 5)), version=10)
    listener.take()
    listener.subscription.close()
    listener.subscription.close()
    stream.send(line("MODIFIED", pod("a", 11)))

    assert listener.take() == []


def test_22_the_canonical_form_is_what_store_and_handlers_see(informer: Informer, feed: FakeFeed) -> None:
    listener = Listener(informer)
    listed(feed, line("ADDED", pod("a", 5, metadata={"managedFields": [{"manager": "m"}]})), version=10)

    (change,) = listener.changes
    assert change.new is informer.store.get(key("a"))
    assert b"managedFields" not in change.entry.raw


def test_23_our_cache_cannot_be_mutated_so_that_no_detector_is_needed(informer: Informer, feed: FakeFeed) -> None:
    listed(feed, line("ADDED", pod("a", 5, metadata={"labels": {"x": "y"}})), version=10)
    entry = informer.store.get(key("a"))
    assert entry is not None

    assert isinstance(entry.raw, bytes)
    assert isinstance(entry.labels, tuple)
    with pytest.raises(AttributeError):
        entry.labels = ()  # type: ignore[misc]

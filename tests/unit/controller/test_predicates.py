from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.selectors import LabelSelector
from kcontroller.controller import predicates
from kcontroller.controller.event import Event
from kcontroller.controller.predicates import Predicate
from tests.unit.controller.fakes import CONFIG_MAP, added, deleted, entry, updated

if TYPE_CHECKING:
    from kcontroller.cache.store import Change

A = entry("a", generation=1, labels={"app": "web"}, annotations={"note": "x"})


def event(change: Change) -> Event:
    return Event("", CONFIG_MAP, change)


def changed(**metadata: Any) -> Change:
    return updated(
        A, entry("a", **{"generation": 1, "labels": {"app": "web"}, "annotations": {"note": "x"}, **metadata})
    )


UPDATES = {
    "spec": changed(generation=2),
    "labels": changed(labels={"app": "db"}),
    "annotations": changed(annotations={}),
    "deletion": changed(deletionTimestamp="2026-01-01T00:00:00Z"),
    "finalizer": changed(finalizers=["example.com/x"]),
    "status": changed(),
    "nothing": updated(A, A),
}
ADMITTED = {
    predicates.generation_changed: {"spec"},
    predicates.labels_changed: {"labels"},
    predicates.annotations_changed: {"annotations"},
    predicates.version_changed: {*UPDATES} - {"nothing"},
    predicates.deletion_started: {"deletion", "finalizer"},
}


@pytest.mark.parametrize("make", ADMITTED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("what", UPDATES)
def test_an_update_counts_if_what_is_compared_differs(make: Any, what: str) -> None:
    assert make().admits(event(UPDATES[what])) is (what in ADMITTED[make])


@pytest.mark.parametrize("make", ADMITTED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("change", [added(A), added(A, initial=True), deleted(A)])
def test_creations_and_deletions_always_count(make: Any, change: Change) -> None:
    assert make().admits(event(change))


WEB, DB = entry("a", labels={"app": "web"}), entry("a", labels={"app": "db"})


@pytest.mark.parametrize(
    ("change", "admitted"),
    [
        (added(WEB), True),
        (added(DB), False),
        (updated(WEB, WEB), True),
        (updated(DB, WEB), True),
        (updated(WEB, DB), True),  # controller-runtime misses this one.
        (updated(DB, DB), False),
        (deleted(WEB), True),
        (deleted(DB), False),
    ],
)
@pytest.mark.parametrize(
    "labels", ["app=web", {"app": "web"}, {"matchLabels": {"app": "web"}}, LabelSelector.of("app=web")]
)
def test_a_selector_admits_what_is_selected_before_or_after(change: Change, admitted: bool, labels: Any) -> None:  # noqa: FBT001
    assert predicates.selector(labels).admits(event(change)) is admitted


@pytest.mark.parametrize("labels", ["a b c", "a=b,", "(", {"matchExpressions": [{"key": "a", "operator": "Near"}]}])
def test_a_malformed_selector_fails_where_it_is_written(labels: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        predicates.selector(labels)


class Fixed(Predicate):
    user_code = False

    def __init__(self, answer: bool) -> None:  # noqa: FBT001
        self.answer = answer
        self.asked = 0

    def admits(self, event: Event) -> bool:
        self.asked += 1
        return self.answer


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_predicates_combine_as_their_operators_say(one: bool, other: bool) -> None:  # noqa: FBT001
    first, second = Fixed(one), Fixed(other)

    assert (first & second).admits(event(added(A))) is (one and other)
    assert (first | second).admits(event(added(A))) is (one or other)
    assert (~first).admits(event(added(A))) is (not one)
    assert (~(first & second)).admits(event(added(A))) is not (one and other)


def test_a_combination_asks_no_more_than_it_must() -> None:
    yes, no, last = Fixed(True), Fixed(False), Fixed(True)
    (no & last).admits(event(added(A)))
    (yes | last).admits(event(added(A)))

    assert last.asked == 0


def test_what_runs_user_code_says_so_through_every_combination() -> None:
    ours, theirs = predicates.generation_changed(), predicates.function(lambda _event: True)

    assert not any(each.user_code for each in (ours, ours & ours, ours | ours, ~ours, predicates.selector("a=b")))
    assert all(each.user_code for each in (theirs, ours & theirs, theirs | ours, ~theirs, ~(ours & theirs)))


def test_a_predicate_that_a_user_writes_counts_as_user_code() -> None:
    class Mine(Predicate):
        def admits(self, event: Event) -> bool:
            return True

    assert Mine().user_code


def test_a_function_sees_the_event_and_its_answer_is_taken_as_a_truth() -> None:
    seen: list[Any] = []

    def decide(event: Event) -> Any:
        seen.append((event.type, event.old.metadata.name, event.new.metadata.labels))
        return []

    assert predicates.function(decide).admits(event(updated(WEB, DB))) is False
    assert seen == [("updated", "a", {"app": "db"})]


# ---- the event -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "old", "new"),
    [
        (added(A), "added", None, "a"),
        (updated(A, A), "updated", "a", "a"),
        (deleted(A), "deleted", "a", None),
    ],
)
def test_an_event_says_what_happened(change: Change, kind: str, old: str | None, new: str | None) -> None:
    found = event(change)

    assert (found.type, found.reason) == (kind, f"ConfigMap {kind}")
    assert found.old is None if old is None else found.old.metadata.name == old
    assert found.new is None if new is None else found.new.metadata.name == new


def test_an_event_decodes_an_object_once() -> None:
    found = event(added(A))

    assert found.new is found.new

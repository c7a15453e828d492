from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kcontroller.api.codec import gvk_of
from kcontroller.api.keys import Request
from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.projection import Projection
from kcontroller.controller import predicates
from kcontroller.controller.event import Event
from kcontroller.controller.predicates import Predicate
from tests.unit.controller.fakes import CONFIG_MAP, added, deleted, document, entry, updated

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry
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


def test_of_a_kind_without_generation_every_update_counts() -> None:
    """Unlike in controller-runtime, where none of a ConfigMap's does."""
    old, new = entry("a"), entry("a")

    assert (old.generation, new.generation) == (0, 0)
    assert predicates.generation_changed().admits(event(updated(old, new)))
    assert not predicates.generation_changed().admits(event(updated(old, old)))


@pytest.mark.parametrize("make", ADMITTED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("change", [added(A), added(A, initial=True), deleted(A)])
def test_creations_and_deletions_always_count(make: Any, change: Change) -> None:
    assert make().admits(event(change))


# ---- declared fields -------------------------------------------------------------------------------------------------


def with_spec(spec: Any, **metadata: Any) -> Entry:
    body = document("a", **metadata) | {"spec": spec}
    return Projection(gvk_of(CONFIG_MAP), compress=False).entry(json.dumps(body).encode())


SPEC = {"replicas": 1, "image": "a", "ports": [80], "x.y/z": 1}


@pytest.mark.parametrize(
    ("paths", "spec", "admitted"),
    [
        (["spec.replicas"], {"replicas": 2}, True),
        (["spec.replicas"], {"image": "b"}, False),
        (["spec.replicas"], {"replicas": None}, True),
        (["spec.absent"], {"absent": 0}, True),
        (["spec.absent"], {"image": "b"}, False),
        (["spec.ports"], {"ports": [80, 81]}, True),
        (["spec.ports"], {"image": "b"}, False),
        (["spec"], {"image": "b"}, True),
        (["spec.image", "spec.replicas"], {"replicas": 2}, True),
        ([r"spec.x\.y/z"], {"x.y/z": 2}, True),
        (["spec.image.tag"], {"image": "b"}, False),
    ],
)
def test_a_declared_field_is_compared_before_and_after(paths: list[str], spec: Any, admitted: bool) -> None:  # noqa: FBT001
    change = updated(with_spec(SPEC), with_spec(SPEC | spec))

    assert predicates.field_changed(*paths).admits(event(change)) is admitted


def test_a_label_and_an_annotation_are_fields_too() -> None:
    old, new = (with_spec({}, labels={"tier": tier}, annotations={"a.b/c": tier}) for tier in ("web", "db"))

    assert predicates.field_changed("metadata.labels.tier").admits(event(updated(old, new)))
    assert predicates.field_changed(r"metadata.annotations.a\.b/c").admits(event(updated(old, new)))
    assert not predicates.field_changed("metadata.labels.team").admits(event(updated(old, new)))


def test_a_field_that_comes_with_the_object_or_goes_with_it_counts() -> None:
    predicate = predicates.field_changed("spec.replicas")

    assert predicate.admits(event(added(with_spec(SPEC))))
    assert predicate.admits(event(deleted(with_spec(SPEC))))
    assert not predicate.user_code


@pytest.mark.parametrize("paths", [[], [""], ["spec..x"], ["spec."], [1]])
def test_a_malformed_path_fails_where_it_is_written(paths: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"is not a path to compare; write it like 'spec\.replicas'"):
        predicates.field_changed(*paths)


def test_combinations_know_the_paths_of_their_parts() -> None:
    replicas, image = predicates.field_changed("spec.replicas"), predicates.field_changed("spec.image")

    assert (~(replicas & image) | predicates.annotations_changed()).paths == (
        "spec.replicas",
        "spec.image",
        "metadata.annotations",
    )


# ---- what has no object ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "predicate",
    [
        *(make() for make in ADMITTED),
        predicates.field_changed("spec.replicas"),
        predicates.selector("app=web"),
        ~predicates.selector("app=web"),
        predicates.generation_changed() & ~predicates.labels_changed(),
    ],
)
def test_what_looks_at_objects_lets_pass_what_a_raw_source_says(predicate: Predicate) -> None:
    assert predicate.admits(Event.generic("", Request("", "n", "a"), "channel"))


def test_a_function_sees_what_a_raw_source_says() -> None:
    said = Event.generic("eu", Request("eu", "n", "a"), "channel")
    predicate = predicates.function(lambda event: event.request.name == "a" and event.old is event.new is None)

    assert predicate.admits(said)
    assert not (~predicate).admits(said)
    assert (said.type, said.reason, said.cluster, said.sides) == ("generic", "channel", "eu", ())


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


def even(event: Event) -> bool:
    return len(event.new.metadata.name) % 2 == 0


class Mine(predicates.Predicate):
    def admits(self, event: Event) -> bool:
        return True


@pytest.mark.parametrize(
    ("predicate", "name"),
    [
        (predicates.generation_changed(), "generation_changed"),
        (predicates.labels_changed(), "labels_changed"),
        (predicates.annotations_changed(), "annotations_changed"),
        (predicates.version_changed(), "version_changed"),
        (predicates.deletion_started(), "deletion_started"),
        (predicates.field_changed("spec.replicas", "spec.a"), "field_changed('spec.replicas', 'spec.a')"),
        (predicates.selector({"app": "web"}), "selector('app=web')"),
        (predicates.function(even), "function(even)"),
        (Mine(), "Mine"),
        (
            (predicates.generation_changed() | ~predicates.labels_changed()) & Mine(),
            "((generation_changed | ~labels_changed) & Mine)",
        ),
    ],
)
def test_a_predicate_says_what_it_is(predicate: predicates.Predicate, name: str) -> None:
    assert str(predicate) == name

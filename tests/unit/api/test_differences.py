from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcontroller.api.differences import merge_diff, rebase, same, touches_list
from tests.unit.merge_patches import merge_apply

NAMES = st.sampled_from(["a", "b", "c", "name", "type"])
LEAVES = st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "y"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


@settings(max_examples=500)
@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_applied_gives_the_other_document(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = copy.deepcopy((before, after))
    patch = merge_diff(before, after)
    assert same(merge_apply(before, patch), after)
    assert bool(patch) is not same(before, after)
    assert (before, after) == kept


@settings(max_examples=200)
@given(DOCUMENTS, DOCUMENTS)
def test_without_changes_of_ours_theirs_stays(theirs: dict[str, Any], base: dict[str, Any]) -> None:
    assert same(rebase(theirs, base, base), theirs)


@settings(max_examples=500)
@given(DOCUMENTS, DOCUMENTS)
def test_without_changes_of_theirs_ours_stands(base: dict[str, Any], ours: dict[str, Any]) -> None:
    kept = copy.deepcopy((base, ours))
    assert same(rebase(copy.deepcopy(base), base, ours), ours)
    assert (base, ours) == kept


@settings(max_examples=200)
@given(DOCUMENTS, DOCUMENTS, VALUES)
def test_a_field_that_only_they_know_survives(base: dict[str, Any], ours: dict[str, Any], value: Any) -> None:
    assert same(rebase({**base, "unknown": value}, base, ours)["unknown"], value)


@settings(max_examples=200)
@given(DOCUMENTS, LEAVES, LEAVES, LEAVES)
def test_at_the_same_leaf_ours_wins(rest: dict[str, Any], theirs: Any, base: Any, ours: Any) -> None:
    merged = rebase({**rest, "leaf": theirs}, {**rest, "leaf": base}, {**rest, "leaf": ours})
    assert same(merged["leaf"], theirs if same(base, ours) else ours)


TEXTS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)


@given(TEXTS, TEXTS, TEXTS)
def test_a_list_of_distinct_strings_is_a_set(theirs: list[str], base: list[str], ours: list[str]) -> None:
    added, removed = set(ours) - set(base), set(base) - set(ours)
    merged = rebase({"finalizers": theirs}, {"finalizers": base}, {"finalizers": ours})["finalizers"]
    assert set(merged) == (set(theirs) - removed) | added
    assert len(merged) == len(set(merged))


def conditions(**statuses: str) -> list[dict[str, str]]:
    return [{"type": type_, "status": status} for type_, status in statuses.items()]


def test_a_condition_that_someone_else_added_survives() -> None:
    merged = rebase(conditions(Ready="False", Theirs="True"), conditions(Ready="False"), conditions(Ready="True"))
    assert merged == conditions(Ready="True", Theirs="True")


def test_a_condition_that_someone_else_removed_stays_removed() -> None:
    theirs, base = conditions(Ready="False"), conditions(Ready="False", Old="True")
    assert rebase(theirs, base, conditions(Ready="True", Old="True")) == conditions(Ready="True")


def test_a_named_item_is_merged_field_by_field() -> None:
    base = [{"name": "web", "image": "a", "cpu": 1}, {"name": "log", "image": "b"}]
    theirs = [{"name": "web", "image": "a", "cpu": 2}, {"name": "log", "image": "b"}]
    ours = [{"name": "web", "image": "new", "cpu": 1}]
    assert rebase(theirs, base, ours) == [{"name": "web", "image": "new", "cpu": 2}]


def test_a_reordering_of_named_items_is_kept_although_theirs_has_unknown_fields() -> None:
    base = [{"name": "a"}, {"name": "b"}]
    theirs = [{"name": "a", "x": 1}, {"name": "b", "x": 2}]
    assert rebase(theirs, base, base[::-1]) == theirs[::-1]
    assert rebase(theirs, base, [{"name": "new"}, *base]) == [{"name": "new"}, *theirs]


def test_items_without_a_name_are_matched_by_position_while_none_came_or_went() -> None:
    assert rebase([{"a": 1, "x": 1}], [{"a": 1}], [{"a": 2}]) == [{"a": 2, "x": 1}]
    assert rebase([{"a": 1, "x": 1}], [{"a": 1}], [{"a": 1}, {"a": 2}]) == [{"a": 1}, {"a": 2}]


def test_repeated_words_are_no_set() -> None:
    ours = ["--x", "1", "--y", "1"]
    assert rebase(["--x", "1", "--x"], ["--x", "1"], ours) == ours


def test_the_last_finalizer_that_they_removed_does_not_come_back() -> None:
    assert rebase({}, {"finalizers": ["a"]}, {"finalizers": ["a", "b"]}) == {"finalizers": ["b"]}
    assert rebase({}, {"finalizers": ["a", "b"]}, {"finalizers": ["a"]}) == {}
    assert rebase({"finalizers": None}, {"finalizers": ["a"]}, {"finalizers": ["a", "b"]}) == {"finalizers": ["b"]}


def test_of_a_map_that_they_lack_only_what_we_changed_is_set() -> None:
    assert rebase({}, {"t": {"a": 1, "b": 2}}, {"t": {"a": 5, "b": 2}}) == {"t": {"a": 5}}


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), ([1], [True]), ({"a": 0}, {"a": False})])
def test_true_is_not_one(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert same(merge_apply({"x": one}, merge_diff({"x": one}, {"x": other})), {"x": other})
    assert same(rebase({"x": one}, {"x": one}, {"x": other}), {"x": other})


@pytest.mark.parametrize(
    ("patch", "before", "touches"),
    [
        ({"a": 1}, {"a": 2}, False),
        ({"a": {"b": None}}, {"a": {"b": 1}}, False),
        ({"a": [1]}, {}, True),
        ({"a": []}, {"a": [1]}, True),
        ({"a": None}, {"a": [1]}, True),
        ({"a": None}, {"a": {"b": {"c": []}}}, True),
        ({"a": None}, {"a": {"b": 1}}, False),
        ({"a": {"b": {"c": [1]}}}, {}, True),
        ({"a": "x"}, {"a": [1]}, True),
        ({"a": {"b": 1}}, {"a": [1]}, True),
        ({"a": {"b": 1}}, {"a": {"c": [1]}}, False),
    ],
)
def test_a_patch_that_replaces_or_removes_a_list_is_told(patch: Any, before: Any, *, touches: bool) -> None:
    assert touches_list(patch, before) is touches


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # The examples of RFC 7386, appendix A, that are documents or parts of them.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_applied_as_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_apply(target, patch) == result

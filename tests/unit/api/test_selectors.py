from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.api.selectors import FieldSelector, LabelSelector, Requirement

KEYS = st.text("abz-./_09in", min_size=1, max_size=8)
VALUES = st.text("abz-._09", max_size=6)
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from(["in", "notin"]), st.lists(VALUES, min_size=1).map(tuple)),
    st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)
FIELD_VALUES = st.text("ab,=\\! é", max_size=6).filter(lambda text: text == text.strip())


@given(st.lists(REQUIREMENTS, max_size=4), LABELS)
def test_a_label_selector_reads_what_it_writes(requirements: list[Requirement], labels: dict[str, str]) -> None:
    selector = LabelSelector(tuple(requirements))
    again = LabelSelector.parse(str(selector))
    assert str(again) == str(selector)
    assert again.matches(labels) == selector.matches(labels)


@given(LABELS)
def test_a_mapping_selects_the_labels_it_holds(labels: dict[str, str]) -> None:
    assert LabelSelector.of(labels).matches({**labels, "else": "x"})
    assert LabelSelector.of(labels) == LabelSelector.of({"matchLabels": labels})


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("  ", {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a = b , c", {"a": "b", "c": ""}, True),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("! a", {}, True),
        ("a in (x, y)", {"a": "y"}, True),
        ("a in (x,y)", {}, False),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y)", {"a": "x"}, False),
        ("in in (in)", {"in": "in"}, True),
        ("a in ()", {"a": ""}, True),
        ("a=b,a!=b", {"a": "b"}, False),
    ],
)
def test_a_label_selector_means_what_it_means_to_the_server(
    text: str, labels: dict[str, str], *, matches: bool
) -> None:
    assert LabelSelector.parse(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text", ["a=b,", ",a", "a,,b", "a b", "=b", "!a=b", "a=b=c", "a in x", "a in (x", "a>5", "a<5", "a=b>c", "(", "a!b"]
)
def test_a_malformed_label_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is malformed at position"):
        LabelSelector.parse(text)


@pytest.mark.parametrize("value", ["x,admin", "x)", "a b", "x=y", "!", 1, None, True])
def test_a_label_value_cannot_smuggle_in_another_term(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be the value of label owner"):
        LabelSelector.of({"owner": value})


@pytest.mark.parametrize("key", ["", "a,b", "a=b", "!a", "a in", 1])
def test_a_label_key_cannot_smuggle_in_another_term(key: object) -> None:
    with pytest.raises(ValueError, match="cannot be the key of a label selector"):
        LabelSelector.of({key: "x"})  # type: ignore[dict-item]


def test_match_expressions_are_read() -> None:
    selector = LabelSelector.of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "env", "operator": "NotIn", "values": ["dev"]},
                {"key": "x", "operator": "Exists"},
                {"key": "y", "operator": "DoesNotExist", "values": None},
            ],
        }
    )
    assert str(selector) == "app=web,tier in (a,b),env notin (dev),x,!y"


@pytest.mark.parametrize(
    "expression",
    [
        {},
        {"key": "a"},
        {"key": "a", "operator": "Gt", "values": ["1"]},
        {"operator": "Exists"},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "NotIn", "values": []},
        {"key": "a", "operator": "Exists", "values": ["x"]},
    ],
)
def test_a_malformed_match_expression_is_refused_in_one_line(expression: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"selector|matchExpressions"):
        LabelSelector.of({"matchExpressions": [expression]})


def test_no_selector_matches_everything() -> None:
    assert LabelSelector.of(None).matches({})
    assert LabelSelector.of({"matchLabels": None}).matches({"a": "b"})
    assert str(LabelSelector.of(None)) == ""
    assert str(FieldSelector.of(None)) == ""


@given(st.lists(st.tuples(st.text("ab.", min_size=1), st.booleans(), FIELD_VALUES), max_size=3))
def test_a_field_selector_reads_what_it_writes(terms: list[tuple[str, bool, str]]) -> None:
    selector = FieldSelector(tuple(terms))
    assert FieldSelector.parse(str(selector)) == selector


@pytest.mark.parametrize("text", ["a", "=b", "a=b=c", "!=b", "a b=c", "a=\\x"])
def test_a_malformed_field_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is malformed; write it like"):
        FieldSelector.parse(text)


def test_a_field_value_cannot_smuggle_in_another_term() -> None:
    assert str(FieldSelector.of({"metadata.name": "a,spec.x=b"})) == "metadata.name=a\\,spec.x\\=b"


@pytest.mark.parametrize("fields", [{"spec.replicas": 3}, {"a,b": "c"}, {"": "c"}])
def test_a_field_that_is_no_text_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not a term of a field selector"):
        FieldSelector.of(fields)


def test_a_field_selector_takes_both_signs() -> None:
    assert FieldSelector.parse("a==b, c!=d").terms == (("a", True, "b"), ("c", False, "d"))

"""Label and field selectors as the server reads them; the wanted words are those of apimachinery 0.36.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kcontroller.embedded.calls import Selection
from kcontroller.embedded.selector_grammar import FieldSelector, LabelSelector
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.embedded.conftest import Server

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
OPERATORS = "in, notin, =, ==, !=, gt, lt"
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _read(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.key, each.operator, each.values) for each in LabelSelector.parse(text).requirements]


def _refusal(text: str) -> str:
    with pytest.raises(ValueError) as caught:
        LabelSelector.parse(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\0=", " \0a"])
def test_an_empty_label_selector_has_no_requirements_and_matches_everything(text: str) -> None:
    selector = LabelSelector.parse(text)
    assert selector.requirements == ()
    assert selector.matches({})


@pytest.mark.parametrize(
    ("text", "operator", "values"),
    [
        ("k", "exists", ()),
        ("!k", "!", ()),
        ("! k", "!", ()),
        ("k=", "=", ("",)),
        ("k=v", "=", ("v",)),
        ("k==v", "==", ("v",)),
        (" k != v ", "!=", ("v",)),
        ("k>1", ">", ("1",)),
        ("k in (b,a,b)", "in", ("a", "b")),
        ("k in()", "in", ("",)),
        ("k in (,)", "in", ("",)),
        ("k in (a,,b)", "in", ("", "a", "b")),
        ("k in (a,)", "in", ("", "a")),
        ("k notin ( in , notin )", "notin", ("in", "notin")),
        ("k\0=\0v", "=", ("v",)),
    ],
)
def test_a_requirement_has_key_operator_and_values(text: str, operator: str, values: tuple[str, ...]) -> None:
    assert _read(text) == [("k", operator, values)]


def test_words_of_the_grammar_may_be_keys_and_values() -> None:
    assert _read("in=notin,notin in (in),!in") == [
        ("in", "=", ("notin",)),
        ("notin", "in", ("in",)),
        ("in", "!", ()),
    ]


def test_an_empty_value_ends_at_the_comma() -> None:
    assert _read("a=,b!=,c") == [("a", "=", ("",)), ("b", "!=", ("",)), ("c", "exists", ())]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=,,b", "found ',', expected: identifier after ','"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("a b", f"unable to parse requirement: found 'b', expected: {OPERATORS}"),
        ("in (b)", f"unable to parse requirement: found '(', expected: {OPERATORS}"),
        ("a!b", f"unable to parse requirement: found '!', expected: {OPERATORS}"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a notin", "unable to parse requirement: found '' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("a in (b,!)", "unable to parse requirement: found '!', expected: ',', or identifier"),
    ],
)
def test_a_label_selector_that_breaks_the_grammar_is_refused_at_its_first_fault(text: str, message: str) -> None:
    assert _refusal(text) == message


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("-a=b", f'<nil>: Invalid value: "-a": {NAME_PART}'),
        ("!/c", '<nil>: Invalid value: "/c": prefix part must be non-empty'),
        ("a/", f'<nil>: Invalid value: "a/": name part must be non-empty; {NAME_PART}'),
        ("a=b/c", f'values[0][a]: Invalid value: "b/c": {LABEL_VALUE}'),
        ('a="', f'values[0][a]: Invalid value: "\\"": {LABEL_VALUE}'),
        ("a<-0", f'values[0][a]: Invalid value: "-0": {LABEL_VALUE}'),
        ("a=" + "x" * 64, f'values[0][a]: Invalid value: "{"x" * 64}": must be no more than 63 bytes'),
        (
            "a in (-,b,_)",
            f'[values[0][a]: Invalid value: "-": {LABEL_VALUE}, values[1][a]: Invalid value: "_": {LABEL_VALUE}]',
        ),
    ],
)
def test_keys_and_values_of_a_label_selector_are_checked(text: str, wrong: str) -> None:
    assert _refusal(text) == f"unable to parse requirement: {wrong}"


@pytest.mark.parametrize("value", ["x", "", "1.5", "9223372036854775808", "1_0", "0x1"])
@pytest.mark.parametrize("sign", ["<", ">"])
def test_only_integers_of_64_bits_are_compared_with(sign: str, value: str) -> None:
    wrong = f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
    assert _refusal(f"a{sign}{value}") == f"unable to parse requirement: {wrong}"


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a=", {}, False),
        ("a=", {"a": ""}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1,2)", {"a": "2"}, True),
        ("a in (1,2)", {}, False),
        ("a notin (1,2)", {"a": "2"}, False),
        ("a notin (1,2)", {}, True),
        ("a", {"a": ""}, True),
        ("a", {"b": "a"}, False),
        ("!a", {"a": ""}, False),
        ("!a", {}, True),
        ("a=1,b", {"a": "1", "b": "x"}, True),
        ("a=1,b", {"a": "1"}, False),
        ("a=1,a=2", {"a": "1"}, False),
    ],
)
def test_labels_are_matched(text: str, labels: Mapping[str, str], expected: object) -> None:
    assert LabelSelector.parse(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("a>1", "2", True),
        ("a>1", "1", False),
        ("a>9", "10", True),
        ("a<10", "9", True),
        ("a<1", "1", False),
        ("a<1", "-5", True),
        ("a>007", "8", True),
        ("a>0,a<9", "5", True),
        ("a>1", "x", False),
        ("a<1", "", False),
        ("a>1", "9223372036854775807", True),
        ("a>1", "9223372036854775808", False),
    ],
)
def test_labels_are_compared_as_integers(text: str, value: str, expected: object) -> None:
    assert LabelSelector.parse(text).matches({"a": value}) is expected


def test_a_label_that_is_absent_compares_with_nothing() -> None:
    assert not LabelSelector.parse("a>0").matches({})
    assert not LabelSelector.parse("a<0").matches({})


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        (",,", []),
        ("=", []),
        ("!=", []),
        ("a=b", [("a", True, "b")]),
        ("a==b", [("a", True, "b")]),
        ("a!=b", [("a", False, "b")]),
        ("a=", [("a", True, "")]),
        ("=a", [("", True, "a")]),
        (" a = b c ", [(" a ", True, " b c ")]),
        ("a!b=c", [("a!b", True, "c")]),
        ("z=1,a!=2", [("a", False, "2"), ("z", True, "1")]),
        (r"a=b\,c,d=\=\\", [("a", True, "b,c"), ("d", True, "=\\")]),
        ("a=b\nc", [("a", True, "b\nc")]),
    ],
)
def test_a_field_selector_has_terms_in_order(text: str, terms: list[tuple[str, bool, str]]) -> None:
    assert list(FieldSelector.parse(text).terms) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("z=1,b>2,a<3", "invalid selector: 'z=1,b>2,a<3'; can't understand 'a<3'"),
        ("a=!=b", "invalid field selector: unescaped character in value: 61"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_field_selector_that_breaks_the_grammar_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        FieldSelector.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("labelSelector=a%3Db%3Dc&fieldSelector=a", "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=a&fieldSelector=a", "invalid selector: 'a'; can't understand 'a'"),
    ],
)
def test_a_request_is_refused_for_its_label_selector_first(server: Server, query: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        Selection.of(server.call("GET", f"{CONFIG_MAPS}?{query}"))
    assert (caught.value.code, caught.value.reason, caught.value.message) == (400, "BadRequest", message)


def test_a_request_without_selectors_means_everything(server: Server) -> None:
    assert Selection.of(server.call("GET", CONFIG_MAPS)) == Selection(LabelSelector(), FieldSelector())

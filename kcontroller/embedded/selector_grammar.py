"""Label and field selectors as the server reads them, refused in its words.

The rules and texts are those of apimachinery: ``Parse`` of pkg/labels and ``ParseSelector`` of pkg/fields. They are
looser in some places, and tighter in others, than what the framework lets its own callers write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from kcontroller.embedded.gotext import quoted
from kcontroller.embedded.validation.names import label_value, qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Go's lexer takes a NUL for the end of the text, and swallows one that ends a word or a symbol.
_TOKEN: Final = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^\0 \t\r\n=!(),<>]*)\0?")
_END: Final = ""
_NOT_WORDS: Final = frozenset({_END, "=", "==", "!=", "!", "(", ")", ",", "<", ">"})
_OPERATORS: Final = frozenset({"in", "notin", "=", "==", "!=", ">", "<"})
_INTEGER: Final = re.compile(r"([+-]?)0*([0-9]{1,19})")
_INT64: Final = range(-(2**63), 2**63)

_FIELD_TERMS: Final = re.compile(r"(?:[^\\,]|\\.?)+", re.DOTALL)
_FIELD_TERM: Final = re.compile(r"(?P<path>.*?)(?P<sign>!=|==|=)(?P<value>.*)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(?P<character>[\\,=])|(?P<sequence>\\.?)|(?P<bare>[,=])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector.

    Attributes:
        key: of the label.
        operator: as written: ``in``, ``notin``, ``=``, ``==``, ``!=``, ``>``, ``<``, ``!``, or ``exists`` for none.
        values: in order; none for ``exists`` and ``!``, one for the signs.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels satisfy the term; an absent key satisfies ``!=``, ``notin`` and ``!`` only."""
        value = labels.get(self.key)
        if value is None:
            return self.operator in {"!=", "notin", "!"}
        match self.operator:
            case "in" | "=" | "==":
                return value in self.values
            case "notin" | "!=":
                return value not in self.values
            case ">" | "<":
                return self._compares(_integer(value), _integer(self.values[0]))
        return self.operator == "exists"

    def _compares(self, value: int | None, bound: int | None) -> bool:
        if value is None or bound is None:
            return False
        return value > bound if self.operator == ">" else value < bound


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A conjunction of requirements; without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels satisfy every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read ``a=b,c!=d,e in (x,y),f,!g,h>1``.

        Raises:
            ValueError: the text is not a selector, or a key or value is none of a label; in apimachinery's words.
        """
        tokens = _Tokens(text)
        requirements: list[Requirement] = []
        if not tokens.at_term() and tokens.next != _END:
            raise ValueError(f"found '{tokens.next}', expected: !, identifier, or 'end of string'")
        while tokens.next != _END:
            try:
                requirements.append(_requirement(tokens))
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            if (taken := tokens.take()) == _END:
                break
            if taken != ",":
                raise ValueError(f"found '{taken}', expected: ',' or 'end of string'")
            if not tokens.at_term():
                raise ValueError(f"found '{tokens.next}', expected: identifier after ','")
        return cls(tuple(requirements))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Equality of fields; terms are (path, equal, value), in the order in which the server looks at them."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        r"""Read ``path=value``, ``path==value`` and ``path!=value``; nothing is trimmed.

        In a value a backslash stands before a comma, ``=`` or backslash. Which fields there are is not looked at.

        Raises:
            ValueError: a term has another form; in apimachinery's words.
        """
        terms = []
        for term in sorted(_FIELD_TERMS.findall(text)):
            found = _FIELD_TERM.fullmatch(term)
            if found is None:
                raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
            path, value = found["path"], _ESCAPED.sub(_unescaped, found["value"])
            if path or value:
                terms.append((path, found["sign"] != "!=", value))
        return cls(tuple(terms))


class _Tokens:
    """The words and symbols of a label selector; the last is the end."""

    def __init__(self, text: str) -> None:
        self._tokens = iter([*takewhile(bool, _TOKEN.findall(text)), _END])
        self.next: str = next(self._tokens)

    def take(self) -> str:
        taken, self.next = self.next, next(self._tokens, _END)
        return taken

    def at_term(self) -> bool:
        return self.next == "!" or self.next not in _NOT_WORDS


def _requirement(tokens: _Tokens) -> Requirement:
    absent = tokens.next == "!"
    if absent:
        tokens.take()
    key = _word(tokens)
    if wrong := qualified(key):
        # The server has no path to the key yet, and says so.
        raise ValueError(_invalid("<nil>", key, wrong))
    if absent:
        return Requirement(key, "!")
    if tokens.next in {",", _END}:
        return Requirement(key, "exists")
    operator = tokens.take()
    if operator not in _OPERATORS:
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    if operator in {"in", "notin"}:
        values = tuple(sorted(_listed(tokens)))
    else:
        values = ("" if tokens.next in {",", _END} else _word(tokens),)
    if wrong := list(_wrong_values(key, operator, values)):
        raise ValueError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return Requirement(key, operator, values)


def _word(tokens: _Tokens) -> str:
    if (taken := tokens.take()) in _NOT_WORDS:
        raise ValueError(f"found '{taken}', expected: identifier")
    return taken


def _listed(tokens: _Tokens) -> set[str]:
    if (taken := tokens.take()) != "(":
        raise ValueError(f"found '{taken}' expected: '('")
    if tokens.next in _NOT_WORDS - {",", ")"}:
        raise ValueError(f"found '{tokens.next}', expected: ',', ')' or identifier")
    values: set[str] = set()
    while tokens.next != ")":
        taken = tokens.take()
        if taken == ",":
            if not values or tokens.next in {",", ")"}:
                values.add("")
        elif taken in _NOT_WORDS:
            raise ValueError(f"found '{taken}', expected: ',', or identifier")
        else:
            values.add(taken)
            if tokens.next not in {",", ")"}:
                raise ValueError(f"found '{tokens.next}', expected: ',' or ')'")
    tokens.take()
    return values or {""}


def _wrong_values(key: str, operator: str, values: tuple[str, ...]) -> Iterable[str]:
    for index, value in enumerate(values):
        if operator in {">", "<"} and _integer(value) is None:
            yield _invalid(f"values[{index}]", value, ["for 'Gt', 'Lt' operators, the value must be an integer"])
        if wrong := label_value(value):
            yield _invalid(f"values[{index}][{key}]", value, wrong)


def _invalid(path: str, value: str, wrong: Iterable[str]) -> str:
    return f"{path}: Invalid value: {quoted(value)}: {'; '.join(wrong)}"


def _integer(text: str) -> int | None:
    """Read a number as Go's ParseInt does: ASCII digits that fit 64 bits."""
    found = _INTEGER.fullmatch(text)
    number = int(found[1] + found[2]) if found else None
    return number if number is not None and number in _INT64 else None


def _unescaped(found: re.Match[str]) -> str:
    if found["sequence"]:
        raise ValueError(f"invalid field selector: invalid escape sequence: {found['sequence']}")
    if found["bare"]:
        raise ValueError(f"invalid field selector: unescaped character in value: {ord(found['bare'])}")
    return found["character"]

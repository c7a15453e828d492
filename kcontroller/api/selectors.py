"""Label selectors and field selectors: written for the server, matched in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Operator = Literal["in", "notin", "exists", "!"]

_SET: Final = re.compile(r"\s*(?P<key>[^\s!=,()<>]+)\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL: Final = re.compile(r"\s*(?P<key>[^\s!=,()<>]+)\s*(?P<word>==|=|!=)\s*(?P<value>[^\s!=,()<>]*)\s*")
_PRESENT: Final = re.compile(r"\s*(?P<word>!?)\s*(?P<key>[^\s!=,()<>]+)\s*")
_KEY: Final = re.compile(r"[^\s!=,()<>]+")
_VALUE: Final = re.compile(r"[^\s!=,()<>]*")
_FIELD_PATH: Final = re.compile(r"[^\s\\,=!]+")
_FIELD_TERMS: Final = re.compile(r"(?:[^\\,]|\\.?)+")
_FIELD_TERM: Final = re.compile(r"(?P<path>[^\s\\,=!]+)\s*(?P<sign>!=|==|=)\s*(?P<value>(?:\\[\\,=]|[^\\,=])*)")
_EXPRESSIONS: Final[dict[str, Operator]] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class Requirement(msgspec.Struct, frozen=True):
    """One term of a label selector; terms are joined by AND.

    Raises:
        ValueError: a key or value would read as something else in a selector, or the values do not fit the operator.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the server would read as another term."""
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            msg = f"{self.key!r:.80} cannot be the key of a label selector"
            raise ValueError(msg)
        for value in self.values:
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                msg = f"{value!r:.80} cannot be the value of label {self.key} in a selector; values are plain words"
                raise ValueError(msg)
        if bool(self.values) is not (self.operator in {"in", "notin"}):
            msg = f"label {self.key} in a selector: 'in' and 'notin' need values, 'exists' and '!' have none"
            raise ValueError(msg)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels satisfy the term; an absent key satisfies ``notin``, as in apimachinery."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values if value is not None else False
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None

    def __str__(self) -> str:
        """Write the term as the server reads it."""
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case _:
                return f"{self.key} {self.operator} ({','.join(self.values)})"


class LabelSelector(msgspec.Struct, frozen=True):
    """A conjunction of requirements; without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels satisfy every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """Write the selector for a query parameter."""
        return ",".join(map(str, self.requirements))

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read ``a=b,c!=d,e in (x,y),f,!g``.

        Raises:
            ValueError: the text is not a selector; it names the place.
        """
        text = text.strip()
        requirements: list[Requirement] = []
        position = 0
        while position < len(text):
            requirement, position = _parse_term(text, position)
            requirements.append(requirement)
            if position < len(text):
                if text[position] != "," or position + 1 == len(text):
                    raise _selector_error(text, position)
                position += 1
        return cls(tuple(requirements))

    @classmethod
    def of(cls, selector: LabelSelector | Mapping[str, Any] | str | None) -> LabelSelector:
        """Take any form people write.

        A string, a mapping of equal labels, or a mapping with matchLabels and matchExpressions.
        """
        if selector is None:
            return cls()
        if isinstance(selector, LabelSelector):
            return selector
        if isinstance(selector, str):
            return cls.parse(selector)
        if "matchLabels" in selector or "matchExpressions" in selector:
            return cls(
                _equals(selector.get("matchLabels") or {}) + _expressions(selector.get("matchExpressions") or [])
            )
        return cls(_equals(selector))


def _parse_term(text: str, position: int) -> tuple[Requirement, int]:
    if found := _SET.match(text, position):
        values = tuple(value.strip() for value in found["values"].split(","))
        operator: Operator = "in" if found["word"] == "in" else "notin"
        return Requirement(found["key"], operator, values), found.end()
    if found := _EQUAL.match(text, position):
        operator = "notin" if found["word"] == "!=" else "in"
        return Requirement(found["key"], operator, (found["value"],)), found.end()
    if found := _PRESENT.match(text, position):
        return Requirement(found["key"], "!" if found["word"] else "exists"), found.end()
    raise _selector_error(text, position)


def _selector_error(text: str, position: int) -> ValueError:
    return ValueError(
        f"label selector {text[:80]!r} is malformed at position {position}; write it like 'app=web,tier!=db'"
    )


def _equals(labels: Mapping[str, str]) -> tuple[Requirement, ...]:
    return tuple(Requirement(key, "in", (value,)) for key, value in labels.items())


def _expressions(expressions: Sequence[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    return tuple(map(_expression, expressions))


def _expression(expression: Mapping[str, Any]) -> Requirement:
    operator = _EXPRESSIONS.get(expression.get("operator", ""))
    if operator is None:
        msg = f"a term of matchExpressions has no operator {', '.join(_EXPRESSIONS)}"
        raise ValueError(msg)
    return Requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ()))


class FieldSelector(msgspec.Struct, frozen=True):
    """Equality of fields, such as ``metadata.name=a,spec.nodeName!=b``; terms are (path, equal, value)."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the server would read as another term."""
        for path, _equal, value in self.terms:
            if not _FIELD_PATH.fullmatch(path) or not isinstance(value, str):
                msg = f"{path[:80]!r} = {value!r:.80} is not a term of a field selector; path and value are text"
                raise ValueError(msg)

    def __str__(self) -> str:
        """Write the selector for a query parameter."""
        return ",".join(f"{path}{'=' if equal else '!='}{_escaped(value)}" for path, equal, value in self.terms)

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """Read ``path=value`` and ``path!=value`` terms; in a value a backslash escapes a comma, ``=`` or backslash.

        Raises:
            ValueError: a term has another form.
        """
        terms = []
        for term in filter(None, map(str.strip, _FIELD_TERMS.findall(text))):
            found = _FIELD_TERM.fullmatch(term)
            if found is None:
                msg = f"field selector {text[:80]!r} is malformed; write it like 'metadata.name=web'"
                raise ValueError(msg)
            value = re.sub(r"\\(.)", r"\1", found["value"])
            terms.append((found["path"], found["sign"] != "!=", value))
        return cls(tuple(terms))

    @classmethod
    def of(cls, selector: FieldSelector | Mapping[str, str] | str | None) -> FieldSelector:
        """Take a string, a mapping of equal fields, or a selector."""
        if selector is None:
            return cls()
        if isinstance(selector, FieldSelector):
            return selector
        if isinstance(selector, str):
            return cls.parse(selector)
        return cls(tuple((path, True, value) for path, value in selector.items()))


def _escaped(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)

r"""The JSONPath of ``additionalPrinterColumns``: the dialect of client-go, as far as one column can use it.

``.a.b``, ``.a\.b``, ``['a']``, ``[0]``, ``[-1:]``, ``[1:4:2]``, ``[*]``, ``.*``, ``..a``, ``[0,2]`` and filters
``[?(@.type=="Ready")]``. ``range`` and texts between paths, which need braces, have no use in a column.
"""

from __future__ import annotations

import operator
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = Callable[[list[Any]], list[Any]]

_FIELD: Final = re.compile(r"((?:[^\s.\[\]{}\\,()=!<>|]|\\.)+)")
_SLICE: Final = re.compile(r"(-?\d+)?(:(-?\d+)?)?(:(-?\d+)?)?")
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_FILTER: Final = re.compile(r"(?P<left>.+?)\s*(?P<sign>==|!=|<=|>=|<|>)\s*(?P<right>.+)")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LITERALS: Final[dict[str, Any]] = {"true": True, "false": False}


class NotThere(Exception):
    """The path asks a value for what it cannot have: an index outside a list, a filter on no list."""


@cache
def parse(text: str) -> Callable[[Any], list[Any]]:
    """Make the search for a path; it returns what it finds, and raises `NotThere` where client-go gives an error.

    Raises:
        ValueError: the text is not such a path.
    """
    steps = tuple(_steps(text.strip()))

    def find(document: Any) -> list[Any]:
        values = [document]
        for step in steps:
            values = step(values)
        return values

    return find


def _steps(text: str) -> Iterator[Step]:
    position = 1 if text[:1] in {"$", "@"} else 0
    while position < len(text):
        if text.startswith("..", position):
            yield _everything
            position += 2 if text[position + 2 : position + 3] != "[" else 1
            if position < len(text) and text[position] not in ".[":
                found = _FIELD.match(text, position)
                if not found:
                    raise _malformed(text)
                yield _field(re.sub(r"\\(.)", r"\1", found[1]))
                position = found.end()
        elif text[position] == "[":
            end = _closing(text, position)
            yield _bracket(text[position + 1 : end])
            position = end + 1
        elif text[position] == "." and text[position + 1 : position + 2] == "[":
            position += 1
        else:
            found = _FIELD.match(text, position + (text[position] == "."))
            if not found:
                raise _malformed(text)
            yield _wildcard if found[1] == "*" else _field(re.sub(r"\\(.)", r"\1", found[1]))
            position = found.end()


def _malformed(text: str) -> ValueError:
    return ValueError(f"{text[:80]!r} is not a JSONPath of a printer column")


def _closing(text: str, start: int) -> int:
    depth, quote = 0, ""
    for position in range(start, len(text)):
        sign = text[position]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[]":
            depth += 1 if sign == "[" else -1
            if not depth:
                return position
    raise _malformed(text)


def _bracket(inner: str) -> Step:
    inner = inner.strip()
    if inner == "*":
        return _wildcard
    if inner.startswith("?(") and inner.endswith(")"):
        return _filter(inner[2:-1])
    parts = [part.strip() for part in inner.split(",")]
    if len(parts) > 1:
        steps = [_bracket(part) for part in parts]
        return lambda values: [value for step in steps for value in step(values)]
    if quoted := _QUOTED.fullmatch(inner):
        return _field(quoted[1] if quoted[1] is not None else quoted[2])
    found = _SLICE.fullmatch(inner)
    if not found or not inner:
        raise _malformed(inner)
    first, colon, end, _, step = found.groups()
    if colon is None:
        return _items(int(first), None, 1, alone=True)
    return _items(int(first) if first else 0, int(end) if end else None, int(step) if step else 1)


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _wildcard(values: list[Any]) -> list[Any]:
    return [inner for value in values for inner in _inside(value)]


def _everything(values: list[Any]) -> list[Any]:
    found = []
    for value in values:
        inside = _inside(value)
        if inside:
            found += [value, *_everything(inside)]
    return found


def _inside(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return []


def _items(first: int, end: int | None, step: int, *, alone: bool = False) -> Step:
    def take(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list) or step <= 0:
                raise NotThere
            start = first + len(value) if first < 0 else first
            stop = start + 1 if alone else len(value) if end is None else end + len(value) if end < 0 else end
            if start == stop:
                continue
            if not 0 <= start < len(value) or not start <= stop <= len(value):
                raise NotThere
            found += value[start:stop:step]
        return found

    return take


def _filter(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if not found:
        present = parse(text)
        return lambda values: [item for item in _lists(values) if present(item)]
    compare = _COMPARE[found["sign"]]
    left, right = _operand(found["left"]), _operand(found["right"])

    def passing(values: list[Any]) -> list[Any]:
        kept = []
        for item in _lists(values):
            lefts, rights = left(item), right(item)
            if len(lefts) > 1 or len(rights) > 1:
                raise NotThere
            if lefts and rights:
                try:
                    if compare(lefts[0], rights[0]):
                        kept.append(item)
                except TypeError:
                    raise NotThere from None
        return kept

    return passing


def _lists(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if not isinstance(value, list):
            raise NotThere
        yield from value


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if text.startswith(("@", "$", ".")):
        return parse(text)
    literal: Any
    if quoted := _QUOTED.fullmatch(text):
        literal = quoted[1] if quoted[1] is not None else quoted[2]
    elif text in _LITERALS:
        literal = _LITERALS[text]
    else:
        literal = float(text) if "." in text else int(text)
    return lambda _item: [literal]

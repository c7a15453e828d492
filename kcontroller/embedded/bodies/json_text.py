"""JSON bodies as Go reads them: its numbers, its replacements for what is no text, and the keys that stand twice."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.bodies import syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INT64: Final = 2**63
_INT64_DIGITS: Final = 20
_EXPONENT_FROM: Final = 1e21  # encoding/json writes larger numbers with an exponent.
_MOST_DUPLICATES: Final = 100  # What sigs.k8s.io/json collects at most.


class JsonFault(Exception):
    """The text is refused; the message is encoding/json's."""


class OutOfRange(Exception):
    """A number that a float64 cannot hold; the message is its text."""


class _Duplicate(Exception):
    """A key stands twice: the text is read again, slowly."""


class _Pairs(list[tuple[str, Any]]):
    """An object as its text has it."""


def decode(raw: bytes, *, depth: int) -> tuple[Any, tuple[str, ...]]:
    """Read a text; returns its value and a warning for each key that stands twice in an object.

    Raises:
        JsonFault: it cannot be read, or is nested deeper than `depth`.
        OutOfRange: a number is too large.
    """
    text = raw.decode("utf-8", "replace")  # As Go does, without a word.
    duplicates: tuple[str, ...] = ()
    try:
        try:
            document = _DECODER.decode(text)
        except _Duplicate:
            found = dict.fromkeys(_duplicates(_PAIRS_DECODER.decode(text), ""))
            duplicates = tuple(f'duplicate field "{path}"' for path in found)[:_MOST_DUPLICATES]
            document = _LENIENT_DECODER.decode(text)
    except (ValueError, RecursionError):
        raise JsonFault(syntax.fault_of(raw, max_depth=depth)) from None
    if text.count("[") + text.count("{") > depth and _is_deep(document, depth):
        raise JsonFault(syntax.fault_of(raw, max_depth=depth))
    if "\\ud" in text or "\\uD" in text:
        document = _whole(document)
    return document, duplicates


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Duplicate
    return document


def _integer(text: str) -> int | float:
    if len(text) <= _INT64_DIGITS and -_INT64 <= (value := int(text)) < _INT64:
        return value
    return _number(text)


def _number(text: str) -> int | float:
    """Read a float64 as it comes out of Go again: 1.0 is written as 1."""
    value = float(text)
    if math.isinf(value):
        raise OutOfRange(text)
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value


def _constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity, which Python alone reads.


def _decoder(hook: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=hook, parse_int=_integer, parse_float=_number, parse_constant=_constant)


_DECODER: Final = _decoder(_object)
_LENIENT_DECODER: Final = _decoder(dict)
_PAIRS_DECODER: Final = _decoder(_Pairs)


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            at = f"{path}.{name}" if path else name
            if name in seen:
                yield at
            seen.add(name)
            yield from _duplicates(inner, at)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _duplicates(inner, f"{path}[{index}]")


def _is_deep(document: Any, depth: int) -> bool:
    level = [document]
    for _ in range(depth):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _whole(value: Any) -> Any:
    """Replace halves of surrogate pairs, which are no characters, as Go does."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(inner) for inner in value]
        case dict():
            return {_whole(name): _whole(inner) for name, inner in value.items()}
        case _:
            return value

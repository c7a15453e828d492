"""How Go writes values into messages: clients and people compare them with what a real server said."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORT: Final = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_FOR_HTML: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_SPECIAL: Final = re.compile(r'[\x00-\x1f\x7f"\\]')
_SMALLEST_PLAIN: Final = 1e-4
_LARGEST_PLAIN: Final = 1e21


def quoted(text: str) -> str:
    """Write a string as ``%q`` does."""

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        if character in '"\\':
            return f"\\{character}"
        return _SHORT.get(character) or f"\\x{ord(character):02x}"

    return f'"{_SPECIAL.sub(escape, text)}"'


def quoted_list(texts: Iterable[str]) -> str:
    """Write strings as ``%q`` does a list of them."""
    return f"[{' '.join(map(quoted, texts))}]"


def plain(value: Any) -> str:
    """Write decoded JSON as ``%v`` does: ``map[a:1 b:[x y]]``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return f"map[{' '.join(f'{key}:{plain(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(plain, value))}]"
        case float():
            return _number(value)
    return str(value)


def typed(value: Any) -> str:
    """Write decoded JSON as ``%#v`` does: ``map[string]interface {}{"a":1}``."""
    match value:
        case None:
            return "interface {}(nil)"
        case str():
            return quoted(value)
        case dict():
            inner = ", ".join(f"{quoted(key)}:{typed(value[key])}" for key in sorted(value))
            return f"map[string]interface {{}}{{{inner}}}"
        case list():
            return f"[]interface {{}}{{{', '.join(map(typed, value))}}}"
    return plain(value)


def in_path(value: Any) -> str:
    """Write a value as structured-merge-diff does in paths: strings in quotes."""
    match value:
        case None:
            return "null"
        case str():
            return quoted(value)
        case list():
            return f"[{','.join(map(in_path, value))}]"
    return plain(value)


def json(value: Any) -> str:
    """Write JSON as ``encoding/json`` does: keys in order, whole numbers without a point, fit for HTML."""
    return msgspec.json.encode(without_points(value), order="sorted").decode().translate(_FOR_HTML)


def without_points(value: Any) -> Any:
    """Make whole numbers of those that Go writes without a point: 1.0 becomes 1, and 1e21 stays."""
    match value:
        case float() if value.is_integer() and abs(value) < _LARGEST_PLAIN:
            return int(value)
        case dict():
            return {key: without_points(inner) for key, inner in value.items()}
        case list():
            return [without_points(inner) for inner in value]
    return value


def json_type_of(value: Any) -> str:
    """Name the type of a JSON value as the errors of ``encoding/json`` do."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "number"


_TYPES: Final = {
    type(None): "<nil>",
    bool: "bool",
    str: "string",
    int: "int64",
    float: "float64",
    dict: "map[string]interface {}",
    list: "[]interface {}",
}


def type_of(value: Any) -> str:
    """Name the Go type that decoded JSON has."""
    return _TYPES[type(value)]


def _number(value: float) -> str:
    text = repr(value)
    if "e" in text and _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")

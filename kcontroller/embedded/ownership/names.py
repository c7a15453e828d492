"""What fields, list items and members of sets are called in FieldsV1, and the order in which names stand.

A field is called ``f:name``, an item of a list by its keys ``k:{"name":"x"}``, a member of a set ``v:"x"``. Equal
things have equal names: keys stand in order, and values are written as Go's encoder does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from kcontroller.embedded import gotext

if TYPE_CHECKING:
    from kcontroller.embedded.ownership.shapes import Shape


class Unnamed(ValueError):
    """A list item that cannot be called by anything; says why, as structured-merge-diff does."""


def name_of(shape: Shape, item: Any) -> str:
    """Give what an item of a list with keys, or of a set, is called.

    Raises:
        Unnamed: it has none of the keys, or is of a type that has no name.
    """
    if shape.keys:
        if not isinstance(item, dict):
            kind = "a null element" if item is None else "non-map elements"
            msg = f"associative list with keys may not have {kind}"
            raise Unnamed(msg)
        keys = {}
        for key in shape.keys:
            if key in item:
                keys[key] = item[key]
            elif key in shape.defaults:
                keys[key] = shape.defaults[key]
        if not keys:
            msg = (
                f"associative list with keys has an element that omits all key fields {gotext.quoted_list(shape.keys)} "
                "(and doesn't have default values for any key fields)"
            )
            raise Unnamed(msg)
        return f"k:{gotext.json(keys)}"
    if isinstance(item, dict):
        msg = "associative list without keys has an element that's a map type"
        raise Unnamed(msg)
    if isinstance(item, list):
        msg = "not supported: associative list with lists as elements"
        raise Unnamed(msg)
    if item is None:
        msg = "associative list without keys has an element that's an explicit null"
        raise Unnamed(msg)
    return f"v:{gotext.json(item)}"


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Write a name that a client sent in the usual form; empty for a kind of name that nobody knows yet.

    Raises:
        ValueError: it is no name.
    """
    kind, text = name[:2], name[2:]
    if len(kind) < 2 or kind[1] != ":":  # noqa: PLR2004 - one letter and a colon
        msg = f"missing colon: {name}"
        raise ValueError(msg)
    match kind:
        case "f:":
            return name
        case "k:" | "v:":
            try:
                value = msgspec.json.decode(text, type=dict if kind == "k:" else Any)
            except msgspec.DecodeError as error:
                raise ValueError(str(error)) from None
            return f"{kind}{gotext.json(value)}"
        case "i:":
            return f"i:{int(text)}"
    return ""  # A later version may know what it is; it is dropped.


@lru_cache(maxsize=4096)
def rank(name: str) -> tuple[Any, ...]:
    """Give the place of a name among its siblings: fields, then items by their keys, then members of sets."""
    kind, text = name[0], name[2:]
    match kind:
        case "f":
            return (1, text)
        case "k":
            keys = msgspec.json.decode(text)
            return (2, [(key, _value_rank(keys[key])) for key in sorted(keys)])
        case "v":
            return (3, _value_rank(msgspec.json.decode(text)))
        case "i":
            return (4, int(text))
    return (0,)


def _value_rank(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (4, gotext.plain(value))


@lru_cache(maxsize=4096)
def written(name: str) -> str:
    """Write one step of a path: ``.name``, ``[port=80,protocol="TCP"]`` or ``[="x"]``."""
    kind, text = name[:2], name[2:]
    match kind:
        case "f:":
            return f".{text}"
        case "k:":
            keys = msgspec.json.decode(text)
            return f"[{','.join(f'{key}={gotext.in_path(keys[key])}' for key in sorted(keys))}]"
        case "v:":
            return f"[={gotext.in_path(msgspec.json.decode(text))}]"
    return f"[{text}]"

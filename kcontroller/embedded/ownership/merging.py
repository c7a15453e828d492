"""The typed merge of server-side apply: check a configuration, lay it over an object, and take fields out again.

Follows ``typed`` of structured-merge-diff. Documents are never changed; a result shares parts with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller.embedded import gotext
from kcontroller.embedded.ownership.fields import Fields, is_member
from kcontroller.embedded.ownership.names import Unnamed, name_of, written
from kcontroller.embedded.ownership.shapes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.embedded.ownership.shapes import Shape


def check(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """Tell what cannot be applied: undeclared fields, wrong types, list items without a name or with a taken one."""
    if value is None:
        return
    if isinstance(value, dict):
        if not shape.map:
            yield _wrong_type(shape, value, path)
            return
        for key, inner in value.items():
            child = shape.field(key)
            if child is None:
                yield _said(f"{path}.{key}", "field not declared in schema")
            else:
                yield from check(child, inner, f"{path}.{key}")
    elif isinstance(value, list):
        if shape.list:
            yield from _check_items(shape, value, path)
        else:
            yield _wrong_type(shape, value, path)
    elif not _fits(shape, value):
        yield _wrong_type(shape, value, path)


def _check_items(shape: Shape, items: list[Any], path: str) -> Iterator[str]:
    seen = set()
    for number, item in enumerate(items):
        if not shape.granular_list:
            yield from check(shape.items, item, f"{path}[{number}]")
            continue
        try:
            name = name_of(shape, item)
        except Unnamed as error:
            yield _said(path, f"element {number}: {error}")
            return
        if name in seen:
            yield _said(path, f"duplicate entries for key {written(name)}")
        seen.add(name)
        yield from check(shape.items, item, path + written(name))


def _fits(shape: Shape, value: Any) -> bool:
    match shape.scalar:
        case "numeric":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
    return shape.scalar == "untyped"


def _wrong_type(shape: Shape, value: Any, path: str) -> str:
    text = f"&{{{gotext.plain(value)}}}"
    if shape.map:
        return _said(path, f"expected map, got {text}")
    match shape.scalar:
        case "numeric":
            return _said(path, f"expected numeric (int or float), got {gotext.type_of(value)}")
        case "string":
            return _said(path, f"expected string, got &value.valueUnstructured{{Value:{gotext.typed(value)}}}")
        case "boolean":
            return _said(path, f"expected boolean, got {text}")
        case "untyped":
            return _said(path, f"expected any scalar, got {text}")
    return _said(path, f"expected list, got {text}")


def _said(path: str, why: str) -> str:
    return f"{path}: {why}" if path else why


def merge(shape: Shape, live: Any, config: Any) -> Any:
    """Lay a configuration over a value: it wins where both have a leaf, and nothing is taken away.

    Items of a list come in the order of the configuration as far as it names them.

    Raises:
        Unnamed: a list item has no name.
    """
    if live is ABSENT or config is ABSENT:
        return config if live is ABSENT else live
    if shape.map and not shape.atomic_map and isinstance(live, dict | None) and isinstance(config, dict | None):
        return _merge_maps(shape, live, config) if live and config else live or config
    if shape.granular_list and isinstance(live, list | None) and isinstance(config, list | None):
        return _merge_lists(shape, live, config) if live and config else live or config
    return config


def _merge_maps(shape: Shape, live: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    merged = dict(live)
    for key, value in config.items():
        result = merge(shape.below(key), live.get(key, ABSENT), value)
        if result is None and shape.builtin and key in shape.declared:
            merged.pop(key, None)  # A field of a Go type has its zero value then, which is not written.
        else:
            merged[key] = result
    return merged


def _merge_lists(shape: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    """Interleave: a live item that is not in the configuration stays before the item that it stood before."""
    ours, theirs = [name_of(shape, item) for item in live], [name_of(shape, item) for item in config]
    known: dict[str, Any] = {}
    for name, item in zip(ours, live, strict=True):
        known[name] = ABSENT if name in known else item  # Items of one name are not merged with.
    given = dict(zip(theirs, config, strict=True))
    # Where an item that both have is met out of the configuration's turn, it waits for its turn.
    turns = iter([name for name in theirs if name in known])
    turn = next(turns, "")
    merged: list[Any] = []
    done = set()
    left = right = 0
    while left < len(ours) or right < len(theirs):
        name = ours[left] if left < len(ours) else ""
        is_next = right < len(theirs) and name == theirs[right]
        if name and name not in given:
            merged.append(live[left])
            left += 1
        elif name and not is_next and turn not in {"", name} and right < len(theirs):
            left += 1
        else:
            if is_next or name in done:
                left += 1
            if right < len(theirs):
                name = theirs[right]
                done.add(name)
                merged.append(merge(shape.items, known.get(name, ABSENT), given[name]))
                right += 1
                if turn == name:
                    turn = next(turns, "")
    return merged


def take_out(shape: Shape, value: Any, fields: Fields) -> Any:
    """Give a value without the members of a set; a map or list of which nothing is left becomes null."""
    if isinstance(value, dict):
        return _fields_left(shape, value, fields) or None
    if isinstance(value, list):
        return _items_left(shape, value, fields) or None
    return value


def _fields_left(shape: Shape, value: dict[str, Any], fields: Fields) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, inner in value.items() if not shape.atomic_map else ():
        node = fields.get(f"f:{key}")
        if node is None:
            kept[key] = inner
        elif not is_member(node):
            rest = take_out(shape.below(key), inner, node)
            if rest is not None or not shape.builtin:
                kept[key] = rest
    return kept


def _items_left(shape: Shape, value: list[Any], fields: Fields) -> list[Any]:
    kept: list[Any] = []
    for item in value if shape.granular_list else ():
        node = fields.get(name_of(shape, item))
        if node is None:
            kept.append(item)
        elif not is_member(node):
            kept.append(take_out(shape.items, item, node))
    return kept

"""What differs between two objects, as sets of fields: the comparison that moves ownership.

Follows ``typed.Compare`` of structured-merge-diff. Every leaf that differs is named, and of what is there on one side
alone every map, list and item as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcontroller.embedded.ownership.fields import EMPTY, SELF, Fields
from kcontroller.embedded.ownership.names import name_of
from kcontroller.embedded.ownership.shapes import ABSENT

if TYPE_CHECKING:
    from kcontroller.embedded.ownership.shapes import Shape

_NOTHING: Final[frozenset[str]] = frozenset()


class Comparison(NamedTuple):
    """What differs between two objects; `changed` holds what was added as well."""

    changed: Fields
    removed: Fields


def compare(
    shape: Shape, before: dict[str, Any], after: dict[str, Any], *, ignored: frozenset[str] = _NOTHING
) -> Comparison:
    """Find the fields in which two maps differ; what is equal is not looked into.

    Args:
        shape: of both.
        before: as it was.
        after: as it is.
        ignored: fields of the maps that are left out.

    Raises:
        Unnamed: a list item has no name.
    """
    found = Comparison({}, {})
    for key, right in after.items():
        left = before.get(key, ABSENT)
        if left is not right and left != right and key not in ignored:
            _compare_field(shape, key, left, right, found)
    for key, left in before.items():
        if key not in after and key not in ignored:
            _compare_field(shape, key, left, ABSENT, found)
    return found


def _compare_field(shape: Shape, key: str, left: Any, right: Any, found: Comparison) -> None:
    if shape.builtin:
        left, right = shape.as_written(key, left), shape.as_written(key, right)
    _compare(shape.below(key), f"f:{key}", left, right, found)


def _compare(shape: Shape, name: str, left: Any, right: Any, found: Comparison) -> None:
    if left is right or left == right:
        return
    if left is ABSENT:
        found.changed[name] = _everything(shape, right)
    elif right is ABSENT:
        found.removed[name] = _everything(shape, left)
    elif shape.map and not shape.atomic_map and isinstance(left, dict | None) and isinstance(right, dict | None):
        # Null and {} are leaves that differ; anything else is compared inside.
        inner = compare(shape, left or {}, right or {}) if left or right else Comparison(EMPTY, EMPTY)
        _file(name, inner, found, leaf=not left and not right)
    elif shape.granular_list and isinstance(left, list | None) and isinstance(right, list | None):
        inner = _compare_lists(shape, left or [], right or [])
        _file(name, inner, found, leaf=not left and not right)
    else:
        found.changed[name] = _everything(shape, right)
        lost = {inner: below for inner, below in _everything(shape, left).items() if inner != SELF}
        if lost:
            found.removed[name] = lost


def _file(name: str, inner: Comparison, found: Comparison, *, leaf: bool) -> None:
    if inner.changed or leaf:
        found.changed[name] = inner.changed
    if inner.removed:
        found.removed[name] = inner.removed


def _compare_lists(shape: Shape, left: list[Any], right: list[Any]) -> Comparison:
    found = Comparison({}, {})
    ours, theirs = _by_name(shape, left), _by_name(shape, right)
    for name in {**ours, **theirs}:
        before, after = ours.get(name, []), theirs.get(name, [])
        if before == after:
            continue
        if len(before) <= 1 and len(after) <= 1:
            _compare(shape.items, name, before[0] if before else ABSENT, after[0] if after else ABSENT, found)
            continue
        # Items of one name are one leaf.
        if len(before) == 1:
            found.removed[name] = _everything(shape.items, before[0])
        elif not after or len(after) == 1:
            found.removed[name] = EMPTY
        if len(after) == 1:
            found.changed[name] = _everything(shape.items, after[0])
        elif after:
            found.changed[name] = EMPTY
    return found


def _by_name(shape: Shape, items: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(name_of(shape, item), []).append(item)
    return found


def _everything(shape: Shape, value: Any) -> Fields:
    """Give a value with all that is in it, every map and list on the way included."""
    fields: Fields = {}
    if isinstance(value, dict) and not shape.atomic_map:
        for key, inner in value.items():
            fields[f"f:{key}"] = _everything(shape.below(key), inner)
    elif isinstance(value, list) and shape.granular_list:
        for name, items in _by_name(shape, value).items():
            fields[name] = _everything(shape.items, items[0]) if len(items) == 1 else EMPTY
    return {SELF: EMPTY, **fields} if fields else EMPTY

"""Sets of fields in the form of FieldsV1, as ``metadata.managedFields`` holds them.

A set is its JSON: a dict from what a field is called (see `names`) to the set below it. ``{}`` is a member that has
nothing below it; a node that has something below it is a member if it holds ``"."``. Sets are never changed: what an
operation leaves alone is shared, and a result that would be equal is the argument itself, so that ``is`` tells whether
anything happened.

The rules are those of structured-merge-diff's ``fieldpath``.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kcontroller.embedded.ownership.names import canonical, name_of, rank, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kcontroller.embedded.ownership.shapes import Shape

Fields: TypeAlias = "dict[str, Fields]"

EMPTY: Final[Fields] = {}
"""No field at all; below a field it says that the field itself is a member."""

SELF: Final = "."


def is_member(node: Fields) -> bool:
    """Whether the field that a node stands for is itself in the set."""
    return not node or SELF in node


def union(ours: Fields, theirs: Fields) -> Fields:
    """Give what is in either set."""
    if ours is theirs or not theirs:
        return ours
    both = ours
    for name, other in theirs.items():
        if name == SELF:
            continue
        node = ours.get(name)
        joined = other if node is None else _union_node(node, other)
        if joined is not node:
            if both is ours:
                both = dict(ours)
            both[name] = joined
    return both


def _union_node(node: Fields, other: Fields) -> Fields:
    joined = union(node, other)
    if not joined:
        return node
    if SELF not in joined and (is_member(node) or is_member(other)):
        return {SELF: EMPTY, **joined}
    return joined


def difference(ours: Fields, theirs: Fields) -> Fields:
    """Give what is in the first set alone; the fields below a member of the second stay."""
    left = ours
    for name, other in theirs.items():
        node = ours.get(name)
        if node is None or name == SELF:
            continue
        rest = _difference_node(node, other)
        if rest is not node:
            if left is ours:
                left = dict(ours)
            if rest is None:
                del left[name]
            else:
                left[name] = rest
    return left


def _difference_node(node: Fields, other: Fields) -> Fields | None:
    rest = difference(node, other)
    if is_member(node):
        if is_member(other):
            rest = {name: below for name, below in rest.items() if name != SELF}
            return rest or None
        return EMPTY if len(rest) == 1 and SELF in rest else rest
    return rest or None


def without(ours: Fields, theirs: Fields) -> Fields:
    """Give the first set without the members of the second and everything below them."""
    left = ours
    for name, other in theirs.items():
        node = ours.get(name)
        if node is None:
            continue
        rest = None if is_member(other) else without(node, other)
        if rest is not node:
            if left is ours:
                left = dict(ours)
            if rest:
                left[name] = EMPTY if rest.keys() == {SELF} else rest
            else:
                del left[name]
    return left


def intersection(ours: Fields, theirs: Fields) -> Fields:
    """Give what is in both sets."""
    both: Fields = {}
    for name, node in ours.items():
        other = theirs.get(name)
        if other is None or name == SELF:
            continue
        below = intersection(node, other)
        if is_member(node) and is_member(other):
            both[name] = {SELF: EMPTY, **below} if below else EMPTY
        elif below:
            both[name] = below
    return both


def has(fields: Fields, *path: str) -> bool:
    """Whether a field is in the set."""
    node = fields
    for name in path:
        if name not in node:
            return False
        node = node[name]
    return is_member(node)


def paths(fields: Fields, before: str = "") -> Iterator[str]:
    """Write every member, such as ``.spec.ports[port=80].name``, in the order in which the server writes them."""
    names = sorted((name for name in fields if name != SELF), key=rank)
    for name in names:
        if is_member(fields[name]):
            yield before + written(name)
    for name in names:
        yield from paths(fields[name], before + written(name))


def of(shape: Shape, value: Any) -> Fields:
    """Give the fields that a configuration states: its leaves and list items, and the maps that hold nothing.

    Raises:
        Unnamed: an item of a list has none of its keys, or is of a type that has no name.
    """
    fields: Fields = {}
    if isinstance(value, dict) and not shape.atomic_map:
        for key, inner in value.items():
            child = shape.below(key)
            below = of(child, inner)
            if key not in shape.declared:
                fields[f"f:{key}"] = {SELF: EMPTY, **below} if below else EMPTY
            elif below or _is_leaf(child, inner):
                fields[f"f:{key}"] = below
    elif isinstance(value, list) and shape.granular_list:
        for item in value:
            name = name_of(shape, item)
            if name in fields:
                fields[name] = EMPTY  # Items of one name are owned together.
            else:
                below = of(shape.items, item)
                fields[name] = {SELF: EMPTY, **below} if below else EMPTY
    return fields


def _is_leaf(shape: Shape, value: Any) -> bool:
    """Whether a value without fields of its own is one: an empty map, but not a list of items, nor a map of such."""
    if isinstance(value, list):
        return not shape.granular_list
    return not (isinstance(value, dict) and value) or shape.atomic_map


def with_named(fields: Fields, shape: Shape) -> Fields:
    """Add the declared fields that have members below them."""
    found: Fields = {}
    for name, node in fields.items():
        if name == SELF or not node:
            found[name] = node
            continue
        key = name[2:]
        if name.startswith("f:"):
            inner = with_named(node, shape.below(key))
            if key in shape.declared and SELF not in inner:
                inner = {SELF: EMPTY, **inner}
        else:
            inner = with_named(node, shape.items) if name.startswith("k:") else node
        found[name] = inner
    return found


def parse(document: Any) -> Fields:
    """Read a set that a client sent.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(document, dict):
        if document is None:
            return EMPTY
        msg = "expected an object"
        raise ValueError(msg)
    fields: Fields = {}
    for name, below in document.items():
        called = SELF if name == SELF else canonical(name)
        if called:
            fields[called] = EMPTY if called == SELF else parse(below)
    return EMPTY if fields.keys() == {SELF} else fields


def ordered(fields: Fields, *, by_value: bool) -> Fields:
    """Put names in the order in which the server writes them.

    Args:
        fields: the set.
        by_value: as for built-in kinds, whose sets are kept as they were written: numbers stand by their size. The sets
            of custom resources are kept as any other map, whose keys stand in alphabetical order.
    """
    if not fields:
        return fields
    if by_value:
        return {name: ordered(fields[name], by_value=True) for name in sorted(fields, key=rank)}
    return {name: ordered(below, by_value=False) for name, below in sorted(fields.items(), key=itemgetter(0))}

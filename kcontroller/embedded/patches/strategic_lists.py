"""The lists of a strategic merge patch: which item is which, and in which order they come.

Follows ``normalizeElementOrder`` and its kin in ``strategicpatch`` of apimachinery.
"""

from __future__ import annotations

from typing import Any, Final

from kcontroller.embedded import gotext
from kcontroller.embedded.statuses import Refusal

DIRECTIVE: Final = "$patch"
"""What stands in a map that is to be deleted, replaced or merged."""


def fault(message: str) -> Refusal:
    """500: what kube-apiserver answers to a patch that does not fit the object."""
    return Refusal(500, "", message)


def wrong_type(expected: str, value: Any) -> Refusal:
    """500: a value is of another type than it must be."""
    return fault(f"expected a {expected}, but received a {gotext.type_of(value)}")


def no_merge_key(item: dict[str, Any], key: str) -> Refusal:
    """500: an item of a merged list does not say which one it is."""
    return fault(f"map: {gotext.plain(item)} does not contain declared merge key: {key}")


def parted(items: list[Any], order: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Part items into those that an order knows and the others.

    Raises:
        Refusal: an item has no merge key.
    """
    inside: list[Any] = []
    outside: list[Any] = []
    for item in items:
        if not key:
            found = among(item, order)
        elif not isinstance(item, dict):
            raise wrong_type("map[string]interface {}", item)
        elif key not in item:
            raise no_merge_key(item, key)
        else:
            found = find(order, key, item[key]) >= 0
        (inside if found else outside).append(item)
    return inside, outside


def interleaved(of_patch: list[Any], others: list[Any], order: list[Any], live: list[Any], key: str) -> list[Any]:
    """Join the items of the patch, in its order, with the others, in theirs; ties go by the places in the live list."""
    of_patch, others = _in_order(of_patch, order, key), _in_order(others, live, key)
    joined: list[Any] = []
    while of_patch and others:
        left, right = _place(live, others[0], key), _place(live, of_patch[0], key)
        joined.append((others if 0 <= left < right else of_patch).pop(0))
    return joined + of_patch + others


def _in_order(items: list[Any], order: list[Any], key: str) -> list[Any]:
    if key:
        for item in (*items, *order):
            if not isinstance(item, dict):
                raise wrong_type("map[string]interface {}", item)
            if key not in item:
                raise no_merge_key(item, key)
    ordered: list[Any] = []
    for item in items:
        # As Go's insertion sort does with an order that does not know every item.
        at = len(ordered)
        place = _place(order, item, key)
        while at and (place < 0 or (before := _place(order, ordered[at - 1], key)) < 0 or place < before):
            at -= 1
        ordered.insert(at, item)
    return ordered


def _place(order: list[Any], item: Any, key: str) -> int:
    for at, other in enumerate(order):
        if equal(other[key], item[key]) if key else equal(other, item):
            return at
    return -1


def find(items: list[Any], key: str, value: Any) -> int:
    """Give the place of the item with a merge key, or -1.

    Raises:
        Refusal: an item is not a map.
    """
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            raise fault(f"value for key {at} is not a map")
        if key in item and equal(item[key], value):
            return at
    return -1


def left_behind(live: list[Any], patch: list[Any], key: str) -> list[Any]:
    """Give the live list as the merge leaves it to who still looks at it: Go deletes and appends in place.

    It decides where items come that the stated order does not name, so that `kubectl apply` sees the same order here.
    """
    seen = list(live)
    length = len(seen)
    for item in patch:
        while item.get(DIRECTIVE) == "delete" and (at := find(seen[:length], key, item[key])) >= 0:
            seen[at : length - 1] = seen[at + 1 : length]
            length -= 1
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        return seen
    for item in patch:
        if DIRECTIVE not in item and length < len(seen) and find(seen[:length], key, item[key]) < 0:
            seen[length] = item
            length += 1
    return seen


def without_doubles(items: list[Any]) -> list[Any]:
    """Drop doubles as Go does, which fills their place with the last item."""
    items = list(items)
    at = 0
    while at < len(items) - 1:
        other = at + 1
        while other < len(items):
            if equal(items[at], items[other]):
                items[other] = items[-1]
                items.pop()
            else:
                other += 1
        at += 1
    return items


def element_type(*lists: list[Any]) -> type:
    """Give the type that all items have.

    Raises:
        Refusal: they have several or none, or are lists themselves.
    """
    kinds = {type(item) for items in lists for item in items}
    if len(kinds) > 1:
        raise fault(f"list element types are not identical: {gotext.plain(list(lists))}")
    if not kinds:
        raise fault("no elements in any of the given slices")
    if kinds == {list}:
        raise Refusal(422, "Invalid", "lists of lists are not supported", details={})
    return kinds.pop()


def equal(left: Any, right: Any) -> bool:
    """Whether two scalars are the same to Go, where 1 is not true."""
    return type(left) is type(right) and left == right


def among(item: Any, items: list[Any]) -> bool:
    """Whether a scalar is in a list."""
    return any(equal(item, other) for other in items)

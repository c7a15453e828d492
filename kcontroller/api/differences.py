"""Differences between JSON documents: a merge patch from two, and a three-way rebase.

Both treat values as the API does: objects are maps, lists of distinct strings are sets, and lists of objects are
matched by the fields that name their items (``type`` in conditions, ``name`` in containers, ``uid`` in owner
references), because the API declares most lists so. Items without such a field are matched by position while no list
grew or shrank; otherwise the changed list replaces the other as a whole.
"""

from __future__ import annotations

from itertools import starmap
from typing import Any, Final

_NAMING_FIELDS: Final = (
    ("uid",),
    ("type",),
    ("name",),
    ("key",),
    ("ip",),
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("mountPath",),
    ("devicePath",),
    ("topologyKey", "whenUnsatisfiable"),
    ("containerPort",),
    ("port",),
)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, ``true`` is not 1 and ``false`` is not 0."""
    return one is other or (one == other and _booleans_agree(one, other))


def _booleans_agree(one: Any, other: Any) -> bool:
    """Look at two values that are equal in Python; most of what they hold are strings, which need no look."""
    if isinstance(one, dict):
        pairs = [(value, other[name]) for name, value in one.items() if not isinstance(value, str)]
    elif isinstance(one, list):
        pairs = [pair for pair in zip(one, other, strict=True) if not isinstance(pair[0], str)]
    else:
        return isinstance(one, bool) is isinstance(other, bool)
    return all(starmap(_booleans_agree, pairs))


def merge_diff(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Make the RFC 7386 merge patch that turns `before` into `after`; empty if they are equal."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if value is old and value is not None:
            continue  # What `rebase` left alone is the same object.
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_diff(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or not same(old, value):
            patch[name] = value
    return patch


def touches_list(patch: Any, before: Any) -> bool:
    """Whether a merge patch of `before` replaces or removes a whole list.

    Sending such a patch blindly could undo someone else's change of the list.
    """
    if isinstance(patch, dict) and isinstance(before, dict):
        return any(touches_list(value, before.get(name)) for name, value in patch.items())
    return _holds_list(patch) or _holds_list(before)


def only_sets_leaves(patch: dict[str, Any], before: Any) -> bool:
    """Whether a merge patch of `before` does nothing but give strings, numbers and booleans other values of that sort.

    Such a patch means the same for every document that says what `before` says, whatever else it says.
    """
    for name, value in patch.items():
        old = before.get(name)
        if isinstance(value, dict):
            if not isinstance(old, dict) or not only_sets_leaves(value, old):
                return False
        elif value is None or isinstance(value, list) or isinstance(old, dict | list):
            return False
    return True


def _holds_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_list, value.values()))
    return isinstance(value, list)


def rebase(theirs: Any, base: Any, ours: Any) -> Any:
    """Apply the changes from `base` to `ours` onto `theirs`.

    What `ours` did not change keeps the value it has in `theirs`; where both changed the same leaf, `ours` wins. A map
    or list that is gone in `theirs` counts as an empty one.
    """
    if same(base, ours):
        return theirs
    if theirs is None and isinstance(ours, dict | list) and type(ours) is type(base):
        theirs = type(ours)()
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return _rebase_map(theirs, base if isinstance(base, dict) else {}, ours)
    if isinstance(theirs, list) and isinstance(ours, list):
        return _rebase_list(theirs, base if isinstance(base, list) else [], ours)
    return ours


def _rebase_map(theirs: dict[str, Any], base: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in theirs.items() if name in ours or name not in base}
    for name, value in ours.items():
        if name in base and same(base[name], value):
            continue
        rebased = rebase(theirs.get(name), base.get(name), value)
        # What they removed and we only made smaller stays removed.
        if rebased or name in theirs or name not in base or not isinstance(value, dict | list):
            result[name] = rebased
    return result


def _rebase_list(theirs: list[Any], base: list[Any], ours: list[Any]) -> list[Any]:
    if same(theirs, base):
        return ours
    if all(map(_is_set, (theirs, base, ours))):
        return _rebase_set(theirs, base, ours)
    naming = _naming_fields(theirs, base, ours)
    if naming:
        return _rebase_named(theirs, base, ours, naming)
    if len(theirs) == len(base) == len(ours):
        return [rebase(*items) for items in zip(theirs, base, ours, strict=True)]
    return ours


def _is_set(items: list[Any]) -> bool:
    return all(isinstance(item, str) for item in items) and len(items) == len(set(items))


def _rebase_set(theirs: list[str], base: list[str], ours: list[str]) -> list[str]:
    kept = [item for item in theirs if item in ours or item not in base]
    return kept + [item for item in ours if item not in base and item not in kept]


def _naming_fields(*lists: list[Any]) -> tuple[str, ...]:
    for fields in _NAMING_FIELDS:
        if all(_names_all(items, fields) for items in lists):
            return fields
    return ()


def _names_all(items: list[Any], fields: tuple[str, ...]) -> bool:
    names = [_name(item, fields) for item in items if isinstance(item, dict) and all(field in item for field in fields)]
    return len(names) == len(items) == len(set(names))


def _name(item: dict[str, Any], fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(item[field]) for field in fields)


def _rebase_named(theirs: list[Any], base: list[Any], ours: list[Any], naming: tuple[str, ...]) -> list[Any]:
    present, known, wanted = ({_name(item, naming): item for item in items} for items in (theirs, base, ours))
    # The order is ours unless they changed it: then what we added comes last.
    order = wanted if list(present) == list(known) else {**present, **wanted}
    result = []
    for name in order:
        if name in wanted:
            # A named item that they removed comes back whole if we changed it; unchanged, it stays removed.
            if name in present:
                result.append(rebase(present[name], known.get(name), wanted[name]))
            elif name not in known or not same(known[name], wanted[name]):
                result.append(wanted[name])
        elif name not in known:
            result.append(present[name])
    return result

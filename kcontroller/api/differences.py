"""Differences between JSON documents: a merge patch from two, and a three-way rebase.

Both treat values as the API does: objects are maps, and lists of objects are matched by the fields that name their
items (``type`` in conditions, ``name`` in containers, ``uid`` in owner references), because the API declares most lists
so.
"""

from __future__ import annotations

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


def merge_diff(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Make the RFC 7386 merge patch that turns `before` into `after`; empty if they are equal."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_diff(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch


def merge_apply(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch and return the result."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_apply(result.get(name), value)
    return result


def touches_list(patch: Any) -> bool:
    """Whether a merge patch replaces a whole list, so that sending it blindly could undo someone else's change."""
    if isinstance(patch, dict):
        return any(touches_list(value) for value in patch.values())
    return isinstance(patch, list)


def rebase(theirs: Any, base: Any, ours: Any) -> Any:
    """Apply the changes from `base` to `ours` onto `theirs`.

    What `ours` did not change keeps the value it has in `theirs`; where both changed the same leaf, `ours` wins.
    """
    if base == ours:
        return theirs
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return _rebase_map(theirs, base if isinstance(base, dict) else {}, ours)
    if isinstance(theirs, list) and isinstance(ours, list):
        return _rebase_list(theirs, base if isinstance(base, list) else [], ours)
    return ours


def _rebase_map(theirs: dict[str, Any], base: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in theirs.items() if name in ours or name not in base}
    for name, value in ours.items():
        if name not in base or base[name] != value:
            result[name] = rebase(theirs[name], base.get(name), value) if name in theirs else value
    return result


def _rebase_list(theirs: list[Any], base: list[Any], ours: list[Any]) -> list[Any]:
    if theirs == base:
        return ours
    if all(isinstance(item, str) for item in (*theirs, *base, *ours)):
        return _rebase_set(theirs, base, ours)
    naming = _naming_fields(theirs, base, ours)
    if naming:
        return _rebase_named(theirs, base, ours, naming)
    if len(theirs) == len(base) == len(ours):
        return [rebase(*items) for items in zip(theirs, base, ours, strict=True)]
    return ours


def _rebase_set(theirs: list[Any], base: list[Any], ours: list[Any]) -> list[Any]:
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
    known = {_name(item, naming): item for item in base}
    wanted = {_name(item, naming): item for item in ours}
    result = []
    for item in theirs:
        name = _name(item, naming)
        if name in wanted:
            result.append(rebase(item, known.get(name), wanted[name]))
        elif name not in known:
            result.append(item)
    present = {_name(item, naming) for item in theirs}
    return result + [item for name, item in wanted.items() if name not in present]

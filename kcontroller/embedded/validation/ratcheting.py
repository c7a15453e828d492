"""Lets pass what was wrong before an update and has not changed (feature CRDValidationRatcheting).

Source of the rule: ``k8s.io/apiextensions-apiserver/pkg/apiserver/validation/ratcheting.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kcontroller.embedded.schemas import Schema
    from kcontroller.embedded.statuses import Cause

_MISSING: Final = object()


def keep_new(
    found: Iterable[tuple[Cause, tuple[str | int, ...]]],
    schema: Schema,
    document: Mapping[str, Any],
    old: Mapping[str, Any] | None,
) -> list[tuple[Cause, tuple[str | int, ...]]]:
    """Leave out the causes whose value, or one around it, is what it was."""
    return [each for each in found if not _is_old(each[1], schema, document, old)]


def _is_old(path: tuple[str | int, ...], schema: Schema, new: Any, old: Any) -> bool:
    node: Schema | None = schema
    for step in path:
        if new == old:
            return True
        if node is None:
            return False
        if isinstance(step, int):
            old = _counterpart(node, new[step], old)
            node = node.items
        else:
            old = old.get(step, _MISSING) if isinstance(old, dict) else _MISSING
            node = node.field(step)
        if old is _MISSING:
            return False
        new = new[step]
    return bool(new == old)


def _counterpart(schema: Schema, item: Any, old: Any) -> Any:
    """Find the item of the old list with the same keys; items of other lists have no identity."""
    if schema.list_type != "map" or not isinstance(old, list) or not isinstance(item, dict):
        return _MISSING
    keys = schema.list_keys
    return next((each for each in old if all(each.get(key) == item.get(key) for key in keys)), _MISSING)

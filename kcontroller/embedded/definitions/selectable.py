"""Checks the selectable fields of a version: each is a path to a scalar that the schema declares.

Source of the rule: ``ValidateCustomResourceSelectableFields`` of apiextensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.validation import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kcontroller.embedded.statuses import Cause

_MOST: Final = 8
_SCALARS: Final = ("string", "boolean", "integer")


def selectable_fields(selectable: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Find paths that lead nowhere, to no scalar, or to the same field twice."""
    seen: set[str] = set()
    for index, field in enumerate(selectable):
        at, given = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not given:
            yield fields.required(at)
            continue
        if not given.startswith("."):
            start = given.partition(".")[0]
            yield fields.invalid(at, given, f"is an invalid path: expected [ or . but got: {start}")
            continue
        node = _find(schema, given[1:].split("."))
        if node is None:
            yield fields.invalid(at, given, "is an invalid path: does not refer to a valid field")
            continue
        if given.startswith(".metadata"):
            yield fields.invalid(at, given, "must not point to fields in metadata")
        if node.get("type") not in _SCALARS:
            detail = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            yield fields.invalid(at, given, detail)
        if given in seen:
            yield fields.duplicate(at, given)
        seen.add(given)
    if len(seen) > _MOST:
        yield fields.too_many(path, len(seen), _MOST)


def _find(schema: Mapping[str, Any], steps: Sequence[str]) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] | None = schema
    for step in steps:
        if node is None:
            return None
        node = (node.get("properties") or {}).get(step)
    return node

"""How kube-openapi names values, and how it weighs the branches of ``anyOf`` and ``oneOf`` against each other.

Source of the rules: ``k8s.io/kube-openapi/pkg/validation/validate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def path_of(steps: Sequence[str | int]) -> str:
    """Write a path as kube-openapi does: ``spec.items[0].name``, keys of maps like fields."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def type_of(value: Any) -> str:
    """Name the type of a value as OpenAPI does."""
    names = {type(None): "null", bool: "boolean", str: "string", int: "integer", list: "array", dict: "object"}
    return names.get(type(value), "number")


def format_of(value: Any) -> str:
    """Name the format that kube-openapi sees in a value; only numbers have one."""
    return {int: "int64", float: "float64"}.get(type(value), "")


def matches(node: Mapping[str, Any], value: Any) -> int:
    """Count as kube-openapi's MatchCount does: how much of a schema was asked of a value, less its wrong types."""
    if value is None:
        return 1
    count = 4
    if "type" in node:
        count += 1 + _has_type(node, value)
    for inner in node.get("allOf", ()):
        count += matches(inner, value)
    if isinstance(value, str):
        count += 1 + ("format" in node)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        count += 2
    elif isinstance(value, list):
        items = node.get("items")
        count += 2 + (sum(matches(items, item) for item in value) if items else 0)
    elif isinstance(value, dict):
        declared = node.get("properties", {})
        rest = node.get("additionalProperties")
        count += 1 + sum(matches(inner, value[name]) for name, inner in declared.items() if name in value)
        if isinstance(rest, dict):
            count += sum(matches(rest, inner) for name, inner in value.items() if name not in declared)
    return count


def _has_type(node: Mapping[str, Any], value: Any) -> bool:
    given = type_of(value)
    whole = isinstance(value, float) and value.is_integer()
    return (
        given in node["type"]
        or ("integer" in node["type"] and whole)
        or (given == "integer" and "number" in node["type"])
    )

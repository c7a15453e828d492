"""Checks what a schema says of the type of a list or map: sets, maps and the keys of their items.

Source of rules and words: ``ValidateCustomResourceDefinitionOpenAPISchema`` of apiextensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.validation import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kcontroller.embedded.statuses import Cause

_LIST: Final = "x-kubernetes-list-type"
_MAP: Final = "x-kubernetes-map-type"
_KEYS: Final = "x-kubernetes-list-map-keys"


def check(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check one node."""
    list_type, map_type = node.get(_LIST), node.get(_MAP)
    if map_type is not None:
        yield from _needs_type(node, path, "object", _MAP)
        if map_type not in {"atomic", "granular"}:
            yield fields.unsupported(f"{path}.{_MAP}", map_type, ["atomic", "granular"])
    if list_type is not None:
        wrong = list(_needs_type(node, path, "array", _LIST))
        yield from wrong or _set_items(node, path)
        if list_type not in {"atomic", "set", "map"}:
            yield fields.unsupported(f"{path}.{_LIST}", list_type, ["atomic", "set", "map"])
    if node.get(_KEYS) and list_type != "map":
        detail = f"must be map if {_KEYS} is non-empty"
        at = f"{path}.{_LIST}"
        yield fields.required(at, detail) if list_type is None else fields.invalid(at, list_type, detail)
    if list_type == "map":
        yield from _map_items(node, path)
    yield from _never_null(node, path)


def _needs_type(node: Mapping[str, Any], path: str, wanted: str, extension: str) -> Iterator[Cause]:
    kind = node.get("type") or ""
    if kind != wanted:
        detail = f"must be {wanted} if {extension} is specified"
        yield fields.invalid(f"{path}.type", kind, detail) if kind else fields.required(f"{path}.type", detail)


def _set_items(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    items = node.get("items")
    if node.get(_LIST) != "set" or not isinstance(items, dict):
        return
    detail = f"must be atomic as item of a list with {_LIST}=set"
    if items.get("type") == "array" and items.get(_LIST) not in {None, "atomic"}:
        yield fields.invalid(f"{path}.items.{_LIST}", items[_LIST], detail)
    elif items.get("type") == "object" and items.get(_MAP) != "atomic":
        yield fields.invalid(f"{path}.items.{_MAP}", items.get(_LIST), detail)


def _map_items(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    keys, items = node.get(_KEYS) or [], node.get("items")
    if not keys:
        yield fields.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map")
    if items is None:
        yield fields.required(f"{path}.items", f"must have a schema if {_LIST} is map")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        detail = f"must be object if parent array's {_LIST} is map"
        yield fields.invalid(f"{path}.items.type", items.get("type") or "", detail)
        return
    seen: set[str] = set()
    for key in keys:
        declared = (items.get("properties") or {}).get(key)
        if declared is None:
            yield fields.invalid(f"{path}.{_KEYS}", keys, "entries must all be names of item properties")
        elif declared.get("type") in {"array", "object"}:
            detail = f"must be a scalar type if parent array's {_LIST} is map"
            yield fields.invalid(f"{path}.items.properties[{key}].type", items["type"], detail)
        if key in seen:
            yield fields.invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries")
        seen.add(key)


def _never_null(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    items, list_type = node.get("items"), node.get(_LIST)
    if not isinstance(items, dict) or list_type not in {"set", "map"}:
        return
    if items.get("nullable"):
        yield fields.forbidden(f"{path}.items.nullable", f"cannot be nullable when {_LIST} is {list_type}")
    if list_type != "map":
        return
    for key in node.get(_KEYS) or ():
        declared = (items.get("properties") or {}).get(key)
        if declared is None:
            continue
        at, said = f"{path}.items.properties[{key}]", f"this property is in {_KEYS}, so it"
        if key not in (items.get("required") or ()) and declared.get("default") is None:
            yield fields.required(f"{at}.default", f"{said} must have a default or be a required property")
        if declared.get("nullable"):
            yield fields.forbidden(f"{at}.nullable", f"{said} cannot be nullable")

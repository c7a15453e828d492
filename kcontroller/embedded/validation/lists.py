"""Walks that find lists of type ``set`` and ``map`` with doubles, and objects embedded in others.

Source of the rules: ``k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{listtype,objectmeta}``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.validation import fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kcontroller.embedded.schemas import Schema
    from kcontroller.embedded.statuses import Cause

_MISSING: Final = object()


def duplicates(schema: Schema, document: Mapping[str, Any]) -> list[Cause]:
    """Find the second of equal items in every set and map; a third is not named again."""
    if not _has(schema, "keyed"):
        return []
    return list(_duplicates(schema, document, ""))


def embedded(schema: Schema, document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Find the objects at nodes that are ``x-kubernetes-embedded-resource``, with their paths."""
    if not _has(schema, "embedded"):
        return []
    return list(_embedded(schema, document, ""))


def _has(schema: Schema, what: str) -> bool:
    """Whether a node or one below it is such a list, or an embedded object; most schemas have neither."""
    known = schema.compiled.get(what)
    if known is None:
        own = schema.embedded_resource if what == "embedded" else schema.list_type in {"set", "map"}
        inner = [schema.items, schema.values, *map(schema.field, schema.properties)]
        known = schema.compiled[what] = own or any(_has(each, what) for each in inner if each is not None)
    return bool(known)


def _below(schema: Schema, value: Any, path: str, what: str) -> Iterator[tuple[Schema, Any, str]]:
    if isinstance(value, dict):
        declared = schema.properties
        for name, inner in value.items():
            field = schema.field(name)
            if field is not None and _has(field, what):
                yield field, inner, (f"{path}.{name}" if path else name) if name in declared else f"{path}[{name}]"
    elif isinstance(value, list) and schema.items is not None and _has(schema.items, what):
        for index, inner in enumerate(value):
            yield schema.items, inner, f"{path}[{index}]"


def _embedded(schema: Schema, value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if schema.embedded_resource and isinstance(value, dict):
        yield path, value
    for field, inner, at in _below(schema, value, path, "embedded"):
        yield from _embedded(field, inner, at)


def _duplicates(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, list):
        if schema.list_type == "set":
            yield from (fields.duplicate(f"{path}[{index}]", value[index]) for index in _seconds(map(_same, value)))
        elif schema.list_type == "map" and all(isinstance(item, dict) for item in value):
            keys = schema.list_keys
            for index in _seconds(tuple(_same(item.get(key, _MISSING)) for key in keys) for item in value):
                shown = {key: value[index][key] for key in keys if key in value[index]}
                yield fields.duplicate(f"{path}[{index}]", shown)
    for field, inner, at in _below(schema, value, path, "keyed"):
        yield from _duplicates(field, inner, at)


def _same(item: Any) -> Any:
    """Make a key that equal items alone have in common; true is not 1."""
    if item.__class__ is str:
        return item
    return item.__class__, json.dumps(item, sort_keys=True) if isinstance(item, (dict, list)) else item


def _seconds(keys: Iterable[Any]) -> Iterator[int]:
    times: dict[Any, int] = {}
    for index, key in enumerate(keys):
        times[key] = times.get(key, 0) + 1
        if times[key] == 2:  # noqa: PLR2004 - the second of equals
            yield index

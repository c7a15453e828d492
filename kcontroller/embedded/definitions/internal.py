"""Writes versions and schemas as messages show them: as the JSON of apiextensions' internal Go structs.

There every field is written under its Go name, and what all versions have in common has moved to the spec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.validation.fields import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_VERSION_PARTS: Final = (
    ("Schema", "schema"),
    ("Subresources", "subresources"),
    ("AdditionalPrinterColumns", "additionalPrinterColumns"),
    ("SelectableFields", "selectableFields"),
)
_TEXT: Final = '""'
_NOTHING: Final = "null"
_FALSE: Final = "false"
# In the order of the struct JSONSchemaProps: the Go name, the name in a definition, and what stands for nothing.
_FIELDS: Final = (
    ("ID", "id", _TEXT),
    ("Schema", "$schema", _TEXT),
    ("Ref", "$ref", _NOTHING),
    ("Description", "description", _TEXT),
    ("Type", "type", _TEXT),
    ("Nullable", "nullable", _FALSE),
    ("Format", "format", _TEXT),
    ("Title", "title", _TEXT),
    ("Default", "default", _NOTHING),
    ("Maximum", "maximum", _NOTHING),
    ("ExclusiveMaximum", "exclusiveMaximum", _FALSE),
    ("Minimum", "minimum", _NOTHING),
    ("ExclusiveMinimum", "exclusiveMinimum", _FALSE),
    ("MaxLength", "maxLength", _NOTHING),
    ("MinLength", "minLength", _NOTHING),
    ("Pattern", "pattern", _TEXT),
    ("MaxItems", "maxItems", _NOTHING),
    ("MinItems", "minItems", _NOTHING),
    ("UniqueItems", "uniqueItems", _FALSE),
    ("MultipleOf", "multipleOf", _NOTHING),
    ("Enum", "enum", _NOTHING),
    ("MaxProperties", "maxProperties", _NOTHING),
    ("MinProperties", "minProperties", _NOTHING),
    ("Required", "required", _NOTHING),
    ("Items", "items", _NOTHING),
    ("AllOf", "allOf", _NOTHING),
    ("OneOf", "oneOf", _NOTHING),
    ("AnyOf", "anyOf", _NOTHING),
    ("Not", "not", _NOTHING),
    ("Properties", "properties", _NOTHING),
    ("AdditionalProperties", "additionalProperties", _NOTHING),
    ("PatternProperties", "patternProperties", _NOTHING),
    ("Dependencies", "dependencies", _NOTHING),
    ("AdditionalItems", "additionalItems", _NOTHING),
    ("Definitions", "definitions", _NOTHING),
    ("ExternalDocs", "externalDocs", _NOTHING),
    ("Example", "example", _NOTHING),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", _NOTHING),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", _FALSE),
    ("XIntOrString", "x-kubernetes-int-or-string", _FALSE),
    ("XListMapKeys", "x-kubernetes-list-map-keys", _NOTHING),
    ("XListType", "x-kubernetes-list-type", _NOTHING),
    ("XMapType", "x-kubernetes-map-type", _NOTHING),
    ("XValidations", "x-kubernetes-validations", _NOTHING),
)
GO_NAMES: Final = {name: go for go, name, _ in _FIELDS}
"""The Go field of each keyword of a schema, in the order of the struct."""


def versions_value(versions: Sequence[Mapping[str, Any]], shared: set[str]) -> str:
    """Write ``spec.versions``; `shared` names the parts that have moved to the spec."""
    return f"[{','.join(_version(version, shared) for version in versions)}]"


def schema_value(schema: Mapping[str, Any]) -> str:
    """Write a schema."""
    return _object(
        (go, _field(name, schema[name]) if schema.get(name) is not None else empty) for go, name, empty in _FIELDS
    )


def _version(version: Mapping[str, Any], shared: set[str]) -> str:
    parts = [
        ("Name", json_text(version.get("name") or "")),
        ("Served", json_text(bool(version.get("served")))),
        ("Storage", json_text(bool(version.get("storage")))),
        ("Deprecated", json_text(bool(version.get("deprecated")))),
        ("DeprecationWarning", json_text(version.get("deprecationWarning"))),
    ]
    for go, name in _VERSION_PARTS:
        value = None if name in shared else version.get(name)
        parts.append((go, _NOTHING if value is None else _PARTS[name](value)))
    return _object(parts)


def _object(parts: Any) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in parts) + "}"


def _field(name: str, value: Any) -> str:
    writer = _WRITERS.get(name)
    return writer(value) if writer is not None else json_text(value)


def _schemas(value: Sequence[Mapping[str, Any]]) -> str:
    return f"[{','.join(map(schema_value, value))}]"


def _schema_map(value: Mapping[str, Mapping[str, Any]]) -> str:
    return _object((name, schema_value(value[name])) for name in sorted(value))


def _schema_or_bool(value: Any) -> str:
    if isinstance(value, bool):
        return _object([("Allows", json_text(value)), ("Schema", _NOTHING)])
    return _object([("Allows", "true"), ("Schema", schema_value(value))])


def _items(value: Any) -> str:
    if isinstance(value, list):
        return _object([("Schema", _NOTHING), ("JSONSchemas", _schemas(value))])
    return _object([("Schema", schema_value(value)), ("JSONSchemas", _NOTHING)])


def _validation(value: Mapping[str, Any]) -> str:
    schema = value.get("openAPIV3Schema")
    return _object([("OpenAPIV3Schema", _NOTHING if schema is None else schema_value(schema))])


def _subresources(value: Mapping[str, Any]) -> str:
    scale = value.get("scale")
    written = _NOTHING
    if scale is not None:
        written = _object(
            [
                ("SpecReplicasPath", json_text(scale.get("specReplicasPath") or "")),
                ("StatusReplicasPath", json_text(scale.get("statusReplicasPath") or "")),
                ("LabelSelectorPath", json_text(scale.get("labelSelectorPath"))),
            ]
        )
    return _object([("Status", _NOTHING if value.get("status") is None else "{}"), ("Scale", written)])


def _columns(value: Sequence[Mapping[str, Any]]) -> str:
    names = (("Name", "name"), ("Type", "type"), ("Format", "format"), ("Description", "description"))
    written = (
        _object(
            [
                *((go, json_text(column.get(name) or "")) for go, name in names),
                ("Priority", json_text(column.get("priority") or 0)),
                ("JSONPath", json_text(column.get("jsonPath") or "")),
            ]
        )
        for column in value
    )
    return f"[{','.join(written)}]"


def _selectable(value: Sequence[Mapping[str, Any]]) -> str:
    return f"[{','.join(_object([('JSONPath', json_text(field.get('jsonPath') or ''))]) for field in value)}]"


_PARTS: Final[Mapping[str, Callable[[Any], str]]] = {
    "schema": _validation,
    "subresources": _subresources,
    "additionalPrinterColumns": _columns,
    "selectableFields": _selectable,
}
_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    **dict.fromkeys(("allOf", "oneOf", "anyOf"), _schemas),
    **dict.fromkeys(("properties", "patternProperties", "definitions"), _schema_map),
    **dict.fromkeys(("additionalProperties", "additionalItems"), _schema_or_bool),
    "items": _items,
    "not": schema_value,
}

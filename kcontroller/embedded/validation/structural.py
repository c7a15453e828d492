"""Pruning and defaulting of documents by a schema, the same for built-in kinds and custom resources.

Source of the rules: ``k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting,objectmeta}``; for
built-in kinds what a Go decoder leaves of a document: undeclared fields and nulls are gone.
"""

from __future__ import annotations

from typing import Any, Final

from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.validation import canonical

_NONE: Final[frozenset[str]] = frozenset()
_OBJECT_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_LABELS: Final = {"type": "object", "additionalProperties": _TEXT}
_TIME: Final = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.Time"}
_EXACT: Final = 1e21
_GONE: Final = object()
_NUMBER: Final = {"type": "integer", "format": "int64"}
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DEFINITIONS: Final[dict[str, dict[str, Any]]] = {
    f"{_META}Time": {"type": "string", "format": "date-time"},
    f"{_META}FieldsV1": {"type": "object"},
    f"{_META}OwnerReference": {
        "type": "object",
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "name": _TEXT,
            "uid": _TEXT,
            "controller": {"type": "boolean"},
            "blockOwnerDeletion": {"type": "boolean"},
        },
    },
    f"{_META}ManagedFieldsEntry": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("apiVersion", "fieldsType", "manager", "operation", "subresource"), _TEXT),
            "time": _TIME,
            "fieldsV1": {"$ref": f"{_META}FieldsV1"},
        },
    },
    f"{_META}ObjectMeta": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("generateName", "name", "namespace", "resourceVersion", "selfLink", "uid"), _TEXT),
            **dict.fromkeys(("annotations", "labels"), _LABELS),
            **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
            **dict.fromkeys(("deletionGracePeriodSeconds", "generation"), _NUMBER),
            "finalizers": _TEXTS,
            "managedFields": {"type": "array", "items": {"$ref": f"{_META}ManagedFieldsEntry"}},
            "ownerReferences": {"type": "array", "items": {"$ref": f"{_META}OwnerReference"}},
        },
    },
}
OBJECT_META: Final = Schema({"$ref": f"{_META}ObjectMeta"}, _DEFINITIONS, builtin=True)
"""The metadata of every object; no CustomResourceDefinition declares it."""


class _Shape:
    """What pruning and defaulting need of a schema node, at hand without a call. Children are made when met."""

    __slots__ = (
        "default",
        "defaults",
        "embedded",
        "fields",
        "items",
        "keeps",
        "nullable",
        "omitted",
        "schema",
        "values",
        "writer",
        "zero",
    )

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.default: Any = schema.node.get("default")
        self.defaults: tuple[tuple[str, Any, bool], ...] = tuple(
            (name, node["default"], bool(node.get("nullable")))
            for name, node in schema.properties.items()
            if node.get("default") is not None
        )
        self.embedded = schema.embedded_resource
        self.omitted = canonical.omitted(schema) if schema.builtin else _NONE
        self.zero = canonical.zero(schema) if schema.builtin else None
        self.writer = canonical.writer(schema) if schema.builtin else None
        # Null stays where anything may stand (RawExtension); Go has no other place for it.
        self.nullable = schema.is_open if schema.builtin else schema.nullable
        self.keeps = schema.preserves_unknown
        self.fields: dict[str, _Shape | None] = dict.fromkeys(schema.properties)
        self.items: _Shape | None = None
        self.values: _Shape | None = None
        if schema.items is not None:
            self.items = _shape(schema.items)
        if schema.values is not None:
            self.values = _shape(schema.values)

    def field(self, name: str) -> _Shape | None:
        """Make the shape of a declared field the first time; None for one that is not declared."""
        if name not in self.fields:
            return None
        field = self.schema.field(name)
        assert field is not None  # noqa: S101 - it is declared
        shape = self.fields[name] = _shape(field)
        return shape


def _shape(schema: Schema) -> _Shape:
    shape = schema.compiled.get("structure")
    if shape is None:
        shape = schema.compiled["structure"] = _Shape(schema)
    return shape


def prune(schema: Schema, document: dict[str, Any]) -> list[str]:
    """Drop in place what is not declared, in metadata too; return its paths as kube-apiserver's warnings name them.

    Fields of a custom resource come sorted, metadata first; those of a built-in kind in the order of the document.
    """
    found: list[str] = []
    if schema.builtin:
        _prune(document, _shape(schema), "", found, keeps=False)
        return found
    metadata = document.get("metadata")
    if metadata.__class__ is dict:
        _prune(metadata, _shape(OBJECT_META), "metadata.", found, keeps=False)
    below: list[str] = []
    inside: list[str] = []
    _prune(document, _shape(schema), "", below, keeps=False, inside=inside, root=True)
    if below:
        found += sorted(path for path in below if path not in _OBJECT_FIELDS)
    return found + sorted(inside) if inside else found


def _prune(
    value: Any,
    shape: _Shape,
    path: str,
    found: list[str],
    *,
    keeps: bool,
    inside: list[str] | None = None,
    root: bool = False,
) -> None:
    fields = shape.fields
    keeps = keeps or shape.keeps
    embedded = shape.embedded or root
    gone: list[str] | None = None
    for name, below in value.items():
        if embedded and name in _OBJECT_FIELDS:
            if not root and name == "metadata" and below.__class__ is dict:
                _prune(below, _shape(OBJECT_META), f"{path}metadata.", found if inside is None else inside, keeps=False)
            continue
        inner = fields.get(name) or shape.field(name) or shape.values
        if inner is None:
            if not keeps:
                gone = gone or []
                gone.append(name)
                found.append(path + name)
        elif below.__class__ is dict:
            _prune(below, inner, f"{path}{name}.", found, keeps=False, inside=inside)
        elif below.__class__ is list:
            _prune_items(below, inner, path + name, found, keeps=False, inside=inside)
    for name in gone or ():
        del value[name]


def _prune_items(
    value: list[Any], shape: _Shape, path: str, found: list[str], *, keeps: bool, inside: list[str] | None
) -> None:
    inner, keeps = shape.items, keeps or shape.keeps
    if inner is None:
        if keeps:
            return
        inner = _NOTHING  # A list where none is declared: validation refuses it, its fields are gone all the same.
    for index, below in enumerate(value):
        if below.__class__ is dict:
            _prune(below, inner, f"{path}[{index}].", found, keeps=keeps, inside=inside)
        elif below.__class__ is list:
            _prune_items(below, inner, f"{path}[{index}]", found, keeps=keeps, inside=inside)


def default(schema: Schema, document: dict[str, Any], *, keep_nulls: bool = False) -> None:
    """Fill in place what has a default and is missing or null, and drop the nulls that may not stand.

    Args:
        schema: of the document.
        document: what is changed.
        keep_nulls: whether nulls for which there is no default stay.

    A default is copied as it stands in the schema and its own fields are defaulted in turn. In a list null stays, for
    validation to refuse.
    """
    _default(document, _shape(schema), keep_nulls=keep_nulls)
    metadata = document.get("metadata")
    if not schema.builtin and metadata.__class__ is dict:
        _default(metadata, _shape(OBJECT_META), keep_nulls=False)


def _default(value: dict[str, Any], shape: _Shape, *, keep_nulls: bool) -> None:
    if shape.defaults:
        _fill(value, shape)
    fields, values = shape.fields, shape.values
    gone: list[str] = []
    for name, below in value.items():
        kind = below.__class__
        inner = fields.get(name) or shape.field(name) or values
        left = below
        if kind is dict or kind is list:
            if inner is not None:
                (_default if kind is dict else _default_items)(below, inner, keep_nulls=keep_nulls)
        elif below is None:
            left = _for_null(inner, shape, keep_nulls=keep_nulls)
        elif kind is float or (inner is not None and inner.writer is not None):
            left = _written(below, inner)
        if left is not below:
            value[name] = left
        if left is _GONE or (not left and name in shape.omitted):
            gone.append(name)
    for name in gone:
        del value[name]


def _fill(value: dict[str, Any], shape: _Shape) -> None:
    for name, literal, nullable in shape.defaults:
        # An empty struct of Go's is what an absent one is.
        if name not in value or (value[name] is None and not nullable) or (value[name] == {} and shape.schema.builtin):
            value[name] = _copy(literal)


def _written(value: Any, shape: _Shape | None) -> Any:
    if value.__class__ is float and value.is_integer() and abs(value) < _EXACT:
        value = int(value)  # So does Go's encoder: 1.0 comes back as 1.
    return shape.writer(value) if shape is not None and shape.writer is not None else value


def _default_items(value: list[Any], shape: _Shape, *, keep_nulls: bool) -> None:
    inner = shape.items
    if inner is None:
        return
    for index, below in enumerate(value):
        if below is None and not inner.nullable and inner.default is not None:
            value[index] = _copy(inner.default)
        elif below is None and inner.zero is not None:
            value[index] = _copy(inner.zero)  # In a list of Go's, null is the zero value of its items.
        if value[index].__class__ is dict:
            _default(value[index], inner, keep_nulls=keep_nulls)
        elif value[index].__class__ is list:
            _default_items(value[index], inner, keep_nulls=keep_nulls)


def _for_null(inner: _Shape | None, shape: _Shape, *, keep_nulls: bool) -> Any:
    """Tell what stands instead of a null: nothing, a default, or null itself where it may stand."""
    if inner is None or inner.nullable:
        return None
    if inner.default is not None:
        return _copy(inner.default)
    # In a map of Go's, null is the zero value of what the map holds.
    if inner is shape.values and shape.schema.builtin:
        return _copy(inner.zero)
    return None if keep_nulls else _GONE


def _copy(literal: Any) -> Any:
    if literal.__class__ is dict:
        return {name: _copy(value) for name, value in literal.items()}
    return list(map(_copy, literal)) if literal.__class__ is list else literal


_NOTHING: Final = _Shape(Schema({"type": "string"}))

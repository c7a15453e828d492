"""Refuses wrong types as the Go decoder of a built-in kind does, in its words.

Source of the words: ``sigs.k8s.io/json`` and the ``UnmarshalJSON`` of apimachinery's types. A wrong value that a type
decodes itself (time, quantity, int-or-string) is told at once; of the others the first in the document.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.statuses import bad_request
from kcontroller.embedded.validation import gotypes, times
from kcontroller.embedded.validation.fields import invalid, number
from kcontroller.embedded.validation.lists import embedded
from kcontroller.embedded.validation.structural import OBJECT_META

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.schemas import Schema

_QUANTITY: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_NOT_A_QUANTITY: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/]*")
_SCHEMA_UNIONS: Final = frozenset({"OrBool", "OrArray", "OrStringArray"})
_RANGES: Final = {"int32": 1 << 31, "int64": 1 << 63}


class _WrongError(Exception):
    """What the decoder says."""


def decode(kind: Kind, document: Mapping[str, Any]) -> None:
    """Walk a document along its kind's schema; of a custom resource only metadata has types of Go's.

    Raises:
        Refusal: 400 for the first wrong value.
    """
    decoder = _Decoder()
    try:
        if kind.builtin:
            decoder.struct(kind.schema, document, "", kind.kind)
        else:
            decoder.custom(kind, document)
        if decoder.first is not None:
            raise decoder.first
    except _WrongError as wrong:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {wrong}'
        raise bad_request(message) from None


class _Decoder:
    def __init__(self) -> None:
        self.first: _WrongError | None = None

    def custom(self, kind: Kind, document: Mapping[str, Any]) -> None:
        self.custom_metadata(document.get("metadata"))
        for path, resource in embedded(kind.schema, document):
            for name in ("apiVersion", "kind"):
                if name in resource and not isinstance(resource[name], str):
                    wrong = invalid(f"{path}.{name}", resource[name], "must be a string")
                    text = f"{wrong.field}: {wrong.message}"
                    raise _WrongError(text)
            self._inner_metadata(f"{path}.metadata", resource.get("metadata"))

    @staticmethod
    def _inner_metadata(path: str, metadata: Any) -> None:
        """Check the metadata of an object inside a custom resource."""
        inner = _Decoder()
        try:
            inner.custom_metadata(metadata)
            if inner.first is not None:
                raise inner.first
        except _WrongError as error:
            wrong = invalid(path, metadata, str(error))
            text = f"{wrong.field}: {wrong.message}"
            raise _WrongError(text) from None

    def custom_metadata(self, metadata: Any) -> None:
        if isinstance(metadata, dict):
            self.struct(OBJECT_META, metadata, "", "ObjectMeta")
        elif metadata is not None:
            text = f"json: cannot unmarshal {_name_of(metadata)} into Go value of type v1.ObjectMeta"
            raise _WrongError(text)

    def struct(self, schema: Schema, document: Mapping[str, Any], path: str, struct: str) -> None:
        declared = schema.properties
        for name, value in document.items():
            if value is None or name not in declared:
                continue
            field = schema.field(name)
            assert field is not None  # noqa: S101 - it is declared
            inside = gotypes.inside(struct, name)
            at = f"{path}.{inside}" if inside and path else inside or path
            self.value(field, value, f"{at}.{name}" if at else name, struct, name)

    def value(self, schema: Schema, value: Any, path: str, struct: str, field: str) -> None:
        """Check one value; `struct` and `field` name the field of Go's that it is in, or in a list or map of."""
        if value is None:
            return
        check = _OWN_DECODERS.get(schema.reference.rpartition(".")[2]) if schema.reference else None
        where = f"Go struct field {struct}.{path}"
        union = schema.reference.rpartition(".JSONSchemaProps")[2]
        if check is not None:
            check(value, where)
        elif union in _SCHEMA_UNIONS:
            self._schemas(schema, value, path, union)
        elif schema.is_open:
            return
        elif schema.type == "object":
            self._object(schema, value, path, struct, field)
        elif schema.type == "array":
            if not isinstance(value, list):
                self._wrong(value, where, _type_of(schema, struct, field))
            elif schema.items is not None:
                for item in value:
                    self.value(schema.items, item, path, struct, field)
        else:
            self._scalar(schema, value, where, struct, field)

    def _schemas(self, schema: Schema, value: Any, path: str, union: str) -> None:
        """Check a part of a CustomResourceDefinition's schema that may be a schema or something else."""
        single = schema.named(schema.reference.removesuffix(union))
        if isinstance(value, dict):
            self.struct(single, value, path, "JSONSchemaProps")
        elif isinstance(value, list) and union == "OrArray":
            for item in value:
                self.value(single, item, path, "JSONSchemaProps", "items")
        elif not isinstance(value, bool) and union == "OrBool":
            text = "boolean or JSON schema expected"
            raise _WrongError(text)

    def _object(self, schema: Schema, value: Any, path: str, struct: str, field: str) -> None:
        if not isinstance(value, dict):
            self._wrong(value, f"Go struct field {struct}.{path}", _type_of(schema, struct, field))
        elif schema.values is not None:
            for inner in value.values():
                self.value(schema.values, inner, path, struct, field)
        else:
            self.struct(schema, value, path, schema.reference.rpartition(".")[2] or struct)

    def _scalar(self, schema: Schema, value: Any, where: str, struct: str, field: str) -> None:
        kind, name = schema.type, _type_of(schema, struct, field)
        if kind == "string":
            if schema.node.get("format") == "byte":
                self._bytes(value, where)
            elif not isinstance(value, str):
                self._wrong(value, where, name)
        elif kind == "boolean":
            if not isinstance(value, bool):
                self._wrong(value, where, name)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            self._wrong(value, where, name)
        elif kind == "integer" and not _fits(value, name):
            self._soft(f"json: cannot unmarshal number {_literal(value)} into {where} of type {name}")

    def _bytes(self, value: Any, where: str) -> None:
        if isinstance(value, list):
            return  # Go reads a list of numbers as bytes, too.
        if not isinstance(value, str):
            self._wrong(value, where, "[]uint8")
            return
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            plain = value.rstrip("=")
            good = _ALPHABET.match(plain)
            end = good.end() if good is not None else 0
            at = end if end < len(plain) else len(plain) // 4 * 4
            self._soft(f"illegal base64 data at input byte {at}")

    def _wrong(self, value: Any, where: str, name: str) -> None:
        self._soft(f"json: cannot unmarshal {_name_of(value)} into {where} of type {name}")

    def _soft(self, text: str) -> None:
        if self.first is None:
            self.first = _WrongError(text)


def _check_time(value: Any, where: str, *, fraction: bool = False) -> None:
    if not isinstance(value, str):
        text = f"json: cannot unmarshal {_name_of(value)} into {where} of type string"
        raise _WrongError(text)
    wrong = times.wrong(value, fraction=fraction)
    if wrong:
        raise _WrongError(wrong)


def _check_quantity(value: Any, _where: str) -> None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _WrongError(_NOT_A_QUANTITY)


def _check_int_or_string(value: Any, where: str) -> None:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and _fits(value, "int32")):
        return
    given = _name_of(value)
    if given == "number":
        given = f"number {_literal(value)}"
    text = f"json: cannot unmarshal {given} into {where} of type int32"
    raise _WrongError(text)


_OWN_DECODERS: Final[dict[str, Callable[[Any, str], None]]] = {
    "Time": _check_time,
    "MicroTime": partial(_check_time, fraction=True),
    "Quantity": _check_quantity,
    "IntOrString": _check_int_or_string,
}


def _type_of(schema: Schema, struct: str, field: str) -> str:
    """Name the Go type of a node."""
    kind = schema.type
    if schema.reference:
        *_, version, name = schema.reference.rsplit(".", 2)
        return {"Quantity": "resource.Quantity"}.get(name, f"{version}.{name}")
    if kind == "array" and schema.items is not None:
        return f"[]{_type_of(schema.items, struct, field)}"
    if kind == "object" and schema.values is not None:
        if schema.values.reference.endswith(".Quantity"):
            return "v1.ResourceList"
        return f"map[string]{_type_of(schema.values, struct, field)}"
    if kind == "string" and schema.node.get("format") != "byte":
        return gotypes.text(struct, field)
    integer = str(schema.node.get("format") or "int64")
    return {"string": "[]uint8", "integer": integer, "boolean": "bool", "number": "float64"}.get(kind, "interface {}")


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", list: "array", dict: "object"}[type(value)]


def _fits(value: float, name: str) -> bool:
    limit = _RANGES.get(name, 1 << 63)
    return isinstance(value, int) and -limit <= value < limit


def _literal(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value!r}" if value != int(value) else number(value)

"""Turns the schema of a custom resource into a JSON schema validator that finds what kube-apiserver finds.

OpenAPI v3.0 as kube-openapi reads it differs from JSON schema: ``nullable``, boolean exclusive limits, int-or-string,
number formats, and a type that a string format loosens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from kcontroller.embedded.validation import formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kcontroller.embedded.schemas import Schema

TYPES: Final = "x-types"
"""The keyword of a translated node that keeps the types of the original, as messages name them."""

FORMAT: Final = "x-format"
"""The keyword of a translated node that keeps the format that the server checks."""

_PLAIN: Final = (
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "multipleOf",
)
_SINGLE_PRECISION: Final = 3.4028235677973366e38
_RANGES: Final[dict[str, Any]] = {
    "int32": {"minimum": -(1 << 31), "maximum": (1 << 31) - 1},
    "int64": {"minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "float": {"exclusiveMinimum": -_SINGLE_PRECISION, "exclusiveMaximum": _SINGLE_PRECISION},
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A validator, and the JSON schema that its errors point into."""

    validator: jsonschema_rs.Draft202012Validator
    schema: Mapping[str, Any]


def compiled(schema: Schema) -> Compiled:
    """Make the validator of a schema, the first time.

    Raises:
        ValueError: the schema cannot be one; CustomResourceDefinitions are checked before.
    """
    known = schema.compiled.get("validator")
    if known is None:
        formats: dict[str, Callable[[str], bool]] = {}
        translated = {"$defs": _RANGES, **_translated(schema.node, formats)}
        validator = jsonschema_rs.Draft202012Validator(
            translated, formats=formats, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
        )
        known = schema.compiled["validator"] = Compiled(validator, translated)
    return known


def _translated(node: Mapping[str, Any], used: dict[str, Callable[[str], bool]]) -> dict[str, Any]:
    out: dict[str, Any] = {keyword: node[keyword] for keyword in _PLAIN if node.get(keyword) not in (None, "")}
    _add_type(node, out, used)
    _add_values(node, out)
    for junctor in ("allOf", "anyOf", "oneOf"):
        if node.get(junctor):
            out[junctor] = [_translated(inner, used) for inner in node[junctor]]
    if node.get("not") is not None:
        out["not"] = _translated(node["not"], used)
    if node.get("properties"):
        out["properties"] = {name: _translated(inner, used) for name, inner in node["properties"].items()}
    for keyword in ("additionalProperties", "items"):
        if isinstance(node.get(keyword), dict):
            out[keyword] = _translated(node[keyword], used)
        elif node.get(keyword) is False:
            out[keyword] = False
    return out


def _add_values(node: Mapping[str, Any], out: dict[str, Any]) -> None:
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if limit in node:
            out[exclusive if node.get(exclusive) else limit] = node[limit]
    if node.get("enum"):
        out["enum"] = [value for value in node["enum"] if value is not None]  # Null is never in it, to the server.


def _add_type(node: Mapping[str, Any], out: dict[str, Any], used: dict[str, Callable[[str], bool]]) -> None:
    types = [node["type"]] if node.get("type") else []
    if node.get("x-kubernetes-int-or-string"):
        types = ["integer", "string"]
    name = str(node.get("format") or "")
    check = formats.of(name) if types in ([], ["string"]) else None
    allowed = list(types)
    if check is not None:
        used[name] = check
        out["format"] = out[FORMAT] = name
        # With a format kube-openapi lets a list pass, too (type.go).
        allowed = ["string", "array"] if types else ["string", "array", "null"]
    elif types == ["integer"]:
        out["$ref"] = f"#/$defs/{name if name == 'int32' else 'int64'}"
        if name in {"int32", "int64"}:
            out[FORMAT] = name
    elif types == ["number"] and name in {"float", "double"}:
        out[FORMAT] = name
        if name == "float":
            out["$ref"] = "#/$defs/float"
    if allowed:
        out[TYPES] = ",".join(types)
        out["type"] = [*allowed, "null"] if node.get("nullable") and "null" not in allowed else allowed

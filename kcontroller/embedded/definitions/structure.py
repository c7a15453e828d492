"""Checks a schema of a CustomResourceDefinition: that it is structural, its defaults fit, and its words are supported.

Source of rules and words: ``ValidateStructural``, ``ValidateDefaults`` and
``ValidateCustomResourceDefinitionOpenAPISchema`` of apiextensions, checked against a real kube-apiserver. Rules
in CEL are not compiled.
"""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.definitions.internal import GO_NAMES, schema_value
from kcontroller.embedded.definitions.lists import check as check_list
from kcontroller.embedded.definitions.patterns import wrong as wrong_pattern
from kcontroller.embedded.schemas import Schema
from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import fields, structural
from kcontroller.embedded.validation.causes import causes
from kcontroller.embedded.validation.schema import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_OBJECT_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})
_TYPE_FIELDS: Final = ("apiVersion", "kind")
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_ROOT, _FIELD, _ITEM = "at the root", "for specified object fields", "for specified array items"
_AT_ROOT: Final = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
# What may not stand inside of anyOf, allOf, oneOf and not, with the word for what it must be.
_NOT_NESTED: Final = (
    ("type", "empty"),
    ("additionalProperties", "undefined"),
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("x-kubernetes-preserve-unknown-fields", "false"),
    ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"),
)


def check(schema: Mapping[str, Any], path: str, *, has_status: bool) -> list[Cause]:
    """Find what is wrong with a schema.

    Args:
        schema: the ``openAPIV3Schema``.
        path: where it stands.
        has_status: whether the status subresource is on; then the root may not say everything.
    """
    found = list(_root(schema, path, has_status=has_status))
    if _is_readable(schema):
        # The server sorts these, by the text of a message.
        wrong = sorted(_structural(schema, path, _ROOT), key=lambda cause: f"{cause.field}: {cause.message}")
        found += wrong or list(_defaults(schema, path, root=True))
    found += _openapi(schema, path, root=True, no_default="")
    return found


def _is_readable(node: Any) -> bool:
    """Whether every word is one that a structural schema has; with another the server looks at the words alone."""
    if isinstance(node, list):
        return all(map(_is_readable, node))
    if not isinstance(node, dict):
        return True
    if any(node.get(name) for name in _UNSUPPORTED) or isinstance(node.get("items"), list):
        return False
    inner = [node.get(name) for name in ("items", "additionalProperties", "not", "allOf", "anyOf", "oneOf")]
    return all(map(_is_readable, [*inner, *(node.get("properties") or {}).values()]))


def _root(schema: Mapping[str, Any], path: str, *, has_status: bool) -> Iterator[Cause]:
    if has_status:
        for name, go in GO_NAMES.items():
            if not schema.get(name):
                continue
            if name == "type":
                if schema["type"] != "object":
                    detail = (
                        'only "object" is allowed as the type at the root of the schema if the status subresource is '
                        "enabled"
                    )
                    yield fields.invalid(f"{path}.type", schema["type"], detail)
                    break
            elif go not in _AT_ROOT.split():
                allowed = f"only [{_AT_ROOT}] fields are allowed at the root of the schema"
                detail = f"{allowed} if the status subresource is enabled"
                yield Cause("FieldValueInvalid", f"Invalid value: {schema_value(schema)}: {detail}", path)
                break
    if schema.get("nullable"):
        yield fields.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _structural(node: Mapping[str, Any], path: str, level: str) -> Iterator[Cause]:
    kind = node.get("type") or ""
    if kind == "array" and node.get("items") is None:
        yield fields.required(f"{path}.items", "must be specified")
    if isinstance(node.get("items"), dict):
        yield from _structural(node["items"], f"{path}.items", _ITEM)
    for name, inner in (node.get("properties") or {}).items():
        yield from _structural(inner, f"{path}.properties[{name}]", _FIELD)
    values = node.get("additionalProperties")
    if values is not None and level is _ROOT:
        yield fields.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(values, dict):
        yield from _structural(values, f"{path}.additionalProperties", _FIELD)
    yield from _extensions(node, path)
    yield from _value_rules(node, path, skip=_int_or_string_pattern(node))
    yield from _type_rules(node, path, level)
    if node.get("x-kubernetes-embedded-resource"):
        if values is not None:
            detail = "must not be used if x-kubernetes-embedded-resource is set"
            yield fields.forbidden(f"{path}.additionalProperties", detail)
        if not node.get("x-kubernetes-preserve-unknown-fields") and not node.get("properties"):
            detail = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield fields.required(f"{path}.properties", detail)
    if level is _ROOT or node.get("x-kubernetes-embedded-resource"):
        yield from _object_fields(node, path, level)


def _type_rules(node: Mapping[str, Any], path: str, level: str) -> Iterator[Cause]:
    kind = node.get("type") or ""
    if node.get("x-kubernetes-embedded-resource") and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield fields.invalid(f"{path}.type", kind, detail) if kind else fields.required(f"{path}.type", detail)
    elif not kind and not (node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")):
        yield fields.required(f"{path}.type", f"must not be empty {level}")
    if level is _ROOT and kind not in {"", "object"}:
        yield fields.invalid(f"{path}.type", kind, "must be object at the root")


def _extensions(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if node.get("x-kubernetes-int-or-string"):
        for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if node.get(name):
                yield fields.invalid(f"{path}.{name}", True, "must be false if x-kubernetes-int-or-string is true")


def _object_fields(node: Mapping[str, Any], path: str, level: str) -> Iterator[Cause]:
    properties = node.get("properties") or {}
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            yield fields.invalid(
                f"{path}.properties[{name}].type", properties[name].get("type") or "", "must be string"
            )
    if "metadata" not in properties:
        return
    metadata, at = properties["metadata"], f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield fields.invalid(f"{at}.type", metadata.get("type") or "", "must be object")
    if level is not _ROOT:
        return
    rest = {name for name, value in metadata.items() if name not in {"type", "default"} and value}
    if set(metadata.get("properties") or {}) <= {"name", "generateName"}:
        rest -= {"properties"}
    if rest:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield fields.forbidden(at, detail)


def _int_or_string_pattern(node: Mapping[str, Any]) -> str:
    """Tell which junctor spells int-or-string out; the types in that one are allowed."""
    if node.get("anyOf") == _INT_OR_STRING:
        return "anyOf"
    first = (node.get("allOf") or [{}])[0]
    return "allOf" if first.get("anyOf") == _INT_OR_STRING else ""


def _value_rules(node: Mapping[str, Any], path: str, *, skip: str = "") -> Iterator[Cause]:
    for junctor in ("anyOf", "allOf", "oneOf"):
        for index, inner in enumerate(node.get(junctor) or ()):
            at = f"{path}.{junctor}[{index}]"
            if junctor == "anyOf" == skip:
                continue
            yield from _nested(inner, at, skip="anyOf" if junctor == "allOf" == skip and not index else "")
    if node.get("not") is not None:
        yield from _nested(node["not"], f"{path}.not")
    if node.get("pattern") and (detail := wrong_pattern(node["pattern"])):
        yield fields.invalid(
            f"{path}.pattern", node["pattern"], f"must be a valid regular expression, but isn't: {detail}"
        )


def _nested(node: Mapping[str, Any], path: str, *, skip: str = "") -> Iterator[Cause]:
    yield from _value_rules(node, path, skip=skip)
    if isinstance(node.get("items"), dict):
        yield from _nested(node["items"], f"{path}.items")
    for name, inner in (node.get("properties") or {}).items():
        yield from _nested(inner, f"{path}.properties[{name}]")
    for name, word in _NOT_NESTED:
        if node.get(name) not in (None, "", False, []):
            yield fields.forbidden(f"{path}.{name}", f"must be {word} to be structural")
    if node.get("x-kubernetes-validations") and ".allOf[" not in path:
        yield fields.forbidden(f"{path}.x-kubernetes-validations", "must be empty to be structural")
    if "metadata" in (node.get("properties") or {}):
        yield fields.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _defaults(node: Mapping[str, Any], path: str, *, root: bool = False) -> Iterator[Cause]:
    """Check that a default has no unknown fields and is valid itself."""
    default = node.get("default")
    if default is not None:
        if root and isinstance(default, dict):
            yield from (fields.required(f"{path}.default.{name}") for name in _TYPE_FIELDS if name not in default)
        yield from _default(node, default, f"{path}.default")
    for name, inner in (node.get("properties") or {}).items():
        if not (root and name in _OBJECT_FIELDS):
            yield from _defaults(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from _defaults(node[name], f"{path}.{name}")


def _default(node: Mapping[str, Any], default: Any, path: str) -> list[Cause]:
    holder = {"value": copy.deepcopy(default)}
    found = []
    if structural.prune(Schema({"type": "object", "properties": {"value": node}}), holder):
        found.append(fields.invalid(path, default, "must not have unknown fields"))
    with contextlib.suppress(ValueError):  # Of a schema that is itself refused.
        found += [cause for cause, _ in causes(compiled(Schema(node)), default, prefix=path)]
    return found


def _openapi(node: Mapping[str, Any], path: str, *, root: bool, no_default: str) -> Iterator[Cause]:
    yield from _words(node, path, no_default)
    if node.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield fields.forbidden(f"{path}.uniqueItems", detail)
    values = node.get("additionalProperties")
    if values is not None and node.get("properties") and values is not True:
        detail = "additionalProperties and properties are mutual exclusive"
        yield fields.forbidden(f"{path}.additionalProperties", detail)
    for inner, at in _inner(node, path):
        yield from _openapi(inner, at, root=False, no_default=no_default)
    for name, inner in (node.get("properties") or {}).items():
        why = f"in top-level {name}" if root and name in _OBJECT_FIELDS else no_default
        yield from _openapi(inner, f"{path}.properties[{name}]", root=False, no_default=why)
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        at = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield fields.invalid(at, False, "must be true or undefined")
    yield from check_list(node, path)
    for index, rule in enumerate(node.get("x-kubernetes-validations") or ()):
        if not (rule.get("rule") or "").strip():
            yield fields.required(f"{path}.x-kubernetes-validations[{index}].rule", "rule is not specified")


def _inner(node: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for name in ("additionalProperties", "not", "items"):
        if isinstance(node.get(name), dict):
            yield node[name], f"{path}.{name}"
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, inner in enumerate(node.get(junctor) or ()):
            yield inner, f"{path}.{junctor}[{index}]"


def _words(node: Mapping[str, Any], path: str, no_default: str) -> Iterator[Cause]:
    kind = node.get("type") or ""
    if kind and kind not in _TYPES:
        yield fields.unsupported(f"{path}.type", kind, _TYPES)
    if node.get("default") is not None and no_default:
        yield fields.forbidden(f"{path}.default", f"must not be set {no_default}")
    for name in _UNSUPPORTED:
        if node.get(name):
            yield fields.forbidden(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        detail = "type cannot be set to null, use nullable as an alternative"
        yield fields.forbidden(f"{path}.type", detail)
    if isinstance(node.get("items"), list):
        yield fields.forbidden(f"{path}.items", "items must be a schema object and not an array")

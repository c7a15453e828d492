"""Checks a document: the types that a Go decoder asks for (400), then everything else (422).

Custom resources are checked whole by their schema; built-in kinds as far as the recorded schema tells (enums, required
fields) and by the hand-written rules of `validation_builtin`. Rules in CEL (``x-kubernetes-validations``) are not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import gotext
from kcontroller.embedded.validation import builtin, decoding, fields, lists, metadata, names
from kcontroller.embedded.validation.causes import causes
from kcontroller.embedded.validation.ratcheting import keep_new
from kcontroller.embedded.validation.schema import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.schemas import Schema
    from kcontroller.embedded.statuses import Cause

_INT32: Final = (1 << 31) - 1


def decode(kind: Kind, document: Mapping[str, Any]) -> None:
    """Refuse what a Go decoder refuses: any wrong type of a built-in kind, one in the metadata of a custom resource.

    Raises:
        Refusal: 400, with the decoder's words for the first wrong value.
    """
    decoding.decode(kind, document)


def validate(
    kind: Kind, document: Mapping[str, Any], old: Mapping[str, Any] | None = None, *, subresource: str = ""
) -> list[Cause]:
    """Find what is wrong with a document besides its metadata; it is decoded, pruned and defaulted before.

    Args:
        kind: in the version of the document.
        document: the whole object.
        old: the stored object, for an update: what was wrong before and has not changed is let pass (ratcheting).
        subresource: ``status`` checks the status of a custom resource alone.
    """
    if kind.builtin:
        return builtin.validate(kind, document, old)
    schema = kind.schema
    if subresource == "status":
        return _status(kind, document, old)
    found = causes(compiled(schema), document)
    if old is not None and found:
        found = keep_new(found, schema, document, old)
    wrong = [cause for cause, _ in found]
    wrong += _scale(kind, document, spec=True)
    wrong += _embedded(schema, document)
    # Sets and maps that had doubles before may keep them.
    if old is None or not lists.duplicates(schema, old):
        wrong += lists.duplicates(schema, document)
    return wrong


def _status(kind: Kind, document: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    schema = kind.schema.field("status")
    wrong: list[Cause] = []
    if schema is not None and "status" in document:
        found = causes(compiled(schema), document["status"], prefix="status")
        if old is not None and found:
            found = keep_new(found, schema, document["status"], old.get("status"))
        wrong = [cause for cause, _ in found]
    return wrong + _scale(kind, document, spec=False)


def _scale(kind: Kind, document: Mapping[str, Any], *, spec: bool) -> list[Cause]:
    """Check the replicas that the scale subresource reads."""
    scale = kind.subresources.get("scale")
    if scale is None:
        return []
    wrong: list[Cause] = []
    for name in ("specReplicasPath", "statusReplicasPath"):
        path = scale.paths.get(name, "")
        if not path or (name == "specReplicasPath" and not spec):
            continue
        value, problem = _nested_number(document, path.removeprefix(".").split("."))
        if problem:
            wrong.append(fields.invalid(path, 0, problem))
        elif value < 0:
            wrong.append(fields.invalid(path, value, "should be a non-negative integer"))
        elif value > _INT32:
            wrong.append(fields.invalid(path, value, f"should be less than or equal to {_INT32}"))
    return wrong


def _nested_number(document: Any, steps: list[str]) -> tuple[int, str]:
    """Read a number as apimachinery's ``NestedInt64`` does: 0 if it is missing, a complaint if it is none."""
    value = document
    for index, step in enumerate(steps):
        if value is None:
            return 0, ""
        if not isinstance(value, dict):
            return 0, _accessor_error(steps[: index + 1], value, "map[string]interface{}")
        if step not in value:
            return 0, ""
        value = value[step]
    if isinstance(value, bool) or not isinstance(value, int):
        return 0, _accessor_error(steps, value, "int64")
    return value, ""


def _accessor_error(steps: list[str], value: Any, wanted: str) -> str:
    found = f"{gotext.plain(value)} is of the type {gotext.type_of(value)}"
    return f".{'.'.join(steps)} accessor error: {found}, expected {wanted}"


def _embedded(schema: Schema, document: Mapping[str, Any]) -> list[Cause]:
    wrong: list[Cause] = []
    for path, resource in lists.embedded(schema, document):
        wrong += _embedded_resource(path, resource)
    return wrong


def _embedded_resource(path: str, resource: Mapping[str, Any]) -> list[Cause]:
    wrong = [fields.required(f"{path}.{name}") for name in ("apiVersion", "kind") if name not in resource]
    api_version, kind = resource.get("apiVersion"), resource.get("kind")
    if api_version == "":
        wrong.append(fields.invalid(f"{path}.apiVersion", api_version, "must not be empty"))
    elif isinstance(api_version, str) and api_version.count("/") > 1:
        detail = f"unexpected GroupVersion string: {api_version}"
        wrong.append(fields.invalid(f"{path}.apiVersion", api_version, detail))
    if kind == "":
        wrong.append(fields.invalid(f"{path}.kind", kind, "must not be empty"))
    elif isinstance(kind, str) and (details := names.label_1035(kind.lower())):
        detail = f"may have mixed case, but should otherwise match: {','.join(details)}"
        wrong.append(fields.invalid(f"{path}.kind", kind, detail))
    meta = resource.get("metadata")
    if isinstance(meta, dict):
        at = f"{path}.metadata"
        name = meta.get("name") or "fakename"
        wrong += [fields.invalid(f"{at}.name", name, detail) for detail in names.path_segment(name)]
        wrong += metadata.common(meta, at)
    return wrong

"""Checks a CustomResourceDefinition: names, versions, columns, subresources, and by `definitions_schema` its schemas.

Source of rules and words: ``validateCustomResourceDefinitionSpec`` of apiextensions, checked against a real
kube-apiserver. It sees a definition in its internal form, in which what is the same in every version stands in the spec
itself: paths in messages do, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.definitions import approval, structure
from kcontroller.embedded.definitions.internal import versions_value
from kcontroller.embedded.definitions.selectable import selectable_fields
from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import fields, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_LONGEST_WARNING: Final = 256
_REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_PARTS: Final = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def check(crd: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Find what is wrong with a definition beyond its metadata, in the server's order.

    Args:
        crd: complete (`definitions.complete`).
        old: the stored definition, for an update.
    """
    spec = crd["spec"]
    causes: list[Cause] = []
    plural, group = (spec.get("names") or {}).get("plural") or "", spec.get("group") or ""
    if old is None and crd["metadata"].get("name") != f"{plural}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        causes.append(fields.invalid("metadata.name", crd["metadata"].get("name") or "", detail))
    causes += _spec(spec)
    if old is not None:
        causes += _immutable(spec, old)
    causes += _stored_versions(crd, old)
    causes += approval.check(crd, old)
    if spec.get("preserveUnknownFields") and not (old or {}).get("spec", {}).get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        causes.append(fields.invalid("spec.preserveUnknownFields", True, detail))
    return causes


def stored_versions(crd: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
    """Name the versions that objects may be stored in: those of before, and the storage version."""
    stored = list(((old or {}).get("status") or {}).get("storedVersions") or ())
    for version in crd["spec"].get("versions") or ():
        if version.get("storage"):
            name = version.get("name") or ""
            return stored if name in stored else [*stored, name]
    return stored


def _stored_versions(crd: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    path, stored = "status.storedVersions", stored_versions(crd, old)
    if not stored:
        yield fields.invalid(path, None, "must have at least one stored version")
        return
    versions = crd["spec"].get("versions") or ()
    for version in versions:
        if version.get("storage") and (version.get("name") or "") not in stored:
            yield fields.invalid(path, stored, f"must have the storage version {version.get('name') or ''}")
    declared = {version.get("name") or "" for version in versions}
    for index, name in enumerate(stored):
        if name not in declared:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield fields.invalid(f"{path}[{index}]", name, detail)


def _immutable(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    before = old["spec"]
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        if spec.get("scope") != before.get("scope"):
            yield fields.invalid("spec.scope", spec.get("scope") or "", "field is immutable")
        if spec["names"].get("kind") != before["names"].get("kind"):
            yield fields.invalid("spec.names.kind", spec["names"].get("kind") or "", "field is immutable")
    if spec.get("group") != before.get("group"):
        yield fields.invalid("spec.group", spec.get("group") or "", "field is immutable")
    if spec["names"].get("plural") != before["names"].get("plural"):
        yield fields.invalid("spec.names.plural", spec["names"].get("plural") or "", "field is immutable")


def _spec(spec: Mapping[str, Any]) -> Iterator[Cause]:
    yield from _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        yield fields.required("spec.scope")
    elif scope not in {"Cluster", "Namespaced"}:
        yield fields.unsupported("spec.scope", scope, ["Cluster", "Namespaced"])
    versions: Sequence[Mapping[str, Any]] = spec.get("versions") or ()
    shared = {part for part in _PARTS if versions and all(v.get(part) == versions[0].get(part) for v in versions)}
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema is None:
                yield fields.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        details = names.label_1035(version.get("name") or "")
        if details:
            yield fields.invalid(f"{path}.name", version.get("name") or "", ",".join(details))
        yield from _deprecation(version, f"{path}.deprecationWarning")
        yield from _parts(version, set(_PARTS) - shared, path, "schema")
    yield from _version_set(spec, versions, shared)
    yield from _required_names(spec.get("names") or {})
    yield from _names(spec.get("names") or {})
    if versions:
        yield from _parts(versions[0], shared, "spec", "validation")
    yield from _conversion(spec.get("conversion") or {})


def _group(group: str) -> Iterator[Cause]:
    if not group:
        yield fields.required("spec.group")
    elif details := names.subdomain(group):
        yield fields.invalid("spec.group", group, ",".join(details))
    elif "." not in group:
        yield fields.invalid("spec.group", group, "should be a domain with at least one dot")


def _deprecation(version: Mapping[str, Any], path: str) -> Iterator[Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        yield fields.invalid(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > _LONGEST_WARNING:
        yield fields.invalid(path, warning, f"must be <= {_LONGEST_WARNING} characters long")
    if not warning:
        yield fields.invalid(path, warning, "must not be an empty string")
    for index, character in enumerate(warning):
        if not character.isprintable():
            at = len(warning[:index].encode())
            detail = "must only contain printable UTF-8 characters; non-printable character found at index"
            yield fields.invalid(path, warning, f"{detail} {at}")
            break


def _parts(version: Mapping[str, Any], parts: set[str], path: str, validation: str) -> Iterator[Cause]:
    """Check the parts that stand at a version, or at the spec for all versions."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if "schema" in parts and schema is not None:
        has_status = (version.get("subresources") or {}).get("status") is not None
        yield from structure.check(schema, f"{path}.{validation}.openAPIV3Schema", has_status=has_status)
    if "subresources" in parts:
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            yield from _scale(scale, f"{path}.subresources.scale")
    if "additionalPrinterColumns" in parts:
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")
    if "selectableFields" in parts and version.get("selectableFields"):
        yield from selectable_fields(version["selectableFields"], schema or {}, f"{path}.selectableFields")


def _version_set(spec: Mapping[str, Any], versions: Sequence[Mapping[str, Any]], shared: set[str]) -> Iterator[Cause]:
    given = [version.get("name") or "" for version in versions]
    value = versions_value(versions, shared) if versions else "[]" if spec.get("versions") == [] else "null"
    if len(set(given)) < len(given):
        yield _invalid_text("spec.versions", value, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield _invalid_text("spec.versions", value, "must have exactly one version marked as storage version")
    if given and (details := names.label_1035(given[0])):
        yield fields.invalid("spec.version", given[0], ",".join(details))


def _invalid_text(path: str, value: str, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {detail}", path)


def _required_names(given: Mapping[str, Any]) -> Iterator[Cause]:
    for name in ("plural", "singular", "kind", "listKind"):
        if not given.get(name):
            yield fields.required(f"spec.names.{name}")


def _names(given: Mapping[str, Any]) -> Iterator[Cause]:
    for name in ("plural", "singular"):
        if given.get(name) and (details := names.label_1035(given[name])):
            yield fields.invalid(f"spec.names.{name}", given[name], ",".join(details))
    for name in ("kind", "listKind"):
        if given.get(name) and (details := names.label_1035(given[name].lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(details)}"
            yield fields.invalid(f"spec.names.{name}", given[name], detail)
    yield from _labels(given, "shortNames")
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield fields.invalid("spec.names.listKind", given["listKind"], "kind and listKind may not be the same")
    yield from _labels(given, "categories")


def _labels(given: Mapping[str, Any], name: str) -> Iterator[Cause]:
    for index, each in enumerate(given.get(name) or ()):
        if details := names.label_1035(each):
            yield fields.invalid(f"spec.names.{name}[{index}]", each, ",".join(details))


def _scale(scale: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for name, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        given, at = scale.get(name) or "", f"{path}.{name}"
        if not given:
            yield fields.required(at)
        elif not given.startswith("."):
            yield fields.invalid(at, given, "must be a simple json path starting with .")
        elif not given.startswith(start):
            yield fields.invalid(at, given, f"should be a json path under {start[:-1]}")
    given, at = scale.get("labelSelectorPath") or "", f"{path}.labelSelectorPath"
    if given and not given.startswith("."):
        yield fields.invalid(at, given, "must be a simple json path starting with .")
    elif given and not given.startswith((".spec.", ".status.")):
        yield fields.invalid(at, given, "should be a json path under either .spec or .status")


def _column(column: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield fields.required(f"{path}.name")
    kind, form, json_path = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
    one_of = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield fields.required(f"{path}.type", one_of)
    elif kind not in _COLUMN_TYPES:
        yield fields.invalid(f"{path}.type", kind, one_of)
    if form and form not in _COLUMN_FORMATS:
        yield fields.invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not json_path:
        yield fields.required(f"{path}.JSONPath")
    elif not json_path.startswith("."):
        yield fields.invalid(f"{path}.JSONPath", json_path, "must be a simple json path starting with .")


def _conversion(conversion: Mapping[str, Any]) -> Iterator[Cause]:
    path, strategy = "spec.conversion", conversion.get("strategy") or ""
    webhook = conversion.get("webhook") or {}
    config, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if not strategy:
        yield fields.required(f"{path}.strategy")
    elif strategy not in {"None", "Webhook"}:
        yield fields.unsupported(f"{path}.strategy", strategy, ["None", "Webhook"])
    if strategy != "Webhook":
        detail = "should not be set when strategy is not set to Webhook"
        if config is not None:
            yield fields.forbidden(f"{path}.webhookClientConfig", detail)
        if reviews:
            yield fields.forbidden(f"{path}.conversionReviewVersions", detail)
        return
    if config is None:
        yield fields.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    elif (config.get("url") is None) == (config.get("service") is None):
        yield fields.required(f"{path}.webhookClientConfig", "exactly one of url or service is required")
    if not reviews:
        yield fields.required(f"{path}.conversionReviewVersions")
    elif not set(reviews) & set(_REVIEW_VERSIONS):
        detail = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield fields.invalid(f"{path}.conversionReviewVersions", reviews, detail)

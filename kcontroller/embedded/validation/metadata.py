"""Checks the metadata of an object as apimachinery does, for a create and for an update.

Source of rules and words: ``k8s.io/apimachinery/pkg/api/validation/objectmeta.go`` and, for built-in kinds, the further
rule for finalizers of ``k8s.io/kubernetes/pkg/apis/core/validation``; checked against a real kube-apiserver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.validation import fields, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.embedded.kinds import Kind
    from kcontroller.embedded.statuses import Cause

_ANNOTATION_BYTES: Final = 256 * 1024
_STANDARD_FINALIZERS: Final = frozenset({"foregroundDeletion", "kubernetes", "orphan"})
_OWNER_FIELDS: Final = ("apiVersion", "kind", "name", "uid")
_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_TEXTS: Final = frozenset({"name", "namespace", "uid"})
# Their strategies use apimachinery's rules alone; the others also ask for domains in the names of finalizers.
_PLAIN_GROUPS: Final = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "policy",
    }
)
_PATH_NAMES: Final = frozenset({"certificatesigningrequests.certificates.k8s.io", "events"})
_LABEL_NAMES: Final = frozenset({"namespaces", "services", "statefulsets.apps"})
_RBAC: Final = "rbac.authorization.k8s.io"
_LONGEST_CRON_JOB: Final = 52  # Its jobs have the time in their names as well.


def check(kind: Kind, document: Mapping[str, Any], *, path: str = "metadata") -> list[Cause]:
    """Check the metadata of a new object; name and namespace are settled before.

    Returns:
        What is wrong, in the server's order; labels and annotations, which have none there, in that of the document.
    """
    metadata = document["metadata"]
    return [
        *_names(name_rule(kind), metadata, path),
        *_namespace(metadata, path, namespaced=kind.namespaced),
        *common(metadata, path),
        *(_qualified_finalizers(metadata, path) if _asks_domains(kind) else ()),
    ]


def check_update(kind: Kind, document: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """Check the metadata of a changed object against the stored one.

    Returns:
        What is wrong, as often as the server says it: it looks once for all kinds and once more for each.
    """
    metadata = document["metadata"]
    changes = _changes(metadata, old["metadata"])
    causes = [*common(metadata, "metadata"), *changes, *changes]
    if _asks_domains(kind):
        causes += _qualified_finalizers(metadata, "metadata")
    return causes


def _asks_domains(kind: Kind) -> bool:
    return kind.builtin and kind.group not in _PLAIN_GROUPS and kind.resource != "events"


def _changes(metadata: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    if before.get("deletionTimestamp"):
        more = sorted({*(metadata.get("finalizers") or ())} - {*(before.get("finalizers") or ())})
        if more:
            listed = ", ".join(map(fields.quoted, more))
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
            causes.append(fields.forbidden("metadata.finalizers", f"{detail}{{{listed}}}"))
    if (metadata.get("generation") or 0) < (before.get("generation") or 0):
        causes.append(fields.invalid("metadata.generation", metadata.get("generation") or 0, "must not be decremented"))
    for name in _IMMUTABLE:
        if (metadata.get(name) or None) != (before.get(name) or None):
            value = metadata.get(name) or ("" if name in _TEXTS else None)
            causes.append(fields.invalid(f"metadata.{name}", value, "field is immutable"))
    causes += _labels(metadata, "metadata")
    causes += _annotations(metadata, "metadata")
    causes += _owners(metadata, "metadata")
    return causes


def name_rule(kind: Kind) -> Callable[[str], list[str]]:
    """Tell how objects of a kind may be called."""
    if not kind.builtin:
        return names.subdomain
    if kind.group == _RBAC or kind.resource in _PATH_NAMES:
        return names.path_segment
    if kind.storage == "cronjobs.batch":
        return _cron_job_name
    return names.label if kind.storage in _LABEL_NAMES else names.subdomain


def _cron_job_name(text: str) -> list[str]:
    longer = [f"must be no more than {_LONGEST_CRON_JOB} characters"] if len(text) > _LONGEST_CRON_JOB else []
    return [*names.subdomain(text), *longer]


def common(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    """Check what is the same for every object, embedded ones too."""
    causes: list[Cause] = []
    generation = metadata.get("generation")
    if isinstance(generation, int) and generation < 0:
        causes.append(fields.invalid(f"{path}.generation", generation, "must be greater than or equal to 0"))
    causes += _labels(metadata, path)
    causes += _annotations(metadata, path)
    causes += _owners(metadata, path)
    causes += _finalizers(metadata, path)
    return causes


def label_pairs(labels: Mapping[str, str], path: str) -> list[Cause]:
    """Check keys and values of labels, or of a selector that names them."""
    causes: list[Cause] = []
    for key, value in labels.items():
        causes += [fields.invalid(path, key, detail) for detail in names.qualified(key)]
        causes += [fields.invalid(path, value, detail) for detail in names.label_value(value)]
    return causes


def _names(rule: Callable[[str], list[str]], metadata: Mapping[str, Any], path: str) -> Iterable[Cause]:
    start, name = metadata.get("generateName") or "", metadata.get("name") or ""
    if start:
        # A dash at the end is followed by something; apimachinery looks at the text without its last two characters.
        masked = (
            f"{start[:-2]}a" if len(start) > 1 and start.endswith("-") and rule is not names.path_segment else start
        )
        details = [each for each in rule(masked) if rule is not names.path_segment or not each.startswith("may not be")]
        yield from (fields.invalid(f"{path}.generateName", start, detail) for detail in details)
    if not name:
        yield fields.required(f"{path}.name", "name or generateName is required")
    else:
        yield from (fields.invalid(f"{path}.name", name, detail) for detail in rule(name))


def _namespace(metadata: Mapping[str, Any], path: str, *, namespaced: bool) -> Iterable[Cause]:
    namespace = metadata.get("namespace") or ""
    if not namespaced:
        if namespace:
            yield fields.forbidden(f"{path}.namespace", "not allowed on this type")
    elif not namespace:
        yield fields.required(f"{path}.namespace")
    else:
        yield from (fields.invalid(f"{path}.namespace", namespace, detail) for detail in names.label(namespace))


def _labels(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    labels = metadata.get("labels")
    return label_pairs(labels, f"{path}.labels") if labels else []


def _annotations(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    annotations = metadata.get("annotations")
    if not annotations:
        return []
    causes = [
        fields.invalid(f"{path}.annotations", key, detail)
        for key in annotations
        for detail in names.qualified(key.lower())
    ]
    # A character has at most four bytes.
    if sum(map(len, annotations.values())) * 4 + sum(map(len, annotations)) * 4 > _ANNOTATION_BYTES:
        size = sum(len(text.encode()) for pair in annotations.items() for text in pair)
        if size > _ANNOTATION_BYTES:
            causes.append(fields.too_long(f"{path}.annotations", _ANNOTATION_BYTES))
    return causes


def _owners(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    references = metadata.get("ownerReferences")
    if not references:
        return []
    at = f"{path}.ownerReferences"
    causes: list[Cause] = []
    controller = ""
    for reference in references:
        api_version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
        if not api_version or api_version.count("/") > 1 or api_version.endswith("/"):
            causes.append(fields.invalid(f"{at}.apiVersion", api_version, "version must not be empty"))
        causes += [
            fields.invalid(f"{at}.{name}", "", "must not be empty")
            for name in ("kind", "name", "uid")
            if not reference.get(name)
        ]
        if (api_version, kind) == ("v1", "Event"):
            causes.append(_invalid_owner(at, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            this = f"{kind}/{reference.get('name') or ''}"
            if controller:
                detail = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}"
                )
                causes.append(_invalid_owner(at, references, detail))
            controller = controller or this
    return causes


def _invalid_owner(path: str, value: Any, detail: str) -> Cause:
    # Go writes the fields of a struct as they are declared, not sorted.
    written = ",".join(map(_owner_text, value)) if isinstance(value, list) else _owner_text(value)
    text = f"[{written}]" if isinstance(value, list) else written
    plain = fields.invalid(path, None, detail)
    return type(plain)(plain.reason, plain.message.replace("null", text, 1), path)


def _owner_text(reference: Mapping[str, Any]) -> str:
    flags = [name for name in ("controller", "blockOwnerDeletion") if reference.get(name) is not None]
    pairs = [(name, reference.get(name) or "") for name in _OWNER_FIELDS] + [(name, reference[name]) for name in flags]
    return "{" + ",".join(f"{fields.json_text(name)}:{fields.json_text(value)}" for name, value in pairs) + "}"


def _finalizers(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    finalizers = metadata.get("finalizers")
    if not finalizers:
        return []
    at = f"{path}.finalizers"
    causes = [fields.invalid(at, each, detail) for each in finalizers for detail in names.qualified(each)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(fields.invalid(at, finalizers, detail))
    return causes


def _qualified_finalizers(metadata: Mapping[str, Any], path: str) -> list[Cause]:
    return [
        fields.invalid(
            f"{path}.finalizers[{index}]", each, "name is neither a standard finalizer name nor is it fully qualified"
        )
        for index, each in enumerate(metadata.get("finalizers") or ())
        if "/" not in each and each not in _STANDARD_FINALIZERS
    ]

"""What a request brings, made fit to be stored: decoded, of the right kind and address, pruned and defaulted."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import bodies, definitions, statuses, strategies, validation
from kcontroller.embedded.loops.crds import STORAGE as CRDS
from kcontroller.embedded.patches import patching
from kcontroller.embedded.validation import structural

if TYPE_CHECKING:
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Catalog, Kind

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery's rand: no vowels, nothing that looks like another.
_GENERATED: Final = 5
_NO_VERSION: Final = ("", "0", None)
_GENERATED_BASE: Final = 58  # The longest part of generateName that is kept: 63 less the generated end.
_STRICT: Final = "strict decoding error: "
_OMITTED: Final = ("labels", "annotations", "finalizers", "ownerReferences")  # An empty managedFields is an order.
_OTHER_NAMESPACE: Final = "the namespace of the provided object does not match the namespace sent on the request"


def from_body(catalog: Catalog, call: Call, body: bytes, content_type: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Take in the body of a create or update; returns the document and the warnings it gives rise to.

    Raises:
        Refusal: it cannot be read, is of another kind, or has fields that strict validation refuses.
    """
    kind = call.kind
    read = bodies.read(body, content_type, kind=kind)
    document = read.document
    check_kind(catalog, kind, document)
    validation.decode(kind, document)
    unknown = _completed(kind, document)
    if call.validation == "Strict" and (read.strict or unknown):
        said = ", ".join(filter(None, [read.strict, *unknown]))
        raise statuses.bad_request(f"{_in_version(kind.kind, kind)}{_STRICT}{said}")
    return document, () if call.validation == "Ignore" else (*read.duplicates, *unknown)


def from_patch(call: Call, document: dict[str, Any], body: bytes, content_type: str) -> tuple[str, ...]:
    """Take in what a patch made of an object, in place; returns the warnings it gives rise to.

    Raises:
        Refusal: it has fields that strict validation refuses.
    """
    strict = call.validation == "Strict"
    shown = patching.shown(call.kind, document, body, content_type) if strict else ""
    unknown = _completed(call.kind, document)
    if strict and unknown:
        raise patching.refused(shown, f"{_STRICT}{', '.join(unknown)}")
    return () if call.validation == "Ignore" else unknown


def from_apply(call: Call, merged: dict[str, Any]) -> None:
    """Take in what an apply made of an object, in place; that its fields are known has been checked.

    Raises:
        Refusal: 500, kube-apiserver's answer, for a value that the Go type cannot hold.
    """
    kind = call.kind
    try:
        validation.decode(kind, merged)
    except statuses.Refusal as refusal:
        shown = f"{kind.group}/{kind.version}, Kind={kind.kind}"
        why = refusal.message.removeprefix(_in_version(kind.kind, kind))
        if why.startswith("illegal base64"):
            why = f"error decoding from json: {why}"
        said = f"unable to convert unstructured object to {shown}: {why}"
        start = f"failed to convert new object (/{call.name}; {shown}) to proper version"
        raise statuses.Refusal(500, "", f"{start}: {said}") from None
    _completed(kind, merged, applied=True)


def _completed(kind: Kind, document: dict[str, Any], *, applied: bool = False) -> tuple[str, ...]:
    """Prune and default in place; returns a line for each unknown field."""
    unknown = structural.prune(kind.schema, document)
    # What was applied to a custom resource is not decoded again: its nulls stay, for validation to refuse.
    structural.default(kind.schema, document, keep_nulls=applied and not kind.builtin)
    if kind.storage == CRDS:
        definitions.complete(document)
    strategies.complete(kind, document)
    metadata = document["metadata"]
    for name in _OMITTED:
        if name in metadata and not metadata[name]:
            del metadata[name]
    if not kind.builtin and metadata.get("managedFields") == []:
        del metadata["managedFields"]
    return tuple(f'unknown field "{path}"' for path in unknown)


def check_kind(catalog: Catalog, kind: Kind, document: dict[str, Any]) -> None:
    """Hold the document's apiVersion and kind against the path's.

    Raises:
        Refusal: 400, for a custom resource 422, if they differ.
    """
    if kind.builtin:
        _check_builtin(catalog, kind, document)
    else:
        api_version, name = document.get("apiVersion") or "", document.get("kind")
        if api_version != kind.api_version:
            expected = f"does not match the expected API version ({kind.api_version})"
            raise statuses.bad_request(f"the API version in the data ({api_version}) {expected}")
        if name != kind.kind:
            metadata = document.get("metadata")
            said = f'Invalid value: "{name}": must be {kind.kind}'
            called = metadata.get("name", "") if isinstance(metadata, dict) else ""
            cause = statuses.Cause("FieldValueInvalid", said, "kind")
            raise statuses.invalid(kind, called, [cause], called=str(name))
    if document.get("metadata") is None:
        document["metadata"] = {}


def _check_builtin(catalog: Catalog, kind: Kind, document: dict[str, Any]) -> None:
    api_version = document.setdefault("apiVersion", kind.api_version) or kind.api_version
    name = document.setdefault("kind", kind.kind) or kind.kind
    document.update(apiVersion=api_version, kind=name)
    if (api_version, name) == (kind.api_version, kind.kind):
        return
    start = _in_version(name, kind, version=api_version.rpartition("/")[2])
    other = catalog.by_kind(api_version, name)
    if other is not None and other.storage == kind.storage:
        expected = f"does not match the expected API version ({kind.api_version})"
        raise statuses.bad_request(f"the API version in the data ({api_version}) {expected}")
    if other is not None:
        types = f"({kind.version}.{name}) to (core.{kind.kind})"
        raise statuses.bad_request(f"{start}converting {types}: unknown conversion")
    why = f'no kind "{name}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"'
    raise statuses.bad_request(f"{start}{why}")


def _in_version(name: str, kind: Kind, *, version: str = "") -> str:
    return f'{name} in version "{version or kind.version}" cannot be handled as a {kind.kind}: '


def name_new(call: Call, document: dict[str, Any]) -> None:
    """Settle namespace and name of a new object, from the path and from generateName.

    Raises:
        Refusal: 400 for another namespace than the path's, 422 without any name, 500 for one that has a version.
    """
    meta = document["metadata"]
    _settle_namespace(call, meta)
    if meta.pop("resourceVersion", "") not in _NO_VERSION:
        raise statuses.Refusal(500, "", "resourceVersion should not be set on objects to be created")
    if not meta.get("name") and meta.get("generateName"):
        end = "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED))
        meta["name"] = meta["generateName"][:_GENERATED_BASE] + end
    if not meta.get("name"):
        said = "Required value: name or generateName is required"
        raise statuses.invalid(call.kind, "", [statuses.Cause("FieldValueRequired", said, "metadata.name")])


def check_address(call: Call, document: dict[str, Any]) -> None:
    """Hold the document's namespace and name against the path's; an absent namespace is taken from there.

    Raises:
        Refusal: 400 if they differ.
    """
    meta = document.get("metadata") or {}
    name = meta.get("name") or ""
    if not name:
        why = f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided"
        raise statuses.bad_request(why)
    if name != call.name:
        raise statuses.bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    _settle_namespace(call, meta)


def _settle_namespace(call: Call, meta: dict[str, Any]) -> None:
    if not call.kind.namespaced:
        meta.pop("namespace", None)
    elif (meta.get("namespace") or call.namespace) != call.namespace:
        raise statuses.bad_request(_OTHER_NAMESPACE)
    else:
        meta["namespace"] = call.namespace

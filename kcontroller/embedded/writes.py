"""Create, update and patch: one pipeline from a request's document to a stored object.

    decode -> names -> admission -> prune, default -> what the server decides -> managed fields -> validation -> store

Each step refuses as kube-apiserver does at the same point: a wrong request gets the same first complaint.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kcontroller.api.keys import Key
from kcontroller.embedded import managed, metadata, statuses, strategies, structural, validation
from kcontroller.embedded.backend import key_of
from kcontroller.embedded.store import Stored

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery's rand: no vowels, nothing that looks like another.
_GENERATED: Final = 5
_GENERATED_BASE: Final = 58  # The longest part of generateName that is kept: 63 less the generated end.
_NOT_COMPARED: Final = frozenset({"managedFields", "resourceVersion"})
_NOT_SPEC: Final = frozenset({"apiVersion", "kind", "metadata", "status"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to.

    Attributes:
        code: 200 or 201.
        stored: the object as it now is; with a dry run, as it would be.
        warnings: for the ``Warning`` header.
    """

    code: int
    stored: Stored
    warnings: tuple[str, ...] = ()


def create(backend: Backend, call: Call, document: dict[str, Any], *, tracked: bool = True) -> Outcome:
    """Store a new object.

    `tracked` is false when the document already carries its managed fields (apply).

    Raises:
        Refusal: the first thing that is wrong with it.
    """
    kind = call.kind
    check_kind(kind, document)
    name_new(call, document)
    _need_open_namespace(backend, call, document)
    warnings = take_in(call, document)
    _stamp_new(backend, kind, document)
    strategies.prepare(kind, document, None)
    if tracked:
        before: dict[str, Any] = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": {}}
        managed.track(kind, before, document, manager=call.manager, subresource="", now=backend.timestamp())
    refuse_if(
        kind, document["metadata"]["name"], [*metadata.check(kind, document), *validation.validate(kind, document)]
    )
    key = key_of(document)
    if backend.find(call.plane, kind, key) is not None:
        raise statuses.already_exists(kind, key.name)
    return Outcome(201, put(backend, call, document), warnings)


def update(backend: Backend, call: Call, document: dict[str, Any], *, old: Stored, tracked: bool = True) -> Outcome:
    """Replace an object, or the part of it that the subresource is.

    Raises:
        Refusal: the first thing that is wrong with it.
    """
    kind = call.kind
    check_kind(kind, document)
    before = old.document(kind.api_version)
    check_address(call, document)
    _check_version(kind, document, before, patched=call.verb == "patch")
    warnings = take_in(call, document)
    _keep_identity(document, before)
    isolate(call, document, before)
    strategies.prepare(kind, document, before)
    _count_generation(kind, document, before)
    if tracked:
        managed.track(
            kind, before, document, manager=call.manager, subresource=call.subresource, now=backend.timestamp()
        )
    name = before["metadata"]["name"]
    causes = [*metadata.check_update(kind, document, before), *validation.validate(kind, document)]
    refuse_if(kind, name, causes)
    if unchanged(document, before):
        return Outcome(200, old, warnings)
    if _is_leaving(document, before):
        return Outcome(200, finish(backend, call, document, old), warnings)
    return Outcome(200, put(backend, call, document), warnings)


def put(backend: Backend, call: Call, document: dict[str, Any]) -> Stored:
    """Store a document in the storage version; a dry run only makes what would have been stored."""
    kind = call.kind
    document["apiVersion"] = _storage_api_version(kind)
    if call.dry_run:
        return Stored.of(document, int(document["metadata"].get("resourceVersion") or 0))
    return backend.store.put(call.plane, kind.storage, document)


def finish(backend: Backend, call: Call, document: dict[str, Any], old: Stored) -> Stored:
    """Delete an object whose last finalizer has gone; the answer keeps the version that the object had."""
    document["apiVersion"] = _storage_api_version(call.kind)
    document["metadata"]["resourceVersion"] = str(old.version)
    answer = Stored.of(document, old.version)
    if not call.dry_run:
        # Watches are told the last state that was stored, as etcd knows it: the finalizer is still in it.
        backend.store.remove(call.plane, call.kind.storage, old.document())
    return answer


def check_kind(kind: Kind, document: dict[str, Any]) -> None:
    """Hold the document's apiVersion and kind against the path's.

    Raises:
        Refusal: 400 if they differ or are missing.
    """
    api_version, name = document.get("apiVersion") or "", document.get("kind") or ""
    if kind.builtin:
        api_version = document.setdefault("apiVersion", kind.api_version) or kind.api_version
        name = document.setdefault("kind", kind.kind) or kind.kind
    if api_version != kind.api_version:
        message = (
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
        raise statuses.bad_request(message)
    if name != kind.kind:
        raise statuses.bad_request(f"the kind in the data ({name}) does not match the expected kind ({kind.kind})")
    if not isinstance(document.setdefault("metadata", {}), dict):
        raise statuses.bad_request("metadata must be an object")


def name_new(call: Call, document: dict[str, Any]) -> None:
    """Settle namespace and name of a new object, from the path and from generateName."""
    meta = document["metadata"]
    if call.kind.namespaced:
        if meta.setdefault("namespace", call.namespace) != call.namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        meta.pop("namespace", None)
    if not meta.get("name") and meta.get("generateName"):
        end = "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED))
        meta["name"] = meta["generateName"][:_GENERATED_BASE] + end
    if not meta.get("name"):
        cause = statuses.Cause(
            "FieldValueRequired", "Required value: name or generateName is required", "metadata.name"
        )
        raise statuses.invalid(call.kind, "", [cause])


def may_create(call: Call) -> bool:
    """Whether a PUT of an absent object creates it."""
    return call.kind.builtin and call.kind.storage in strategies.CREATED_BY_UPDATE and not call.subresource


def create_by_update(backend: Backend, call: Call, document: dict[str, Any]) -> Outcome:
    """Create the object that a PUT names.

    Raises:
        Refusal: as `create`, or 409 if the document states a version or uid: then it was meant for another object.
    """
    check_kind(call.kind, document)
    check_address(call, document)
    if document["metadata"].get("resourceVersion") or document["metadata"].get("uid"):
        raise statuses.not_found(call.kind, call.name)
    return create(backend, call, document)


def check_fields(call: Call, document: dict[str, Any]) -> tuple[str, ...]:
    """Check the types of a configuration to apply, and drop its unknown fields; nothing is defaulted.

    Raises:
        Refusal: 400 for a wrong type of a built-in kind, or an unknown field where validation is ``Strict``.
    """
    validation.decode(call.kind, document)
    return _told_unknown(call, structural.prune(call.kind.schema, document))


def take_in(call: Call, document: dict[str, Any]) -> tuple[str, ...]:
    """Decode, prune and default a document in place; returns the warnings for unknown fields.

    Raises:
        Refusal: 400 for a wrong type of a built-in kind, or an unknown field where validation is ``Strict``.
    """
    kind = call.kind
    validation.decode(kind, document)
    unknown = structural.prune(kind.schema, document)
    structural.default(kind.schema, document)
    said = _told_unknown(call, unknown)
    return (*said, kind.deprecation) if kind.deprecation else said


def _told_unknown(call: Call, paths: list[str]) -> tuple[str, ...]:
    if not paths or call.validation == "Ignore":
        return ()
    said = tuple(f'unknown field "{path}"' for path in paths)
    if call.validation == "Strict":
        raise statuses.bad_request(f"strict decoding error: {', '.join(said)}")
    return said


def isolate(call: Call, document: dict[str, Any], before: dict[str, Any]) -> None:
    """Keep what this path may not write: status on the object's own, all but status on the status subresource."""
    kind = call.kind
    if call.subresource == "status":
        status = document.get("status")
        meta, old_meta = document["metadata"], before["metadata"]
        kept = {name: value for name, value in before.items() if name not in {"status", "metadata"}}
        document.clear()
        document.update(kept)
        document["metadata"] = {**old_meta, "managedFields": meta.get("managedFields", old_meta.get("managedFields"))}
        if kind.builtin:  # A custom resource's status keeps all metadata; built-in strategies let most of it pass.
            for name in ("annotations", "finalizers", "ownerReferences"):
                _keep(document["metadata"], meta, name)
        if document["metadata"]["managedFields"] is None:
            del document["metadata"]["managedFields"]
        if status is not None:
            document["status"] = status
    elif kind.has_status and not call.subresource:
        _keep(document, before, "status")


def _keep(document: dict[str, Any], source: dict[str, Any], name: str) -> None:
    if name in source:
        document[name] = source[name]
    else:
        document.pop(name, None)


def _stamp_new(backend: Backend, kind: Kind, document: dict[str, Any]) -> None:
    meta = document["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"):
        meta.pop(name, None)
    meta.update(uid=backend.uid(), creationTimestamp=backend.timestamp())
    if _has_generation(kind):
        meta["generation"] = 1
    if kind.has_status:
        document.pop("status", None)
        status = strategies.starting_status(kind)
        if status is not None:
            document["status"] = status


def _need_open_namespace(backend: Backend, call: Call, document: dict[str, Any]) -> None:
    """Refuse to create in a namespace that is not there or is going (admission plugin NamespaceLifecycle)."""
    if not call.namespace:
        return
    stored = backend.store.get(call.plane, "namespaces", Key("", call.namespace))
    namespaces = backend.catalog.find("", "v1", "namespaces")
    if stored is None and namespaces is not None:
        raise statuses.not_found(namespaces, call.namespace)
    if stored is not None and "deletionTimestamp" in stored.document()["metadata"]:
        why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
        refusal = statuses.forbidden(call.kind, document["metadata"]["name"], why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {call.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        refusal.details = {**(refusal.details or {}), "causes": [cause]}
        raise refusal


def check_address(call: Call, document: dict[str, Any]) -> None:
    """Hold the document's namespace and name against the path's; absent ones are taken from there.

    Raises:
        Refusal: 400 if they differ.
    """
    meta = document["metadata"]
    if call.kind.namespaced and meta.setdefault("namespace", call.namespace) != call.namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    name = meta.setdefault("name", call.name) or ""
    if name != call.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({call.name})"
        raise statuses.bad_request(message)


def _check_version(kind: Kind, document: dict[str, Any], before: dict[str, Any], *, patched: bool) -> None:
    meta, old = document["metadata"], before["metadata"]
    version = meta.get("resourceVersion") or ""
    uid = meta.get("uid") or old["uid"]
    if uid != old["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
        raise statuses.conflict(kind, old["name"], why)
    if version and version != old["resourceVersion"]:
        if not version.isdecimal():
            message = f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            raise statuses.invalid(
                kind, old["name"], [statuses.Cause("FieldValueInvalid", message, "metadata.resourceVersion")]
            )
        raise statuses.conflict(kind, old["name"])
    if not version and not patched and (not kind.builtin or kind.storage in strategies.MUST_STATE_VERSION):
        cause = statuses.Cause(
            "FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
        )
        raise statuses.invalid(kind, old["name"], [cause])


def _keep_identity(document: dict[str, Any], before: dict[str, Any]) -> None:
    """Put back what no client changes; a wrong value for most of it is ignored, not refused."""
    meta, old = document["metadata"], before["metadata"]
    for name in ("uid", "creationTimestamp", "resourceVersion", "generation", "selfLink"):
        _keep(meta, old, name)
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if name not in meta or meta[name] is None:
            _keep(meta, old, name)
    if "managedFields" not in meta and "managedFields" in old:
        meta["managedFields"] = old["managedFields"]


def _has_generation(kind: Kind) -> bool:
    return not kind.builtin or kind.storage in strategies.WITH_GENERATION


def _count_generation(kind: Kind, document: dict[str, Any], before: dict[str, Any]) -> None:
    if not _has_generation(kind):
        return
    ignored = _NOT_SPEC if kind.has_status or kind.builtin else _NOT_SPEC - {"status"}
    mine = {name: value for name, value in document.items() if name not in ignored}
    theirs = {name: value for name, value in before.items() if name not in ignored}
    if mine != theirs:
        document["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1


def unchanged(document: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a write would store what is there already; such a write keeps the version."""
    if any(document.get(name) != before.get(name) for name in {*document, *before} - {"metadata"}):
        return False
    meta, old = document["metadata"], before["metadata"]
    if any(meta.get(name) != old.get(name) for name in {*meta, *old} - _NOT_COMPARED):
        return False
    return _owners(meta) == _owners(old)


def _owners(meta: dict[str, Any]) -> list[dict[str, Any]]:
    entries = meta.get("managedFields") or []
    return [{name: value for name, value in entry.items() if name != "time"} for entry in entries]


def _is_leaving(document: dict[str, Any], before: dict[str, Any]) -> bool:
    if "deletionTimestamp" not in before["metadata"] or document["metadata"].get("finalizers"):
        return False
    if document["kind"] == "Namespace" and document.get("spec", {}).get("finalizers"):
        return False
    return not before["metadata"].get("deletionGracePeriodSeconds")


def refuse_if(kind: Kind, name: str, causes: list[statuses.Cause]) -> None:
    """Raise 422 if there is any cause."""
    if causes:
        raise statuses.invalid(kind, name, causes)


def _storage_api_version(kind: Kind) -> str:
    return f"{kind.group}/{kind.storage_version}" if kind.group else kind.storage_version

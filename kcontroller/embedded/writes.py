"""Create, update and patch: one pipeline from a document that was taken in to a stored object.

    admission -> managed fields -> what the server decides -> validation -> store

Each step refuses as kube-apiserver does at the same point: a wrong request gets the same first complaint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kcontroller.api.keys import Key
from kcontroller.embedded import definitions, intake, options, statuses, strategies, validation
from kcontroller.embedded.backend import key_of
from kcontroller.embedded.conversion import converted
from kcontroller.embedded.deletion import is_going
from kcontroller.embedded.loops.crds import STORAGE as CRDS
from kcontroller.embedded.ownership import managed
from kcontroller.embedded.store import Stored
from kcontroller.embedded.validation import metadata

if TYPE_CHECKING:
    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind

_NEVER_CREATED: Final = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
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


def create(
    backend: Backend, call: Call, document: dict[str, Any], warnings: tuple[str, ...] = (), *, tracked: bool = True
) -> Outcome:
    """Store a new object.

    `tracked` is false when the document already carries its managed fields (apply).

    Raises:
        Refusal: the first thing that is wrong with it.
    """
    kind = call.kind
    if not tracked:
        document["metadata"].pop("resourceVersion", None)  # An apply that creates may name any.
    intake.name_new(call, document)
    _need_open_namespace(backend, call, document)
    _need_living_definition(backend, kind, document)
    if tracked:
        for name in _NEVER_CREATED:
            document["metadata"].pop(name, None)
        managed.track(kind, None, document, manager=call.manager, subresource="", now=backend.timestamp())
    _stamp_new(backend, kind, document)
    strategies.prepare(kind, document, None)
    _refuse_if(kind, document, [*metadata.check(kind, document), *_wrong(kind, document, None)])
    key = key_of(document)
    known = backend.find(call.plane, kind, key)
    if known is not None:
        raise statuses.already_exists(
            kind, key.name, going=is_going(known), generated=bool(document["metadata"].get("generateName"))
        )
    return Outcome(201, put(backend, call, document), warnings)


def update(
    backend: Backend,
    call: Call,
    document: dict[str, Any],
    warnings: tuple[str, ...] = (),
    *,
    old: Stored,
    tracked: bool = True,
) -> Outcome:
    """Replace an object, or the part of it that the subresource is.

    Raises:
        Refusal: the first thing that is wrong with it.
    """
    kind = call.kind
    before = old.document(kind.api_version)
    intake.check_address(call, document)
    patched = call.verb == "patch"
    _check_version(kind, document, before, patched=patched)
    if tracked and call.subresource != "finalize":
        managed.track(
            kind, before, document, manager=call.manager, subresource=call.subresource, now=backend.timestamp()
        )
    _keep_identity(document, before, patched=patched)
    isolate(call, document, before)
    strategies.prepare(kind, document, before, subresource=call.subresource)
    _count_generation(kind, document, before)
    wrong = _wrong(kind, document, before, subresource=call.subresource)
    _refuse_if(kind, before, [*metadata.check_update(kind, document, before), *wrong])
    if unchanged(document, before):
        return Outcome(200, old, warnings)
    if _is_leaving(document, before):
        return Outcome(200, finish(backend, call, document, old), warnings)
    return Outcome(200, put(backend, call, document), warnings)


def put(backend: Backend, call: Call, document: dict[str, Any]) -> Stored:
    """Store a document in the storage version; a dry run only makes what would have been stored."""
    kind = call.kind
    document = converted(document, kind.storage_api_version)
    if call.dry_run:
        return Stored.of(document, int(document["metadata"].get("resourceVersion") or 0))
    return backend.store.put(call.plane, kind.storage, document)


def finish(backend: Backend, call: Call, document: dict[str, Any], old: Stored) -> Stored:
    """Delete an object whose last finalizer has gone; the answer keeps the version that the object had."""
    answer = Stored.of(converted(document, call.kind.storage_api_version), old.version)
    if not call.dry_run:
        # Watches are told the last state that was stored, as etcd knows it: the finalizer is still in it.
        backend.store.remove(call.plane, call.kind.storage, old.document())
    return answer


def may_create(call: Call) -> bool:
    """Whether a PUT of an absent object creates it."""
    return call.kind.builtin and call.kind.storage in strategies.CREATED_BY_UPDATE and not call.subresource


def create_by_update(backend: Backend, call: Call, document: dict[str, Any], warnings: tuple[str, ...] = ()) -> Outcome:
    """Create the object that a PUT names.

    Raises:
        Refusal: as `create`, or 409 or 404 if the document states a uid or version: then another object was meant.
    """
    intake.check_address(call, document)
    if document["metadata"].get("uid"):
        raise _other_uid(call.kind, document["metadata"], "")
    if document["metadata"].get("resourceVersion"):
        raise statuses.not_found(call.kind, call.name)
    return create(backend, call, document, warnings)


def isolate(call: Call, document: dict[str, Any], before: dict[str, Any]) -> None:
    """Keep what this path may not write: status on the object's own, all but status on the status subresource."""
    kind = call.kind
    match call.subresource:
        case "status":
            _isolate_status(kind, document, before)
        case "finalize":
            document["metadata"] = before["metadata"]
            _keep(document, before, "status")
            if not (document.get("spec") or {}).get("finalizers"):
                document["spec"] = {}
        case "" if kind.has_status:
            _keep(document, before, "status")
        case _:
            pass


def _isolate_status(kind: Kind, document: dict[str, Any], before: dict[str, Any]) -> None:
    status, meta = document.get("status"), document["metadata"]
    entries = _managed(document)
    document.clear()
    document.update({name: value for name, value in before.items() if name not in {"status", "metadata"}})
    # A custom resource's status keeps all metadata; the strategies of built-in kinds let it pass.
    document["metadata"] = meta if kind.builtin else {**before["metadata"], **entries}
    if not kind.builtin and not entries:
        document["metadata"].pop("managedFields", None)
    if status is not None:
        document["status"] = status


def _managed(document: dict[str, Any]) -> dict[str, Any]:
    meta = document["metadata"]
    return {"managedFields": meta["managedFields"]} if "managedFields" in meta else {}


def _keep(document: dict[str, Any], source: dict[str, Any], name: str) -> None:
    if name in source:
        document[name] = source[name]
    else:
        document.pop(name, None)


def _wrong(
    kind: Kind, document: dict[str, Any], before: dict[str, Any] | None, *, subresource: str = ""
) -> list[statuses.Cause]:
    if kind.storage == CRDS:
        return definitions.check(document, before)
    return validation.validate(kind, document, before, subresource=subresource)


def _stamp_new(backend: Backend, kind: Kind, document: dict[str, Any]) -> None:
    meta = document["metadata"]
    meta.update(uid=backend.uid(), creationTimestamp=backend.timestamp())
    if _has_generation(kind):
        meta["generation"] = 1
    if kind.has_status:
        document.pop("status", None)
        status = definitions.starting_status(document) if kind.storage == CRDS else strategies.starting_status(kind)
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


def _need_living_definition(backend: Backend, kind: Kind, document: dict[str, Any]) -> None:
    if kind.storage in backend.catalog.terminating:
        why = "create not allowed while custom resource definition is terminating"
        raise statuses.forbidden(kind, document["metadata"]["name"], why)


def _check_version(kind: Kind, document: dict[str, Any], before: dict[str, Any], *, patched: bool) -> None:
    """Hold the uid and the version that the client saw against the object's own."""
    meta, old = document["metadata"], before["metadata"]
    version = meta.get("resourceVersion") or ""
    version = "" if version == "0" else version
    if not patched and meta.get("uid") and meta["uid"] != old["uid"]:
        raise _other_uid(kind, {**old, "uid": meta["uid"]}, old["uid"])
    if version and version != old["resourceVersion"]:
        if not version.isdecimal():
            raise statuses.Refusal(500, "", options.unparsable("Uint", version))
        raise statuses.conflict(kind, old["name"])
    if not version and (not kind.builtin or kind.storage in strategies.MUST_STATE_VERSION):
        said = "Invalid value: 0: must be specified for an update"
        cause = statuses.Cause("FieldValueInvalid", said, "metadata.resourceVersion")
        raise statuses.invalid(kind, old["name"], [cause], called=kind.plural)


def _other_uid(kind: Kind, stated: dict[str, Any], uid: str) -> statuses.Refusal:
    why = f"Precondition failed: UID in precondition: {stated['uid']}, UID in object meta: {uid}"
    storage = f"Code: 4, Key: {_etcd_key(kind, stated)}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return statuses.conflict(kind, stated["name"], f"StorageError: invalid object, {storage}")


def _etcd_key(kind: Kind, meta: dict[str, Any]) -> str:
    group = "" if kind.builtin else f"{kind.group}/"
    namespace = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"/registry/{group}{kind.plural}/{namespace}{meta['name']}"


def _keep_identity(document: dict[str, Any], before: dict[str, Any], *, patched: bool) -> None:
    """Put back what no client changes; an update that states another value for most of it is ignored, not refused."""
    meta, old = document["metadata"], before["metadata"]
    for name in ("resourceVersion", "generation", "selfLink", "creationTimestamp"):
        _keep(meta, old, name)
    for name in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not patched or meta.get(name) is None:
            _keep(meta, old, name)


def _has_generation(kind: Kind) -> bool:
    return not kind.builtin or kind.storage in strategies.WITH_GENERATION


def _count_generation(kind: Kind, document: dict[str, Any], before: dict[str, Any]) -> None:
    if not _has_generation(kind):
        return
    ignored = _NOT_SPEC if kind.has_status or kind.builtin else _NOT_SPEC - {"status"}
    mine = {name: value for name, value in document.items() if name not in ignored}
    theirs = {name: value for name, value in before.items() if name not in ignored}
    if mine != theirs or (
        # What a Deployment's annotations say its controller copies on; its strategy counts them as spec.
        kind.storage == "deployments.apps"
        and document["metadata"].get("annotations") != before["metadata"].get("annotations")
    ):
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


def _refuse_if(kind: Kind, named: dict[str, Any], causes: list[statuses.Cause]) -> None:
    if causes:
        raise statuses.invalid(kind, named["metadata"].get("name") or "", causes)

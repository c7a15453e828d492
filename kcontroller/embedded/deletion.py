"""Delete and deletecollection: preconditions, finalizers, propagation, and what waits for the garbage collector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import gotext, options, statuses, strategies
from kcontroller.embedded.calls import Selection
from kcontroller.embedded.selection import matcher
from kcontroller.embedded.store import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kcontroller.embedded.backend import Backend
    from kcontroller.embedded.calls import Call
    from kcontroller.embedded.kinds import Kind

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
CRD_CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_CRDS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_POLICIES: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class Options:
    """DeleteOptions, from the body, or without one from the query."""

    propagation: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, call: Call, body: Mapping[str, Any] | None) -> Options:
        """Read them; `body` is None if there is none. With one, be it empty, the query says nothing.

        Raises:
            Refusal: a value that does not exist, or two that contradict each other.
        """
        if body is None:
            options.check_number(call, "gracePeriodSeconds")
            body = {name: call.query[name] for name in ("propagationPolicy", "orphanDependents") if name in call.query}
            body = {**body, "dryRun": [call.query["dryRun"]] if "dryRun" in call.query else []}
        else:
            _check_types(body)
        propagation, orphan = body.get("propagationPolicy") or "", body.get("orphanDependents")
        causes = list(_wrong_propagation(propagation, orphan))
        dry_run = body.get("dryRun") or []
        if dry_run not in ([], ["All"]):
            causes.append(options.unsupported_dry_run(dry_run))
        if causes:
            raise options.refused("DeleteOptions", causes)
        if orphan is not None:
            propagation = "Orphan" if orphan in {True, "true"} else "Background"
        preconditions = body.get("preconditions") or {}
        return cls(
            propagation,
            preconditions.get("uid") or "",
            preconditions.get("resourceVersion") or "",
            bool(dry_run),
        )


PLAIN: Final = Options()
BACKGROUND: Final = Options(propagation="Background")
IN_FOREGROUND: Final = Options(propagation="Foreground")


def _check_types(body: Mapping[str, Any]) -> None:
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        why = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        raise statuses.bad_request(why)
    grace = body.get("gracePeriodSeconds")
    if isinstance(grace, str):
        where = "DeleteOptions.gracePeriodSeconds of type int64"
        raise statuses.bad_request(f"json: cannot unmarshal string into Go struct field {where}")


def _wrong_propagation(propagation: str, orphan: Any) -> Iterator[statuses.Cause]:
    if propagation and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        said = f"Invalid value: {gotext.quoted(propagation)}: {why}"
        yield statuses.Cause("FieldValueInvalid", said, "propagationPolicy")
    elif propagation and propagation not in _POLICIES:
        supported = ", ".join(map(gotext.quoted, (*_POLICIES, "nil")))
        said = f"Unsupported value: {gotext.quoted(propagation)}: supported values: {supported}"
        yield statuses.Cause("FieldValueNotSupported", said, "propagationPolicy")


def delete(backend: Backend, call: Call, stored: Stored, chosen: Options) -> Stored | dict[str, Any]:
    """Delete the object of a request.

    Returns the object where it still is, or where the kind answers with it; else a Status of success.

    Raises:
        Refusal: a precondition does not hold, or the object may not be deleted.
    """
    meta = stored.document()["metadata"]
    _check_preconditions(call.kind, meta, chosen)
    _check_protected(call.kind, meta["name"])
    left = delete_stored(backend, call.plane, call.kind, stored, chosen)
    if left is not None:
        return left
    return stored if call.kind.storage in strategies.RETURN_DELETED else _success(call.kind, meta)


def delete_stored(backend: Backend, plane: str, kind: Kind, stored: Stored, chosen: Options) -> Stored | None:
    """Delete an object, or mark it as going where finalizers hold it; returns what is left of it, if anything."""
    document = stored.document()
    meta = document["metadata"]
    before = list(meta.get("finalizers") or [])
    going = "deletionTimestamp" in meta
    finalizers = _finalizers(kind, before, chosen.propagation, already_going=going)
    if not finalizers and not (kind.storage == "namespaces" and document.get("spec", {}).get("finalizers")):
        if not chosen.dry_run:
            backend.store.remove(plane, kind.storage, document)
        return None
    if going and finalizers == before:
        return stored
    meta["finalizers"] = finalizers
    if not finalizers:
        del meta["finalizers"]
    mark(backend, kind, document)
    if chosen.dry_run:
        return Stored.of(document, stored.version)
    return backend.store.put(plane, kind.storage, document)


def is_going(stored: Stored) -> bool:
    """Whether an object is marked as going; most are told without decoding."""
    return b'"deletionTimestamp"' in stored.raw and "deletionTimestamp" in stored.document()["metadata"]


def mark(backend: Backend, kind: Kind, document: dict[str, Any]) -> None:
    """Mark a document as going: time, grace period, generation, and what the kind's own strategy adds."""
    meta = document["metadata"]
    if "deletionTimestamp" in meta:
        return
    meta["deletionTimestamp"] = backend.timestamp()
    if kind.storage == "namespaces":
        document["status"] = {**(document.get("status") or {}), "phase": "Terminating"}
        return
    if kind.storage == _CRDS:
        return
    meta["deletionGracePeriodSeconds"] = 0
    if meta.get("generation"):
        meta["generation"] += 1


def delete_collection(backend: Backend, call: Call, chosen: Options) -> list[Stored]:
    """Delete what the selectors choose; returns the objects as they were.

    Raises:
        Refusal: a selector is refused.
    """
    matches = matcher(call.kind, Selection.of(call))
    topic = backend.store.topic(call.plane, call.kind.storage)
    selected = [
        stored
        for _, stored in topic.in_order(topic.objects, namespace=call.namespace)
        if matches is None or matches(stored)
    ]
    for stored in selected:
        delete(backend, call, stored, chosen)
    return selected


def _check_preconditions(kind: Kind, meta: Mapping[str, Any], chosen: Options) -> None:
    uid, version = meta["uid"], meta["resourceVersion"]
    if chosen.uid and chosen.uid != uid:
        why = (
            f"the UID in the precondition ({chosen.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif chosen.version and chosen.version != version:
        why = (
            f"the ResourceVersion in the precondition ({chosen.version}) does not match the ResourceVersion in record "
            f"({version}). The object might have been modified"
        )
    else:
        return
    raise statuses.conflict(kind, meta["name"], why, called=kind.kind)


def _check_protected(kind: Kind, name: str) -> None:
    if kind.storage == "namespaces" and name in {"default", "kube-system", "kube-public"}:
        raise statuses.forbidden(kind, name, "this namespace may not be deleted")


def _finalizers(kind: Kind, before: list[str], propagation: str, *, already_going: bool) -> list[str]:
    """Give the finalizers that hold the object now: those it has, and one for the garbage collector's work."""
    kept = before
    if propagation:
        kept = [name for name in before if name not in {FOREGROUND, ORPHAN}]
        if propagation == "Foreground":
            kept.append(FOREGROUND)
        elif propagation == "Orphan":
            kept.append(ORPHAN)
    if kind.storage == _CRDS and not already_going and CRD_CLEANUP not in kept:
        kept = [*kept, CRD_CLEANUP]
    return kept


def _success(kind: Kind, meta: Mapping[str, Any]) -> dict[str, Any]:
    details = {"name": meta["name"], "group": kind.group, "kind": kind.plural, "uid": meta["uid"]}
    details = {field: value for field, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

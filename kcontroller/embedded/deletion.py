"""Delete and deletecollection: preconditions, finalizers, propagation, and what waits for the garbage collector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import statuses, strategies
from kcontroller.embedded.calls import Selection
from kcontroller.embedded.reads import invalid_options
from kcontroller.embedded.selection import matcher
from kcontroller.embedded.store import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """DeleteOptions, from the body and the query; the body wins."""

    propagation: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, call: Call, body: Mapping[str, Any]) -> Options:
        """Read them.

        Raises:
            Refusal: a value that does not exist, or two that contradict each other.
        """
        merged = {**call.query, **body}
        propagation, orphan = merged.get("propagationPolicy") or "", merged.get("orphanDependents")
        if propagation and orphan is not None:
            message = "Invalid value: %s: orphanDependents and deletionPropagation cannot be both set"
            cause = statuses.Cause("FieldValueInvalid", message % _json(propagation), "propagationPolicy")
            raise _invalid([cause])
        if propagation and propagation not in _POLICIES:
            message = f'Unsupported value: "{propagation}": supported values: "Background", "Foreground", "Orphan"'
            raise _invalid([statuses.Cause("FieldValueNotSupported", message, "propagationPolicy")])
        if orphan is not None:
            propagation = "Orphan" if orphan in {True, "true"} else "Background"
        preconditions = body.get("preconditions") or {}
        dry_run = body.get("dryRun")
        if dry_run and dry_run != ["All"]:
            message = f'Unsupported value: {_json(dry_run)}: supported values: "All"'
            raise _invalid([statuses.Cause("FieldValueNotSupported", message, "dryRun")])
        return cls(
            propagation,
            preconditions.get("uid") or "",
            preconditions.get("resourceVersion") or "",
            bool(dry_run) or call.dry_run,
        )


PLAIN: Final = Options()
BACKGROUND: Final = Options(propagation="Background")
IN_FOREGROUND: Final = Options(propagation="Foreground")


def _json(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _invalid(causes: list[statuses.Cause]) -> statuses.Refusal:
    return invalid_options(causes, kind="DeleteOptions")


def delete(backend: Backend, call: Call, stored: Stored, options: Options) -> Stored | dict[str, Any]:
    """Delete the object of a request.

    Returns the object where it still is, or where the kind answers with it; else a Status of success.

    Raises:
        Refusal: a precondition does not hold, or the object may not be deleted.
    """
    meta = stored.document()["metadata"]
    _check_preconditions(call.kind, meta, options)
    _check_protected(call.kind, meta["name"])
    left = delete_stored(backend, call.plane, call.kind, stored, options)
    if left is not None:
        return left
    return stored if call.kind.storage in strategies.RETURN_DELETED else _success(call.kind, meta)


def delete_stored(backend: Backend, plane: str, kind: Kind, stored: Stored, options: Options) -> Stored | None:
    """Delete an object, or mark it as going where finalizers hold it; returns what is left of it, if anything."""
    document = stored.document()
    meta = document["metadata"]
    before = list(meta.get("finalizers") or [])
    going = "deletionTimestamp" in meta
    finalizers = _finalizers(kind, before, options.propagation, already_going=going)
    if not finalizers and not (kind.storage == "namespaces" and document.get("spec", {}).get("finalizers")):
        if not options.dry_run:
            backend.store.remove(plane, kind.storage, document)
        return None
    if going and finalizers == before:
        return stored
    meta["finalizers"] = finalizers
    if not finalizers:
        del meta["finalizers"]
    mark(backend, kind, document)
    if options.dry_run:
        return Stored.of(document, stored.version)
    return backend.store.put(plane, kind.storage, document)


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


def delete_collection(backend: Backend, call: Call, options: Options) -> list[Stored]:
    """Delete what the selectors choose; returns the objects as they were.

    Raises:
        Refusal: a selector is refused.
    """
    matches = matcher(call.kind, Selection.of(call))
    topic = backend.store.topic(call.plane, call.kind.storage)
    chosen = [
        stored
        for _, stored in topic.in_order(topic.objects, namespace=call.namespace)
        if matches is None or matches(stored)
    ]
    for stored in chosen:
        delete(backend, call, stored, options)
    return chosen


def _check_preconditions(kind: Kind, meta: Mapping[str, Any], options: Options) -> None:
    for what, asked, is_now in (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.version, meta["resourceVersion"]),
    ):
        if asked and asked != is_now:
            why = f"Precondition failed: {what} in precondition: {asked}, {what} in object meta: {is_now}"
            raise statuses.conflict(kind, meta["name"], why)


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

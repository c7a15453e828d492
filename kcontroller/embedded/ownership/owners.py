"""The entries of ``metadata.managedFields``: read, put in order and written, and which fields a path may own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from kcontroller.embedded import gotext
from kcontroller.embedded.ownership.comparing import Comparison, compare
from kcontroller.embedded.ownership.fields import EMPTY, Fields, difference, ordered, parse, union, without
from kcontroller.embedded.ownership.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.kinds import Kind

APPLY: Final = "Apply"
UPDATE: Final = "Update"

NEVER_OWNED: Final = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)
"""Fields of metadata that have no owner."""

_STRIPPED: Final[Fields] = {
    "f:apiVersion": EMPTY,
    "f:kind": EMPTY,
    "f:metadata": {".": EMPTY, **{f"f:{name}": EMPTY for name in NEVER_OWNED}},
}
_APART: Final = frozenset({"apiVersion", "kind", "metadata"})
_MOST_UPDATERS: Final = 10
_ANCIENT: Final = "ancient-changes"

_SPEC: Final[Fields] = {"f:spec": EMPTY}
_STATUS: Final[Fields] = {"f:status": EMPTY}
_SPEC_AND_METADATA: Final[Fields] = {"f:metadata": EMPTY, "f:spec": EMPTY}
# GetResetFields of the strategies in pkg/registry: in these groups status may change metadata, in the others not.
_STATUS_WITH_METADATA: Final = frozenset({"", "apps", "autoscaling", "batch", "policy", "apiextensions.k8s.io"})
_UNUSUAL: Final[Mapping[tuple[str, str], Fields]] = {
    ("deployments.apps", "status"): {"f:spec": EMPTY, "f:metadata": {"f:labels": EMPTY}},
    ("pods", "status"): {"f:spec": EMPTY, "f:metadata": {"f:deletionTimestamp": EMPTY, "f:ownerReferences": EMPTY}},
    ("ingresses.networking.k8s.io", "status"): _SPEC,
    ("certificatesigningrequests.certificates.k8s.io", ""): {"f:spec": EMPTY, "f:status": EMPTY},
    ("certificatesigningrequests.certificates.k8s.io", "status"): {
        "f:spec": EMPTY,
        "f:status": {"f:conditions": EMPTY},
    },
    ("certificatesigningrequests.certificates.k8s.io", "approval"): {
        "f:spec": EMPTY,
        "f:status": {"f:certificate": EMPTY},
    },
    ("podcertificaterequests.certificates.k8s.io", ""): EMPTY,
    ("podcertificaterequests.certificates.k8s.io", "status"): _SPEC,
    ("namespaces", "finalize"): _STATUS,
}


class Identity(NamedTuple):
    """What tells entries apart; an apply owns the same whatever the version it was written in."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def __str__(self) -> str:
        """Write the JSON that apimachinery sorts entries by."""
        given = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "subresource": self.subresource,
        }
        return msgspec.json.encode({name: value for name, value in given.items() if value}).decode()

    @property
    def shown(self) -> str:
        """Name the manager in a conflict."""
        text = gotext.quoted(self.manager)
        if self.subresource:
            text += f" with subresource {gotext.quoted(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns; `time` is empty for one that owns without ever having changed anything."""

    fields: Fields
    api_version: str
    time: str = ""


Entries = dict[Identity, Entry]


def identity_of(kind: Kind, manager: str, operation: str, subresource: str) -> Identity:
    """Tell whose entry a request concerns."""
    return Identity(manager or "unknown", operation, kind.api_version if operation == UPDATE else "", subresource)


def read(documents: object, *, known: bool = False) -> Entries:
    """Read entries.

    Args:
        documents: the list.
        known: the server wrote it itself, so that the sets need not be put into their usual form.

    Raises:
        ValueError: it is not a list of entries.
    """
    entries: Entries = {}
    for document in documents if isinstance(documents, list) else ():
        given = document if isinstance(document, dict) else {}
        operation, api_version = given.get("operation"), given.get("apiVersion")
        if operation not in {APPLY, UPDATE} or not api_version or given.get("fieldsType") != "FieldsV1":
            msg = "operation must be `Apply` or `Update`, apiVersion not empty, fieldsType FieldsV1"
            raise ValueError(msg)
        fields = given.get("fieldsV1") or EMPTY
        identity = Identity(
            given.get("manager") or "",
            operation,
            api_version if operation == UPDATE else "",
            given.get("subresource") or "",
        )
        entries[identity] = Entry(fields if known else parse(fields), api_version, given.get("time") or "")
    return entries


def chosen(before: object, after: object, *, subresource: str) -> Entries | None:
    """Read the entries that a write starts from: those it sent, or those of the object as it was.

    An empty list, or one empty entry, takes all ownership back; a subresource has no say.

    Returns:
        None if the write takes ownership back.
    """
    if not subresource:
        if isinstance(after, list) and (not after or after == [{}]):
            return None
        if after and after != before:  # Equal but for order is what a client that read it sends back.
            try:
                entries = read(after)
            except ValueError:
                entries = {}
            if entries:
                return entries
    try:
        return read(before, known=True)
    except ValueError:
        return {}


def written(kind: Kind, entries: Entries, before: Entries) -> list[dict[str, Any]]:
    """Write entries in the server's order; those that own nothing are left out.

    Args:
        kind: a custom resource's entries have their keys in alphabetical order, as the rest of it has.
        entries: what is written.
        before: sets that are the same objects here are in order already.
    """
    rows = []
    for identity, entry in entries.items():
        fields = entry.fields
        if not fields:
            continue
        old = before.get(identity)
        if old is None or old.fields is not fields:
            fields = ordered(fields, by_value=kind.builtin)
        row = {
            "manager": identity.manager,
            "operation": identity.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            "subresource": identity.subresource,
        }
        rows.append({name: row[name] for name in (row if kind.builtin else sorted(row)) if row[name]})
    rows.sort(key=_place)
    return rows


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["operation"],
        row.get("time", ""),
        row.get("manager", ""),
        row["apiVersion"],
        row.get("subresource", ""),
    )


def of_group(kind: Kind, entries: Entries) -> Entries:
    """Leave out the entries of other groups: a write in one API forgets the owners that came through another.

    structured-merge-diff drops a set whose version the object cannot be converted to, and no object leaves its group.
    """
    return {at: entry for at, entry in entries.items() if entry.api_version.rpartition("/")[0] == kind.group}


def lose(entries: Entries, fields: Fields, *, but: Identity | None = None) -> Entries:
    """Take fields from everybody, or from everybody but one."""
    if not fields:
        return entries
    left: Entries = {}
    for identity, entry in entries.items():
        rest = entry.fields if identity == but else difference(entry.fields, fields)
        left[identity] = entry if rest is entry.fields else Entry(rest, entry.api_version, entry.time)
    return left


def excluded(kind: Kind, subresource: str) -> Fields:
    """Give the fields that a path does not write, so that nobody owns them for having sent them."""
    unusual = _UNUSUAL.get((kind.resource, subresource)) if kind.builtin else None
    if unusual is not None:
        return unusual
    if subresource == "status":
        return _SPEC if kind.builtin and kind.group in _STATUS_WITH_METADATA else _SPEC_AND_METADATA
    return _STATUS if kind.has_status and not subresource else EMPTY


def compared(kind: Kind, before: dict[str, Any], after: dict[str, Any], *, subresource: str) -> Comparison:
    """Find what a write to a path changes, as far as the path writes it and somebody can own it."""
    shape = shape_of(kind)
    found = compare(shape, before, after, ignored=_APART)
    meta = compare(
        shape.below("metadata"), before.get("metadata") or {}, after.get("metadata") or {}, ignored=NEVER_OWNED
    )
    if meta.changed:
        found.changed["f:metadata"] = meta.changed
    if meta.removed:
        found.removed["f:metadata"] = meta.removed
    left_out = excluded(kind, subresource)
    return Comparison(without(found.changed, left_out), without(found.removed, left_out))


def stripped(fields: Fields) -> Fields:
    """Leave out what has no owner."""
    return difference(fields, _STRIPPED)


def after_write(
    kind: Kind, before: dict[str, Any], after: dict[str, Any], entries: Entries, *, writer: Identity, now: str
) -> Entries:
    """Give the entries after a write that is no apply.

    Raises:
        Unnamed: a list item has no name.
    """
    found = compared(kind, before, after, subresource=writer.subresource)
    gained = stripped(found.changed)
    # What the writer would lose and gain again stays, so that its set keeps its order.
    left = lose(lose(entries, found.changed, but=writer if gained else None), found.removed)
    if not gained:
        return left
    own = left.get(writer)
    return {**left, writer: Entry(union(own.fields, gained) if own else gained, kind.api_version, now)}


def capped(entries: Entries) -> Entries:
    """Join the oldest entries of updates into one per version, until there are ten."""
    updaters = [identity for identity in entries if identity.operation == UPDATE]
    too_many = len(updaters) - _MOST_UPDATERS
    if too_many <= 0:
        return entries
    updaters.sort(key=lambda identity: (entries[identity].time, str(identity)))
    left = dict(entries)
    first: dict[str, Identity] = {}
    for identity in updaters:
        entry = left[identity]
        if entry.api_version not in first:
            first[entry.api_version] = identity
            continue
        bucket = Identity(_ANCIENT, UPDATE, entry.api_version, "")
        if bucket not in left:
            left[bucket] = left.pop(first[entry.api_version])
        del left[identity]
        left[bucket] = Entry(union(entry.fields, left[bucket].fields), entry.api_version, entry.time)
        too_many -= 1
        if not too_many:
            break
    return left

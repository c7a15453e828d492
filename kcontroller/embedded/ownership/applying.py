"""One server-side apply: merge, take out what the manager no longer states, and settle with the other owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.embedded import gotext
from kcontroller.embedded.ownership import owners
from kcontroller.embedded.ownership.comparing import compare
from kcontroller.embedded.ownership.fields import (
    Fields,
    difference,
    intersection,
    of,
    paths,
    union,
    with_named,
    without,
)
from kcontroller.embedded.ownership.merging import check, merge, take_out
from kcontroller.embedded.ownership.names import Unnamed
from kcontroller.embedded.ownership.owners import UPDATE, Entries, Entry, Identity
from kcontroller.embedded.ownership.shapes import Shape, shape_of
from kcontroller.embedded.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kcontroller.embedded.kinds import Kind

_BEFORE_FIRST_APPLY: Final = "before-first-apply"
_KUBECTL: Final = "kubectl"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_ANNOTATIONS: Final = 256 * 1024


class Application:
    """An apply that is not yet done.

    Args:
        kind: in the version of the request.
        live: the object as it is; one without content for a new object.
        config: what the manager wants; it fits the schema.
        applier: whose entry it is.
        now: the time, in seconds, as metadata has it.
    """

    def __init__(self, kind: Kind, live: dict[str, Any], config: dict[str, Any], applier: Identity, now: str) -> None:
        self._kind = kind
        self._shape = shape_of(kind)
        self._live = _without_owners(live)
        self._config = _without_owners(config)
        self._applier = applier
        self._now = now
        self._before = owners.chosen(live["metadata"].get("managedFields"), None, subresource="") or {}

    def run(self, *, force: bool) -> dict[str, Any]:
        """Give the object as it shall be.

        Raises:
            Refusal: 409 with what others own and would change.
            Unnamed: a list item of the object has no name.
        """
        entries = owners.of_group(self._kind, self._before or self._before_first_apply())
        stated = without(of(self._shape, self._config), owners.excluded(self._kind, self._applier.subresource))
        own = entries.get(self._applier)
        others = {identity: entry for identity, entry in entries.items() if identity != self._applier}
        merged = merge(self._shape, self._live, self._config)
        if own is not None:
            merged = _pruned(self._shape, merged, own.fields, stated, others.values())
        found = owners.compared(self._kind, self._live, merged, subresource=self._applier.subresource)
        if not force:
            self._refuse_conflicts(others, found.changed)
        settled = owners.lose(owners.lose(others, found.changed), found.removed)
        last = self._before.get(self._applier)  # Also one that was forgotten gives its time on.
        time = self._now if merged != self._live else last.time if last else ""
        stated = owners.stripped(stated)
        if own is not None and own.fields == stated:
            stated = own.fields  # It is in order.
        if stated:
            settled[self._applier] = Entry(stated, self._kind.api_version, time)
        return self._finished(merged, owners.written(self._kind, settled, self._before))

    def _before_first_apply(self) -> Entries:
        """Make one manager the owner of everything in an object whose owners are not known."""
        writer = Identity(_BEFORE_FIRST_APPLY, UPDATE, self._kind.api_version, self._applier.subresource)
        return owners.after_write(self._kind, {}, self._live, {}, writer=writer, now=self._now)

    def _refuse_conflicts(self, others: Entries, changed: Fields) -> None:
        conflicts = {
            identity: shared for identity, entry in others.items() if (shared := intersection(entry.fields, changed))
        }
        if conflicts and self._applier.manager == _KUBECTL:
            # `kubectl apply` of old kept its configuration in an annotation; what it applied so is its own.
            allowed = _client_side_applied(self._kind, self._live)
            conflicts = {
                identity: rest for identity, shared in conflicts.items() if (rest := difference(shared, allowed))
            }
        if conflicts:
            raise _conflict(conflicts)

    def _finished(self, merged: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
        metadata = dict(merged.get("metadata") or {})
        annotations = metadata.get("annotations")
        if self._applier.manager == _KUBECTL and annotations and annotations.get(_LAST_APPLIED):
            annotations = {**annotations, _LAST_APPLIED: _last_applied(self._config)}
            if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > _MOST_ANNOTATIONS:
                del annotations[_LAST_APPLIED]
            metadata["annotations"] = annotations
        if rows:
            metadata["managedFields"] = rows
        return {**merged, "metadata": metadata}


def _without_owners(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return document
    return {**document, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _pruned(
    shape: Shape, merged: dict[str, Any], last: Fields, stated: Fields, others: Iterable[Entry]
) -> dict[str, Any]:
    """Take out what the manager applied last time, does not state now, and nobody else owns."""
    if not difference(last, stated):
        return merged
    owned = stated
    for entry in others:
        owned = union(owned, entry.fields)
    last = with_named(last, shape)
    everything = with_named(of(shape, merged), shape)
    # First without everything applied last time; then what is owned comes back, then what was nobody's.
    left = _named_of(shape, take_out(shape, merged, last))
    left = _named_of(shape, take_out(shape, merged, difference(everything, union(left, with_named(owned, shape)))))
    gone = intersection(difference(everything, left), last)
    pruned: dict[str, Any] = take_out(shape, merged, gone) or {}
    return pruned


def _named_of(shape: Shape, value: Any) -> Fields:
    return with_named(of(shape, value), shape)


def _conflict(conflicts: Mapping[Identity, Fields]) -> Refusal:
    lines, causes = [], []
    for identity in sorted(conflicts, key=str):
        lines.append(f"conflicts with {identity.shown}:")
        for path in paths(conflicts[identity]):
            lines.append(f"- {path}")
            message = f"conflict with {identity.shown}"
            causes.append({"reason": "FieldManagerConflict", "message": message, "field": path})
    if len(causes) == 1:
        said = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        said = f"{len(causes)} conflicts: " + "\n".join(lines)
    return Refusal(409, "Conflict", f"Apply failed with {said}", details={"causes": causes})


def _client_side_applied(kind: Kind, live: dict[str, Any]) -> Fields:
    """Give the fields that the annotation of `kubectl apply` holds and that are still as it holds them."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(_LAST_APPLIED)
    try:
        applied = msgspec.json.decode(text or "")
        shape = shape_of(kind)
        if not isinstance(applied, dict) or applied.get("apiVersion") != kind.api_version or any(check(shape, applied)):
            return {}
        found = compare(shape, applied, live)
        return difference(difference(of(shape, applied), found.changed), found.removed)
    except (msgspec.DecodeError, Unnamed):
        return {}


def _last_applied(config: dict[str, Any]) -> str:
    metadata = dict(config.get("metadata") or {})
    if metadata.get("annotations"):
        metadata["annotations"] = {
            name: value for name, value in metadata["annotations"].items() if name != _LAST_APPLIED
        }
    return f"{gotext.json({**config, 'metadata': metadata})}\n"

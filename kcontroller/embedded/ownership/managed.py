"""Who owns which field: ``metadata.managedFields`` at every write, and server-side apply, which is decided by it.

One entry stands for one manager, operation, version and subresource. A write makes its manager the owner of what it
changed, and of nothing else; an apply makes its manager the owner of everything it states. The rules are those of
structured-merge-diff's ``merge`` package and of what apimachinery puts around it (``util/managedfields``), with two
simplifications: every version of a kind in a group has the same fields here, so that nothing is converted between them,
and entries are not rewritten when a new schema makes a field atomic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcontroller.embedded import scale
from kcontroller.embedded.ownership import owners
from kcontroller.embedded.ownership.applying import Application
from kcontroller.embedded.ownership.fields import has
from kcontroller.embedded.ownership.merging import check
from kcontroller.embedded.ownership.names import Unnamed
from kcontroller.embedded.ownership.owners import APPLY, UPDATE, identity_of
from kcontroller.embedded.ownership.shapes import shape_of
from kcontroller.embedded.statuses import Refusal, bad_request

if TYPE_CHECKING:
    from kcontroller.embedded.kinds import Kind


def track(
    kind: Kind,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    manager: str,
    subresource: str,
    now: str,
    operation: str = UPDATE,
) -> None:
    """Write down in `after`, in place, who owns what once it is stored.

    Fields that were added or changed move to this manager, fields that are gone are nobody's. A manager that changes
    nothing keeps the time of its entry. An object that is there and has no entries gets none before its first apply.

    Args:
        kind: in the version of the request.
        before: the object as it was, in the same version; None, or without uid, for a new one.
        after: the object as it shall be; its managedFields are those that the request sent.
        manager: who writes.
        subresource: empty for the object itself.
        now: the time, in seconds, as metadata has it.
        operation: what the entry calls the write.
    """
    metadata = after["metadata"]
    old = (before or {}).get("metadata") or {}
    written = scale.without_zero(kind, after) if subresource == "scale" else after
    entries = owners.chosen(old.get("managedFields"), metadata.pop("managedFields", None), subresource=subresource)
    if not entries and old.get("uid"):
        return
    entries = owners.of_group(kind, entries or {})
    if subresource == "scale" and not any(has(entry.fields, *_replicas(kind)) for entry in entries.values()):
        metadata["managedFields"] = old["managedFields"]  # The Scale shows no owners, and so it gets none.
        return
    writer = identity_of(kind, manager, operation, subresource)
    try:
        tracked = owners.after_write(kind, before or {}, written, entries, writer=writer, now=now)
    except Unnamed:
        return  # It is refused later; the server writes no entries to what it cannot compare.
    rows = owners.written(kind, owners.capped(tracked), entries)
    for row in rows:
        if row.get("subresource") == "scale":
            row.pop("time", None)  # Written through a Scale, which has no place for it.
    if rows:
        metadata["managedFields"] = rows


def apply(
    kind: Kind,
    live: dict[str, Any] | None,
    config: dict[str, Any],
    *,
    manager: str,
    force: bool,
    subresource: str,
    now: str,
) -> dict[str, Any]:
    """Merge a configuration into an object as server-side apply does; returns the object with its managedFields.

    Nothing is defaulted. The result shares parts with the arguments, which are not changed. Applying what is there
    already returns an object that is equal to `live`.

    Args:
        kind: in the version of the request.
        live: the object as it is, in the same version, or None.
        config: what the manager wants, as it was sent: nothing filled in, nothing pruned.
        manager: who applies.
        force: whether to take the fields of others.
        subresource: empty for the object itself.
        now: the time, in seconds, as metadata has it.

    Raises:
        Refusal: 400 for another kind or for managedFields in `config`, 409 with the fields that others own and that
            would change, 500 (kube-apiserver's answer) for what does not fit the schema.
    """
    _check(kind, config)
    old = live or {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
    applier = identity_of(kind, manager, APPLY, subresource)
    try:
        return Application(kind, old, config, applier, now).run(force=force)
    except Unnamed as error:
        raise Refusal(500, "", f"failed to merge config: {error}") from None


def _replicas(kind: Kind) -> list[str]:
    return [f"f:{part}" for part in scale.path_of(kind)]


def _check(kind: Kind, config: dict[str, Any]) -> None:
    stated = _kind_text(config.get("apiVersion"), config.get("kind"))
    if stated != _kind_text(kind.api_version, kind.kind):
        raise bad_request(f"invalid object type: {stated}")
    metadata = config.get("metadata")
    meta = metadata if isinstance(metadata, dict) else {}
    if isinstance(meta.get("managedFields"), list):
        raise bad_request("metadata.managedFields must be nil")
    wrong = list(check(shape_of(kind), config))
    if wrong:
        said = wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {line}" for line in wrong)
        which = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {stated}"
        raise Refusal(500, "", f"failed to create typed patch object ({which}): {said}")


def _kind_text(api_version: object, kind: object) -> str:
    group, _, version = str(api_version or "").rpartition("/")
    return f"{group}/{version}, Kind={kind or ''}"

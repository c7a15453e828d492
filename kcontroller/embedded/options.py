"""The options of a request are checked before anything else is looked at (apimachinery's Validate…Options)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.embedded import gotext
from kcontroller.embedded.statuses import Cause, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kcontroller.embedded.calls import Call

_KINDS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_MANAGER_BYTES: Final = 128
_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
_APPLY: Final = "application/apply-patch"


def check(call: Call, content_type: str) -> None:
    """Check the options of a create, update or patch.

    Raises:
        Refusal: 422 that names the options' own kind.
    """
    kind = _KINDS.get(call.verb)
    if kind is None:
        return
    causes = list(_dry_run(call.query.get("dryRun")))
    manager = call.query.get("fieldManager", "")
    if call.verb == "patch":
        causes += _patch(call, applies=content_type.startswith(_APPLY), manager=manager)
    causes += _manager(manager)
    validation = call.query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        said = f'Unsupported value: {gotext.quoted(validation)}: supported values: "", "Ignore", "Strict", "Warn"'
        causes.append(Cause("FieldValueNotSupported", said, "fieldValidation"))
    if causes:
        raise refused(kind, causes)


def refused(kind: str, causes: Sequence[Cause]) -> Refusal:
    """Refuse options; the Status names their kind, not the resource's."""
    lines = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    said = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = {
        "group": "meta.k8s.io",
        "kind": kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    return Refusal(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {said}', details=details)


def unsupported_dry_run(values: Sequence[str]) -> Cause:
    """Say that ``dryRun`` may only be ``All``."""
    shown = ",".join(gotext.quoted(str(value)) for value in values)
    return Cause("FieldValueNotSupported", f'Unsupported value: [{shown}]: supported values: "All"', "dryRun")


def forbidden(field: str, why: str) -> Cause:
    """Say that an option may not be given here."""
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def unreadable_version(text: str) -> str:
    """Say that a resourceVersion is no number, as the versioner's error says it."""
    return f"resourceVersion: Invalid value: {gotext.quoted(text)}: {unparsable('Uint', text)}"


def unparsable(what: str, text: str) -> str:
    """Word the error of Go's ParseInt or ParseUint."""
    return f"strconv.Parse{what}: parsing {gotext.quoted(text)}: invalid syntax"


def check_number(call: Call, *names: str) -> None:
    """Refuse a parameter that should be a number and is none.

    Raises:
        Refusal: 400.
    """
    for name in names:
        call.number(name)


def _dry_run(value: str | None) -> list[Cause]:
    return [] if value in {None, "All"} else [unsupported_dry_run([value or ""])]


def _patch(call: Call, *, applies: bool, manager: str) -> list[Cause]:
    if applies:
        return (
            []
            if manager
            else [Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")]
        )
    return [forbidden("force", "may not be specified for non-apply patch")] if "force" in call.query else []


def _manager(manager: str) -> list[Cause]:
    if len(manager.encode()) > _MANAGER_BYTES:
        return [Cause("FieldValueTooLong", f"Too long: may not be more than {_MANAGER_BYTES} bytes", "fieldManager")]
    for position, character in enumerate(manager):
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {position})"
            return [Cause("FieldValueInvalid", f"Invalid value: {gotext.quoted(manager)}: {why}", "fieldManager")]
    return []

"""Groups that belong to the Kubernetes community need an annotation that says where their API was approved.

Source of the rule: ``k8s.io/apiextensions-apiserver/pkg/apihelpers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from kcontroller.embedded.validation import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.statuses import Cause

State = Literal["Missing", "Unapproved", "Approved", "Invalid"]

_ANNOTATION: Final = "api-approved.kubernetes.io"
_SEE: Final = "see https://github.com/kubernetes/enhancements/pull/1111"


def check(crd: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Find an annotation that is missing or says nothing; one that was so before may stay so."""
    if not _is_protected(crd):
        return []
    state, reason = _state(crd)
    if state in {"Approved", "Unapproved"} or (old is not None and _state(old)[0] == state):
        return []
    path = f"metadata.annotations[{_ANNOTATION}]"
    if state == "Missing":
        return [fields.required(path, reason)]
    return [fields.invalid(path, _annotation(crd), reason)]


def condition(crd: Mapping[str, Any]) -> dict[str, Any] | None:
    """Make the condition KubernetesAPIApprovalPolicyConformant; None for a group that needs no approval."""
    if not _is_protected(crd):
        return None
    state, reason = _state(crd)
    return {
        "type": "KubernetesAPIApprovalPolicyConformant",
        "status": "True" if state == "Approved" else "False",
        "reason": f"{state}Annotation",
        "message": reason,
    }


def _is_protected(crd: Mapping[str, Any]) -> bool:
    group = f".{crd['spec'].get('group') or ''}"
    return group.endswith((".k8s.io", ".kubernetes.io"))


def _annotation(crd: Mapping[str, Any]) -> str:
    return str((crd["metadata"].get("annotations") or {}).get(_ANNOTATION) or "")


def _state(crd: Mapping[str, Any]) -> tuple[State, str]:
    text = _annotation(crd)
    needs = f'protected groups must have approval annotation "{_ANNOTATION}"'
    if not text:
        return "Missing", f"{needs}, {_SEE}"
    if text.startswith("unapproved"):
        return "Unapproved", f"not approved: {fields.quoted(text)}"
    parts = urlsplit(text)
    if parts.scheme and parts.netloc:
        return "Approved", f"approved in {text}"
    return "Invalid", f'{needs} with either a URL or a reason starting with "unapproved", {_SEE}'

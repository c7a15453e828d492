"""What is checked of roles and their bindings.

The words are those of ``k8s.io/kubernetes/pkg/apis/rbac/validation``, taken from a real kube-apiserver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.statuses import Cause
from kcontroller.embedded.validation import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Rule = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Iterable[Cause]]

_GROUP: Final = "rbac.authorization.k8s.io"
_SUBJECTS: Final = ("ServiceAccount", "User", "Group")


def _role(document: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    for index, rule in enumerate(document.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            yield fields.required(f"{path}.verbs", "verbs must contain at least one value")
        urls = rule.get("nonResourceURLs")
        if urls:
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                yield fields.invalid(f"{path}.nonResourceURLs", urls, detail)
            continue
        if not rule.get("apiGroups"):
            yield fields.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield fields.required(f"{path}.resources", "resource rules must supply at least one resource")


def _binding(kinds: tuple[str, ...]) -> Rule:
    def rule(document: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
        reference = document.get("roleRef") or {}
        group = reference.get("apiGroup") or _GROUP
        if group != _GROUP:
            yield fields.unsupported("roleRef.apiGroup", group, [_GROUP])
        if reference.get("kind") not in kinds:
            yield fields.unsupported("roleRef.kind", reference.get("kind") or "", kinds)
        if not reference.get("name"):
            yield fields.required("roleRef.name")
        for index, subject in enumerate(document.get("subjects") or ()):
            if not subject.get("name"):
                yield fields.required(f"subjects[{index}].name")
            if subject.get("kind") not in _SUBJECTS:
                yield fields.unsupported(f"subjects[{index}].kind", subject.get("kind") or "", _SUBJECTS)
        if old is not None and old.get("roleRef") != document.get("roleRef"):
            given = {"apiGroup": group, "kind": reference.get("kind") or "", "name": reference.get("name") or ""}
            text = (
                "{" + ",".join(f'"{name[0].upper()}{name[1:]}":{fields.quoted(v)}' for name, v in given.items()) + "}"
            )
            text = text.replace("ApiGroup", "APIGroup")
            yield Cause("FieldValueInvalid", f"Invalid value: {text}: cannot change roleRef", "roleRef")

    return rule


RULES: Final[Mapping[str, Rule]] = {
    f"roles.{_GROUP}": _role,
    f"clusterroles.{_GROUP}": _role,
    f"rolebindings.{_GROUP}": _binding(("Role", "ClusterRole")),
    f"clusterrolebindings.{_GROUP}": _binding(("ClusterRole",)),
}
"""By storage."""

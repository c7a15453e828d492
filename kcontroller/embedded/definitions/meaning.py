"""CustomResourceDefinitions: their defaults, their checks, the kinds they define, and the status the server writes.

Source of the rules: ``k8s.io/apiextensions-apiserver``, its v1 defaults, ``customresourcedefinition`` strategy, and the
naming, establishing and api-approval controllers; checked against a real kube-apiserver.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded.definitions.approval import condition as approval_condition
from kcontroller.embedded.definitions.checks import check, stored_versions
from kcontroller.embedded.kinds import Kind, Subresource
from kcontroller.embedded.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.kinds import Catalog

_SUBRESOURCE_VERBS: Final = ("get", "patch", "update")
_KUBE_VERSION: Final = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_LEVELS: Final = {"alpha": 1, "beta": 2, None: 3}
_NAMES: Final = ("plural", "singular", "shortNames", "kind", "listKind", "categories")

__all__ = ["check", "complete", "kinds_of", "starting_status", "status"]


def complete(crd: dict[str, Any]) -> None:
    """Fill in place what the v1 defaults fill: singular and list kind from the kind, conversion by apiVersion alone."""
    spec = crd.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    if kind:
        names["singular"] = names.get("singular") or kind.lower()
        names["listKind"] = names.get("listKind") or f"{kind}List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    for version in spec.get("versions") or ():
        # In Go both are plain booleans that are always written.
        version["served"] = bool(version.get("served"))
        version["storage"] = bool(version.get("storage"))
        _without_nulls((version.get("schema") or {}).get("openAPIV3Schema"))


def _without_nulls(node: Any) -> None:
    """Make empty schemas of nulls among the parts of a schema, as Go does, and take away what Go does not read."""
    if not isinstance(node, dict):
        return
    if not isinstance(node.get("items"), dict | list):
        node.pop("items", None)
    elif isinstance(node["items"], list):
        node["items"] = [{} if inner is None else inner for inner in node["items"]]
    for name in ("properties", "patternProperties", "definitions"):
        parts = node.get(name) or {}
        for key, inner in parts.items():
            parts[key] = {} if inner is None else inner
            _without_nulls(parts[key])
    for name in ("allOf", "anyOf", "oneOf"):
        for inner in node.get(name) or ():
            _without_nulls(inner)
    for name in ("items", "additionalProperties", "not"):
        _without_nulls(node.get(name))


def starting_status(crd: Mapping[str, Any]) -> dict[str, Any]:
    """Give the status that a new definition is answered with, before the controllers have seen it."""
    return {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored_versions(crd, None),
    }


def kinds_of(crd: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Make one kind for every served version; the definition is complete and has passed `check`."""
    spec = crd["spec"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return tuple(_kind(spec, version, storage) for version in spec["versions"] if version.get("served"))


def _kind(spec: Mapping[str, Any], version: Mapping[str, Any], storage: str) -> Kind:
    names = spec["names"]
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        storage_version=storage,
        schema=Schema((version.get("schema") or {}).get("openAPIV3Schema") or {}),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=_subresources(spec, version),
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(field["jsonPath"].removeprefix(".") for field in version.get("selectableFields") or ()),
        list_kind=names.get("listKind") or "",
        builtin=False,
        deprecation=_deprecation(spec, version) if version.get("deprecated") else "",
    )


def _subresources(spec: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, Subresource]:
    declared = version.get("subresources") or {}
    subresources = {}
    if declared.get("status") is not None:
        subresources["status"] = Subresource(spec["names"]["kind"], spec["group"], version["name"], _SUBRESOURCE_VERBS)
    scale = declared.get("scale")
    if scale is not None:
        subresources["scale"] = Subresource("Scale", "autoscaling", "v1", _SUBRESOURCE_VERBS, dict(scale))
    return subresources


def _deprecation(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind, own = spec["group"], spec["names"]["kind"], version["name"]
    text = f"{group}/{own} {kind} is deprecated"
    newer = [
        other["name"]
        for other in spec["versions"]
        if other.get("served") and not other.get("deprecated") and _priority(other["name"]) > _priority(own)
    ]
    return f"{text}; use {group}/{max(newer, key=_priority)} {kind}" if newer else text


def _priority(version: str) -> tuple[Any, ...]:
    """Order versions as Kubernetes does: v2, v1, v1beta1, v1alpha1, and any other name after those."""
    found = _KUBE_VERSION.fullmatch(version)
    if found is None:
        return (0, tuple(-ord(character) for character in version))
    return (1, _LEVELS[found[2]], int(found[1]), int(found[3] or 0))


def status(crd: Mapping[str, Any], catalog: Catalog, now: str) -> dict[str, Any]:
    """Say which names are accepted and whether the resource is served; a condition keeps its time until it turns.

    Args:
        crd: with the status it has, if it has one.
        catalog: the other kinds of the group; a name that one of them has is not accepted.
        now: the time of conditions that are new or turn.
    """
    spec, old = crd["spec"], crd.get("status") or {}
    names, accepted = spec["names"], old.get("acceptedNames") or {}
    known = {condition["type"]: condition for condition in old.get("conditions") or ()}
    accepted, why = _accept(names, accepted, *_used(crd, catalog))
    conditions = dict(known)
    approval = approval_condition(crd)
    if approval is not None:
        conditions["KubernetesAPIApprovalPolicyConformant"] = _turned(known, approval, now)
    naming = why or ("NoConflicts", "no conflicts found")
    conditions["NamesAccepted"] = _turned(known, _condition("NamesAccepted", good=not why, why=naming), now)
    established = known.get("Established", {}).get("status") == "True"
    if not established:
        reason = ("NotAccepted", "not all names are accepted")
        if not why:
            reason = ("InitialNamesAccepted", "the initial names have been accepted")
        conditions["Established"] = _turned(known, _condition("Established", good=not why, why=reason), now)
    return {
        "conditions": list(conditions.values()),
        "acceptedNames": accepted,
        "storedVersions": stored_versions(crd, crd),
    }


def _condition(name: str, *, good: bool, why: tuple[str, str]) -> dict[str, Any]:
    return {"type": name, "status": "True" if good else "False", "reason": why[0], "message": why[1]}


def _turned(known: Mapping[str, Mapping[str, Any]], condition: dict[str, Any], now: str) -> dict[str, Any]:
    before = known.get(condition["type"])
    same = before is not None and before.get("status") == condition["status"]
    time = before["lastTransitionTime"] if before is not None and same else now
    return {
        "type": condition["type"],
        "status": condition["status"],
        "lastTransitionTime": time,
        "reason": condition["reason"],
        "message": condition["message"],
    }


def _used(crd: Mapping[str, Any], catalog: Catalog) -> tuple[set[str], set[str]]:
    """Collect the names of resources and of kinds that others of the group have."""
    own = f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
    resources: set[str] = set()
    kinds: set[str] = set()
    for kind in catalog:
        if kind.group == crd["spec"]["group"] and kind.storage != own:
            resources |= {kind.plural, kind.singular, *kind.short_names}
            kinds |= {kind.kind, kind.list_name}
    return resources, kinds


def _accept(
    names: Mapping[str, Any], accepted: Mapping[str, Any], resources: set[str], kinds: set[str]
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Take over the names that are free; the last conflict is the one that is told."""
    taken = dict(accepted)
    why: tuple[str, str] | None = None
    for name in ("plural", "singular", "shortNames", "kind", "listKind"):
        used = kinds if name in {"kind", "listKind"} else resources
        asked, had = names.get(name) or (), accepted.get(name) or ()
        if isinstance(asked, str):
            doubles = [asked] if asked != had and asked in used else []
        else:
            doubles = [each for each in asked if each not in had and each in used]
        if doubles:
            said = [f'"{each}" is already in use' for each in doubles]
            text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
            why = (f"{name[0].upper()}{name[1:]}Conflict", text)
        elif asked:
            taken[name] = asked
        else:
            taken.pop(name, None)
    if names.get("categories"):
        taken["categories"] = names["categories"]
    else:
        taken.pop("categories", None)
    taken = {"plural": "", "kind": "", **taken}
    return {name: taken[name] for name in _NAMES if name in taken}, why

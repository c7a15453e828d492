"""The subresource ``scale``: replicas of a workload as an autoscaling/v1 Scale, read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.embedded import statuses

if TYPE_CHECKING:
    from kcontroller.embedded.kinds import Kind

_BUILTIN_PATHS: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
}


def scale_of(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    """Show an object as a Scale."""
    paths = kind.subresources["scale"].paths or _BUILTIN_PATHS
    meta = document["metadata"]
    shown = {
        name: meta[name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in meta
    }
    status: dict[str, Any] = {"replicas": _find(document, paths["statusReplicasPath"]) or 0}
    selector = _selector(document, paths)
    if selector:
        status["selector"] = selector
    spec = {}
    replicas = _find(document, paths["specReplicasPath"])
    if replicas:
        spec["replicas"] = replicas
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": spec, "status": status}


def with_scale(kind: Kind, document: dict[str, Any], scale: dict[str, Any]) -> dict[str, Any]:
    """Write a Scale's replicas into a copy of the object; its version and uid become preconditions.

    Raises:
        Refusal: 400 for another kind, 422 for a negative number.
    """
    if scale.get("kind") not in {"Scale", None} or scale.get("apiVersion") not in {"autoscaling/v1", None}:
        raise statuses.bad_request(f"expected autoscaling/v1 Scale, got {scale.get('apiVersion')} {scale.get('kind')}")
    paths = kind.subresources["scale"].paths or _BUILTIN_PATHS
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    name = document["metadata"]["name"]
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise statuses.bad_request("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32")
    if replicas < 0:
        message = f"Invalid value: {replicas}: should be a non-negative integer"
        raise statuses.invalid(kind, name, [statuses.Cause("FieldValueInvalid", message, paths["specReplicasPath"])])
    *outer, last = paths["specReplicasPath"].strip(".").split(".")
    place = document
    for part in outer:
        place = place.setdefault(part, {})
    place[last] = replicas
    meta = scale.get("metadata") or {}
    for field in ("resourceVersion", "uid"):
        if meta.get(field):
            document["metadata"][field] = meta[field]
    return document


def without_zero(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    """Give an object without replicas that are zero: a Scale does not state them, so that nobody owns them."""
    path = path_of(kind)
    return document if _find(document, ".".join(path)) else _without(document, path)


def path_of(kind: Kind) -> list[str]:
    """Name the fields down to the replicas of a kind."""
    paths = kind.subresources["scale"].paths or _BUILTIN_PATHS
    return paths["specReplicasPath"].strip(".").split(".")


def _without(value: dict[str, Any], path: list[str]) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {name: inner for name, inner in value.items() if name != first}
    return {**value, first: _without(value.get(first) or {}, rest)}


def _find(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _selector(document: dict[str, Any], paths: Any) -> str:
    if "labelSelectorPath" in paths:
        return str(_find(document, paths["labelSelectorPath"]) or "")
    labels = _find(document, ".spec.selector.matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))

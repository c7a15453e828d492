"""Objects, events and lists as an API server writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kcontroller.api.keys import GVK, Key, ResourceMapping
from kcontroller.cache.projection import Projection

if TYPE_CHECKING:
    from kcontroller.cache.projection import Entry

PODS = ResourceMapping(GVK("", "v1", "Pod"), "pods", namespaced=True)
PLAIN = Projection(PODS.gvk)


def pod(name: str, version: int | str, *, namespace: str = "default", uid: str = "", **more: Any) -> dict[str, Any]:
    """Make a pod; keywords are further fields, `metadata` is added to."""
    metadata = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    metadata |= more.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **more}


def dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def entry(name: str, version: int, *, projection: Projection = PLAIN, **more: Any) -> Entry:
    return projection.entry(dump(pod(name, version, **more)))


def key(name: str, namespace: str = "default") -> Key:
    return Key(namespace, name)


def line(type_: str, document: Any) -> bytes:
    return dump({"type": type_, "object": document}) + b"\n"


def bookmark(version: int | str, *, mark: str | None = None) -> bytes:
    annotations = {} if mark is None else {"annotations": {"k8s.io/initial-events-end": mark}}
    metadata = {"resourceVersion": str(version), **annotations}
    return line("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


def status(code: int, message: str = "", *, causes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make a Status object."""
    document: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
    return {**document, "code": code, "details": {"causes": [{"reason": reason} for reason in causes]}}


def page(items: list[dict[str, Any]], version: int | str, token: str = "") -> bytes:
    """Make a list; its items lack kind and apiVersion, as those of built-in kinds do."""
    bare = [{name: value for name, value in item.items() if name not in {"kind", "apiVersion"}} for item in items]
    return dump(
        {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(version), "continue": token},
            "items": bare,
        }
    )


def nested(depth: int) -> Any:
    """Make text of JSON nested so deep; ``json.dumps`` could not."""
    return "[" * depth + "]" * depth

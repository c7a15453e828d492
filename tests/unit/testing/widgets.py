"""A kind, its definition with a schema, and Reconcilers of it."""

from __future__ import annotations

import threading
from typing import Any

from kcontroller import (
    Builder,
    Condition,
    Context,
    Key,
    Model,
    Object,
    ObjectReconciler,
    Reconciler,
    Request,
    Resource,
    Result,
    conditions,
    owners,
)


class WidgetSpec(Model):
    size: int = 1
    color: str = ""


class WidgetStatus(Model):
    ready: bool = False
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
    pass


CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1},
                                    "color": {"type": "string", "default": "red"},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str = "a", **spec: Any) -> Widget:
    return Widget.named(name, namespace="default", spec=WidgetSpec(**spec))


class WidgetReconciler(ObjectReconciler[Widget]):
    """Keeps a ConfigMap with the size of each Widget, and says so in a condition."""

    finalizer = "example.com/widget"

    def setup(self, builder: Builder) -> None:
        builder.for_(Widget).owns("v1 ConfigMap")

    def reconcile_object(self, ctx: Context, widget: Widget) -> Result | None:
        key = Key(widget.metadata.namespace, widget.metadata.name)
        child = ctx.client.get_or_none("v1 ConfigMap", key)
        if child is None:
            child = Object({"apiVersion": "v1", "kind": "ConfigMap", "data": {"size": str(widget.spec.size)}})
            child.metadata.namespace, child.metadata.name = key
            owners.set_controller(widget, child)
            ctx.client.create(child)
        child["data"] = {"size": str(widget.spec.size)}
        ctx.client.patch(child)
        if conditions.set(widget, "Ready", True, reason="Reconciled"):
            ctx.client.status.patch(widget)
        return Result(requeue_after=30)


class Calls(Reconciler):
    """Calls a function of the test for each Widget, and counts."""

    name = "calls"

    def __init__(self, act: Any = lambda _ctx, _request: None, *, name: str = "calls") -> None:
        self.act = act
        self.name = name  # type: ignore[misc]
        self.seen: list[Request] = []
        self._lock = threading.Lock()

    def setup(self, builder: Builder) -> None:
        builder.for_(Widget)

    def reconcile(self, ctx: Context, request: Request) -> Result | None:
        with self._lock:
            self.seen.append(request)
        result: Result | None = self.act(ctx, request)
        return result

"""The reconciler of the README and the design, as a user writes it; mypy --strict checks it, and a test runs it."""

from __future__ import annotations

from typing import assert_type

from kcontroller import (
    Builder,
    Condition,
    Context,
    Key,
    Model,
    Object,
    ObjectReconciler,
    Request,
    Resource,
    Result,
    conditions,
    owners,
)
from kcontroller.client.upserts import Upsert
from kcontroller.controller.children import Applied


class WidgetSpec(Model):
    replicas: int = 1
    image: str  # A required field may follow an optional one.


class WidgetStatus(Model):
    ready_replicas: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
    pass


class WidgetReconciler(ObjectReconciler[Widget]):
    finalizer = "example.com/widget"

    def setup(self, builder: Builder) -> None:
        builder.for_(Widget).owns("v1 ConfigMap")

    def reconcile_object(self, ctx: Context, widget: Widget) -> Result:
        assert_type(widget.spec.replicas, int)
        assert_type(widget.status.conditions, list[Condition])
        if conditions.set(widget, "Ready", True, reason="Reconciled"):
            assert_type(ctx.client.status.patch(widget), Widget)
        self.read(ctx, Key(widget.metadata.namespace, widget.metadata.name))
        return Result(requeue_after=30)

    def finalize(self, ctx: Context, widget: Widget) -> None:
        ctx.log.info("%s is going", widget.metadata.name)

    def read(self, ctx: Context, key: Key | Request) -> None:
        assert_type(ctx.client.get(Widget, key), Widget)
        assert_type(ctx.client.get_or_none(Widget, key), Widget | None)
        assert_type(ctx.client.list(Widget, labels={"app": "web"}), list[Widget])
        assert_type(ctx.client.get("apps/v1 Deployment", key), Object)
        assert_type(ctx.client.get_or_none("apps/v1 Deployment", key), Object | None)
        assert_type(ctx.client.list("apps/v1 Deployment", namespace="default"), list[Object])

    def write(self, ctx: Context, widget: Widget) -> None:
        child = Object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}})
        owners.set_controller(widget, child)
        assert_type(ctx.client.create(child), Object)
        assert_type(ctx.client.update(widget), Widget)
        assert_type(ctx.client.patch(widget), Widget)
        assert_type(ctx.client.apply(widget, force=True), Widget)
        assert_type(ctx.client.status.update(widget), Widget)
        assert_type(ctx.client.subresource("scale").get(Widget, Key("default", "w")), Object)
        ctx.client.delete(child)
        ctx.client.delete("v1 ConfigMap", Key("default", "c"), propagation="Foreground")
        assert_type(ctx.children.apply([child, widget], owner=widget, prune=True), Applied)

    def upsert(self, ctx: Context, widget: Widget) -> None:
        def scale(current: Widget) -> None:
            current.spec.replicas = 3

        assert_type(ctx.client.create_or_patch(widget, scale), Upsert)
        assert_type(ctx.client.create_or_update(widget, lambda current: current.metadata.labels.update(a="b")), Upsert)


class Cleaning(WidgetReconciler):
    def clean_dns(self, ctx: Context, widget: Widget) -> Result | None:
        return Result(requeue_after=5) if widget.spec.replicas else None

    finalizers = {"example.com/dns": clean_dns}


def made_by_hand() -> Widget:
    widget = Widget.named("w", namespace="default", spec=WidgetSpec(image="nginx"))
    assert_type(widget, Widget)
    return widget


def mistakes() -> None:
    """mypy finds each of these; without the error, the ignore comment itself would be one."""
    WidgetSpec(1, "nginx")  # type: ignore[call-arg]
    WidgetSpec(image=5)  # type: ignore[arg-type]
    _ = made_by_hand().spec.replica  # type: ignore[attr-defined]

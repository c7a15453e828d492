"""A Widget asks for replicas of an image; a ConfigMap of its name passes that on to whatever runs them.

kcontroller run examples/widget/widget.py
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kcontroller import Condition, Model, Object, ObjectReconciler, Resource, Wait, conditions, errors, owners

if TYPE_CHECKING:
    from kcontroller import Builder, Context


class WidgetSpec(Model):
    """What is wanted."""

    image: str
    replicas: int = 1


class WidgetStatus(Model):
    """What is true, and of which generation of the spec."""

    observed_generation: int = 0
    ready_replicas: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
    """The kind that crd.yaml defines."""


class WidgetReconciler(ObjectReconciler[Widget]):
    """Keeps a ConfigMap for each Widget, and the Widget's status."""

    finalizer = "example.com/widget"

    def setup(self, builder: Builder) -> None:
        """A ConfigMap that somebody changes or deletes reconciles the Widget that owns it."""
        builder.for_(Widget).owns("v1 ConfigMap")

    def reconcile_object(self, ctx: Context, widget: Widget) -> None:
        """Make the ConfigMap and the status true; reads come from memory, and what is true already is not sent."""
        wanted = config_map(widget)
        child = ctx.client.get_or_none("v1 ConfigMap", ctx.request)
        if child is None:
            ctx.client.create(wanted)
        elif owners.is_controlled_by(child, widget):
            child["data"] = wanted["data"]
            ctx.client.patch(child)
        else:
            taken = f"ConfigMap {child.metadata.name} belongs to somebody else"
            self.report(ctx, widget, ready=False, reason="NameTaken", message=taken)
            raise Wait(after=30, why=taken)
        self.report(ctx, widget, ready=True, reason="Reconciled")

    def finalize(self, ctx: Context, widget: Widget) -> None:
        """Delete the ConfigMap; the Widget is gone only after it."""
        child = ctx.client.get_or_none("v1 ConfigMap", ctx.request)
        if child is not None and owners.is_controlled_by(child, widget):
            with suppress(errors.NotFound):
                ctx.client.delete(child)

    def report(self, ctx: Context, widget: Widget, *, ready: bool, reason: str, message: str = "") -> None:
        """Write the status."""
        conditions.set(widget, "Ready", ready, reason=reason, message=message)
        widget.status.observed_generation = widget.metadata.generation
        widget.status.ready_replicas = widget.spec.replicas if ready else 0
        ctx.client.status.patch(widget)


def config_map(widget: Widget) -> Object:
    """Make the ConfigMap as it should be, owned by the Widget."""
    child = Object({"apiVersion": "v1", "kind": "ConfigMap"})
    child.metadata.namespace, child.metadata.name = widget.metadata.namespace, widget.metadata.name
    owners.set_controller(widget, child)
    child["data"] = {"image": widget.spec.image, "replicas": str(widget.spec.replicas)}
    return child

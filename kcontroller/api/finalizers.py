"""Finalizers on an object in memory; send the change with ``ctx.client.patch(obj)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.api.objects import is_deleting
from kcontroller.errors import FinalizerOnDeleting

if TYPE_CHECKING:
    from kcontroller.api.objects import KubeObject


def has(obj: KubeObject, name: str) -> bool:
    """Whether the finalizer is there."""
    return name in obj.metadata.finalizers


def add(obj: KubeObject, name: str) -> bool:
    """Add a finalizer; returns whether the object changed.

    Raises:
        FinalizerOnDeleting: the object is being deleted; the API server would answer 422.
    """
    if has(obj, name):
        return False
    if is_deleting(obj):
        msg = f"cannot add finalizer {name} to {obj.metadata.name}: its deletion has begun"
        raise FinalizerOnDeleting(msg)
    obj.metadata.finalizers = [*obj.metadata.finalizers, name]
    return True


def remove(obj: KubeObject, name: str) -> bool:
    """Remove a finalizer; returns whether the object changed."""
    if not has(obj, name):
        return False
    obj.metadata.finalizers = [each for each in obj.metadata.finalizers if each != name]
    return True

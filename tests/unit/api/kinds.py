"""The kinds that the tests of this room share."""

from __future__ import annotations

from typing import Any

import msgspec

from kcontroller.api import codec
from kcontroller.api.models import Condition, Model, Resource
from kcontroller.api.objects import Object


class Template(Model):
    image: str = "none"
    pull_policy: str = "Always"


class Port(Model):
    name: str
    number: int = 80


class WidgetSpec(Model):
    replicas: int = 1
    title: str | None = None
    template: Template = msgspec.field(default_factory=Template)
    ports: list[Port] = []
    args: list[str] = []
    weights: dict[int, str] = {}


class WidgetStatus(Model):
    ready_replicas: int = 0
    conditions: list[Condition] = []


class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
    pass


def meta(**more: Any) -> dict[str, Any]:
    return {"name": "w", "namespace": "default", "uid": "u-1", "resourceVersion": "7", **more}


def body(**parts: Any) -> dict[str, Any]:
    """A Widget as JSON values."""
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta(), **parts}


def widget(**parts: Any) -> Widget:
    return codec.decode(codec.encode(body(**parts)), Widget)


def unstructured(**parts: Any) -> Object:
    return codec.decode(codec.encode(body(**parts)), Object)

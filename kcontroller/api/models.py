"""Typed objects: subclass `Model` for the parts and `Resource` for the kind.

::

    class WidgetSpec(Model):
        replicas: int = 1

    class WidgetStatus(Model):
        ready_replicas: int = 0
        conditions: list[Condition] = []

    class Widget(Resource[WidgetSpec, WidgetStatus], group="example.com", version="v1", plural="widgets"):
        pass

Fields are snake_case here and camelCase on the wire. A field whose value is None is not sent. A status type must have a
default for every field, because a new object has no status; a spec type may have required fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args

import msgspec

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.api.objects import OwnerReference

if TYPE_CHECKING:
    from typing import Self

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")


class Model(msgspec.Struct, kw_only=True, rename="camel"):
    """A part of an object with declared fields."""


class Condition(Model):
    """metav1.Condition: one entry of ``status.conditions``. Set it by `kcontroller.conditions.set`."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str = ""


class ObjectMeta(Model):
    """metav1.ObjectMeta; timestamps are RFC 3339 text as on the wire."""

    name: str = ""
    namespace: str = ""
    generate_name: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: list[str] = msgspec.field(default_factory=list)
    owner_references: list[OwnerReference] = msgspec.field(default_factory=list)
    resource_version: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class _ResourceType(msgspec.StructMeta):
    """Takes group, version, plural and scope from the class line, which msgspec's own metaclass would refuse."""

    def __new__(  # noqa: PYI034 - mypy has no Self in a metaclass
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        group: str | None = None,
        version: str = "",
        plural: str = "",
        kind: str = "",
        namespaced: bool = True,
    ) -> _ResourceType:
        if group is not None:
            namespace = {**namespace, "__annotations__": {**namespace.get("__annotations__", {})}}
            _give_defaults(name, namespace)
        # dict=True gives an instance room for `_source`, the bytes it was read from.
        cls = super().__new__(mcs, name, bases, namespace, kw_only=True, dict=True, rename="camel")
        if group is not None:
            gvk = GVK.of(f"{group}/{version}" if group else version, kind or name)
            cls.resource = ResourceMapping(gvk, plural, namespaced)  # type: ignore[attr-defined]
        return cls


def _give_defaults(name: str, namespace: dict[str, Any]) -> None:
    """Make `status` optional, and `spec` too where its type allows it."""
    for base in namespace.get("__orig_bases__", ()):
        arguments = get_args(base)
        if len(arguments) != len(("spec", "status")):
            continue
        spec, status = arguments
        for field, model in (("spec", spec), ("status", status)):
            namespace["__annotations__"].setdefault(field, model)
            if field not in namespace and _has_defaults(model):
                namespace[field] = msgspec.field(default_factory=model)
        if "status" not in namespace:
            msg = (
                f"{name}: every field of its status type {status.__name__} needs a default; a new object has no status"
            )
            raise TypeError(msg)


def _has_defaults(model: Any) -> bool:
    try:
        model()
    except TypeError:
        return False
    return True


class Resource(msgspec.Struct, Generic[SpecT, StatusT], metaclass=_ResourceType):
    """A kind of your own with a typed spec and status.

    Class arguments: `group`, `version`, `plural` (given, no discovery is needed), `kind` (the class name unless given),
    `namespaced` (True unless given).
    """

    if TYPE_CHECKING:
        resource: ClassVar[ResourceMapping]

        def __init_subclass__(
            cls, *, group: str = "", version: str = "", plural: str = "", kind: str = "", namespaced: bool = True
        ) -> None: ...

    spec: SpecT
    status: StatusT
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    @property
    def gvk(self) -> GVK:
        """Its group, version and kind, from the class."""
        return self.resource.gvk

    @classmethod
    def named(cls, name: str, *, namespace: str = "", **fields: Any) -> Self:
        """Make a new object from its name and its other fields."""
        return cls(metadata=ObjectMeta(name=name, namespace=namespace), **fields)

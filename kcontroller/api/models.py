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

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, dataclass_transform, get_args, get_origin

import msgspec

from kcontroller.api.keys import GVK, ResourceMapping
from kcontroller.api.objects import OwnerReference, label_of

if TYPE_CHECKING:
    from typing import Self

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")


class _ModelType(msgspec.StructMeta):
    """Makes the fields of every subclass keyword-only, which msgspec does not inherit."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> _ModelType:
        return super().__new__(mcs, name, bases, namespace, **{"kw_only": True, **options})


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Model(msgspec.Struct, metaclass=_ModelType, rename="camel"):
    """A part of an object with declared fields; they are given by keyword, in any order."""


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


msgspec.json.Decoder(tuple[Condition, ObjectMeta])  # Learnt now, and not by two threads at once; see `codec`.


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
        kw_only: bool = True,
    ) -> _ResourceType:
        if group is None and (version or plural or kind):
            msg = f'{name} needs group=, such as group="example.com", or group="" for the core group'
            raise TypeError(msg)
        if group is not None:
            if not version:
                msg = f'{name} needs version=, such as version="v1"'
                raise TypeError(msg)
            namespace = {**namespace, "__annotations__": {**namespace.get("__annotations__", {})}}
            _give_defaults(name, bases, namespace)
        # dict=True gives an instance room for `_source`, the bytes it was read from.
        cls = super().__new__(mcs, name, bases, namespace, kw_only=kw_only, dict=True, rename="camel")
        if group is not None:
            gvk = GVK.of(f"{group}/{version}" if group else version, kind or name)
            cls.resource = ResourceMapping(gvk, plural, namespaced)  # type: ignore[attr-defined]
        return cls


def _give_defaults(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
    """Make `status` optional, and `spec` too where its type allows it."""
    arguments = next((get_args(base) for base in namespace.get("__orig_bases__", ()) if _is_resource(base)), ())
    if not arguments:
        if Resource in bases:
            msg = f"{name} does not say its types: write class {name}(Resource[{name}Spec, {name}Status], ...)"
            raise TypeError(msg)
        return
    for field, model in zip(("spec", "status"), arguments, strict=True):
        namespace["__annotations__"].setdefault(field, model)
        if field not in namespace and _has_defaults(model):
            namespace[field] = msgspec.field(default_factory=model)
    if "status" not in namespace:
        status = getattr(arguments[1], "__name__", arguments[1])
        msg = f"{name}: every field of its status type {status} needs a default; a new object has no status"
        raise TypeError(msg)


def _is_resource(base: Any) -> bool:
    return isinstance(get_origin(base), _ResourceType)


def _has_defaults(model: Any) -> bool:
    try:
        model()
    except TypeError:
        return False
    return True


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Resource(msgspec.Struct, Generic[SpecT, StatusT], metaclass=_ResourceType, kw_only=True):
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
    if TYPE_CHECKING:
        status: StatusT = msgspec.field(
            default=cast("Any", None)
        )  # Every subclass gets the default of its own status type.
    else:
        status: StatusT
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    @property
    def gvk(self) -> GVK:
        """Its group, version and kind, from the class."""
        return self.resource.gvk

    def __repr__(self) -> str:
        """Name the object; never its content, which may be a Secret's."""
        return label_of(self.gvk.api_version, self.gvk.kind, self.metadata.namespace, self.metadata.name)

    def __copy__(self) -> Self:
        """Copy the object together with the memory of what was read."""
        twin: Self = super().__copy__()  # type: ignore[misc]
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the memory of what was read along, so that a deep copy can be patched like the original."""
        make, arguments, *_rest = cast("tuple[Any, ...]", super().__reduce__())
        return make, arguments, self.__dict__

    @classmethod
    def named(cls, name: str, *, namespace: str = "", **fields: Any) -> Self:
        """Make a new object from its name and its other fields."""
        return cls(metadata=ObjectMeta(name=name, namespace=namespace), **fields)

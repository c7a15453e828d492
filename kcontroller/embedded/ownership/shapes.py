"""How the values of a schema node are merged and owned: as one leaf, as a map of fields, or as a list of named items.

This is the view that structured-merge-diff takes of a schema (kube-openapi's ``schemaconv``): validation, defaults and
everything else that a node says are of no interest here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from kcontroller.embedded.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.embedded.kinds import Kind

Scalar = Literal["numeric", "string", "boolean", "untyped", ""]

_STRING: Final = {"type": "string"}
_ENTRIES: Final = {"type": "object", "additionalProperties": _STRING}
_NUMBER: Final = {"type": "integer"}
_TIME: Final = {"type": "string", "format": "date-time"}
_FLAG: Final = {"type": "boolean"}
_OWNER: Final[dict[str, Any]] = {
    "type": "object",
    "x-kubernetes-map-type": "atomic",
    "properties": {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _STRING),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), _FLAG),
    },
}
_META: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _STRING),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _NUMBER),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        **dict.fromkeys(("labels", "annotations"), _ENTRIES),
        "finalizers": {"type": "array", "items": _STRING, "x-kubernetes-list-type": "set"},
        "ownerReferences": {
            "type": "array",
            "items": _OWNER,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
        },
        "managedFields": {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}},
    },
}
# A CustomResourceDefinition does not say what metadata is; the server puts this in wherever a whole object stands.
_OBJECT: Final = {
    name: Schema(node, builtin=name == "metadata")
    for name, node in {"apiVersion": _STRING, "kind": _STRING, "metadata": _META}.items()
}

# Fields that are structs in Go, not pointers: they are there in every object of the type, so that giving them content
# adds the content alone. The OpenAPI tells it by a default of `{}`; the names are the same in every type but these.
_STRUCTS: Final = frozenset(
    [
        "acceptedNames",
        "backend",
        "clientConfig",
        "current",
        "daemonEndpoints",
        "deprecatedSource",
        "describedObject",
        "devices",
        "involvedObject",
        "jobTemplate",
        "kubeletEndpoint",
        "lastState",
        "limitResponse",
        "loadBalancer",
        "metadata",
        "metric",
        "names",
        "nodeInfo",
        "podAffinityTerm",
        "podSelector",
        "pool",
        "port",
        "preference",
        "priorityLevelConfiguration",
        "regarding",
        "resources",
        "roleRef",
        "scaleTargetRef",
        "source",
        "spec",
        "state",
        "status",
        "strategy",
        "target",
        "template",
        "updateStrategy",
        "user",
        "userInfo",
    ]
)
_POINTERS: Final = frozenset(
    {
        ("ContainerStatus", "resources"),
        ("ContainerStatus", "user"),
        ("CustomResourceSubresources", "status"),
        ("NetworkPolicyPeer", "podSelector"),
        ("PodSpec", "resources"),
        ("PodStatus", "resources"),
        ("ReplicationControllerSpec", "template"),
        ("Subject", "user"),
        ("WebhookConversion", "clientConfig"),
    }
)
# Fields that are always written, though no schema calls them required; of an Event and of a CustomResourceDefinition.
_ALWAYS: Final = frozenset(
    {("", "reportingComponent"), ("", "reportingInstance"), ("CustomResourceDefinitionStatus", "conditions")}
)


class _Absent:
    """Where there is no value; null is a value."""


ABSENT: Final[Any] = _Absent()


class Shape:
    """A read-only view of one schema node; children are kept, so that walking an object a second time is cheap.

    Attributes:
        scalar: which scalars may stand here; empty if none may.
        map: whether a map may stand here.
        list: whether a list may stand here.
        atomic_map: whether a map is owned as a whole.
        granular_list: whether the items of a list are owned one by one.
        keys: the fields that name an item; empty for a set.
        defaults: what stands for a key that an item does not give.
        declared: the names of the fields that the node declares.
        builtin: whether the node describes a Go type: null is then the same as absent.
    """

    __slots__ = (
        "_fields",
        "_items",
        "_keeps_unknown",
        "_others",
        "_schema",
        "_type",
        "atomic_map",
        "builtin",
        "declared",
        "defaults",
        "granular_list",
        "keys",
        "list",
        "map",
        "scalar",
    )

    def __init__(self, schema: Schema, *, keeps_unknown: bool = False, whole_object: bool = False) -> None:
        node = schema.node
        self._schema = schema
        # It is passed on to everything below, as in schemaconv.
        self._keeps_unknown = keeps_unknown or bool(node.get("x-kubernetes-preserve-unknown-fields"))
        self._fields: dict[str, Shape] = {}
        self._others: Shape | None = None
        self._items: Shape | None = None
        self._type = schema.reference.rpartition(".")[2]
        self.builtin = schema.builtin
        self.scalar: Scalar = _scalar(schema)
        self.map = schema.type in {"", "object"}
        self.list = schema.type in {"", "array"}
        self.atomic_map = schema.atomic_map
        self.granular_list = schema.list_type in {"set", "map"}
        self.keys = tuple(sorted(schema.list_keys)) if self.granular_list else ()
        self.declared: frozenset[str] = frozenset(schema.properties)
        if whole_object or schema.embedded_resource:
            self.declared |= _OBJECT.keys()
            self._fields.update({name: Shape(field) for name, field in _OBJECT.items()})
        self.defaults: Mapping[str, Any] = {}
        if self.keys and schema.items is not None:
            given = {key: _key_default(schema.items, key) for key in self.keys}
            self.defaults = {key: value for key, value in given.items() if value is not None}

    def field(self, name: str) -> Shape | None:
        """View a field of a map; None if it may not be there."""
        shape = self._fields.get(name)
        if shape is not None:
            return shape
        if name not in self.declared:
            return self._undeclared()
        schema = self._schema.field(name)
        shape = self._fields[name] = FREE if schema is None else self._inner(schema)
        return shape

    def below(self, name: str) -> Shape:
        """View a field of a map that was let in, whatever the schema says of it."""
        return self._fields.get(name) or self.field(name) or FREE

    @property
    def items(self) -> Shape:
        """View what a list holds."""
        if self._items is None:
            schema = self._schema.items
            self._items = OPAQUE if schema is None else self._inner(schema)
        return self._items

    def as_written(self, name: str, value: Any) -> Any:
        """Give a field as Go writes it: null where it is a pointer is no field, and some fields are never missing.

        It matters where a field is given content for the first time: what was there, though empty, has no new owner.
        """
        if not self.builtin or not (value is None or value is ABSENT) or name not in self.declared:
            return value
        child = self.below(name)
        if name in _STRUCTS and child.map and child.scalar != "untyped" and (self._type, name) not in _POINTERS:
            return {}
        if name in self._schema.node.get("required", ()) or (self._type, name) in _ALWAYS:
            return "" if child.scalar == "string" else None
        return ABSENT

    def _undeclared(self) -> Shape | None:
        if self._others is None:
            values = self._schema.node.get("additionalProperties")
            if isinstance(values, dict) and self._schema.values is not None:
                self._others = self._inner(self._schema.values)
            elif values or self._keeps_unknown or not self.declared:
                self._others = FREE
        return self._others

    def _inner(self, schema: Schema) -> Shape:
        if schema.reference.endswith(".RawExtension"):
            return OPAQUE
        return Shape(schema, keeps_unknown=self._keeps_unknown)


def _key_default(items: Schema, key: str) -> Any:
    field = items.field(key) if key in items.properties else None
    if field is None:
        return None
    default = field.node.get("default")
    always = key in items.node.get("required", ()) or items.reference.endswith(".LocalObjectReference")
    if default is None and items.builtin and always:
        return {"string": "", "integer": 0}.get(field.type)  # What Go writes for it.
    return default


def _scalar(schema: Schema) -> Scalar:
    match schema.type:
        case "integer" | "number":
            return "numeric"
        case "boolean":
            return "boolean"
        case "string":
            return "string" if schema.node.get("format", "") in {"", "byte"} else "untyped"
        case "":
            return "untyped"
    return ""


OPAQUE: Final = Shape(Schema({"x-kubernetes-map-type": "atomic"}))
"""Where an unknown value is one leaf (``__untyped_atomic_``)."""

FREE: Final = Shape(Schema({}))
"""Where an unknown map is owned field by field, an unknown list as a whole (``__untyped_deduced_``)."""


def shape_of(kind: Kind) -> Shape:
    """Give the shape of whole objects of a kind."""
    shape = kind.schema.compiled.get("shape")
    if not isinstance(shape, Shape):
        shape = kind.schema.compiled["shape"] = Shape(kind.schema, whole_object=True)
    return shape

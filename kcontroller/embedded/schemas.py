"""One node of a kind's schema, with references followed and the ``x-kubernetes-`` extensions by name.

Validation, pruning, defaulting, apply and strategic merge read schemas through this alone, so that built-in kinds
(recorded OpenAPI) and custom resources (``openAPIV3Schema``) are the same to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN: Final[Mapping[str, Any]] = {}


class Schema:
    """A read-only view of one schema node; nodes are cached, so identity may be compared.

    Args:
        node: the OpenAPI v3 schema object; never changed afterwards.
        definitions: what ``$ref`` names, by the last part of the reference.
        builtin: whether the node describes a Go type. Its defaults of zero value (``0``, ``""``, ``{}``) are then an
            artefact of the generator and not applied, and a missing required list or map is not an error.
    """

    __slots__ = ("_children", "_definitions", "_items", "_values", "builtin", "compiled", "node", "reference")

    def __init__(
        self, node: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]] = _OPEN, *, builtin: bool = False
    ) -> None:
        self.reference: str = ""
        """The definition that this node was reached by (``io.k8s.api.core.v1.Container``); empty for an inline one."""
        outer = node
        while "$ref" in node:
            self.reference = node["$ref"].rpartition("/")[2]
            node = definitions[self.reference]
        if outer is not node:  # What stands beside a reference (default, list type) wins over what it names.
            node = {**node, **{name: value for name, value in outer.items() if name != "$ref"}}
        self.node = node
        self.builtin = builtin
        self._definitions = definitions
        self.compiled: dict[str, Any] = {}
        """What the modules that read schemas make of this node once and for all, by a name of their own."""
        self._children: dict[str, Schema] = {}
        self._items: Schema | None = None
        self._values: Schema | None = None

    def _inner(self, node: Mapping[str, Any]) -> Schema:
        return Schema(node, self._definitions, builtin=self.builtin)

    def named(self, reference: str) -> Schema:
        """View one of the definitions that this node's references name."""
        return self._inner({"$ref": reference})

    @property
    def type(self) -> str:
        """``object``, ``array``, ``string``, ``integer``, ``number``, ``boolean``; empty where anything may stand."""
        return str(self.node.get("type", ""))

    @property
    def properties(self) -> Mapping[str, Any]:
        """The raw nodes of the declared fields; their views come from `field`."""
        return self.node.get("properties") or _OPEN

    def field(self, name: str) -> Schema | None:
        """View a declared field, or the values of a map; None for a field that is not declared."""
        known = self._children.get(name)
        if known is None:
            node = self.properties.get(name)
            if node is None:
                return self.values
            known = self._children[name] = self._inner(node)
        return known

    @property
    def values(self) -> Schema | None:
        """View what a map holds (``additionalProperties``); None if the node is no map."""
        if self._values is None:
            node = self.node.get("additionalProperties")
            if node is True:
                node = {"x-kubernetes-preserve-unknown-fields": True}
            if isinstance(node, dict):
                self._values = self._inner(node)
        return self._values

    @property
    def items(self) -> Schema | None:
        """View what a list holds."""
        if self._items is None and isinstance(self.node.get("items"), dict):
            self._items = self._inner(self.node["items"])
        return self._items

    @property
    def list_type(self) -> str:
        """``atomic`` (also where nothing is said), ``set`` or ``map``."""
        return str(self.node.get("x-kubernetes-list-type") or "atomic")

    @property
    def list_keys(self) -> tuple[str, ...]:
        """The fields that name an item of a list of type ``map``."""
        return tuple(self.node.get("x-kubernetes-list-map-keys") or ())

    @property
    def atomic_map(self) -> bool:
        """Whether an object has one owner as a whole (``x-kubernetes-map-type: atomic``)."""
        return self.node.get("x-kubernetes-map-type") == "atomic"

    @property
    def preserves_unknown(self) -> bool:
        """Whether fields that are not declared stay; where nothing at all is declared they do, too."""
        return bool(self.node.get("x-kubernetes-preserve-unknown-fields")) or self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the node declares nothing (RawExtension, JSON, a CRD's bare ``type: object`` is *not* open)."""
        if self.builtin and self.type == "object":
            return not self.properties and "additionalProperties" not in self.node
        return not self.type and not self.properties and not self.int_or_string and "oneOf" not in self.node

    @property
    def embedded_resource(self) -> bool:
        """Whether the value is a whole object with apiVersion, kind and metadata."""
        return bool(self.node.get("x-kubernetes-embedded-resource"))

    @property
    def int_or_string(self) -> bool:
        """Whether both an integer and a string may stand here."""
        return bool(self.node.get("x-kubernetes-int-or-string")) or self.node.get("format") == "int-or-string"

    @property
    def nullable(self) -> bool:
        """Whether ``null`` may stand here."""
        return bool(self.node.get("nullable"))

    @property
    def merge_key(self) -> str:
        """The field that names an item for a strategic merge patch; empty if none does."""
        return str(self.node.get("x-kubernetes-patch-merge-key") or "")

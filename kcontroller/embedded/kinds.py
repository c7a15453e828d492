"""What is served: one `Kind` per resource and version, and the catalog that finds it by path or by kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kcontroller.embedded.schemas import Schema

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """``status``, ``scale``, ``eviction``…: its own kind and the verbs it has."""

    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]
    paths: Mapping[str, str] = field(default_factory=dict)  # Of a custom resource's scale: specReplicasPath and others.


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One resource in one version, built in or defined by a CustomResourceDefinition. Compared by identity.

    Attributes:
        storage_version: the version that objects are kept in; see `conversion` for how the others differ.
        verbs: of the resource itself.
        columns: for Table output: columnDefinitions of the recorded server, or additionalPrinterColumns with jsonPath.
        selectable: the field paths, besides name and namespace, that a field selector may name.
        builtin: false for custom resources.
        shared_with: the group that keeps the objects, where it is another one: its resource of the same name has the
            same objects, as Events have two APIs.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    storage_version: str
    schema: Schema
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    columns: tuple[Mapping[str, Any], ...] = ()
    selectable: tuple[str, ...] = ()
    list_kind: str = ""
    builtin: bool = True
    deprecation: str = ""
    shared_with: str | None = None

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return _joined(self.group, self.version)

    @property
    def resource(self) -> str:
        """``plural.group``, or the plural alone in the core group: how messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage(self) -> str:
        """What the store files objects under: ``plural.group``, the same for every version of the kind."""
        return f"{self.plural}.{self.storage_group}" if self.storage_group else self.plural

    @property
    def storage_group(self) -> str:
        """The group that keeps the objects."""
        return self.group if self.shared_with is None else self.shared_with

    @property
    def storage_api_version(self) -> str:
        """What stands in the objects that are kept."""
        return _joined(self.storage_group, self.storage_version)

    @property
    def list_name(self) -> str:
        """The kind of a list, ``WidgetList``."""
        return self.list_kind or f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        """Whether status is written apart from the rest."""
        return "status" in self.subresources


def _joined(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


class Catalog:
    """Every kind that is served, by group, version and plural; CustomResourceDefinitions add and remove theirs.

    Used from the server's loop only. `generation` grows with every change, for caches of discovery and OpenAPI.
    """

    def __init__(self, builtins: Iterable[Kind], groups: Iterable[str]) -> None:
        """Start with the built-in kinds; `groups` gives the order of discovery."""
        self.generation = 0
        self.terminating: set[str] = set()
        """What is served by a definition that is going: nothing new may be created."""
        self._groups = list(groups)
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._of_storage: dict[str, Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        for kind in builtins:
            self._kinds[kind.group, kind.version, kind.plural] = kind
        self._index()

    def __iter__(self) -> Iterator[Kind]:
        """Iterate over every kind; built-in ones first, then custom ones in the order they came."""
        return iter(tuple(self._kinds.values()))

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Find a kind by the parts of its path."""
        return self._kinds.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """Find a kind by what stands in an object."""
        return self._by_kind.get((api_version, kind))

    def of_storage(self, storage: str) -> Kind | None:
        """Find the kind of what the store holds, in its storage version if that one is served."""
        return self._of_storage.get(storage)

    def groups(self) -> list[str]:
        """Names of the groups in the order of discovery; the core group is the empty name."""
        return list(self._groups)

    def replace(self, storage: str, kinds: Iterable[Kind]) -> None:
        """Serve these instead of what was served under `storage`; none at all takes the resource away."""
        self._kinds = {at: kind for at, kind in self._kinds.items() if kind.storage != storage}
        for kind in kinds:
            self._kinds[kind.group, kind.version, kind.plural] = kind
            if kind.group not in self._groups:
                self._groups.append(kind.group)
        served = {kind.group for kind in self}
        self._groups = [group for group in self._groups if group in served]
        self.generation += 1
        self._index()

    def _index(self) -> None:
        self._of_storage, self._by_kind = {}, {}
        for kind in self._kinds.values():
            self._by_kind.setdefault((kind.api_version, kind.kind), kind)
            if kind.storage not in self._of_storage or kind.api_version == kind.storage_api_version:
                self._of_storage[kind.storage] = kind

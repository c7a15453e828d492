"""What of a kind is kept in memory: which objects, and how much of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.selectors import FieldSelector, LabelSelector
from kcontroller.cache.paths import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What predicates, handlers, indexes, finalizers and own writes go by.
_INDISPENSABLE: Final = frozenset(
    (
        *("apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels"),
        *("metadata.resourceVersion", "metadata.generation", "metadata.deletionTimestamp", "metadata.finalizers"),
        "metadata.ownerReferences",
    )
)


class Scope(msgspec.Struct, frozen=True):
    """Which objects of a kind one informer holds.

    Attributes:
        namespace: "" for all.
        labels: what their labels must match.
        fields: what their fields must match, decided by the server.
    """

    namespace: str = ""
    labels: LabelSelector = msgspec.field(default_factory=LabelSelector)
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)

    @property
    def selective(self) -> bool:
        """Whether it leaves objects of its namespace out, so that absence from it means little."""
        return bool(self.labels.requirements or self.fields.terms)

    def query(self) -> tuple[tuple[str, str], ...]:
        """The selectors as parameters."""
        return (("labelSelector", str(self.labels)), ("fieldSelector", str(self.fields)))


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What of a kind is kept; who wants the same of a kind shares its informers.

    Attributes:
        namespaces: of these, one informer each; () for all, None for those of the manager.
        labels: what the objects' labels must match.
        fields: what their fields must match, by the server's rules: metadata.name and metadata.namespace of every kind.
        metadata_only: ask the server for the metadata alone.
        drop: dotted JSON paths that are cut from the objects before they are kept.
        any_version: let the first list be of any age, which spares etcd; a cache that starts in the past may act on
            objects that are gone (kubernetes#59848).
        compress: keep the objects compressed; None does so by the kind's size.

    Raises:
        ValueError: an empty namespace, or a path that cannot be cut.
    """

    namespaces: tuple[str, ...] | None = None
    labels: LabelSelector = msgspec.field(default_factory=LabelSelector)
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)
    metadata_only: bool = False
    drop: tuple[str, ...] = ()
    any_version: bool = False
    compress: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what would hold nothing, or not what was meant."""
        if not all(isinstance(name, str) and name for name in self.namespaces or ()):
            msg = f"namespaces are names, such as ['default'], and [] for all; got {list(self.namespaces or ())}"
            raise ValueError(msg)
        for path in self.drop:
            if not all(steps_of(path)):
                msg = f"{path!r} is not a path to drop; write it like 'spec.template' or 'metadata.annotations'"
                raise ValueError(msg)
            if path in _INDISPENSABLE:
                msg = f"{path!r} cannot be dropped: controllers go by it"
                raise ValueError(msg)

    @classmethod
    def of(
        cls,
        *,
        namespaces: Iterable[str] | None = None,
        labels: LabelSelector | Mapping[str, Any] | str | None = None,
        fields: FieldSelector | Mapping[str, str] | str | None = None,
        metadata_only: bool = False,
        drop: Iterable[str] = (),
        any_version: bool = False,
        compress: bool | None = None,
    ) -> Holding:
        """Take the forms that people write; the order of namespaces and paths means nothing.

        Raises:
            ValueError: as the class, or a selector that cannot be parsed.
            TypeError: one string where several are meant.
        """
        for name, given in (("namespaces", namespaces), ("drop", drop)):
            if isinstance(given, str):
                msg = f"{name} takes a list, such as [{given!r}]"
                raise TypeError(msg)
        return cls(
            namespaces=None if namespaces is None else tuple(sorted(set(namespaces))),
            labels=LabelSelector.of(labels),
            fields=FieldSelector.of(fields),
            metadata_only=metadata_only,
            drop=tuple(sorted(set(drop))),
            any_version=any_version,
            compress=compress,
        )

    def scopes(self, namespaces: tuple[str, ...]) -> tuple[Scope, ...]:
        """One for each informer; () is one for all namespaces."""
        return tuple(Scope(namespace, self.labels, self.fields) for namespace in namespaces or ("",))

    def keeps(self, path: str) -> bool:
        """Whether the value at a JSON path can be known from what is kept."""
        if self.metadata_only and not path.startswith("metadata."):
            return False
        return not any(path == cut or path.startswith(f"{cut}.") for cut in self.drop)

    def __str__(self) -> str:
        """Say what it leaves out: ``with labels app=web, metadata only``; "" for a kind that is kept as it is."""
        parts = (
            f"in {', '.join(self.namespaces)}" if self.namespaces else "",
            f"with labels {self.labels}" if self.labels.requirements else "",
            f"with fields {self.fields}" if self.fields.terms else "",
            "metadata only" if self.metadata_only else "",
            f"without {', '.join(self.drop)}" if self.drop else "",
        )
        return ", ".join(filter(None, parts))

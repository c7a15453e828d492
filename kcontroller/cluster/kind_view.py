"""All that a cluster keeps of one kind, and which informers of it answer a read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.errors import NotCached, NotSynced, UnlistedNamespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kcontroller.api.keys import GVK
    from kcontroller.cache.informer import Informer
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.kinds import CacheHandle


class KindView:
    """What is kept of a kind at one moment; any thread.

    A read is answered by what holds every object of its namespace, if that is synced; otherwise by all that hold some
    of them. What keeps the metadata alone answers reads of metadata only.

    Args:
        gvk: the kind.
        kinds: what is kept of it, at least one.
        share: see `Kinds.share`.
    """

    def __init__(
        self, gvk: GVK, kinds: Iterable[CachedKind], share: Callable[[CachedKind], CacheHandle | None]
    ) -> None:
        self._gvk = gvk
        self.share = share
        # Whole objects first, then those of which there is every one.
        self._kinds = sorted(
            kinds, key=lambda kind: (kind.holding.metadata_only, kind.selective, len(kind.holding.drop))
        )

    def informers(self, namespace: str, *, metadata: bool = False, paths: Sequence[str] = ()) -> tuple[Informer, ...]:
        """The synced informers that can answer a read, the best first.

        If the first of several does not have an object, the next may.

        Args:
            namespace: "" for all, and of cluster-scoped kinds.
            metadata: whether the metadata is all that is wanted.
            paths: the read goes by the index of these.

        Raises:
            NotCached: nothing but the metadata is kept.
            NotSynced: the first list is not in yet.
            UnlistedNamespace: this process does not watch the namespace.
        """
        kinds = self._usable(paths, metadata=metadata)
        near = [kind for kind in kinds if not namespace or namespace in (kind.namespaces or (namespace,))]
        if not near:
            held = ", ".join(dict.fromkeys(name for kind in kinds for name in kind.namespaces))
            msg = f"namespace {namespace!r} is not watched; this process holds {self._gvk} of {held} only"
            raise UnlistedNamespace(msg)
        found: list[Informer] = []
        for kind in near:
            informers = kind.synced_informers(namespace)
            if informers and not kind.selective and (namespace or not kind.namespaces):
                return informers
            found += informers
        if not found:
            msg = f"the cache of {self._gvk} is not synced yet"
            raise NotSynced(msg)
        return tuple(found)

    def holder(self, namespace: str) -> tuple[CachedKind, Informer] | None:
        """What holds every object of a namespace, and all of each; None if nothing does."""
        for kind in self._kinds:
            if not (kind.selective or kind.holding.metadata_only or kind.holding.drop):
                informer = kind.covering(namespace, {})
                if informer is not None:
                    return kind, informer
        return None

    def covering(self, namespace: str, labels: Mapping[str, str]) -> Informer | None:
        """The informer that a read of an object with these is answered from, if any."""
        found = (kind.covering(namespace, labels) for kind in self._kinds)
        return next((informer for informer in found if informer is not None), None)

    def _usable(self, paths: Sequence[str], *, metadata: bool) -> Sequence[CachedKind]:
        kinds = [kind for kind in self._kinds if metadata or not kind.holding.metadata_only]
        if not kinds:
            msg = (
                f"only the metadata of {self._gvk} is cached; read it with client.metadata, the whole object with "
                f"ctx.cluster.api_reader, or leave metadata_only out of builder.cache"
            )
            raise NotCached(msg)
        if metadata:
            kinds.sort(key=lambda kind: kind.selective)
        indexed = [kind for kind in kinds if all(map(kind.holding.keeps, paths))]
        return indexed or kinds

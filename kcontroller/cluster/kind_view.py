"""Which informers of a kind answer a read.

A controller that says what it keeps of a kind (`builder.cache`) reads just that, whatever others keep. All other reads
are answered by what holds every object of their namespace, and all of each. Nobody reads from a part that somebody else
chose: an object that is not in it may exist, and a field that was dropped would be wiped by the next update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kcontroller.errors import NotCached, NotSynced, UnlistedNamespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.informer import Informer
    from kcontroller.cluster.cached_kind import CachedKind
    from kcontroller.cluster.kinds import CacheHandle


class Answering(Protocol):
    """Finds what answers the reads of a kind; `KindView` for everybody, `DeclaredKind` for one controller."""

    def informers(self, namespace: str, *, metadata: bool = False, paths: Sequence[str] = ()) -> Sequence[Informer]:
        """The synced informers that answer a read together; none of them has an object of another.

        Args:
            namespace: "" for all, and of cluster-scoped kinds.
            metadata: whether the metadata is all that is wanted.
            paths: the read goes by the index of these.

        Returns:
            () if the server must be asked.

        Raises:
            NotCached: nothing but the metadata is kept.
            NotSynced: the first list is not in yet.
            UnlistedNamespace: this process does not watch the namespace.
        """
        ...


class DeclaredKind:
    """What a controller said that it keeps; any thread.

    Args:
        kind: what is kept.
    """

    def __init__(self, kind: CachedKind) -> None:
        self._kind = kind

    def informers(
        self,
        namespace: str,
        *,
        metadata: bool = False,
        paths: Sequence[str] = (),  # noqa: ARG002 - there is no other choice
    ) -> Sequence[Informer]:
        """See `Answering`."""
        kind = self._kind
        if kind.holding.metadata_only and not metadata:
            msg = (
                f"only the metadata of {kind.gvk} is cached; read it with client.metadata, the whole object with "
                f"ctx.cluster.api_reader, or leave metadata_only out of builder.cache"
            )
            raise NotCached(msg)
        if not _lists(kind, namespace):
            raise _unlisted(kind.gvk, namespace, (kind,))
        found = kind.synced_informers(namespace)
        if not found:
            raise _unsynced(kind.gvk)
        return found


class KindView:
    """What is kept of a kind at one moment, for those who did not say what they keep of it; any thread.

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
        self._all = tuple(kinds)
        complete = [kind for kind in self._all if not kind.selective and not kind.holding.drop]
        self._whole = tuple(kind for kind in complete if not kind.holding.metadata_only)
        self._metadata = tuple(kind for kind in complete if kind.holding.metadata_only)

    def informers(self, namespace: str, *, metadata: bool = False, paths: Sequence[str] = ()) -> Sequence[Informer]:
        """See `Answering`."""
        kinds = self._whole
        if metadata:
            kinds += tuple(kind for kind in self._metadata if all(map(kind.holding.keeps, paths)))
        unsynced = False
        for kind in kinds:
            if namespace or _is_all(kind):
                found = kind.synced_informers(namespace)
                if found:
                    return found
                unsynced = unsynced or _lists(kind, namespace)
        if unsynced:
            raise _unsynced(self._gvk)
        if kinds and namespace:
            raise _unlisted(self._gvk, namespace, kinds)
        return ()

    def holder(self, namespace: str) -> tuple[CachedKind, Informer] | None:
        """What holds every object of a namespace, and all of each; None if nothing does."""
        for kind in self._whole:
            found = kind.covering(namespace, {})
            if found is not None:
                return kind, found
        return None

    def showing(self, key: Key, labels: Mapping[str, str]) -> Sequence[Informer]:
        """The informers that show an object, or are about to; see `CachedKind.showing`."""
        found = (kind.showing(key, labels) for kind in self._all)
        return [informer for informer in found if informer is not None]


def _lists(kind: CachedKind, namespace: str) -> bool:
    return not namespace or not kind.namespaces or namespace in kind.namespaces


def _is_all(kind: CachedKind) -> bool:
    """Whether its namespaces are all there are for this process, and not those that one controller chose."""
    return kind.holding.namespaces is None or not kind.namespaces


def _unsynced(gvk: GVK) -> NotSynced:
    return NotSynced(f"the cache of {gvk} is not synced yet")


def _unlisted(gvk: GVK, namespace: str, kinds: Iterable[CachedKind]) -> UnlistedNamespace:
    held = ", ".join(dict.fromkeys(name for kind in kinds for name in kind.namespaces))
    return UnlistedNamespace(f"namespace {namespace!r} is not watched; this process holds {gvk} of {held} only")

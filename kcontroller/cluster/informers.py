"""All informers of a cluster, whoever wanted them: those of the kinds that are kept, and those of tracked objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kcontroller.api.paths import collection_path, with_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kcontroller.api.keys import GVK, Key
    from kcontroller.cache.entry import Entry
    from kcontroller.cache.informer import Informer
    from kcontroller.cluster.kinds import Kinds
    from kcontroller.cluster.tracked import TrackedObjects


class Informers(msgspec.Struct, frozen=True):
    """The informers of one cluster.

    Attributes:
        kinds: what is kept of kinds.
        tracked: the objects that are watched by themselves where no kind holds them.
    """

    kinds: Kinds
    tracked: TrackedObjects

    # ---- any thread ----------------------------------------------------------------------------------------------

    def synced(self) -> list[Informer]:
        """Those of kinds of which every object is in memory."""
        return [informer for kind in self.kinds.all() if kind.synced for informer in kind.informers]

    def showing(self, gvk: GVK, key: Key, labels: Mapping[str, str]) -> Sequence[Informer]:
        """Those that show an object of this kind with this key and these labels, or are about to."""
        cached = self.kinds.get(gvk)
        found = cached.showing(key, labels) if cached is not None else ()
        own = self.tracked.informer(gvk, key)
        return found if own is None else (*found, own)

    def shown(self, gvk: GVK, key: Key) -> Entry | None:
        """What they show of an object now, without waiting for own writes; None if none of them has it."""
        entries = (informer.store.get(key) for informer in self.showing(gvk, key, {}))
        return next((entry for entry in entries if entry is not None), None)

    # ---- loop thread ---------------------------------------------------------------------------------------------

    def probe_target(self, number: int) -> str:
        """What a probe asks for: what others ask for, one kind after the other, since one may be broken by itself."""
        informers = self._of_kinds()
        if not informers:
            return "/version"
        chosen = informers[number % len(informers)]
        return with_query(collection_path(chosen.mapping, chosen.scope.namespace), (("limit", "1"),))

    def reachable(self) -> None:
        """The server answers again: they try now what they would try later."""
        for informer in self._all():
            informer.reachable()

    def renew(self, *, elsewhere: bool) -> None:
        """Watch with the configuration that took the place of another one; see `Informer.renew`."""
        for informer in self._all():
            informer.renew(elsewhere=elsewhere)

    def _all(self) -> tuple[Informer, ...]:
        return (*self._of_kinds(), *self.tracked.own_informers)

    def _of_kinds(self) -> list[Informer]:
        return [informer for kind in self.kinds.all() for informer in kind.informers]

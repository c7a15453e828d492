"""Those who want to hear of a kind."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeAlias

from kcontroller.cache.store import Change
from kcontroller.cache.subscribers import SLICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.api.keys import Key
    from kcontroller.cache.feed import Stoppable
    from kcontroller.cache.informer import Informer
    from kcontroller.cache.subscribers import Subscription
    from kcontroller.cluster.cached_kind import CachedKind

Place: TypeAlias = "tuple[Informer, Key]"
"""Where an object is: which informer keeps it, under which key."""

RESYNC_SPREAD: Final = 0.1
"""A resync comes this much earlier or later, so that those of a fleet do not meet (controller-runtime)."""


class KindSubscription:
    """One subscriber of a kind, over all of its informers.

    Args:
        kind: the kind.
        handler: hears of every change, on the loop thread.
        on_synced: called once, when the handler has heard of every object that there was at the start.
        resync: tell the handler of every object again after so many seconds, and so on; 0 for never.
    """

    def __init__(
        self,
        kind: CachedKind,
        handler: Callable[[Change], None],
        on_synced: Callable[[], None],
        *,
        resync: float = 0.0,
    ) -> None:
        self._kind = kind
        self._handler = handler
        self._on_synced: Callable[[], None] | None = on_synced
        self._resync = resync
        self._informers: tuple[Informer, ...] = ()
        self._parts: tuple[Subscription, ...] = ()
        self._unsynced = 0
        self._timer: Stoppable | None = None
        self._closed = False

    def close(self) -> None:
        """Hear nothing more; any thread, harmless when repeated."""
        self._closed = True
        self._kind.call(self._detach)

    # ---- telling again ---------------------------------------------------------------------------------------------

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the loop thread soon; any thread."""
        self._kind.call(function)

    def known(self) -> list[Place]:
        """The objects that there are now, for `tell_slice`; on the loop thread."""
        return [(informer, entry.key) for informer in self._informers for entry in informer.store.entries()]

    def tell_slice(self, known: list[Place], start: int) -> None:
        """Tell of `SLICE` objects from `start` on, as they are now, if they still are; on the loop thread."""
        for informer, key in known[start : start + SLICE]:
            entry = informer.store.get(key)
            if entry is not None:
                self._tell(Change(None, entry, resync=True))

    # ---- for the kind, on the loop thread ------------------------------------------------------------------------

    def attach(self, informers: Iterable[Informer]) -> None:
        """Join the informers; what other informers have told of before is gone."""
        if self._closed:
            return
        left, self._informers = self._informers, tuple(informers)
        for part in self._parts:
            part.close()
        self._unsynced = len(self._informers)
        for informer in left:
            for entry in informer.store.entries():
                self._tell(Change(entry, None, unseen=True))
        self._parts = tuple(informer.subscribe(self._tell, self._part_synced) for informer in self._informers)
        if self._resync and self._timer is None:
            self._resync_later()

    def _tell(self, change: Change) -> None:
        if not self._closed:
            self._handler(change)

    def _part_synced(self) -> None:
        self._unsynced -= 1
        if not self._unsynced and not self._closed and self._on_synced is not None:
            on_synced, self._on_synced = self._on_synced, None
            on_synced()

    def _detach(self) -> None:
        for part in self._parts:
            part.close()
        if self._timer is not None:
            self._timer.stop()
        self._parts, self._informers = (), ()
        self._kind.left(self)

    # ---- resync --------------------------------------------------------------------------------------------------

    def _resync_later(self) -> None:
        seconds = self._resync * random.uniform(1 - RESYNC_SPREAD, 1 + RESYNC_SPREAD)  # noqa: S311 - spreads load
        self._timer = self._kind.call_later(seconds, self._resync_all)

    def _resync_all(self) -> None:
        self._resync_slice(self.known(), 0)

    def _resync_slice(self, known: list[Place], start: int) -> None:
        if self._closed:
            return
        self.tell_slice(known, start)
        if start + SLICE < len(known):
            self._kind.call(lambda: self._resync_slice(known, start + SLICE))
        else:
            self._resync_later()

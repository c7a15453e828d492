"""Those who want to hear of the changes of one informer; all on the loop thread.

Who comes late is told of what is there a slice at a time, so that the loop does other work in between. What changes
meanwhile, and was not told yet, is told as it is then: everybody hears of every object once, and then of its changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.cache.entry import EntryMap
from kcontroller.cache.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kcontroller.cache.entry import Entry
    from kcontroller.cache.feed import Feed

SLICE: Final = 256
"""So many objects are told in one turn of the loop: some 2 ms."""


class Subscription:
    """One subscriber of an informer."""

    __slots__ = ("_closed", "_handler", "_on_synced", "_subscribers", "_untold")

    def __init__(
        self, subscribers: Subscribers, handler: Callable[[Change], None], on_synced: Callable[[], None]
    ) -> None:
        self._subscribers = subscribers
        self._handler = handler
        self._on_synced: Callable[[], None] | None = on_synced
        self._untold: EntryMap | None = None
        self._closed = False

    def close(self) -> None:
        """Hear nothing more, not even the rest of what is being told. Harmless when repeated."""
        self._closed = True
        self._untold = None
        self._subscribers.remove(self)

    # ---- for `Subscribers` ---------------------------------------------------------------------------------------

    def tell(self, change: Change) -> None:
        """Tell the handler, unless closed."""
        if self._untold is not None and self._untold.pop(change.entry.namespace, change.entry.name) is not None:
            if change.new is None:
                return  # It never heard of it.
            change = Change(None, change.new, initial=True)
        if not self._closed:
            self._handler(change)

    def synced(self) -> None:
        """Say once that the handler has heard of every object there was."""
        if self._untold is not None:
            return
        on_synced, self._on_synced = self._on_synced, None
        if on_synced is not None and not self._closed:
            on_synced()

    def begin(self, known: list[Entry]) -> None:
        """Note what there is to tell."""
        self._untold = EntryMap(known)

    def still_to_tell(self, entry: Entry) -> bool:
        """Whether it has not heard of an object that there was."""
        return self._untold is not None and self._untold.get(entry.namespace, entry.name) is not None

    def end(self) -> None:
        """All of it is told."""
        self._untold = None
        self.synced()


class Subscribers:
    """All subscribers of an informer.

    Args:
        feed: the cluster's loop.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._all: list[Subscription] = []

    def __len__(self) -> int:
        """Count them."""
        return len(self._all)

    def add(
        self, handler: Callable[[Change], None], on_synced: Callable[[], None], known: list[Entry] | None
    ) -> Subscription:
        """Take one more, and tell it of what is known; None if the first list is not in."""
        subscription = Subscription(self, handler, on_synced)
        self._all.append(subscription)
        if known is not None:
            subscription.begin(known)
            self._tell_slice(subscription, known, 0)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Take one off; harmless when repeated."""
        if subscription in self._all:
            self._all.remove(subscription)

    def clear(self) -> None:
        """Tell nobody any more."""
        self._all.clear()

    def tell(self, changes: Iterable[Change]) -> None:
        """Tell all of changes. Who joins meanwhile is told of the whole store when it does."""
        audience = tuple(self._all)
        for change in changes:
            for subscription in audience:
                self.tell_one(subscription, change)

    def tell_one(self, subscription: Subscription, change: Change) -> None:
        """Tell one of them; a handler that raises ends the loop, which nobody would notice otherwise."""
        try:
            subscription.tell(change)
        except Exception as error:  # noqa: BLE001 - handed to the loop, which ends with it
            self._feed.call(raiser(error))

    def synced(self) -> None:
        """The first list is in, and told."""
        for subscription in tuple(self._all):
            subscription.synced()

    def _tell_slice(self, subscription: Subscription, known: list[Entry], start: int) -> None:
        if subscription not in self._all:
            return
        for entry in known[start : start + SLICE]:
            if subscription.still_to_tell(entry):
                self.tell_one(subscription, Change(None, entry, initial=True))
        if start + SLICE < len(known):
            self._feed.call(lambda: self._tell_slice(subscription, known, start + SLICE))
        else:
            subscription.end()


def raiser(error: Exception) -> Callable[[], None]:
    """Make a call that ends the loop with an error."""

    def raise_it() -> None:
        raise error

    return raise_it

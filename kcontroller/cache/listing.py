"""What a list, streamed or paged, has brought until now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcontroller.cache.actions import Replace, Skipped
from kcontroller.cache.entry import EntryMap
from kcontroller.cache.poison import Undecodable

if TYPE_CHECKING:
    from kcontroller.api.keys import Key
    from kcontroller.cache.actions import Action
    from kcontroller.cache.entry import Entry
    from kcontroller.cache.events import Page


class Listing:
    """One list, from its first item to the swap of the store.

    Attributes:
        token: continues the list; "" before the first page and after the last.
        version: of the first page, as the later ones cannot be older.
        paged: whether it is asked for by pages.
    """

    def __init__(self, *, paged: bool = True) -> None:
        self.token = ""
        self.version = 0
        self.paged = paged
        self._entries = EntryMap()
        self._kept: set[Key] = set()

    def add(self, item: Entry | Undecodable) -> list[Action]:
        """Take an item; one that cannot be decoded stays as it is known."""
        if not isinstance(item, Undecodable):
            self._entries.put(item)
            if self._kept:
                self._kept.discard(item.key)
            return []
        if item.key is not None:
            self.drop(item.key)
            if not item.deleted:
                self._kept.add(item.key)
        return [Skipped(item)]

    def drop(self, key: Key) -> None:
        """Forget an object that was deleted while the list was streamed."""
        self._entries.pop(key.namespace, key.name)
        self._kept.discard(key)

    def add_page(self, page: Page) -> list[Action]:
        """Take a page."""
        if not self.token:
            self.version = page.version
        self.token = page.token
        return [action for item in page.items for action in self.add(item)]

    def replacement(self, version: int, *, reset: bool) -> Replace:
        """The new content of the store."""
        return Replace(tuple(self._entries), version, reset=reset, kept=tuple(sorted(self._kept)))

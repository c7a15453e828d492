"""What a reflector asks for, as the targets of GET requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kcontroller.api.paths import with_query
from kcontroller.cache.actions import OpenList, OpenWatch

if TYPE_CHECKING:
    import random

PAGE_SIZE: Final = 500
WATCH_SECONDS: Final = (300.0, 600.0)
"""A watch asks for a random time between these, so that a fleet does not come back all at once (client-go)."""
LIST_SECONDS: Final = 60.0


class Targets:
    """The requests for one collection.

    Args:
        path: the collection's path.
        selectors: query parameters that every list and watch carries.
        rng: draws how long a watch is to last.
    """

    def __init__(self, path: str, selectors: tuple[tuple[str, str], ...], rng: random.Random) -> None:
        self._path = path
        self._selectors = selectors
        self._rng = rng

    def watch(self, version: int) -> OpenWatch:
        """Every event after `version`."""
        return self._watch(("resourceVersion", str(version)))

    def stream(self, version: str) -> OpenWatch:
        """A streaming list no older than `version` ("" for the newest), which goes on as a watch (KEP-3157)."""
        return self._watch(
            ("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"), ("resourceVersion", version)
        )

    def page(self, version: str, *, token: str, paged: bool) -> OpenList:
        """A list no older than `version` ("" for the newest, "0" for any), or its next page, which has no version."""
        query = (
            *self._selectors,
            ("limit", str(PAGE_SIZE) if paged else ""),
            ("continue", token),
            ("resourceVersion", "" if token else version),
            ("resourceVersionMatch", "NotOlderThan" if version and not token else ""),
        )
        return OpenList(with_query(self._path, query), LIST_SECONDS)

    def _watch(self, *parameters: tuple[str, str]) -> OpenWatch:
        seconds = self._rng.uniform(*WATCH_SECONDS)
        query = (
            *self._selectors,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(int(seconds))),
            *parameters,
        )
        return OpenWatch(with_query(self._path, query), seconds)

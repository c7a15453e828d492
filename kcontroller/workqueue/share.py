"""A cluster's part of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections import OrderedDict

    from kcontroller.workqueue.entry import Entry

COMMAND: Final = "command"
"""Who holds a pause that outlasts a purge: people name a cluster, and mean also the one that comes back under it."""

NOBODY: Final[frozenset[str]] = frozenset()

# OrderedDict and not dict: taking the first key of a dict walks over all that were deleted before it.
Lane: TypeAlias = "OrderedDict[Entry, None]"


class ClusterShare:
    """A cluster's entries, its lanes (one per priority), and what it holds of the workers.

    A share is *open* if its entries may be handed out: nobody holds it back (`holders`), and it is below its cap. What
    was in flight when the cluster was purged, or was abandoned, is *left over*: it counts no longer, or a reconcile
    that never ends would starve the successor. In each turn it hands out one entry and `bonus` more; `extra` is what is
    left of these. One that is `ill` stands in the ward, see `ready`; so many as are `aside` of what it has in flight
    count against its own cap, and not against that of the ward.
    """

    __slots__ = (
        "aside",
        "bonus",
        "entries",
        "extra",
        "holders",
        "ill",
        "in_flight",
        "lanes",
        "left_over",
        "name",
        "open",
        "ready",
    )

    def __init__(self, name: str, *, weight: int = 1, ill: bool = False) -> None:
        """Start empty and open."""
        self.name = name
        self.entries: dict[Any, Entry] = {}
        self.lanes: dict[int, Lane] = {}
        self.ready = 0
        self.in_flight = 0
        self.left_over = 0
        self.aside = 0
        self.holders = NOBODY
        self.open = True
        self.ill = ill
        self.bonus = self.extra = weight - 1

    @property
    def has_work(self) -> bool:
        """Whether it competes for workers; a paused cluster does not."""
        return not self.holders and (self.ready > 0 or self.in_flight > 0)

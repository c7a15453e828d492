"""How many requests of one cluster may be ready, and who is to be told when there is room again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kcontroller.workqueue.invariants import require

if TYPE_CHECKING:
    from kcontroller.workqueue.share import ClusterShare


class Bound:
    """A limit for each cluster.

    A cluster is *full* from the first refusal on until half of what may be ready is handed out: then those who were
    refused can ask again for many requests at once.

    Attributes:
        limit: requests of one cluster that may be ready.
        full: the clusters in which a request was refused.
        room: names of those that have room again, always the same list; whoever tells of it clears it.
        refused: how many requests were, for whoever counts them.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Begin with all clusters empty; None for no limit."""
        self.limit = sys.maxsize if limit is None else limit
        self.full: set[ClusterShare] = set()
        self.room: list[str] = []
        self.refused = 0

    def refuse(self, share: ClusterShare) -> None:
        """Take note that a request was refused."""
        self.full.add(share)
        self.refused += 1

    def note_taken(self, share: ClusterShare) -> None:
        """Take note that a request was handed out."""
        if share in self.full and share.ready <= self.limit // 2:
            self.full.discard(share)
            self.room.append(share.name)

    def check_invariants(self) -> None:
        """Raise AssertionError if the class's invariants do not hold; for tests."""
        require("bound", {"full clusters have work": all(share.ready > self.limit // 2 for share in self.full)})

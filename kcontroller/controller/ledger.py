"""In which state each child was when it was as it should be: after an apply, or when it was first seen so.

While it looks like that in the cache, there is nothing to send. Two things only this shows: a server may write a value
in a form of its own, ``1000m`` of CPU becomes ``1``, and looks wrong for ever where it is compared with what is wanted;
and what others add looks right, also where it changes what was wanted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Hashable

    from kcontroller.cluster.cluster import Cluster

_PER_CLUSTER: Final = 65536
"""Children that are remembered for each cluster, in about 0.5 KB each.

One that was forgotten is seen anew, and costs an apply if it differs from what is wanted.
"""


class Ledger:
    """The memory of one controller; what belongs to a cluster is forgotten with it. Safe for all threads.

    Args:
        controller: the controller's name.
    """

    def __init__(self, controller: str) -> None:
        self.controller = controller
        self._lock = threading.Lock()
        self._clusters: WeakKeyDictionary[Cluster, LRUCache[Hashable, bytes]] = WeakKeyDictionary()

    def note(self, cluster: Cluster, child: Hashable, state: bytes) -> None:
        """Remember the state in which the child is as it should be; it takes the place of the one before."""
        with self._lock:
            self._clusters.setdefault(cluster, LRUCache(_PER_CLUSTER))[child] = state

    def state(self, cluster: Cluster, child: Hashable) -> bytes | None:
        """The state that was noted last; None if none was, or if it is forgotten."""
        with self._lock:
            states = self._clusters.get(cluster)
            return None if states is None else states.get(child)

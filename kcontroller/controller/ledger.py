"""What the server made of what was applied, where that is not what was asked for.

A server may write a value in a form of its own: ``1000m`` of CPU becomes ``1``. Compared with what is wanted such an
object looks wrong for ever. So it is noted what the fields looked like in the answer: while they look like that in the
cache, there is nothing to send.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Hashable

    from kcontroller.cluster.cluster import Cluster

_PER_CLUSTER: Final = 16384
"""Objects that are remembered for each cluster; one that was forgotten costs one apply."""


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
        """Remember the state in which the server's answer was; it takes the place of the one before."""
        with self._lock:
            self._clusters.setdefault(cluster, LRUCache(_PER_CLUSTER))[child] = state

    def knows(self, cluster: Cluster, child: Hashable, state: bytes) -> bool:
        """Whether the child is in that state because the server answered so."""
        with self._lock:
            states = self._clusters.get(cluster)
            return states is not None and states.get(child) == state

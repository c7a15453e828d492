"""What the state of a cluster means to the queue of a controller.

* While its circuit breaker is open, its requests are held back.
* While it is in doubt whether its server answers (two failures in a row, or the breaker is half-open), or its watches
  have failed for `STALE_SECONDS`, it is degraded: see `WorkQueue.degrade`. A cluster that is slow the queue finds by
  itself.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from kcontroller.cluster.breaker import BREAKER
from kcontroller.cluster.circuit import HALF_OPEN, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import Request
    from kcontroller.cluster.cluster import Cluster
    from kcontroller.workqueue import WorkQueue

STALE_SECONDS: Final = 30.0
"""So long a watch may fail; as long as client-go's reflector waits at most between two tries."""
STALE: Final = "stale"

_LOOK_SECONDS: Final = 5.0


class Availability:
    """Tells the queue of one controller how its clusters are; any thread.

    Args:
        queue: the controller's.
        doubts: whether one is degraded of which it is only in doubt; one that is alone takes workers from nobody.
    """

    def __init__(self, queue: WorkQueue[Request], *, doubts: bool) -> None:
        self._queue = queue
        self._doubts = doubts
        self._lock = threading.Lock()
        self._engaged: dict[str, tuple[Cluster, Callable[[], None]]] = {}
        self._stale: set[str] = set()
        self._look_at = 0.0

    def engage(self, cluster: Cluster) -> None:
        """Take a cluster on."""
        cluster = cluster.itself
        end = cluster.breaker.subscribe(partial(self._hear, cluster), doubts=self._doubts)
        with self._lock:
            self._engaged[cluster.name] = cluster, end
        self._hear(cluster)

    def leave(self, name: str) -> None:
        """Let a cluster go, before the queue is purged."""
        with self._lock:
            _cluster, end = self._engaged.pop(name, (None, None))
            self._stale.discard(name)
            for why in (BREAKER, STALE):
                self._queue.recover(name, why=why)
        if end is not None:
            end()

    def look(self, now: float) -> float:
        """Find the clusters whose watches fail; for the `Watchdog`."""
        if now < self._look_at:  # It is called whenever another look is due.
            return self._look_at
        self._look_at = now + _LOOK_SECONDS
        with self._lock:
            for name, (cluster, _end) in self._engaged.items():
                since = cluster.troubled_since
                stale = since is not None and now - since >= STALE_SECONDS
                if stale and name not in self._stale:
                    self._stale.add(name)
                    self._queue.degrade(name, why=STALE)
                elif name in self._stale and not stale:
                    self._stale.discard(name)
                    self._queue.recover(name, why=STALE)
        return self._look_at

    def _hear(self, cluster: Cluster) -> None:
        name, queue = cluster.name, self._queue
        with self._lock:  # Whoever comes last sees the last state.
            if self._engaged.get(name, (None,))[0] is not cluster:
                return
            breaker = cluster.breaker
            if breaker.state is OPEN:
                queue.pause(name, holder=BREAKER)
                return
            if breaker.state is HALF_OPEN or (breaker.in_doubt and self._doubts):
                queue.degrade(name, why=BREAKER)
            else:
                queue.recover(name, why=BREAKER)
            queue.resume(name, holder=BREAKER)

"""Where the sources of one controller hand in what they ask for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.api.keys import Request
    from kcontroller.controller.pauses import PausedObjects
    from kcontroller.controller.recording import Recording
    from kcontroller.controller.retelling import Retelling
    from kcontroller.workqueue import WorkQueue


_NAMES: Final = 10_000  # Of clusters that functions have named; those that leave for good must not pile up.


class Inlet(msgspec.Struct, frozen=True):
    """What all sources of a controller share.

    Attributes:
        queue: gets the requests.
        objects: takes note of the pauses of the objects that are reconciled.
        retellings: the sources that must tell again.
        works_on: whether the controller works on a cluster.
        dropped: counts a request for a cluster on which it does not.
        recording: takes down which changes were queued, and what dropped the others.
    """

    queue: WorkQueue[Request]
    objects: PausedObjects
    retellings: Retellings
    works_on: Callable[[str], bool]
    dropped: Callable[[], None]
    recording: Recording | None = None


class Naming(Protocol):
    """Names requests in other clusters."""

    def again(self) -> None:
        """Name all of them again; any thread, must not block."""
        ...


class Retellings:
    """Which sources of a controller are to tell of their objects again, and when. Any thread.

    Those that a full queue has refused, when it has room; and those whose functions name requests in other clusters,
    when that one joins: what they asked for while it was away is lost. All others are left alone, or each of a thousand
    clusters that comes would wake all the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owing: dict[Retelling, None] = {}
        self._naming: LRUCache[str, set[Naming]] = LRUCache(_NAMES)
        self._named: dict[Naming, set[str]] = {}  # The same, the other way round.

    def owes(self, retelling: Retelling) -> None:
        """A source was refused."""
        with self._lock:
            self._owing[retelling] = None

    def names(self, source: Naming, cluster: str) -> None:
        """A source names a request in another cluster than its own."""
        with self._lock:
            if cluster not in self._naming and len(self._naming) == self._naming.maxsize:
                self._unname(*self._naming.popitem())
            self._naming.setdefault(cluster, set()).add(source)
            self._named.setdefault(source, set()).add(cluster)

    def stopped(self, source: Naming) -> None:
        """A source that names requests has stopped."""
        with self._lock:
            for cluster in self._named.pop(source, ()):
                self._naming[cluster].discard(source)

    def forget(self, retelling: Retelling) -> None:
        """A source of objects has stopped."""
        with self._lock:
            self._owing.pop(retelling, None)
        self.stopped(retelling)

    def room(self) -> None:
        """Let those tell again that were refused: there may be room for it."""
        with self._lock:
            owing, self._owing = self._owing, {}
        for each in owing:
            each.room()

    def joined(self, cluster: str) -> None:
        """Let those tell again that may have asked for something in a cluster before it was there."""
        with self._lock:
            naming = self._naming.pop(cluster, set())
            self._unname(cluster, naming)
        for each in naming:
            each.again()  # And names it again, if it still does.
        self.room()  # The cluster was forgotten when it left: its queue told nobody that it is not full any more.

    def _unname(self, cluster: str, sources: set[Naming]) -> None:
        for each in sources:
            self._named[each].discard(cluster)

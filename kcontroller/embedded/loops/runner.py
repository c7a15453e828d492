"""The control loops that run beside the API: they see each change, and act when the request that made it is over.

kube-apiserver itself serves what a CustomResourceDefinition defines (`crds`). The rest is the work of
kube-controller-manager, as far as clients count on it: namespaces are emptied (`namespaces`), dependents follow their
owners (`garbage`); and Milo's controller makes projects ready (`projects`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from kcontroller.embedded import statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.embedded.store import Change

_TURN_SECONDS: Final = 0.01  # Before other requests get a turn.
_log: Final = logging.getLogger("kcontroller.embedded")


class Controller(Protocol):
    """One control loop."""

    def seen(self, plane: str, storage: str, change: Change) -> Any | None:
        """Take note of a change; returns what to work on, if it gives work. Does not write."""
        ...

    def work(self, item: Any) -> bool | None:
        """Bring the world of one item into order; may write, may find that nothing is left to do.

        One that would take long does a part, and returns true to be called for the item again.
        """
        ...


class Loops:
    """Feeds the controllers from the store.

    Args:
        controllers: in the order in which they hear of a change.
        soon: runs a function after the current request; ``loop.call_soon``.
    """

    def __init__(self, controllers: list[Controller], soon: Callable[[Callable[[], None]], object]) -> None:
        self._controllers = controllers
        self._soon = soon
        self._queue: deque[tuple[Controller, Any]] = deque()
        self._waiting: set[tuple[int, Any]] = set()
        self._scheduled = False
        self.failures: list[Exception] = []

    def observe(self, plane: str, storage: str, change: Change) -> None:
        """Hear of a change; the store calls this."""
        for controller in self._controllers:
            item = controller.seen(plane, storage, change)
            if item is not None:
                self._add(controller, item)
        if self._queue and not self._scheduled:
            self._scheduled = True
            self._soon(self._turn)

    def _add(self, controller: Controller, item: Any) -> None:
        if (id(controller), item) not in self._waiting:
            self._waiting.add((id(controller), item))
            self._queue.append((controller, item))

    def _turn(self) -> None:
        # Still scheduled while it works: a change that it makes itself needs no second turn.
        end = time.perf_counter() + _TURN_SECONDS
        while self._queue:
            if time.perf_counter() >= end:
                self._soon(self._turn)
                return
            controller, item = self._queue.popleft()
            self._waiting.discard((id(controller), item))
            try:
                if controller.work(item):
                    self._add(controller, item)
            except statuses.Refusal as refusal:
                _log.debug(
                    "%s: %s", type(controller).__name__, refusal
                )  # The object changed or went; its change comes.
            except Exception as error:  # noqa: BLE001 - one loop must not end the server; tests ask for `failures`
                _log.exception("%s failed", type(controller).__name__)
                self.failures.append(error)
        self._scheduled = False

"""What a controller asks of whoever runs it; the manager is one, and so is a small fake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcontroller.cluster.view import ClusterGetter
    from kcontroller.controller.mapping import Mappers
    from kcontroller.controller.pauses import Pauses
    from kcontroller.controller.watchdog import Watchdog
    from kcontroller.events import Broadcaster
    from kcontroller.process.clock import Clock
    from kcontroller.process.metrics import Metrics


class Host(Protocol):
    """What a controller asks of whoever runs it."""

    clock: Clock
    metrics: Metrics
    mappers: Mappers
    events: Broadcaster
    pauses: Pauses
    watchdog: Watchdog

    @property
    def guard(self) -> Callable[[], None] | None:
        """What is called right before each write of a controller that needs leader election; raises `NotLeader`.

        None where no leader is elected.
        """
        ...

    @property
    def clusters(self) -> ClusterGetter:
        """The engaged clusters."""
        ...
